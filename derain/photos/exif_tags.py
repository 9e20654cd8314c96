"""Tags added to EXIF, whose other values stay where they are: makers' notes are full of places that nobody knows."""

import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

EXIF = b"Exif\0\0"
LONGEST = 65_533  # bytes that a JPEG's segment has for EXIF
CAMERA = 0x8769  # tag that points to the directory of what belongs to the shot
BYTES, TEXT, SHORT, LONG, RATIO, UNDEFINED = 1, 2, 3, 4, 5, 7  # kinds of values
EMPTY = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
HEAD, ROW = 2, 12  # bytes of a directory's count, and of an entry
DAMAGED = (struct.error, KeyError, IndexError)


@dataclass(frozen=True)
class Entry:
    """A value that EXIF is to have."""

    tag: int
    kind: int
    value: str | tuple[int, ...]  # text, or numbers; of ratios each is in thousandths
    of_camera: bool = False  # whether it belongs into the directory of the shot

    def packed(self, order: str) -> tuple[int, bytes]:
        """How many values there are, and their bytes."""
        if isinstance(self.value, str):
            text = self.value.encode(errors="replace") + b"\0"
            return len(text), text
        if self.kind == RATIO:
            pairs = [part for number in self.value for part in (number, 1000)]
            return len(self.value), struct.pack(f"{order}{len(pairs)}I", *pairs)
        form = {SHORT: "H", LONG: "I"}.get(self.kind, "B")
        return len(self.value), struct.pack(f"{order}{len(self.value)}{form}", *self.value)


def byte_order(exif: bytes) -> str:
    """``<`` or ``>``; of what is no EXIF that of a new one."""
    return ">" if exif.removeprefix(EXIF).startswith(b"MM") else "<"


def texts_of(exif: bytes) -> dict[int, bytes]:
    """The values of EXIF's two directories by tag, of those that are no text the row in the directory.

    Raises:
        struct.error: it is damaged; KeyError and IndexError, too.
    """
    tiff = exif.removeprefix(EXIF)
    if not tiff:
        return {}
    order, rows = _order(tiff), _directory(tiff, _first(tiff)).rows
    camera = _pointer(order, rows)
    every = rows | (_directory(tiff, camera).rows if camera else {})
    return {tag: _value(tiff, order, row) for tag, row in every.items()}


def with_entries(exif: bytes, entries: list[Entry]) -> bytes:
    """``exif`` with further values, or instead of its own; empty EXIF becomes new one.

    Raises:
        struct.error: it is damaged; KeyError and IndexError, too.
    """
    file = bytearray(exif.removeprefix(EXIF) or EMPTY)
    order, first = _order(file), _directory(file, _first(file))
    added = _added(file, order, [entry for entry in entries if not entry.of_camera])
    if of_camera := [entry for entry in entries if entry.of_camera]:
        place = _pointer(order, first.rows)
        before = _directory(file, place) if place else _Directory(_added(file, order, [VERSION]), bytes(4))
        rows = before.rows | _added(file, order, of_camera)
        added[CAMERA] = struct.pack(order + "HHII", CAMERA, LONG, 1, _append(file, order, rows, before.next))
    struct.pack_into(order + "I", file, 4, _append(file, order, first.rows | added, first.next))
    return EXIF + bytes(file)


VERSION = Entry(0x9000, UNDEFINED, tuple(b"0232"))  # of the standard, which its directory has to name


@dataclass(frozen=True)
class _Directory:
    rows: dict[int, bytes]  # by tag
    next: bytes  # where the next directory is


def _order(tiff: bytes | bytearray) -> str:
    return {b"II": "<", b"MM": ">"}[bytes(tiff[:2])]


def _first(tiff: bytes | bytearray) -> int:
    return int(struct.unpack_from(_order(tiff) + "I", tiff, 4)[0])


def _directory(tiff: bytes | bytearray, place: int) -> _Directory:
    order = _order(tiff)
    (count,) = struct.unpack_from(order + "H", tiff, place)
    end = place + HEAD + ROW * count
    if end > len(tiff):
        raise IndexError(place)
    rows = (bytes(tiff[at : at + ROW]) for at in range(place + HEAD, end, ROW))
    following = bytes(tiff[end : end + 4]).ljust(4, b"\0")  # some writers leave it out at the end
    return _Directory({struct.unpack_from(order + "H", row)[0]: row for row in rows}, following)


def _pointer(order: str, rows: Mapping[int, bytes]) -> int:
    """Where the camera's directory is; 0 if there is none."""
    return int(struct.unpack_from(order + "I", rows[CAMERA], 8)[0]) if CAMERA in rows else 0


def _value(tiff: bytes, order: str, row: bytes) -> bytes:
    _, kind, count = struct.unpack_from(order + "HHI", row)
    if kind not in (BYTES, TEXT, UNDEFINED):
        return row[8:]  # whatever it is, it is there
    with suppress(struct.error):
        place = struct.unpack_from(order + "I", row, 8)[0]
        return row[8 : 8 + count] if count <= 4 else tiff[place : place + count]
    return b""


def _added(file: bytearray, order: str, entries: list[Entry]) -> dict[int, bytes]:
    """Rows of the entries, whose longer values are appended to the file."""
    rows = {}
    for entry in entries:
        count, value = entry.packed(order)
        if len(value) > 4:
            place = _end(file)
            file += value
            value = struct.pack(order + "I", place)
        rows[entry.tag] = struct.pack(order + "HHI", entry.tag, entry.kind, count) + value.ljust(4, b"\0")
    return rows


def _append(file: bytearray, order: str, rows: Mapping[int, bytes], following: bytes) -> int:
    """Where the directory is that was appended."""
    place = _end(file)
    file += struct.pack(order + "H", len(rows)) + b"".join(rows[tag] for tag in sorted(rows)) + following
    return place


def _end(file: bytearray) -> int:
    file += bytes(len(file) % 2)
    return len(file)
