"""TIFF's tags of camera and place, added to a finished file: the libraries that compress TIFF leave them out."""

import struct
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from PIL import Image

from derain.photos import captions
from derain.photos.directories import CAMERA, PLACE, append, directory, entry, first_place, order_of
from derain.photos.exif_tags import EXIF
from derain.photos.previews import Previews

INTEROPERABILITY = 0xA005  # points to a directory of no use outside its old file
STRUCTURE = {  # tags that say how the pixels lie in the file
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339),
    *(330, 347, 512, 513, 514, 529, 530, 531, 532),
    37724,  # Photoshop's layers, which show the photo as it was
}
REFERENCES = 532  # the numbers of black and white, which are applied as other colours than RGB are read
DESCRIPTION = 270
ITS_OWN = {700, 33723, 34377, 34675}  # tags of XMP, IPTC and profile, which other formats hold elsewhere
IPTC, PHOTOSHOP, LAYERS, SMALLER = 33723, 34377, 37724, 330
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes, by kind of value
UNITS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}  # bytes that have an order
Value = tuple[int, int, bytes]  # kind, count, the bytes
LIGHT, IS_RGB = 262, (3, 1, b"\2\0")
LITTLE_ENDIAN = b"II*\0"


def without_structure(tags: Image.Exif) -> Image.Exif:
    """The tags that speak of the photo and not of its file."""
    kept = Image.Exif()
    kept.update({tag: value for tag, value in tags.items() if tag not in STRUCTURE | {CAMERA, PLACE}})
    for pointer in (CAMERA, PLACE):
        if found := tags.get_ifd(pointer):
            kept.get_ifd(pointer).update(found)
    return kept


def without_its_own(exif: bytes) -> bytes:
    """EXIF of a TIFF's tags, for another format."""
    tags = Image.Exif()
    tags.load(exif)
    for tag in ITS_OWN & tags.keys():
        del tags[tag]
    return tags.tobytes()


def iptc_of(content: bytes, place: int) -> bytes:
    """IPTC of the directory at ``place``, by its own tag or in Photoshop's blocks; empty if there is none.

    A damaged directory raises struct.error, KeyError or IndexError.
    """
    tags = _Reader(content).directory(place)
    values = (tags[tag][2] for tag in (IPTC, PHOTOSHOP) if tag in tags)
    return next(filter(None, map(captions.iptc_of, values)), b"")


def further(content: bytes, place: int) -> list[str]:
    """What only a TIFF holds of the directory at ``place``, in a few words each; errors as :func:`iptc_of`."""
    tags = _Reader(content).directory(place)
    settings = ["Photoshop's settings"] if captions.holds_more(tags.get(PHOTOSHOP, (0, 0, b""))[2]) else []
    return settings + ["the numbers of its black and white"] * (REFERENCES in tags and tags.get(LIGHT) == IS_RGB)


def with_exif(plain: bytes, exif: bytes, previews: Previews | None = None) -> bytes:
    """``plain``, a TIFF of one picture, with the tags of ``exif`` that it lacks; of damaged EXIF none."""
    tiff = exif.removeprefix(EXIF)
    with suppress(struct.error, KeyError, IndexError):
        return with_tags_of(plain, tiff, first_place(tiff), previews)
    return plain


def with_first_description(exif: bytes, content: bytes, place: int) -> bytes:
    """EXIF with the first description of the directory at ``place``, of which Pillow takes the last: some programs add
    one of their own.

    A damaged directory raises struct.error, KeyError or IndexError.
    """
    found = [value for tag, (_, _, value) in _Reader(content).entries(place) if tag == DESCRIPTION]
    if len(found) < 2:
        return exif
    tags = Image.Exif()
    tags.load(exif)
    tags[DESCRIPTION] = found[0].rstrip(b"\0")
    return tags.tobytes()


