"""What a file holds beside its picture: carried over known or not, and small copies of the picture made anew."""

import base64
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from derain.photos import decode, encode_with_notes
from derain.photos.formats import BY_NAME
from derain.photos.previews import LEFT_OUT
from derain.photos.segments import segments

SIZE = 96, 64
SRGB, LAB = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")


@pytest.fixture
def photo(rng):
    return Image.fromarray(rng.integers(90, 250, (4, 6, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)


def saved(image, file_format, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, format=file_format, **options)
    return content.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def darker(content: bytes, to: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The photo with 60 levels of rain taken away, and what is said of it."""
    original = decode(content)
    step = 60 * (257 if original.deep else 1)
    encoded = encode_with_notes(original, original.pixels - original.pixels.dtype.type(step), to)
    return encoded.content, encoded.notes


def shows_result(thumbnail: bytes, photo, size=(24, 16)) -> bool:
    shown, before = opened(thumbnail), np.asarray(photo.resize(size, Image.Resampling.BOX)).astype(int)
    assert shown.size == size
    return np.abs(np.asarray(shown.convert("RGB")).astype(int) - (before - 60)).mean() < 8


def small(photo, size=(24, 16)) -> bytes:
    return saved(photo.resize(size, Image.Resampling.BOX), "JPEG", quality=95)


def exif_with(thumbnail: bytes, order: str = "<", orientation: int = 1, compression: int = 6) -> bytes:
    """A maker's name and orientation in the first directory, a thumbnail in the second."""

    def rows(*entries: tuple[int, int, int, int]) -> bytes:
        packed = [
            struct.pack(order + "HHIHH", *entry, 0) if entry[1] == 3 else struct.pack(order + "HHII", *entry)
            for entry in entries
        ]
        return struct.pack(order + "H", len(packed)) + b"".join(packed)

    first = rows((271, 2, 12, 8 + 30 + 42), (274, 3, 1, orientation)) + struct.pack(order + "I", 8 + 30)
    place = 273 if compression == 1 else 513
    second = rows((259, 3, 1, compression), (place, 4, 1, 92), (514, 4, 1, len(thumbnail))) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + first + second + b"Hans Camera\0" + thumbnail


def thumbnail_of(exif: bytes) -> bytes:
    return exif[6 + 92 :] if exif.startswith(b"Exif") else exif[92:]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", "<>")
def test_the_thumbnail_in_exif_shows_the_result(photo, file_format, order):
    exif = exif_with(small(photo), order)
    result, notes = darker(saved(photo, file_format, exif=exif))
    after = opened(result).info["exif"]
    assert len(thumbnail_of(after)) == len(small(photo)) and not notes
    assert shows_result(thumbnail_of(after), photo)
    assert opened(result).getexif()[271] == "Hans Camera"


def test_a_thumbnail_lies_as_the_photo_is_stored(photo):
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    result, _ = darker(saved(turned, "JPEG", exif=exif_with(small(turned, (16, 24)), orientation=6)))
    assert shows_result(thumbnail_of(opened(result).info["exif"]), turned, (16, 24))


def test_a_thumbnail_keeps_the_bars_that_cameras_put_beside_it(photo):
    barred = Image.new("RGB", (24, 18))
    barred.paste(photo.resize((24, 16)), (0, 1))
    result, _ = darker(saved(photo, "JPEG", exif=exif_with(saved(barred, "JPEG", quality=95, subsampling=0))))
    shown = np.asarray(opened(thumbnail_of(opened(result).info["exif"]))).astype(int)
    assert shown.shape == (18, 24, 3) and shown[[0, -1]].mean() < 15 and 60 < shown[3:-3].mean() < 160


@pytest.mark.parametrize("compression", [6, 1])
def test_a_thumbnail_that_cannot_be_made_anew_is_left_out_and_that_is_said(photo, compression):
    result, notes = darker(
        saved(photo, "JPEG", exif=exif_with(b"\xff\xd8\xff\xe0rubbish" * 20, compression=compression))
    )
    exif = opened(result).getexif()
    assert notes == (LEFT_OUT,) and exif[271] == "Hans Camera" and not exif.get_ifd(1)
    assert darker(saved(photo, "JPEG", exif=exif_with(small(photo))), "TIFF")[1] == (LEFT_OUT,)


def test_a_preview_in_a_makers_note_is_made_anew_and_other_pictures_stay(photo, rng):
    other = saved(Image.fromarray(rng.integers(0, 256, (16, 24), dtype=np.uint8)), "JPEG")
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x927C] = b"MAKER\0" + small(photo) + b"\0\0" + other
    result, _ = darker(saved(photo, "JPEG", exif=tags.tobytes()))
    note = opened(result).getexif().get_ifd(0x8769)[0x927C]
    assert len(note) == len(tags.get_ifd(0x8769)[0x927C]) and note.endswith(b"\0\0" + other)
    assert shows_result(note[6:], photo)


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    place = next(part.place for part in segments(jpeg) if part.kind == 0xDB)
    return jpeg[:place] + bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data + jpeg[place:]


def test_photoshops_thumbnail_shows_the_result(photo):
    thumbnail = small(photo)
    block = struct.pack(">IIIIIIHH", 1, 24, 16, 72, 72 * 16, len(thumbnail), 24, 1) + thumbnail
    block += bytes(len(block) % 2)
    caption = b"8BIM\x04\x04\x00\x00\x00\x00\x00\x0a\x1c\x02\x78\x00\x05rainy\x00"
    data = b"Photoshop 3.0\0" + caption + b"8BIM\x04\x0c\0\0" + struct.pack(">I", len(block)) + block
    cut = len(data) - 100  # a block may go on in the next segment
    source = with_segment(saved(photo, "JPEG"), 0xED, data[:cut])
    source = with_segment(source, 0xED, b"Photoshop 3.0\0" + data[cut:])
    result, notes = darker(source)
    parts = [part.data[14:] for part in segments(result) if part.kind == 0xED]
    assert [len(part) for part in parts] == [cut - 14, 100] and caption in parts[0] and not notes
    assert shows_result(b"".join(parts)[len(caption) + 12 + 28 :], photo)


def test_thumbnails_in_xmp_show_the_result(photo):
    coded = base64.b64encode(small(photo)).decode()
    coded = coded[:76] + "&#xA;" + coded[76:]
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><xmpGImg:image>{coded}</xmpGImg:image></x:xmpmeta>'.encode()
    for file_format in ("JPEG", "WEBP"):
        after = opened(darker(saved(photo, file_format, xmp=xmp))[0]).info["xmp"]
        inner = after.partition(b"<xmpGImg:image>")[2].partition(b"<")[0]
        assert shows_result(base64.b64decode(inner), photo)


def test_segments_that_nobody_knows_are_carried_over_in_their_order(photo):
    source = saved(photo, "JPEG", comment=b"first", exif=exif_with(small(photo)))
    known = [
        (0xE1, b"FLIR\0\x01\0\x02" + b"raw" * 9), (0xE1, b"FLIR\0\x01\1\x02" + b"raw" * 7), (0xE3, b"calibration"),
        (0xEA, b"maker"), (0xE2, b"of a maker"), (0xEC, b"Ducky\0"), (0xE1, b"http://ns.adobe.com/xmp/extension/\0x"),
    ]  # fmt: skip
    for marker, data in (*known, (0xFE, b"second"), (0xFE, b"third")):
        source = with_segment(source, marker, data)
    result, notes = darker(source)
    carried = [(part.kind, part.data) for part in segments(result)]
    assert [entry for entry in carried if entry in known] == known and not notes
    assert [data for kind, data in carried if kind == 0xFE] == [b"first", b"second", b"third"]
    assert len([data for kind, data in carried if data.startswith((b"Exif", b"JFIF"))]) == 2


def multi_picture(photo, *further: tuple[int, bytes]) -> bytes:
    """A JPEG with a list of pictures: their kinds and files."""
    first = saved(photo, "JPEG", quality=90)
    place = first.index(b"\xff\xdb")
    count = 1 + len(further)
    length = 2 + 4 + 8 + 2 + 12 * 3 + 4 + 16 * count
    size, entries = len(first) + 2 + length, [(0x030000, len(first) + 2 + length, 0)]
    for kind, content in further:
        entries.append((kind, len(content), size - (place + 8)))
        size += len(content)
    directory = struct.pack("<H", 3) + struct.pack("<HHI4s", 0xB000, 7, 4, b"0100")
    directory += struct.pack("<HHII", 0xB001, 4, 1, count) + struct.pack("<HHIII", 0xB002, 7, 16 * count, 50, 0)
    listed = b"".join(struct.pack("<IIIHH", *entry, 0, 0) for entry in entries)
    data = b"MPF\0II*\0" + struct.pack("<I", 8) + directory + listed
    assert len(data) + 2 == length
    segment = b"\xff\xe2" + struct.pack(">H", length) + data
    return first[:place] + segment + first[place:] + b"".join(content for _, content in further)


def pictures(content: bytes) -> list[bytes]:
    listed = next(part.data for part in segments(content) if part.data.startswith(b"MPF\0"))
    place = content.index(b"MPF\0") + 4
    entries = [struct.unpack_from("<III", listed, 4 + 50 + 16 * index) for index in range((len(listed) - 54) // 16)]
    return [content[offset and place + offset :][:size] for _, size, offset in entries]


def test_previews_of_a_multi_picture_jpeg_show_the_result_and_other_pictures_stay(photo, rng):
    depth = saved(Image.fromarray(rng.integers(0, 256, (16, 24), dtype=np.uint8)), "JPEG")
    gain = saved(photo.convert("L").resize((24, 16)), "JPEG")
    source = multi_picture(photo, (0x010001, small(photo)), (0, small(photo)), (0, depth), (0x050000, gain), (0, gain))
    result, notes = darker(source)
    before, after = pictures(source), pictures(result)
    assert [len(content) for content in after[1:]] == [len(content) for content in before[1:]] and not notes
    assert shows_result(after[1], photo) and shows_result(after[2], photo)
    assert after[3:] == before[3:] and opened(result).size == SIZE


@pytest.mark.parametrize("kind", [0x020003, 0x020002, 0])
def test_a_second_view_is_kept_and_its_rain_is_said(photo, kind):
    source = multi_picture(photo, (kind, saved(photo, "JPEG")))
    result, notes = darker(source)
    assert pictures(result)[1] == pictures(source)[1] and "still shows the rain" in notes[0]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_chunks_of_a_png_that_may_be_copied_are(photo):
    plain = saved(photo, "PNG")
    kept = [(b"prVt", b"private"), (b"tIME", bytes(7)), (b"mDCV", bytes(24)), (b"sBIT", b"\5\6\5"), (b"vpAg", bytes(9))]
    bound = (b"caCH", b"of the old pixels")
    source = plain[:33] + b"".join(chunk(*entry) for entry in (*kept, bound)) + plain[33:]
    result, _ = darker(source)
    assert all(chunk(*entry) in result for entry in kept) and chunk(*bound) not in result
    assert opened(result).size == SIZE


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": exif_with(b"")}])
def test_chunks_of_a_webp_that_nobody_knows_are_carried_over(photo, options):
    for image in (photo, Image.merge("RGBA", (*photo.split(), Image.linear_gradient("L").resize(SIZE)))):
        plain = saved(image, "WEBP", **options)
        body = plain[12:] + b"mkr1" + struct.pack("<I", 5) + b"maker\0" + b"zzzz" + struct.pack("<I", 2) + b"ok"
        source = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
        result, _ = darker(source)
        assert b"mkr1\5\0\0\0maker\0zzzz\2\0\0\0ok" in result
        assert opened(result).size == SIZE and opened(result).mode == image.mode


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_private_tags_of_a_tiff_are_carried_over(photo, depth):
    values, file = np.asarray(photo).astype(depth), io.BytesIO()
    values = values * 257 if depth == np.uint16 else values
    private = [(65000, 2, 0, "of a lab", True), (65001, 5, 1, (7, 3), True), (65002, 1, 3, (1, 2, 3), True)]
    tifffile.imwrite(file, values, photometric="rgb", metadata=None, extratags=private)
    with tifffile.TiffFile(io.BytesIO(darker(file.getvalue())[0])) as result:
        tags = result.pages[0].tags
        assert (tags[65000].value, tags[65001].value, tags[65002].value) == ("of a lab", (7, 3), b"\1\2\3")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_tags_of_a_tiff_come_back_byte_for_byte(photo, order, depth):
    """Texts that are no ASCII, captions, and numbers of all kinds."""
    artist, caption = "Jo Ö".encode(), b"\x1c\x02\x78\x00\x05rainy\0\0"
    tags = [(315, 2, len(artist) + 1, artist + b"\0", True), (33723, 7, len(caption), caption, True)]
    tags += [(65010, 12, 1, 2.5, True), (65011, 10, 1, (-1, 3), True), (65012, 3, 3, (1, 2, 3), True)]
    file = io.BytesIO()
    tifffile.imwrite(
        file, np.asarray(photo).astype(depth), photometric="rgb", byteorder=order, metadata=None, extratags=tags
    )
    result = darker(file.getvalue())[0]
    assert artist + b"\0" in result and caption in result
    with tifffile.TiffFile(io.BytesIO(result)) as after:
        found = after.pages[0].tags
        assert [found[tag].value for tag in (65010, 65011, 65012)] == [2.5, (-1, 3), (1, 2, 3)]


def test_what_another_format_cannot_hold_is_said(photo):
    source = saved(photo, "JPEG", exif=exif_with(small(photo)), xmp=b"<x/>")
    assert darker(source, "BMP")[1] == ("EXIF, XMP left out, which BMP cannot hold",)
    assert not darker(source, "PNG")[1] and not darker(saved(photo, "PNG"), "JPEG")[1]
    assert darker(with_segment(source, 0xFE, b"a comment"), "BMP")[1] == (
        "EXIF, XMP, comments left out, which BMP cannot hold",
    )
    assert darker(source + b"a video", "WEBP")[1] == ("data after its end left out, which WEBP cannot hold",)
    plain = saved(photo, "PNG")
    titled = plain[:33] + chunk(b"tEXt", b"Mood\0rain") + plain[33:]
    assert darker(titled, "JPEG")[1] == ("its text Mood left out, which JPEG cannot hold",)
    turned = saved(photo, "JPEG", exif=exif_with(small(photo), orientation=6))
    assert darker(turned, "AVIF")[1] == ("its thumbnail is left out, which AVIF cannot hold",)


@pytest.mark.parametrize("to", ["TIFF", "JPEG"])
def test_colours_that_become_rgb_are_told(photo, to):
    assert darker(saved(ImageCms.profileToProfile(photo, SRGB, LAB, outputMode="LAB"), "TIFF"), to)[1] == (
        "its Lab colours became RGB",
    )


def test_a_png_that_is_no_longer_interlaced_says_so(photo):
    plain = saved(photo.convert("L").resize((1, 1)), "PNG")  # whose only pixel is the same in either order
    header = plain[12:28] + b"\1"
    interlaced = plain[:12] + header + struct.pack(">I", zlib.crc32(header)) + plain[33:]
    assert darker(interlaced)[1] == ("is no longer interlaced, which derain cannot write",)
    assert not darker(plain)[1] and not darker(interlaced, "JPEG")[1]


def test_a_quality_that_a_format_has_not_is_told(photo):
    original = decode(saved(photo, "PNG"))
    for to, said in (("PNG", ("its quality was not set because PNG loses nothing",)), ("JPEG", ())):
        assert encode_with_notes(original, original.pixels, to, quality=50).notes == said


def told_by(content: bytes) -> dict[str, object]:
    original = decode(content)
    return BY_NAME[original.format].codec.captions(original).as_options()


def test_captions_and_comments_go_with_the_photo_to_formats_that_hold_them(photo):
    iptc = b"\x1c\x02\0\0\x02\0\x04" + b"\x1c\x02\x78\0\x05Regen"
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0" + bytes([len(iptc)]) + iptc
    source = with_segment(with_segment(saved(photo, "JPEG"), 0xED, block), 0xFE, "für später".encode())
    assert told_by(source) == {"iptc": iptc, "comments": ("für später",)}
    as_png, said = darker(source, "PNG")
    assert told_by(as_png) == told_by(source) and not said
    assert opened(as_png).text["Comment"] == "für später"
    as_tiff, said = darker(as_png, "TIFF")
    assert told_by(as_tiff) == {"iptc": iptc} and not said
    assert opened(as_tiff).getexif().get_ifd(0x8769)[37510] == b"UNICODE\0" + "für später".encode("utf-16-le")
    assert opened(as_tiff).tag_v2[33723] == iptc and told_by(darker(as_tiff)[0]) == {"iptc": iptc}
    for content, expected in ((as_png, told_by(source)), (as_tiff, {"iptc": iptc})):
        as_jpeg, said = darker(content, "JPEG")
        assert told_by(as_jpeg) == expected and not said
    assert opened(as_jpeg).info["photoshop"][0x0404] == iptc
    assert darker(as_tiff, "WEBP")[1] == ("IPTC captions left out, which WEBP cannot hold",)


@pytest.mark.parametrize("to", ["WEBP", "AVIF"])
def test_a_resolution_goes_into_exif_where_a_format_has_no_other_place(photo, to):
    content, said = darker(saved(photo, "PNG", dpi=(240, 240)), to)
    assert opened(content).getexif()[282] == pytest.approx(240, abs=0.1) and not said
    nameless = saved(photo, "JPEG", dpi=(240, 240), exif=exif_with(small(photo)))
    content, _ = darker(nameless, to)
    assert opened(content).getexif()[282] == 240 and opened(content).getexif()[271] == "Hans Camera"
    damaged = saved(photo, "JPEG", dpi=(240, 240), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert any("its resolution is left out" in note for note in darker(damaged, "WEBP")[1])


def test_what_picture_files_of_a_clip_cannot_keep_is_said_once(photo, tmp_path, small_weights):
    from derain.video import VideoSettings, process
    from derain.weights import load

    for index in range(2):
        (tmp_path / "in").mkdir(exist_ok=True)
        exif = exif_with(b"\xff\xd8\xff\xe0rubbish" * 20)
        (tmp_path / "in" / f"{index}.jpg").write_bytes(saved(photo, "JPEG", exif=exif))
    said: list[str] = []
    settings = VideoSettings(temporal="off")
    process(tmp_path / "in", tmp_path / "out", load(str(small_weights)), settings, say=said.append)
    assert len([line for line in said if LEFT_OUT in line]) == 1


def test_a_large_photo_of_16_bits_has_its_thumbnail_made_anew(photo):
    deep = np.asarray(photo).astype(np.uint16) * 257
    plain = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    source = plain[:33] + chunk(b"eXIf", exif_with(small(photo))[6:]) + plain[33:]
    assert shows_result(thumbnail_of(opened(darker(source)[0]).info["exif"]), photo)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_photo_and_is_carried_over(photo, file_format):
    damaged = b"Exif\0\0" + b"no TIFF at all"
    content = saved(photo, file_format, exif=damaged)
    result, _ = darker(content)
    assert b"no TIFF at all" in content and b"no TIFF at all" in result
    assert opened(result).size == opened(content).size


@pytest.mark.parametrize("to", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "HEIF"])
@pytest.mark.parametrize(
    "damaged", [b"no TIFF at all" * 6000, b"MM\0*\0\0\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(60_000)]
)
def test_damaged_exif_does_not_cost_the_photo_another_format_either(photo, to, damaged):
    if to == "HEIF":
        pytest.importorskip("pillow_heif")
    source = saved(photo, "PNG", exif=b"Exif\0\0" + damaged + bytes(9_000))
    result, _ = darker(source, to)
    assert decode(result).pixels.shape[:2] == photo.size[::-1]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3_000_000))),
        (b"gAMA", b"1"),
        (b"pHYs", b"1"),
        (b"cHRM", b"1"),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_a_long_text_or_a_damaged_chunk_beside_the_picture_does_not_cost_a_png(photo, kind, data, depth):
    deep = np.asarray(photo).astype(np.uint16) * 257
    plain = saved(photo, "PNG") if depth == 8 else cv2.imencode(".png", deep)[1].tobytes()
    result, _ = darker(plain[:33] + chunk(kind, data) + plain[33:])
    assert chunk(kind, data) in result


def test_a_chunk_of_a_png_that_holds_for_its_old_pixels_is_left_out_and_that_is_said(photo):
    plain = saved(photo, "PNG")
    result, notes = darker(plain[:33] + chunk(b"caBX", b"signed") + plain[33:])
    assert b"caBX" not in result
    assert any("caBX" in note for note in notes)


@pytest.mark.parametrize("lacking", [1, 4, 8, 12])
def test_a_png_of_16_bits_that_lacks_only_its_end_is_read(photo, lacking):
    deep = np.asarray(photo).astype(np.uint16) * 257
    content = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    assert np.array_equal(decode(content[:-lacking]).pixels, deep)
