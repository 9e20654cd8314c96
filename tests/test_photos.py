"""What a photo's file holds comes back: one test for each property, on files that are made here."""

import base64
import io
import struct
import tracemalloc
import warnings
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps, IptcImagePlugin, PngImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from derain.batch import Target, plan, run
from derain.errors import PhotoError
from derain.models import build
from derain.photos import decode, encode, encode_with_notes, read_original, read_photo, write_photo
from derain.photos.heif import are_plain, colours
from derain.photos.jpeg import subsampling_of
from derain.photos.original import as_stored, upright
from derain.photos.tiff_tags import with_exif, without_structure
from tests.conftest import SMALL

HEIGHT, WIDTH = 24, 36


@pytest.fixture
def rgb(rng):
    small = rng.integers(30, 220, (6, 9, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def saved(image, file_format, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, format=file_format, **options)
    return content.getvalue()


def back(content: bytes, **options) -> bytes:
    """The same pixels in the same form."""
    original = decode(content)
    return encode(original, original.pixels, **options)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def exif(orientation=1) -> Image.Exif:
    tags = Image.Exif()
    tags[271], tags[274] = "Hans Camera", orientation
    tags.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0wet"
    tags.get_ifd(0x8825)[1], tags.get_ifd(0x8825)[2] = "N", (47.0, 30.0, 0.5)
    return tags


ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>rain</a></x:xmpmeta>'


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_read_as_pillow_reads_it(rgb, mode, orientation):
    for side in (rgb, rgb[:, :1], rgb[:1]):
        content = saved(Image.fromarray(side).convert(mode), "JPEG", exif=exif(orientation))
        with ImageOps.exif_transpose(Image.open(io.BytesIO(content))) as shown:
            assert np.array_equal(decode(content).pixels, np.asarray(shown.convert("RGB")))


def test_a_jpeg_whose_data_ends_too_soon_fails_in_a_sentence(rgb):
    content = saved(Image.fromarray(rgb), "JPEG", progressive=True)
    at = content.rindex(b"\xff\xda")
    with pytest.raises(PhotoError, match="cannot be read"):
        decode(content[:at] + b"\xff\xda\x00\xff" + content[at + 4 :])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_stands_upright_and_goes_back(rgb, orientation):
    content = saved(Image.fromarray(rgb), "PNG", exif=exif(orientation))
    original = decode(content)
    shown = np.asarray(opened(content).convert("RGB"))
    assert np.array_equal(original.pixels, np.asarray(ImageOps.exif_transpose(opened(content))))
    assert np.array_equal(as_stored(orientation)(upright(orientation)(shown)), shown)
    again = opened(encode(original, original.pixels))
    assert np.array_equal(np.asarray(again), shown) and again.getexif()[274] == orientation


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_metadata_survives(rgb, file_format):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    more = {"pnginfo": info} if file_format == "PNG" else {"xmp": XMP}
    if file_format == "TIFF":
        more = {}
    content = saved(Image.fromarray(rgb), file_format, exif=exif().tobytes(), icc_profile=ICC, dpi=(300, 300), **more)
    before, after = opened(content), opened(back(content))
    assert after.info["icc_profile"] == ICC
    assert after.getexif()[271] == "Hans Camera" == before.getexif()[271]
    assert after.getexif().get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0wet"
    assert after.info.get("xmp") == before.info.get("xmp")
    assert after.info.get("dpi") == before.info.get("dpi")


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_keeps_its_tables_and_subsampling(rgb, subsampling):
    content = saved(
        Image.fromarray(rgb), "JPEG", quality=71, subsampling=subsampling, progressive=True, comment=b"hello"
    )
    before, after = opened(content), opened(back(content))
    assert after.quantization == before.quantization and after.layer == before.layer
    assert after.info["progressive"] and after.info["comment"] == b"hello"
    assert opened(back(content, quality=95)).quantization != before.quantization
    assert len(back(content)) < 1.1 * len(content)


@pytest.mark.parametrize("name", ["411", "440", "420"])
def test_a_subsampling_that_cannot_be_kept_is_told(rgb, name):
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
    content = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])[1].tobytes()
    photo = decode(content)
    result = encode_with_notes(photo, photo.pixels // 2)
    kept = opened(result.content).layer == opened(content).layer
    told = any(f"subsampling of {':'.join(name)}" in note and "became 4:4:4" in note for note in result.notes)
    assert kept is (name == "420") and told is not kept
    assert not encode_with_notes(photo, photo.pixels // 2, quality=90).notes  # of what is asked for nothing is told


def test_a_subsampling_is_known_by_its_ratio():
    """Of 4:2:2 there are two kinds, and some cameras write the one that names all blocks twice as high."""
    assert subsampling_of([(1, 2, 2, 0), (2, 1, 2, 1), (3, 1, 2, 1)]) == "4:2:2"
    assert subsampling_of([(1, 2, 2, 0), (2, 2, 2, 1), (3, 2, 2, 1)]) == "4:4:4"
    assert subsampling_of([(1, 2, 2, 0), (2, 1, 2, 1), (3, 2, 1, 1)]) == "2x2 1x2 2x1"
    assert subsampling_of([(1, 1, 1, 0)]) == "4:4:4"


def test_a_photo_may_be_named_by_a_string(rgb, tmp_path):
    write_photo(f"{tmp_path}/a.png", rgb)
    assert np.array_equal(read_photo(f"{tmp_path}/a.png"), rgb)
    with pytest.raises(PhotoError, match="none.png: no such file"):
        read_original(f"{tmp_path}/none.png")


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_is_untouched(rgb, rng, file_format):
    alpha = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    options = (
        {"lossless": True, "exact": True}
        if file_format == "WEBP"
        else {"quality": 100}
        if file_format == "AVIF"
        else {}
    )
    content = saved(Image.fromarray(np.dstack([rgb, alpha])), file_format, **options)
    before, after = opened(content), opened(back(content, quality=100 if file_format == "AVIF" else None))
    assert before.mode == after.mode == "RGBA"
    difference = np.abs(np.asarray(before)[..., 3].astype(int) - np.asarray(after)[..., 3])
    assert difference.max() <= (2 if file_format == "AVIF" else 0)
    with pytest.raises(PhotoError, match="transparency"):
        back(content, to="JPEG")


def test_lossless_webp_stays_lossless(rgb):
    for options in ({}, {"icc_profile": ICC}):
        content = saved(Image.fromarray(rgb), "WEBP", lossless=True, **options)
        assert np.array_equal(np.asarray(opened(back(content))), rgb)
        lossy = saved(Image.fromarray(rgb), "WEBP", quality=80, **options)
        assert b"VP8L" not in back(lossy)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_stay_16_bits(rng, channels, suffix):
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    if suffix == "png":
        content = cv2.imencode(".png", deep[..., [2, 1, 0, 3][:channels]] if channels > 1 else deep)[1].tobytes()
    else:
        file = io.BytesIO()
        extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        tifffile.imwrite(
            file, deep.squeeze(), photometric="rgb" if channels > 1 else "minisblack", iccprofile=ICC, **extra
        )
        content = file.getvalue()
    original = decode(content)
    assert original.pixels.dtype == np.uint16 and original.grey == (channels == 1)
    again = decode(back(content))
    assert np.array_equal(again.pixels, deep[..., :3] if channels > 1 else deep.repeat(3, axis=2))
    if channels == 4:
        assert np.array_equal(again.alpha, deep[..., 3])
    if suffix == "tif":
        assert opened(back(content)).info["icc_profile"] == ICC
    assert decode(back(content, to="WEBP" if channels == 4 else "JPEG")).pixels.dtype == np.uint8


def test_16_bit_png_keeps_its_chunks(rng):
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    plain = cv2.imencode(".png", deep)[1].tobytes()
    text = b"Comment\0heavy rain"
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    content = plain[:33] + chunk + plain[33:]
    assert opened(back(content)).info["Comment"] == "heavy rain"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "BMP"])
