"""TIFFs keep their compression at every depth, and what is seen of a photo with a mask."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from derain.errors import PhotoError
from derain.photos import decode, encode_with_notes, original
from derain.photos.tiff import DEFLATE
from tests.test_photo_metadata import darker, opened, saved

SIZE = 24, 36


def deep(values, compression: str) -> bytes:
    """A TIFF of 16 bits in a compression, which derain itself has to write, as no library at hand does."""
    photo = decode(saved(Image.fromarray(np.zeros((*SIZE, 3), np.uint8)), "TIFF", compression=compression))
    colours = values[..., :1] if values.shape[2] < 3 else values[..., :3]
    alpha = values[..., -1] if values.shape[2] in (2, 4) else None
    made = original.Original(
        original.as_rgb(colours), "TIFF", alpha, colours.shape[2] == 1, content=photo.content, options=photo.options
    )
    return encode_with_notes(made, made.pixels).content


@pytest.mark.parametrize(
    "kind, photometric, told",
    [
        ("f2", "rgb", "16-bit floating-point numbers"),
        ("f4", "rgb", "32-bit floating-point numbers"),
        ("f4", "minisblack", "floating-point numbers"),
        ("i2", "rgb", "16-bit signed numbers"),
        ("u4", "rgb", "values of 32 bits"),
        ("u1", "icclab", "ICC Lab colours"),
    ],
)
def test_what_a_rare_tiff_holds_is_told_instead_of_calling_it_damaged(kind, photometric, told):
    file, shape = io.BytesIO(), SIZE if photometric == "minisblack" else (*SIZE, 3)
    tifffile.imwrite(file, np.ones(shape, kind), photometric=photometric)
    with pytest.raises(PhotoError, match=f"holds {told}.*save it as a TIFF or PNG with 8 or 16 bits a channel"):
        decode(file.getvalue())


@pytest.mark.parametrize("given", [{"bigtiff": True}, {"photometric": "cielab"}, {}], ids=str)
def test_what_of_a_tiff_cannot_stay_is_told(rng, given):
    file = io.BytesIO()
    tifffile.imwrite(file, rng.integers(0, 256, (*SIZE, 3), np.uint8), **({"photometric": "rgb"} | given))
    photo = decode(file.getvalue())
    notes = encode_with_notes(photo, photo.pixels // 2).notes
    told = {"bigtiff": "became a classic TIFF instead of a BigTIFF", "photometric": "its Lab colours became RGB"}
    assert list(notes) == [told[name] for name in given]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", DEFLATE, "lzma", "zstd"])
def test_16_bits_keep_their_compression(rng, compression, channels):
    values = rng.integers(0, 65536, (*SIZE, channels), dtype=np.uint16) & 0xFF0F
    source = deep(values, None if compression == "raw" else compression)
    again = decode(source)
    result = encode_with_notes(again, again.pixels)
    assert again.options["compression"] == decode(result.content).options["compression"] == compression
    assert np.array_equal(decode(result.content).pixels, again.pixels) and not result.notes
    if compression not in ("lzma", "zstd") and channels != 2:  # which OpenCV does not read
        read = cv2.imdecode(np.frombuffer(result.content, np.uint8), cv2.IMREAD_UNCHANGED)
        order = [2, 1, 0, 3][:channels]
        assert np.array_equal(np.atleast_3d(read)[..., order] if channels > 2 else np.atleast_3d(read), values)


def test_a_compression_that_loses_is_not_kept_and_that_is_said(rng):
    photo = Image.fromarray(rng.integers(90, 250, (*SIZE, 3), dtype=np.uint8))
    result, notes = darker(saved(photo, "TIFF", compression="jpeg"))
    assert opened(result).info["compression"] == DEFLATE and notes == ("is compressed with Deflate instead of jpeg",)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_page_with_a_mask_is_transparency(rng, depth, orientation):
    values = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8 if depth == 8 else np.uint16)
    seen = np.zeros(SIZE, bool)
    seen[4:9, 5:30] = True
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        turned = [(274, 3, 1, orientation, True)]
        writer.write(values, photometric="rgb", metadata=None, extratags=turned)
        writer.write(seen, photometric="mask", subfiletype=4, metadata=None, extratags=turned)
    photo = decode(file.getvalue())
    white = np.iinfo(values.dtype).max
    assert np.array_equal(photo.alpha, original.upright(orientation)(seen) * white)
    result = encode_with_notes(photo, photo.pixels)
    assert np.array_equal(decode(result.content).alpha, photo.alpha) and "alpha channel" in result.notes[0]
    assert np.array_equal(decode(encode_with_notes(photo, photo.pixels, "PNG").content).alpha, photo.alpha)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("to", ["TIFF", "JPEG", "PNG"])
def test_of_two_descriptions_the_first_is_kept(rng, kind, to):
    """The second is what tifffile adds, of the shape of its array."""
    file = io.BytesIO()
    tifffile.imwrite(file, rng.integers(0, 256, (*SIZE, 3)).astype(kind), photometric="rgb", description="Rain in May")
    photo = decode(file.getvalue())
    result = opened(encode_with_notes(photo, photo.pixels // 2, to).content)
    assert result.getexif()[270] == "Rain in May"


@pytest.mark.parametrize("kind", ["i1", "i2"])
def test_signed_numbers_are_told_and_negative_ones_refused(rng, kind):
    values, files = rng.integers(0, 120, SIZE), (io.BytesIO(), io.BytesIO())
    for file, least in zip(files, (0, 60)):
        tifffile.imwrite(file, (values - least).astype(kind), photometric="minisblack")
    photo = decode(files[0].getvalue())
    assert encode_with_notes(photo, photo.pixels // 2).notes == ("its signed numbers became unsigned",)
    with pytest.raises(PhotoError, match=f"holds {8 * int(kind[1])}-bit signed numbers"):
        decode(files[1].getvalue())


def test_the_numbers_of_black_and_white_stay_or_are_told(rng):
    numbers, file = (16, 1, 235, 1) * 3, io.BytesIO()
    pixels = rng.integers(16, 236, (*SIZE, 3), dtype=np.uint8)
    tifffile.imwrite(file, pixels, photometric="rgb", metadata=None, extratags=[(532, 5, 6, numbers, True)])
    photo = decode(file.getvalue())
    result = encode_with_notes(photo, photo.pixels // 2)
    assert tifffile.TiffFile(io.BytesIO(result.content)).pages[0].tags[532].value == numbers and not result.notes
    (note,) = encode_with_notes(photo, photo.pixels // 2, "PNG").notes
    assert note == "the numbers of its black and white left out, which PNG cannot hold"
