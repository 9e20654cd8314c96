"""Boxes of MP4 and MOV files: read, changed and written back."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

NESTED = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"tref"}
VISUAL_ENTRY = 78  # bytes before the boxes in a sample entry of pictures
SOUND_ENTRY = {0: 28, 1: 44, 2: 64}  # bytes before the boxes in a sample entry of sound, by its version
DEEPEST = 8  # boxes in boxes, more than any file needs
LONGEST_HEADER = 1 << 28  # bytes of a moov box, from which it is none


@dataclass
class Box:
    """A box with its content, or with the boxes in it."""

    kind: bytes
    content: bytes = b""
    boxes: list["Box"] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        content = self.content + b"".join(map(bytes, self.boxes))
        if len(content) + 8 < 1 << 32:
            return struct.pack(">I4s", len(content) + 8, self.kind) + content
        return struct.pack(">I4sQ", 1, self.kind, len(content) + 16) + content

    def all(self, kind: bytes) -> list["Box"]:
        return [box for box in self.boxes if box.kind == kind]

    def find(self, *path: bytes) -> "Box | None":
        """The first box at the end of a path of kinds."""
        found: Box | None = self
        for kind in path:
            found = next(iter(found.all(kind)), None) if found else None
        return found


@dataclass(frozen=True)
class Place:
    """A box in a file: its kind, its first byte, that of its content, and its end."""

    kind: bytes
    start: int
    inside: int
    end: int


def places(file: BinaryIO, start: int, end: int) -> Iterator[Place]:
    """The boxes in a stretch of a file, without those that do not fit into it."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield Place(kind, start, start + head, start + size)
        start += size


def top_level(path: Path) -> list[Place]:
    with path.open("rb") as file:
        return list(places(file, 0, path.stat().st_size))


def parse(content: bytes, nested: set[bytes] = NESTED, depth: int = 0) -> list[Box] | None:
    """Boxes of which the content is made, those that hold others with these; None if it is not made of boxes."""
    found, at = [], 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        head = 8
        if size == 1 and at + 16 <= len(content):
            size, head = struct.unpack_from(">Q", content, at + 8)[0], 16
        size = size or len(content) - at
        if size < head or at + size > len(content):
            return None
        inside = content[at + head : at + size]
        boxes = parse(inside, nested, depth + 1) if kind in nested and depth < DEEPEST else None
        found.append(Box(kind, inside) if boxes is None else Box(kind, boxes=boxes))
        at += size
    return found if not any(content[at:]) else None  # QuickTime ends some with four zeros


def read_header(path: Path) -> Box | None:
    """The moov box of a file; None if it has none, or one that cannot be read."""
    place = next((place for place in top_level(path) if place.kind == b"moov"), None)
    if place is None or place.end - place.inside > LONGEST_HEADER:
        return None
    with path.open("rb") as file:
        file.seek(place.inside)
        boxes = parse(file.read(place.end - place.inside))
    header = None if boxes is None else Box(b"moov", boxes=boxes)
    return header if header and header.find(b"mvhd") and header.find(b"trak") else None


def read_entry(entry: Box, handler: bytes) -> tuple[bytes, list[Box]] | None:
    """The fixed part of a sample entry and the boxes after it; None if there are none that could be read."""
    size = VISUAL_ENTRY
    if handler == b"soun":
        size = SOUND_ENTRY.get(int.from_bytes(entry.content[8:10], "big"), 0)
    elif handler != b"vide":
        return None
    boxes = parse(entry.content[size:], set()) if size and len(entry.content) >= size else None
    return None if boxes is None else (entry.content[:size], boxes)