def test_grey_stays_grey(rgb, file_format):
    content = saved(Image.fromarray(rgb[..., 0]), file_format)
    original = decode(content)
    assert original.pixels.shape == (HEIGHT, WIDTH, 3) and original.grey
    assert opened(back(content)).mode == "L"


@pytest.mark.parametrize("black, more", [(30, 11), (128, 20), (200, 46)])
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_inks_stay_inks_and_rain_is_more_of_them(rng, file_format, black, more):
    inks = np.full((HEIGHT, WIDTH, 4), (40, 60, 20, black), np.uint8)
    content = saved(Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes()), file_format, icc_profile=ICC)
    original = decode(content)
    result = opened(encode(original, original.pixels - np.uint8(10)))
    assert result.mode == "CMYK" and result.info["icc_profile"] == ICC
    change = np.asarray(result).astype(int) - np.asarray(opened(content))
    assert np.abs(change.mean((0, 1)) - [more, more, more, 0]).max() < 2.5
    assert np.abs(decode(encode(original, original.pixels - np.uint8(10))).pixels + 10.0 - original.pixels).max() < 4
    assert "icc_profile" not in opened(encode(original, original.pixels, to="PNG")).info


@pytest.mark.parametrize("mode", ["P", "PA", "1", "LA", "RGBA"])
def test_other_modes_keep_what_is_seen(rgb, mode):
    image = (
        Image.fromarray(rgb).convert("RGBA" if mode == "PA" else mode)
        if mode != "PA"
        else Image.fromarray(rgb).convert("P")
    )
    content = saved(image, "PNG", **({"transparency": 3} if mode == "PA" else {}))
    shown = opened(content).convert("RGBA")
    assert np.array_equal(np.asarray(opened(back(content)).convert("RGBA")), np.asarray(shown))


