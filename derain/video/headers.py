"""What the result's file says beside its packets: as much of the source's header as its kind of container allows."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derain.video.containers import matroska_header, mp4_header, positions
from derain.video.copies import Copy
from derain.video.naming import FORMATS
from derain.video.reading import Clip, is_cover

BOXES, ELEMENTS = ("mp4", "mov"), ("matroska", "webm")
KNOWN_AVI_CHUNKS = {
    b"LIST",
    b"avih",
    b"strh",
    b"strf",
    b"strn",
    b"indx",
    b"vprp",
    b"dmlh",
    b"idx1",
    b"IDIT",
    b"ISFT",
    b"ISMP",
}
LONGEST_AVI_HEADER = 1 << 20  # bytes
DAMAGE = (struct.error, ValueError, AssertionError, IndexError, KeyError, OSError)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Header:
    """How the header of a result comes about: FFmpeg's own, or the source's put in its place afterwards."""

    form: str  # FFmpeg's name of the container
    kind: tuple[str, ...] = ()  # BOXES or ELEMENTS if the source's is kept
    whole: bool = True  # nothing is cut away in time
    options: dict[str, str] = field(default_factory=dict)  # of FFmpeg's container
    is_unread: bool = False  # both are of one kind, but the source's cannot be read

    @classmethod
    def for_result(cls, source: Clip, out: Path, form: str, whole: bool, keep: bool) -> "Header":
        """The source's where both are of one kind, and it can be read."""
        named, names = out.suffix.lower(), source.container.format.name
        same_name = named == source.path.suffix.lower()
        if keep and form in BOXES and "mp4" in names:
            quicktime = mp4_header.is_quicktime(source.path)
            timescale = mp4_header.movie_timescale(source.path)
            whole = whole and not mp4_header.is_in_fragments(source.path)
            if (same_name or quicktime == (form == "mov")) and not timescale:
                return cls(form, (), whole, is_unread=True)
            if timescale and (same_name or quicktime == (form == "mov")):
                options = {"movie_timescale": str(timescale)} | ({"write_tmcd": "0"} if whole else {})
                return cls("mov" if quicktime else "mp4", BOXES, whole, options)
        if keep and form in ELEMENTS and "matroska" in names and (same_name or form == "matroska"):
            tracks = sum(not _is_attached(stream) for stream in source.container.streams)
            if matroska_header.can_be_grafted(source.path, tracks):
                return cls(form, ELEMENTS, whole)
            return cls(form, (), whole, is_unread=True)
        return cls(form, (), whole)

    def what_is_lost(self, source: Clip) -> list[str]:
        """What may be in the source's header and does not come along, in sentences."""
        names, own = source.container.format.name, _ending_of_kind(source)
        if self.kept:
            return []
        if self.is_unread:
            return ["not all of its header can be read; parts of it that FFmpeg does not know are left out"]
        if "mp4" in names or "matroska" in names:
            lost = "parts of the source's header that FFmpeg does not know are left out"
            if "mp4" in names and positions.are_in(source.path):
                lost = f"its GPS positions and {lost}"
            return [f"the result is a different kind of file: {lost}; `out` with {own} keeps it"]
        unknown = unknown_chunks(source.path) if names == "avi" else []
        return [f"parts of the AVI that FFmpeg does not know are left out: {', '.join(unknown)}"] if unknown else []

    @property
    def kept(self) -> bool:
        return bool(self.kind)

    @property
    def has_chapters(self) -> bool:
        """Whether the source's are there without FFmpeg's help."""
        return self.kept and self.whole

    def holds(self, stream: Any) -> bool:
        """Whether it brings along what this stream is, exactly as it was."""
        as_it_is = self.kind == BOXES and self.whole and stream.type not in ("video", "audio")
        return self.kept and (as_it_is or _is_attached(stream))

    def says_what_is_missing(self) -> bool:
        """Whether it will tell of streams that FFmpeg cannot write, if it cannot hold them either."""
        return self.kind == BOXES

    @property
    def names_codecs(self) -> bool:
        """Whether it tells what packets are, whatever FFmpeg wrote of them."""
        return self.kind == ELEMENTS

    def write(
        self, source: Clip, out: Path, pictures: dict[int, int], copied: dict[int, Copy], audio: bool, say: Say
    ) -> list[str]:
        """Put the source's header into the file that FFmpeg wrote.

        Args:
            pictures: places of the result's tracks by the source's streams, of those that were encoded anew.
            copied: the others by the source's streams.

        Returns:
            What of the source is damaged, in sentences.
        """
        streams = source.container.streams
        if self.kind == BOXES:
            pairs = [mp4_header.Pair(streams[old].id, new, True) for old, new in pictures.items()]
            pairs += [mp4_header.Pair(streams[old].id, new.stream.index, False) for old, new in copied.items()]
            dropped = set() if audio else {stream.id for stream in streams.audio}
            return mp4_header.graft(source.path, out, pairs, self.whole, dropped, say)
        elif self.kind == ELEMENTS:
            same = [matroska_header.Pair(old, new, True) for old, new in pictures.items()]
            same += [matroska_header.Pair(old, c.stream.index, False, c.is_renamed) for old, c in copied.items()]
            matroska_header.graft(source.path, out, same, self.whole)
        return []


def _ending_of_kind(source: Clip) -> str:
    """Of a result whose header is of the source's kind."""
    if source.path.suffix.lower() in FORMATS:
        return source.path.suffix
    if "matroska" in source.container.format.name:
        return ".mkv"
    return ".mov" if mp4_header.is_quicktime(source.path) else ".mp4"


def _is_attached(stream: Any) -> bool:
    return stream.type == "attachment" or is_cover(stream)


def unknown_chunks(path: Path) -> list[str]:
    """Names of what stands in an AVI's header beside what FFmpeg reads and writes."""
    with path.open("rb") as file:
        content = file.read(LONGEST_AVI_HEADER)
    return sorted(set(_chunks(content, 12, min(len(content), 8 + int.from_bytes(content[4:8], "little")))))


def _chunks(content: bytes, at: int, end: int) -> Iterator[str]:
    while at + 12 <= end:
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        inside = at + 8, min(at + 8 + size, end)
        if name == b"LIST" and content[at + 8 : at + 12] in (b"hdrl", b"strl"):
            yield from _chunks(content, at + 12, inside[1])
        elif name not in KNOWN_AVI_CHUNKS and not (name == b"JUNK" and _is_filling(content[at + 8 : at + 12])):
            yield name.decode("latin-1")
        at += 8 + size + size % 2


def _is_filling(begins: bytes) -> bool:
    """Whether a chunk of waste that begins so is one; cameras put their own into it."""
    return not begins.isalpha() or begins == b"odml"
