"""A JPEG's segments beside its picture: all kept in their order, also long, damaged, incomplete and second ones."""

import base64
import hashlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from derain.photos.segments import metadata
from tests.test_photo_metadata import darker, exif_with, opened, photo, saved, shows_result, small, with_segment

__all__ = ["photo"]
XMP, FURTHER = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"


def parts(jpeg: bytes) -> list[tuple[int, bytes]]:
    return [(part.kind, part.data) for part in metadata(jpeg)]


def bare(photo) -> bytes:
    """A JPEG without any metadata."""
    plain = saved(photo, "JPEG", quality=90)
    return plain[:2] + plain[plain.index(b"\xff\xdb") :]


@pytest.mark.parametrize(
    "given",
    [
        [(0xE1, XMP + b"<one/>"), (0xE1, XMP + b"<two/>")],
        [(0xE2, b"ICC_PROFILE\0\x01\x03" + b"p" * 200), (0xE2, b"ICC_PROFILE\0\x03\x03" + b"q" * 90)],
        [(0xE2, b"MPF\0" + b"damaged" * 9), (0xFE, b"a comment")],
        [(0xE0, b"JFIF\0\1\2\2\x01\x2c\x01\x2c\0\0"), (0xE1, exif_with(b"")[:20])],
        [(0xE0, b"JFIF\0\1\1\0\0\3\0\4\0\0"), (0xEE, b"Ocad$Rev: 14797 $")],
        [(0xE1, b"Exif\0\0II*\0\x08\0\0\0"), (0xED, b"Adobe_CM\0"), (0xE0, b"JFIF\0\1\1\1\0\x48\0\x48\0\0")],
        [],
    ],
    ids=["two XMP", "part of a profile", "damaged list", "centimetres", "aspect", "EXIF before JFIF", "none"],
)
def test_segments_stay_as_they_are_and_in_their_order(photo, given):
    source = bare(photo)
    for marker, data in given:
        source = with_segment(source, marker, data)
    result, notes = darker(source)
    assert parts(result) == given and not notes
    assert opened(result).size == photo.size


def test_exif_longer_than_a_segment_stays_and_its_thumbnail_shows_the_result(photo):
    exif = exif_with(small(photo))[6:]
    long = exif + b"\1note" * 20_000
    source = bare(photo)
    cut = [long[:300], long[300:60_000], long[60_000:]]  # the first cut goes through the thumbnail
    for piece in cut:
        source = with_segment(source, 0xE1, b"Exif\0\0" + piece)
    result, notes = darker(source)
    after = [data[6:] for _, data in parts(result)]
    assert [len(piece) for piece in after] == [len(piece) for piece in cut] and not notes
    whole = b"".join(after)
    assert whole[len(exif) :] == long[len(exif) :] and shows_result(whole[92 : len(exif)], photo)


def test_exif_too_long_for_a_jpeg_comes_without_its_long_values(photo):
    exif = Image.Exif()
    exif[271], exif[274], exif[40093] = "Hans Camera", 6, b"author" * 20_000
    exif.get_ifd(0x8825)[29] = "2020:02:02"
    result, notes = darker(saved(photo, "PNG", exif=exif), to="JPEG")
    kept = opened(result).getexif()
    assert kept[271] == "Hans Camera" and kept[274] == 6 and kept.get_ifd(0x8825)[29] == "2020:02:02"
    assert 40093 not in kept and len(notes) == 1 and "EXIF" in notes[0]


def test_a_thumbnail_in_further_xmp_shows_the_result_and_the_digest_is_right(photo):
    coded = base64.b64encode(small(photo))
    further = b"<x><xmpGImg:image>" + coded + b"</xmpGImg:image></x>"

    def digest(data):
        return hashlib.md5(data).hexdigest().upper().encode()

    source = with_segment(bare(photo), 0xE1, XMP + b'<x xmpNote:HasExtendedXMP="%s"/>' % digest(further))
    for start in (0, 300):
        head = FURTHER + digest(further) + struct.pack(">II", len(further), start)
        source = with_segment(source, 0xE1, head + (further[300:] if start else further[:300]))
    result, notes = darker(source)
    (_, main), *rest = parts(result)
    after = b"".join(data[75:] for _, data in rest)
    inner = after.partition(b"<xmpGImg:image>")[2].partition(b"<")[0]
    assert shows_result(base64.b64decode(inner), photo) and not notes
    assert digest(after) in main and all(data[35:67] == digest(after) for _, data in rest)


def test_a_thumbnail_of_jfif_is_left_out_and_that_is_said(photo):
    rgb = np.asarray(photo.resize((6, 4))).tobytes()
    source = with_segment(bare(photo), 0xE0, b"JFIF\0\1\2\1\0\x48\0\x48\6\4" + rgb)
    result, notes = darker(source)
    assert parts(result) == [(0xE0, b"JFIF\0\1\2\1\0\x48\0\x48\0\0")] and "thumbnail" in notes[0]


def test_a_preview_after_the_picture_shows_the_result_though_the_list_is_damaged(photo):
    other = saved(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG")
    source = with_segment(bare(photo), 0xE2, b"MPF\0" + b"damaged" * 9) + small(photo) + other + b"video"
    result, notes = darker(source)
    tail = result[result.index(b"\xff\xd9") + 2 :]
    assert shows_result(tail[: len(small(photo))], photo) and not notes
    assert tail[len(small(photo)) :] == other + b"video"


@pytest.mark.parametrize(
    "given, named",
    [
        ([XMP + b"<one/>", XMP + b"<two/>"], "further XMP"),
        ([b"ICC_PROFILE\0\1\2" + b"p" * 200], "its incomplete ICC profile"),
        ([b"Vendor\0data"], "vendor segments"),
    ],
)
def test_what_gets_lost_in_another_format_is_said(photo, given, named):
    source = bare(photo)
    for data in given:
        source = with_segment(source, 0xE2 if data.startswith(b"ICC") else 0xE1, data)
    assert darker(source, to="PNG")[1] == (f"{named} left out, which PNG cannot hold",)


def test_decoders_see_the_right_colours_without_a_word_of_how_they_are_coded(photo):
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=95, keep_rgb=True)
    result = np.asarray(opened(darker(file.getvalue())[0])).astype(int)
    assert np.abs(result - (np.asarray(photo).astype(int) - 60)).mean() < 4
