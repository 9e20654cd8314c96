"""Directories of TIFF files, which EXIF consists of, too: entries by tag, whose longer values lie elsewhere."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

CAMERA, PLACE = 0x8769, 0x8825  # tags that point to the directories of the EXIF standard
HEAD, ROW = 2, 12  # bytes of a directory's count, and of an entry
ROOM = 4  # bytes for a value in its entry


@dataclass(frozen=True)
class Directory:
    """A directory as it is in the file."""

    rows: dict[int, bytes]  # the bytes of each entry, by tag
    next: bytes  # where the next directory is


def order_of(tiff: bytes | bytearray) -> str:
    """The order of its bytes, for :mod:`struct`; KeyError if it is no TIFF."""
    return {b"II": "<", b"MM": ">"}[bytes(tiff[:2])]


def first_place(tiff: bytes | bytearray) -> int:
    """Where its first directory is."""
    return int(struct.unpack_from(order_of(tiff) + "I", tiff, 4)[0])


def directory(tiff: bytes | bytearray, place: int) -> Directory:
    """
    Raises:
        struct.error: it is damaged; KeyError and IndexError, too.
    """
    order = order_of(tiff)
    (count,) = struct.unpack_from(order + "H", tiff, place)
    end = place + HEAD + ROW * count
    if end > len(tiff):
        raise IndexError(place)
    rows = (bytes(tiff[at : at + ROW]) for at in range(place + HEAD, end, ROW))
    following = bytes(tiff[end : end + 4]).ljust(4, b"\0")  # some writers leave it out at the end
    return Directory({struct.unpack_from(order + "H", row)[0]: row for row in rows}, following)


def entry(file: bytearray, order: str, tag: int, kind: int, count: int, value: bytes) -> bytes:
    """The bytes of an entry; a value that it has no room for is appended to the file."""
    if len(value) > ROOM:
        value = struct.pack(order + "I", appended(file, value))
    return struct.pack(order + "HHI", tag, kind, count) + value.ljust(ROOM, b"\0")


def append(file: bytearray, order: str, rows: Mapping[int, bytes], following: bytes = bytes(4)) -> int:
    """Append a directory; gives its place."""
    return appended(file, struct.pack(order + "H", len(rows)) + b"".join(rows[tag] for tag in sorted(rows)) + following)


def appended(file: bytearray, content: bytes) -> int:
    """Append content at an even place, where a directory may begin; gives the place."""
    file += bytes(len(file) % 2)
    place = len(file)
    file += content
    return place
