"""TIFF's tags of camera and place, added to a finished file: the libraries that compress TIFF leave them out."""

import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from derain.photos.previews import Previews

CAMERA, PLACE = 0x8769, 0x8825  # tags that point to the directories of the EXIF standard
INTEROPERABILITY = 0xA005  # points to a directory of no use outside its old file
STRUCTURE = {  # tags that say how the pixels lie in the file
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339),
    *(330, 347, 512, 513, 514, 529, 530, 531, 532),
    37724,  # Photoshop's layers, which show the photo as it was
}
ITS_OWN = {700, 33723, 34377, 34675}  # tags of XMP, IPTC and profile, which other formats hold elsewhere
PHOTOSHOP = 34377
LITTLE_ENDIAN = b"II*\0"


def without_structure(tags: Image.Exif) -> Image.Exif:
    """The tags that speak of the photo and not of its file."""
    kept = Image.Exif()
    kept.update({tag: value for tag, value in tags.items() if tag not in STRUCTURE | {CAMERA, PLACE}})
    for directory in (CAMERA, PLACE):
        if found := tags.get_ifd(directory):
            kept.get_ifd(directory).update(found)
    return kept


def without_its_own(exif: bytes) -> bytes:
    """EXIF of a TIFF's tags, for another format."""
    tags = Image.Exif()
    tags.load(exif)
    for tag in ITS_OWN & tags.keys():
        del tags[tag]
    return tags.tobytes()


def with_exif(plain: bytes, exif: bytes, previews: Previews | None = None) -> bytes:
    """``plain``, a little-endian TIFF of one picture, with the tags of ``exif`` that it lacks.

    They are appended, and after them a copy of the first directory that points to them. A file past 4 GB has another
    form and comes back as it is.
    """
    if not plain.startswith(LITTLE_ENDIAN):
        return plain
    tags = Image.Exif()
    try:
        tags.load(exif)
        tags = without_structure(tags)
    except Exception:  # damaged tags raise anything
        return plain
    file = bytearray(plain)
    (first,) = struct.unpack_from("<I", file, 4)
    first_tags = dict(tags)
    if previews and isinstance(blocks := first_tags.get(PHOTOSHOP), bytes):
        first_tags[PHOTOSHOP] = previews.in_photoshop(blocks)
    entries = _append(file, first_tags)
    for directory in (CAMERA, PLACE):
        if found := tags.get_ifd(directory):
            place = _end(file)
            _append(file, {tag: value for tag, value in found.items() if tag != INTEROPERABILITY}, directory)
            entries[directory] = struct.pack("<HHII", directory, 4, 1, place)
    entries |= _entries(file, first)
    place = _end(file)
    file += struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    struct.pack_into("<I", file, 4, place)
    return bytes(file)


def _append(file: bytearray, tags: Mapping[int, Any], group: int | None = None) -> dict[int, bytes]:
    """Append a directory of the tags that can be written, and return its entries."""
    place = _end(file)
    file += _directory({tag: value for tag, value in tags.items() if _can_be_written(tag, value, group)}, group, place)
    return _entries(file, place)


def _directory(tags: Mapping[int, Any], group: int | None, place: int) -> bytes:
    directory = ImageFileDirectory_v2(LITTLE_ENDIAN + struct.pack("<I", 8), group=group)
    for tag, value in tags.items():
        directory[tag] = value
    return directory.tobytes(place)


def _can_be_written(tag: int, value: Any, group: int | None) -> bool:
    try:
        _directory({tag: value}, group, 0)
    except Exception:  # damaged tags hold anything
        return False
    return True


def _entries(file: bytearray, place: int) -> dict[int, bytes]:
    """The 12 bytes of each entry of the directory at ``place``, by tag."""
    (count,) = struct.unpack_from("<H", file, place)
    rows = (bytes(file[place + 2 + 12 * i : place + 14 + 12 * i]) for i in range(count))
    return {struct.unpack_from("<H", row)[0]: row for row in rows}


def _end(file: bytearray) -> int:
    """The even length of the file, where a directory may begin."""
    file += bytes(len(file) % 2)
    return len(file)
