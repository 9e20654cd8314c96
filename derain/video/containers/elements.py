"""Elements of Matroska and WebM files: read, changed and written back."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO

HEAD, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
SEEK_HEAD, INFO, TRACKS, CHAPTERS = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770
ATTACHMENTS, TAGS, CUES, VOID, CHECKSUM = 0x1941A469, 0x1254C367, 0x1C53BB6B, 0xEC, 0xBF
CUE, CUE_PLACES, ENTRY, VIDEO, COLOUR, TAG, TARGETS = 0xBB, 0xB7, 0xAE, 0xE0, 0x55B0, 0x7373, 0x63C0
SHORTEST, LONGEST_NAME = 1 << 28, 4  # names of what is in a segment have four bytes,
FILLING = (VOID, CHECKSUM)  # but for fillings and checksums
DEEPEST = 6  # elements in elements that are looked into
LONGEST = 1 << 28  # bytes of an element of the header, from which it is none
NESTED = {SEEK_HEAD, INFO, TRACKS, CUES, TAGS, ENTRY, VIDEO, COLOUR, CUE, CUE_PLACES, TAG, TARGETS}


@dataclass
class Element:
    """An element with its content, or with the elements in it."""

    name: int
    content: bytes = b""
    inside: list["Element"] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        content = self.content + b"".join(map(bytes, self.inside))
        return identifier(self.name) + length(len(content)) + content

    def all(self, name: int) -> list["Element"]:
        return [element for element in self.inside if element.name == name]

    def find(self, *names: int) -> "Element | None":
        """The first element at the end of a path."""
        found: Element | None = self
        for name in names:
            found = next(iter(found.all(name)), None) if found else None
        return found

    @property
    def number(self) -> int:
        return int.from_bytes(self.content, "big")


def identifier(name: int) -> bytes:
    return name.to_bytes((name.bit_length() + 7) // 8, "big")


def length(size: int) -> bytes:
    width = next(width for width in range(1, 9) if size < (1 << 7 * width) - 1)
    return (size | 1 << 7 * width).to_bytes(width, "big")


def unsigned(name: int, value: int, width: int | None = None) -> Element:
    return Element(name, value.to_bytes(width or max((value.bit_length() + 7) // 8, 1), "big"))


@dataclass(frozen=True)
class Place:
    """An element in a file: its name, its first byte, that of its content, and its end."""

    name: int
    start: int
    inside: int
    end: int


def _number(content: bytes, at: int, keep_mark: bool) -> tuple[int, int] | None:
    """A number of variable length and the place after it; None if there is none."""
    if at >= len(content) or not content[at]:
        return None
    width = 9 - content[at].bit_length()
    if at + width > len(content):
        return None
    value = int.from_bytes(content[at : at + width], "big")
    return value if keep_mark else value & ((1 << 7 * width) - 1), at + width


def opening_at(content: bytes, at: int) -> tuple[int, int | None, int] | None:
    """Name, size (None if unknown) and first byte of the content of an element; None if there is none."""
    name = _number(content, at, True)
    size = _number(content, name[1], False) if name else None
    if name is None or size is None or name[1] - at > LONGEST_NAME:
        return None
    width = size[1] - name[1]
    return name[0], None if size[0] == (1 << 7 * width) - 1 else size[0], size[1]


def parse(content: bytes, nested: set[int] = NESTED, depth: int = 0) -> list[Element] | None:
    """The elements of which the content is made; None if it is not made of elements."""
    found, at = [], 0
    while at < len(content):
        opening = opening_at(content, at)
        if opening is None or opening[1] is None or opening[2] + opening[1] > len(content):
            return None
        name, size, start = opening[0], opening[1], opening[2]
        inside = content[start : start + size]
        elements = parse(inside, nested, depth + 1) if name in nested and depth < DEEPEST else None
        found.append(Element(name, inside) if elements is None else Element(name, inside=elements))
        at = start + size
    return found


def places(file: BinaryIO, start: int, end: int, whole: bool = True) -> Iterator[Place]:
    """The elements in a stretch of a file, whole or the last one cut, too; one of unknown size goes to its end."""
    while start < end:
        file.seek(start)
        opening = opening_at(file.read(12), 0)
        if opening is None:
            return
        name, size, head = opening
        inside = start + head
        stop = end if size is None else inside + size
        if stop > end:
            if whole:
                return
            stop = end
        yield Place(name, start, inside, stop)
        start = stop


def segment(path: Path) -> tuple[Place, list[Place]] | None:
    """The segment of a file and what is in it up to any damage; None if it is no such file or its header is cut."""
    with path.open("rb") as file:
        end = path.stat().st_size
        found = list(islice(places(file, 0, end, whole=False), 2))
        if [place.name for place in found] != [HEAD, SEGMENT]:
            return None
        inside = places(file, found[1].inside, found[1].end)
        return found[1], list(takewhile(lambda place: place.name >= SHORTEST or place.name in FILLING, inside))


def read(file: BinaryIO, place: Place) -> Element | None:
    """An element of the header; None if it is too long for one or cannot be read."""
    if place.end - place.inside > LONGEST:
        return None
    file.seek(place.start)
    found = parse(file.read(place.end - place.start))
    return found[0] if found else None
