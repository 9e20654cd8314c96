"""Tags added to EXIF, whose other values stay where they are: makers' notes are full of places that nobody knows."""

import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from derain.photos.directories import CAMERA, Directory, append, directory, entry, first_place, order_of

EXIF = b"Exif\0\0"
BYTES, TEXT, SHORT, LONG, RATIO, UNDEFINED = 1, 2, 3, 4, 5, 7  # kinds of values
EMPTY = b"II*\0" + struct.pack("<IHI", 8, 0, 0)
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
    order, rows = order_of(tiff), directory(tiff, first_place(tiff)).rows
    camera = _pointer(order, rows)
    every = rows | (directory(tiff, camera).rows if camera else {})
    return {tag: _value(tiff, order, row) for tag, row in every.items()}


def with_entries(exif: bytes, entries: list[Entry]) -> bytes:
    """``exif`` with further values, or instead of its own; empty EXIF becomes new one.

    Raises:
        struct.error: it is damaged; KeyError and IndexError, too.
    """
    file = bytearray(exif.removeprefix(EXIF) or EMPTY)
    order, first = order_of(file), directory(file, first_place(file))
    added = _added(file, order, [new for new in entries if not new.of_camera])
    if of_camera := [new for new in entries if new.of_camera]:
        place = _pointer(order, first.rows)
        before = directory(file, place) if place else Directory(_added(file, order, [VERSION]), bytes(4))
        rows = before.rows | _added(file, order, of_camera)
        added[CAMERA] = struct.pack(order + "HHII", CAMERA, LONG, 1, append(file, order, rows, before.next))
    struct.pack_into(order + "I", file, 4, append(file, order, first.rows | added, first.next))
    return EXIF + bytes(file)


VERSION = Entry(0x9000, UNDEFINED, tuple(b"0232"))  # of the standard, which its directory has to name


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
    for new in entries:
        count, value = new.packed(order)
        rows[new.tag] = entry(file, order, new.tag, new.kind, count, value)
    return rows