@pytest.mark.parametrize("black", [0, 40])
def test_light_that_comes_back_takes_inks_away(rng, black):
    inks = rng.integers(0, 60, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    inks[..., 3] = black
    original = decode(saved(Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes()), "TIFF"), "photo")
    brighter = original.pixels.copy()
    brighter[:9] = np.minimum(brighter[:9].astype(int) + 50, 255)
    result = decode(encode(original, brighter), "result")
    assert np.abs(result.pixels.astype(int) - brighter).max() <= 1
    assert np.array_equal(result.inks[9:], inks[9:])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_keeps_its_compression(rgb, mode, compression):
    content = saved(Image.fromarray(rgb).convert(mode), "TIFF", compression=compression, icc_profile=ICC)
    content = with_exif(content, exif(6).tobytes())
    before, after = opened(content), opened(back(content))
    assert after.info["compression"] == compression and after.mode == mode
    assert same_tags(before.getexif(), after.getexif())
    assert np.array_equal(np.asarray(before), np.asarray(after))


def test_tiff_of_lossy_compression_becomes_lossless(rgb):
    content = saved(Image.fromarray(rgb), "TIFF", compression="jpeg")
    assert opened(back(content)).info["compression"] == "tiff_adobe_deflate"
    assert np.array_equal(np.asarray(opened(back(content))), np.asarray(opened(content)))


def test_tiff_of_black_and_white_compression_becomes_grey(rgb):
    content = saved(Image.fromarray(rgb).convert("1"), "TIFF", compression="group4")
    assert np.array_equal(np.asarray(opened(back(content))), np.asarray(opened(content).convert("L")))


def test_16_bit_tiff_keeps_the_tags_of_camera_and_place(rng):
    deep, file = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16), io.BytesIO()
    tifffile.imwrite(file, deep, photometric="rgb", byteorder=">", compression="zlib")
    content = back(file.getvalue())  # little-endian from here on
    content = with_exif(content, exif(8).tobytes())
    again = back(content)
    assert same_tags(opened(content).getexif(), opened(again).getexif())
    assert np.array_equal(tifffile.imread(io.BytesIO(again)), deep)


def test_damaged_tags_do_not_keep_the_others_from_being_written(rgb):
    tags = exif()
    tags[315] = "An Artist"
    tags.get_ifd(0x8769)[0x829A] = "no number"  # exposure time
    plain = saved(Image.fromarray(rgb), "TIFF")
    assert opened(with_exif(plain, b"Exif\0\0II*\0rubbish" * 3)).size == (WIDTH, HEIGHT)
    after = opened(back(with_exif(plain, tags.tobytes()))).getexif()
    assert after[315] == "An Artist" and after[271] == "Hans Camera"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_tiff_of_each_orientation_stands_upright_and_goes_back(rng, depth, orientation):
    stored, file = rng.integers(0, np.iinfo(depth).max, (HEIGHT, WIDTH, 3), dtype=depth), io.BytesIO()
    tifffile.imwrite(file, stored, photometric="rgb", byteorder="<")
    content = with_exif(file.getvalue(), exif(orientation).tobytes())
    assert np.array_equal(decode(content).pixels, upright(orientation)(stored))
    assert np.array_equal(tifffile.imread(io.BytesIO(back(content))), stored)
    assert Image.open(io.BytesIO(back(content))).getexif()[274] == orientation


