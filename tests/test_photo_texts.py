"""Texts in a PNG, and comments, that go into EXIF where a format has no other place for them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from derain.photos import decode, encode_with_notes

CAMERA = 0x8769
DESCRIPTION, MAKER, SOFTWARE, ARTIST, COPYRIGHT = 270, 271, 305, 315, 33432
TAKEN, TAKEN_OFFSET, MAKER_NOTE, USER_COMMENT = 36867, 36881, 37500, 37510


def png(texts: dict[str, str], exif: bytes = b"", **options: object) -> bytes:
    info, content = PngInfo(), io.BytesIO()
    for name, text in texts.items():
        info.add_itxt(name, text) if not text.isascii() else info.add_text(name, text)
    photo = Image.fromarray(np.full((8, 12, 3), 90, np.uint8))
    photo.save(content, format="PNG", pnginfo=info, **({"exif": exif} if exif else {}), **options)
    return content.getvalue()


def converted(content: bytes, to: str) -> tuple[bytes, tuple[str, ...]]:
    original = decode(content)
    encoded = encode_with_notes(original, original.pixels - 9, to)
    return encoded.content, encoded.notes


def exif_of(content: bytes) -> tuple[Image.Exif, dict[int, object]]:
    with Image.open(io.BytesIO(content)) as image:
        exif = image.getexif()
        return exif, dict(exif.get_ifd(CAMERA))


def readable(value: object) -> str:
    return value.encode("latin-1").decode() if isinstance(value, str) else str(value)  # as Pillow takes it for Latin-1


@pytest.mark.parametrize("to", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_what_a_png_says_of_its_photo_goes_into_exif(to):
    said = {"Author": "Jörg Müller", "Copyright": "© 2024", "Description": "Regen in Köln", "Software": "gimp"}
    content, notes = converted(png(said | {"Creation Time": "2024-05-01T10:20:30+02:00", "Mood": "wet"}), to)
    exif, camera = exif_of(content)
    for tag, name in ((ARTIST, "Author"), (COPYRIGHT, "Copyright"), (DESCRIPTION, "Description")):
        assert said[name].encode() in content and (readable(exif[tag]) == said[name] or exif[tag] == said[name])
    assert exif[SOFTWARE] == "gimp"
    assert camera[TAKEN] == "2024:05:01 10:20:30" and camera[TAKEN_OFFSET] == "+02:00"
    assert notes == (f"its text Mood left out, which {to} cannot hold",)


@pytest.mark.parametrize(
    "said", ["2024:05:01 10:20:30", "2024-05-01 10:20:30", "Wed, 1 May 2024 10:20:30 GMT", "1 May 2024 10:20:30 +0000"]
)
def test_a_time_is_understood_as_programs_write_it(said):
    content, notes = converted(png({"Creation Time": said}), "JPEG")
    assert exif_of(content)[1][TAKEN] == "2024:05:01 10:20:30" and not notes


@pytest.mark.parametrize("said", ["in spring", "2024-05-01", "2024-13-01 10:20:30"])
def test_a_time_that_exif_cannot_hold_is_told(said):
    content, notes = converted(png({"Creation Time": said}), "JPEG")
    assert TAKEN not in exif_of(content)[1]
    assert notes == ("its text Creation Time left out, which JPEG cannot hold",)


@pytest.mark.parametrize("order", "<>")
def test_exif_keeps_its_own_words_and_the_makers_note_its_place(order):
    note = b"a maker's note with places in it"
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    maker = struct.pack(order + "HHI4s", MAKER, 2, 2, b"A")
    first = struct.pack(order + "H", 2) + maker + struct.pack(order + "HHIII", CAMERA, 4, 1, 38, 0)
    second = struct.pack(order + "HHHIII", 1, MAKER_NOTE, 7, len(note), 56, 0)
    exif = b"Exif\0\0" + head + first + second + note
    own = Image.Exif()
    own.load(exif)
    assert own[MAKER] == "A" and own.get_ifd(CAMERA)[MAKER_NOTE] == note
    content, notes = converted(png({"Title": "a title", "Description": "words", "Author": "me"}, exif), "JPEG")
    found, camera = exif_of(content)
    assert found[MAKER] == "A" and found[DESCRIPTION] == "words" and found[ARTIST] == "me"
    assert camera[MAKER_NOTE] == note
    assert content.index(note) - content.index(b"Exif\0\0") == exif.index(note)  # so that its places stay right
    assert notes == ("its text Title left out, which JPEG cannot hold",)


def test_what_exif_says_already_is_neither_replaced_nor_told_as_lost():
    own = Image.Exif()
    own[ARTIST], own[DESCRIPTION], own[COPYRIGHT] = "me", "another", "  "  # blanks, as cameras leave them
    said = {"Author": "me", "Description": "words", "Copyright": "mine"}
    content, notes = converted(png(said, own.tobytes()), "JPEG")
    found, _ = exif_of(content)
    assert (found[ARTIST], found[DESCRIPTION], found[COPYRIGHT]) == ("me", "another", "mine")
    assert notes == ("its text Description left out, which JPEG cannot hold",)


@pytest.mark.parametrize("comment", ["seen at noon", "gesehen in Köln"])
@pytest.mark.parametrize("to", ["WEBP", "TIFF", "AVIF"])
def test_a_comment_goes_into_exif_where_a_format_has_none(comment, to):
    content, notes = converted(png({"comment": comment}), to)
    coded = b"ASCII\0\0\0" + comment.encode() if comment.isascii() else b"UNICODE\0" + comment.encode("utf-16-le")
    assert exif_of(content)[1][USER_COMMENT] == coded and not notes


def test_texts_too_long_for_exif_are_told_and_those_of_damaged_exif_too():
    content, notes = converted(png({"Description": "rain " * 20_000, "Author": "me"}), "JPEG")
    assert exif_of(content)[0][ARTIST] == "me"
    assert notes == ("its text Description left out, which JPEG cannot hold",)
    damaged = png({"Author": "me"}, b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert converted(damaged, "JPEG")[1] == ("its text Author left out, which JPEG cannot hold",)


def test_a_resolution_has_room_beside_the_texts():
    content, notes = converted(png({"Author": "me"}, dpi=(240, 240)), "WEBP")
    exif, _ = exif_of(content)
    assert exif[282] == pytest.approx(240, abs=0.1) and exif[ARTIST] == "me" and not notes