def with_tags_of(plain: bytes, source: bytes, place: int, previews: Previews | None = None) -> bytes:
    """``plain``, a TIFF of one picture, with the tags that it lacks of the directory of ``source`` at ``place``.

    They are copied as they are, known or not, and after them a copy of the first directory that points to them. A file
    past 4 GB has another form and comes back as it is. A damaged directory raises struct.error, KeyError or IndexError.
    """
    if not plain.startswith(LITTLE_ENDIAN):
        return plain
    file, reader = bytearray(plain), _Reader(source)
    tags = reader.directory(place)
    if previews and LAYERS in tags:
        previews.say("Photoshop's layers are left out because they still show the rain")
    if previews and SMALLER in tags:
        previews.say("its smaller copy is left out")
    if previews and PHOTOSHOP in tags:
        kind, count, value = tags[PHOTOSHOP]
        tags[PHOTOSHOP] = kind, count, previews.in_photoshop(value)
    structure = STRUCTURE - {REFERENCES} if tags.get(LIGHT) == IS_RGB else STRUCTURE
    kept = {tag: value for tag, value in tags.items() if tag not in structure}
    return _with_entries(file, _copied(file, reader, kept) | directory(file, first_place(file)).rows)


def with_changed(plain: bytes, tags: Mapping[int, tuple[int, ...]]) -> bytes:
    """``plain``, a little-endian TIFF of one picture, with these tags, of small numbers, instead of its own."""
    file = bytearray(plain)
    own = directory(file, first_place(file)).rows
    short = {tag: (3, len(values), struct.pack(f"<{len(values)}H", *values)) for tag, values in tags.items()}
    return _with_entries(file, own | _copied(file, _Reader(plain), short))


def _with_entries(file: bytearray, entries: Mapping[int, bytes]) -> bytes:
    """The file with another first directory."""
    struct.pack_into("<I", file, 4, append(file, "<", entries))
    return bytes(file)


class _Reader:
    """Directories of a TIFF in either order and of either size; values come back little-endian."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.order = order_of(content)
        self.large = content[2:4] in (b"+\0", b"\0+")

    def directory(self, place: int) -> dict[int, Value]:
        """The first value of each tag."""
        found: dict[int, Value] = {}
        for tag, value in self.entries(place):
            found.setdefault(tag, value)
        return found

    def entries(self, place: int) -> list[tuple[int, Value]]:
        word, head, width = ("Q", 8, 20) if self.large else ("H", 2, 12)
        (count,) = struct.unpack_from(self.order + word, self.content, place)
        if place + head + count * width > len(self.content):
            raise IndexError(place)
        return list(filter(None, (self._value(place + head + width * index) for index in range(count))))

    def _value(self, place: int) -> tuple[int, Value] | None:
        """Tag and value; ``None`` of one that is damaged or of a kind that smaller files lack."""
        number, room = ("Q", 8) if self.large else ("I", 4)
        tag, kind, count = struct.unpack_from(f"{self.order}HH{number}", self.content, place)
        size = SIZES.get(kind, 0) * count
        start = place + 4 + room
        if size > room:
            (start,) = struct.unpack_from(self.order + number, self.content, start)
        value = self.content[start : start + size]
        if not size or len(value) < size:
            return None
        if self.order == ">" and (unit := UNITS.get(kind, 1)) > 1:
            value = np.frombuffer(value, f">u{unit}").astype(f"<u{unit}").tobytes()
        return tag, (kind, count, value)


def _copied(file: bytearray, reader: _Reader, tags: dict[int, Value], depth: int = 3) -> dict[int, bytes]:
    """Entries of the tags, whose values and further directories are appended to the file."""
    entries = {}
    for tag, (kind, count, value) in tags.items():
        if tag in (CAMERA, PLACE, INTEROPERABILITY):
            if not depth:
                raise IndexError(tag)
            inner = _copied(file, reader, reader.directory(int.from_bytes(value, "little")), depth - 1)
            kind, count, value = 4, 1, struct.pack("<I", append(file, "<", inner))
        entries[tag] = entry(file, "<", tag, kind, count, value)
    return entries