def same_tags(before: Image.Exif, after: Image.Exif) -> bool:
    """The tags that speak of the photo, in the file's first directory and in those of camera and place."""
    first, second = (
        [dict(tags), tags.get_ifd(0x8769), tags.get_ifd(0x8825)] for tags in map(without_structure, (before, after))
    )
    return first == second and 271 in first[0] and 0x9286 in first[1] and 1 in first[2]


@pytest.mark.parametrize(
    "file_format, said",
    [
        ("GIF", "derain video` for GIFs"),
        ("WEBP", "is animated; save one picture of it, or convert it to a GIF or an animated PNG for `derain video`"),
        ("TIFF", "has several pages; save the one that you want"),
        ("PNG", "is animated; `derain video` takes it"),
    ],
)
def test_moving_pictures_are_refused_with_what_takes_them(rgb, file_format, said):
    frames = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    with pytest.raises(PhotoError, match=said):
        decode(saved(frames[0], file_format, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("name", ["a.CR2", "a.nef", "a.DNG", "a.arw", "a.orf", "a.rw2", "a.raf", "a.cr3"])
def test_raw_files_are_told_as_such_and_never_as_damaged(rgb, name):
    for content in (saved(Image.fromarray(rgb), "TIFF"), saved(Image.fromarray(rgb), "TIFF")[:60], b"of its own kind"):
        with pytest.raises(PhotoError, match=f"{name}: is a camera's raw file; develop it to TIFF, PNG or JPEG first"):
            decode(content, name)
    assert decode(saved(Image.fromarray(rgb), "PNG"), name).format == "PNG"


@pytest.mark.parametrize(
    "begins", [b"II*\0\x10\0\0\0CR\2\0", b"FUJIFILMCCD-RAW 0201", b"IIRO\x08", b"\0\0\0\x18ftypcrx "]
)
def test_raw_files_without_a_name_are_told_by_their_beginning(begins):
    with pytest.raises(PhotoError, match="is a camera's raw file"):
        decode(begins + bytes(100), "stdin")


@pytest.mark.parametrize(
    "marker, bits, said",
    [
        (0xC0, 12, "12-bit JPEG"),
        (0xC2, 12, "12-bit JPEG"),
        (0xC3, 8, "lossless JPEG"),
        (0xC3, 16, "lossless JPEG"),
        (0xC5, 8, "hierarchical JPEG"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_rare_jpegs_are_told_as_such_and_never_as_damaged(rgb, marker, bits, said):
    content = bytearray(saved(Image.fromarray(rgb), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 1], content[frame + 4] = marker, bits
    with pytest.raises(
        PhotoError, match=f"a.jpg: is a {said}, which derain does not read; convert it to 8-bit JPEG, PNG"
    ):
        decode(bytes(content), "a.jpg")


@pytest.mark.parametrize(
    "number, said", [(34712, "JPEG 2000 compression"), (50001, "WebP c"), (9, "compression number 9")]
)
def test_tiffs_with_rare_compressions_are_told_as_such(rgb, number, said):
    content = bytearray(saved(Image.fromarray(rgb), "TIFF"))
    (entry,) = (at for at in range(len(content)) if content[at : at + 4] == b"\x03\x01\x03\0")
    content[entry + 8 : entry + 10] = number.to_bytes(2, "little")
    with pytest.raises(PhotoError, match=f"is a TIFF with {said}"):
        decode(bytes(content))


@pytest.mark.parametrize("number", [1, 6, 8, 34676, 50001])
def test_a_tiff_that_is_cut_is_told_as_such_whatever_its_compression(rgb, number):
    content = bytearray(saved(Image.fromarray(rgb), "TIFF"))
    (entry,) = (at for at in range(len(content)) if content[at : at + 4] == b"\x03\x01\x03\0")
    content[entry + 8 : entry + 10] = number.to_bytes(2, "little")
    with pytest.raises(PhotoError, match="a.tif: .*part of (it|the picture) is missing; get the file again from its"):
        decode(bytes(content[: len(content) * 3 // 4]), "a.tif")


# grey noise in several scans, and one grey in fewer bits than there are blocks, which Pillow cannot write
NOISE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1x"
    "eXBkeFxlZ2P/ygALCAAQABABAREA/8wABAAQ/9oACAEBAAAAAfBo/8wABBAF/9oACAEBAAEFAofBfsyy5Jv/zAAEEAX/2gAIAQEABj8CCy68"
    "/wB7Ox0hriksZbfi5QqLFFyA/8wABBAF/9oACAEBAAE/IZ45Gbi2MVx7kTyHKSw8Y2woGTrUP6mhRCutMazagMK3JaXqL/SmXf/aAAgBAQAA"
    "ABDw/8wABBAF/9oACAEBAAE/EA8sxAMtIrY4QK6C/RIkvz6oJ/MLR5P1IEVNKyEevrSjMdHIv5cvPXEwHnWJghCkOP/Z"
)
PLAIN = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1x"
    "eXBkeFxlZ2P/yQALCAHgAoABAREA/8wABgAQEAX/2gAIAQEAAD8A/tssOoD/2Q=="
)


def test_jpegs_that_are_coded_arithmetically_are_read_and_that_the_result_is_not_is_told(monkeypatch):
    assert decode(PLAIN).pixels.shape == (480, 640, 3)
    with monkeypatch.context() as patch:
        patch.setattr("PIL.ImageFile.MAXBLOCK", 64)  # bytes that a decoder is given at once, as of a large photo
        original = decode(NOISE)
    assert original.pixels.shape == (16, 16, 3) and original.pixels.std() > 30
    written = encode_with_notes(original, 255 - original.pixels)
    assert written.notes == ("its arithmetic coding became Huffman's: nothing is lost, but the file is larger",)
    assert np.abs(opened(written.content) - (255.0 - original.pixels[..., 0])).mean() < 20


@pytest.mark.parametrize(
    "begins, said",
    [(b"8BPS", "Photoshop"), (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x0a", "JPEG XL"), (b"P6\n", "Netpbm")],
)
def test_pictures_in_other_formats_are_told_by_their_beginning(begins, said):
    with pytest.raises(
        PhotoError, match=f"is a picture in {said} format, which derain does not read; convert it to TIFF"
    ):
        decode(begins + bytes(100), "a.jpg")


def test_floats_and_giants_are_refused(rgb):
    with pytest.raises(PhotoError, match="floating-point"):
        decode(saved(Image.fromarray(rgb[..., 0].astype(np.float32)), "TIFF"))
    with pytest.raises(PhotoError, match="`max_megapixels`"):
        decode(saved(Image.fromarray(rgb), "PNG"), max_megapixels=0.0001)


def test_another_format_on_request(rgb):
    content = saved(Image.fromarray(rgb), "PNG", icc_profile=ICC, exif=exif())
    for to in ("JPEG", "WEBP", "TIFF", "AVIF", "BMP"):
        result = opened(back(content, to=to))
        assert result.format == to and result.size == (WIDTH, HEIGHT)
        if to != "BMP":
            assert result.info["icc_profile"] == ICC and result.getexif()[271] == "Hans Camera"


def test_bmp_holds_no_orientation_so_it_stands_upright(rgb):
    content = saved(Image.fromarray(rgb), "JPEG", exif=exif(6))
    assert opened(back(content, to="BMP")).size == (HEIGHT, WIDTH)


def test_xmp_goes_with_the_photo_into_another_format(rgb):
    content = saved(Image.fromarray(rgb), "JPEG", xmp=XMP)
    assert opened(back(content, to="PNG")).info["xmp"] == XMP
    assert opened(back(content, to="TIFF")).tag_v2[700] == XMP


def test_captions_in_a_jpeg_are_carried_over(rgb):
    plain = saved(Image.fromarray(rgb), "JPEG", exif=exif(), icc_profile=ICC)
    caption = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x0a\x1c\x02\x78\x00\x05rainy\x00"
    source = with_segment(plain, b"\xff\xed" + struct.pack(">H", len(caption) + 2) + caption)
    assert IptcImagePlugin.getiptcinfo(opened(source))[2, 120] == b"rainy"
    result = opened(back(source))
    assert IptcImagePlugin.getiptcinfo(result)[2, 120] == b"rainy"
    assert result.getexif()[271] == "Hans Camera" and result.info["icc_profile"] == ICC


def with_segment(jpeg: bytes, segment: bytes) -> bytes:
    place = jpeg.index(b"\xff\xdb")  # the tables
    return jpeg[:place] + segment + jpeg[place:]


def test_what_a_phone_puts_into_a_jpeg_beside_the_photo_is_carried_over(rgb):
    video = b"\0\0\0\x18ftypmp42" + b"V" * 500
    source = saved(Image.fromarray(rgb), "JPEG", progressive=True, exif=exif()) + video
    for marker, name in (
        (b"\xe1", b"http://ns.adobe.com/xmp/extension/\0"),
        (b"\xe2", b"urn:iso:std:iso:ts:21496:-1\0"),
    ):
        data = name + b"deep"
        source = with_segment(source, b"\xff\xff" + marker + struct.pack(">H", len(data) + 2) + data)
    result = back(source, quality=70)
    assert result.endswith(b"\xff\xd9" + video)
    assert b"xmp/extension/\0deep" in result and b":21496:-1\0deep" in result
    assert opened(result).getexif()[271] == "Hans Camera"


def test_exif_of_a_webp_reaches_a_jpeg(rgb):
    result = opened(back(saved(Image.fromarray(rgb), "WEBP", exif=exif(6)), to="JPEG"))
    assert result.getexif()[271] == "Hans Camera" and result.getexif()[274] == 6


@pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
def test_wide_colours_without_a_profile_keep_their_name(rgb, file_format):
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content = saved(Image.fromarray(rgb), file_format)
    assert b"colrnclx" in content
    wide = content.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x0c\0\x10")
    assert b"colrnclx\0\x0c\0\x10" in back(wide) and b"colrnclx\0\x0c\0\x10" not in back(content)
    with pytest.raises(PhotoError, match="cannot describe its colours"):
        back(wide, to="JPEG")
    assert opened(back(content, to="JPEG")).size == (WIDTH, HEIGHT)
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"data"  # a box whose size takes 64 bits
    assert are_plain(colours(content)) and not are_plain(colours(large + wide))
    of_a_video = b"\0\0\0\x10mdat" + b"colrnclx\0\x09\0\x12"
    assert b"colrnclx\0\x09" not in back(saved(Image.fromarray(rgb), "JPEG") + of_a_video, to=file_format)


def deep_tiff(values, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


def test_16_bit_tiff_of_every_kind_is_read_right_or_refused(rng):
    grey = rng.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    white_is_zero = decode(deep_tiff(65535 - grey, photometric="miniswhite"))
    assert np.array_equal(white_is_zero.pixels[..., 0], grey)
    assert np.array_equal(decode(encode(white_is_zero, white_is_zero.pixels)).pixels[..., 0], grey)
    four = rng.integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)
    selection = decode(deep_tiff(four, photometric="rgb", extrasamples=["unspecified"]))
    assert selection.alpha is None and np.array_equal(selection.pixels, four[..., :3])
    half = np.full((HEIGHT, WIDTH, 4), (10_000, 20_000, 5_000, 32_768), np.uint16)
    associated = decode(deep_tiff(half, photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(associated.pixels.astype(int) - [20_000, 40_000, 10_000]).max() < 3
    with pytest.raises(PhotoError, match="develop it to TIFF"):
        decode(deep_tiff(four[..., :3], photometric="rgb", extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]))


def test_what_one_format_cannot_hold_does_not_keep_the_photo_from_another(rgb, rng):
    layers = ImageFileDirectory_v2()
    layers[37724], layers.tagtype[37724] = b"Adobe Photoshop Document Data Block\0" + b"L" * 90_000, 7
    layers[34377], layers.tagtype[34377] = b"8BIM" + b"x" * 90_000, 1
    photoshop = saved(Image.fromarray(rgb), "TIFF", tiffinfo=layers)
    assert opened(back(photoshop, to="JPEG")).size == (WIDTH, HEIGHT)
    assert b"Document Data Block" not in back(photoshop)
    long = saved(Image.fromarray(rgb), "WEBP", xmp=XMP + b" " * 90_000, exif=exif())
    assert opened(back(long, to="JPEG")).getexif()[271] == "Hans Camera"
    pair = rng.integers(0, 65536, (HEIGHT, WIDTH, 2), dtype=np.uint16)
    deep = decode(saved(Image.fromarray(rgb), "PNG"))
    deep = replace(deep, pixels=np.repeat(pair[..., :1], 3, axis=2), alpha=pair[..., 1], grey=True)
    result = decode(encode(deep, deep.pixels, to="TIFF"))
    assert np.array_equal(result.pixels, deep.pixels) and np.array_equal(result.alpha, deep.alpha)
    no_size = saved(Image.fromarray(rgb), "TIFF", resolution=0)
    assert opened(back(no_size)).size == (WIDTH, HEIGHT)


def test_damaged_exif_does_not_keep_a_photo_from_becoming_a_tiff(rgb):
    good = saved(Image.fromarray(rgb), "JPEG", exif=exif())
    place = good.index(b"Exif\0\0") + 6
    for cut in (good[:place] + b"XX" + good[place + 2 :], good[:place] + b"\0" * 8 + good[place + 8 :]):
        assert opened(back(cut, to="TIFF")).size == (WIDTH, HEIGHT)


def test_further_pictures_in_a_jpeg_are_carried_over(rgb, rng):
    """A phone's gain map or depth, beside a photo that is turned and has a profile."""
    second = Image.fromarray(rng.integers(0, 256, (8, 6), dtype=np.uint8))
    file = io.BytesIO()
    options = {"save_all": True, "append_images": [second], "exif": exif(6), "icc_profile": ICC, "quality": 90}
    Image.fromarray(rgb).save(file, format="MPO", **options)
    before, after = (
        Image.open(io.BytesIO(content)) for content in (file.getvalue(), back(file.getvalue(), quality=60))
    )
    assert before.format == after.format == "MPO" and after.n_frames == 2
    assert after.getexif()[274] == 6 and after.info["icc_profile"] == ICC
    assert np.abs(np.asarray(before).astype(int) - np.asarray(after)).mean() > 0
    before.seek(1)
    after.seek(1)
    assert np.array_equal(np.asarray(before), np.asarray(after))


def test_a_damaged_list_of_pictures_does_not_cost_the_photo(rgb, rng):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, format="MPO", save_all=True, append_images=[Image.fromarray(rgb)])
    place = file.getvalue().index(b"MPF\0")
    whole = 0
    for _ in range(80):
        damaged = bytearray(file.getvalue())
        damaged[place + rng.integers(4, 90)] ^= 1 << rng.integers(8)
        try:
            original = decode(bytes(damaged), "damaged.jpg")
        except PhotoError:
            continue
        assert opened(encode(original, original.pixels)).size == (WIDTH, HEIGHT)
        whole += 1
    assert whole


def test_a_list_of_more_pictures_than_the_file_has_takes_no_memory(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, format="MPO", save_all=True, append_images=[Image.fromarray(rgb)])
    original, content = decode(file.getvalue(), "mpo.jpg"), bytearray(file.getvalue())
    entries = content.index(struct.pack("<HHI", 0xB002, 7, 2 * 16))
    struct.pack_into("<I", content, entries + 4, 2**24)
    tracemalloc.start()
    try:
        encode(replace(original, content=bytes(content)), original.pixels)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_read_photo_is_8_bit_rgb(tmp_path, rng):
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert np.array_equal(read_photo(tmp_path / "deep.png"), np.round(deep[..., ::-1] / 257).astype(np.uint8))
    assert read_original(tmp_path / "deep.png").deep
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(tmp_path / "nothing.png")


def test_heic_with_its_extra(rgb, tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    path = tmp_path / "phone.heic"
    Image.fromarray(rgb).save(path, format="HEIF", quality=90, icc_profile=ICC)
    original = read_original(path)
    again = opened(encode(original, original.pixels))
    assert again.format == "HEIF" and again.size == (WIDTH, HEIGHT) and again.info["icc_profile"] == ICC


def mixed(rng, count):
    """Files of every kind, in turn: suffix and content."""
    kinds = [
        ("jpg", "RGB", {"quality": 80, "subsampling": 2}), ("jpg", "L", {}), ("jpg", "CMYK", {}),
        ("png", "RGB", {}), ("png", "RGBA", {}), ("png", "L", {}), ("png", "LA", {}), ("png", "I;16", {}),
        ("webp", "RGB", {"quality": 80}), ("webp", "RGBA", {"lossless": True, "exact": True}),
        ("tif", "RGB", {"compression": "tiff_lzw"}), ("tif", "RGBA", {}), ("tif", "I;16", {}), ("tif", "CMYK", {}),
        ("bmp", "RGB", {}), ("bmp", "L", {}), ("avif", "RGB", {}), ("tif", "deep", {}), ("png", "deep", {}),
    ]  # fmt: skip
    formats = {"jpg": "JPEG", "tif": "TIFF"}
    for index in range(count):
        suffix, mode, options = kinds[index % len(kinds)]
        size = tuple(int(n) for n in rng.integers(17, 60, 2))
        if mode == "deep":
            pixels = rng.integers(20000, 65536, (*size[::-1], 3), dtype=np.uint16)
            yield suffix, cv2.imencode(f".{suffix}", pixels)[1].tobytes()
            continue
        channels = {"RGB": 3, "RGBA": 4, "CMYK": 4, "LA": 2}.get(mode, 1)
        pixels = rng.integers(60, 256, (*size[::-1], channels), dtype=np.uint8)
        if mode == "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 250)
        else:
            image = Image.frombytes(mode, size, pixels.tobytes())
        if suffix in ("jpg", "png", "webp") and mode != "CMYK":
            options = options | {"exif": exif(1 + index % 8).tobytes()}
        if suffix != "bmp" and mode not in ("L", "LA", "I;16"):
            options = options | {"icc_profile": ICC}
        yield suffix, saved(image, formats.get(suffix, suffix.upper()), **options)


def test_a_hundred_mixed_photos(tmp_path, rng):
    model = build("derain", SMALL).eval()
    torch.nn.init.constant_(model.tail.bias, 0.05)
    for index, (suffix, content) in enumerate(mixed(rng, 100)):
        (tmp_path / f"{index:03d}.{suffix}").write_bytes(content)
    outcomes = list(run(plan([tmp_path], Target(tmp_path / "out")), model))
    assert len(outcomes) == 100 and not [o.error for o in outcomes if o.error]
    for outcome in outcomes:
        before, after = (read_original(path) for path in (outcome.job.source, outcome.job.background))
        with Image.open(outcome.job.source) as one, Image.open(outcome.job.background) as other:
            assert (one.size, one.mode, one.format) == (other.size, other.mode, other.format), outcome.job.source
            assert one.info.get("icc_profile") == other.info.get("icc_profile")
            assert one.getexif().get(271) == other.getexif().get(271)
        assert (before.pixels.dtype, before.grey, before.orientation) == (
            after.pixels.dtype,
            after.grey,
            after.orientation,
        )
        assert (before.alpha is None) == (after.alpha is None)
        assert before.alpha is None or np.array_equal(before.alpha, after.alpha)
        assert after.pixels.mean() < before.pixels.mean()


def few_colours(kind: str) -> bytes:
    """A photo of 8 x 4 px in a file that has no room for 8 bits of a colour."""
    grey = Image.fromarray(np.arange(32, dtype=np.uint8).reshape(4, 8) * 8)
    file_format, _, mode = kind.partition(" ")
    if mode.endswith("bits"):
        bits = int(mode[0])
        header = struct.pack(">IIBBBBB", 8, 4, bits, 0, 0, 0, 0)
        rows = zlib.compress(b"".join(b"\0" + bytes(range(bits)) for _ in range(4)))
        parts = (b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts
        )
    return saved(grey.quantize(16) if mode == "palette" else grey.convert("1"), file_format)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_black_and_white_and_a_palette_become_more_and_that_is_told(file_format):
    for kind, told in (("1", "its 1-bit black and white became 8-bit grey"), ("palette", "its palette became RGB")):
        original = decode(few_colours(f"{file_format} {kind}"))
        assert encode_with_notes(original, original.pixels).notes == (told,)
        assert encode_with_notes(original, original.pixels, "JPEG").notes == (told,)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_becomes_8_bits_and_that_is_told(bits):
    original = decode(few_colours(f"PNG {bits} bits"))
    assert original.grey and encode_with_notes(original, original.pixels).notes == (
        f"its {bits}-bit grey became 8-bit grey",
    )
    tiff = saved(Image.new("L", (8, 4), 255), "TIFF", compression="raw").replace(  # whose only value is white
        struct.pack("<HHIHH", 258, 3, 1, 8, 0), struct.pack("<HHIHH", 258, 3, 1, bits, 0)
    )
    original = decode(tiff)
    assert encode_with_notes(original, original.pixels).notes == (f"its {bits}-bit grey became 8-bit grey",)


@pytest.mark.parametrize("name, kind, said", [("a.jpg", np.uint16, 1), ("a.jpg", np.uint8, 0), ("a.png", np.uint16, 0)])
def test_bits_that_a_new_picture_loses_are_told_by_a_warning(tmp_path, name, kind, said):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        write_photo(tmp_path / name, np.full((8, 9, 3), 77, kind))
    assert len(told) == said and all("a.jpg: it was reduced to 8 bits" in str(each.message) for each in told)
    assert all(each.filename == __file__ for each in told)
