"""Whether a clip's file is whole: FFmpeg passes over what it cannot make sense of without a word."""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np

from derain.video.containers import elements
from derain.video.containers.boxes import Box, parse
from derain.video.containers.mp4_layout import FILLING_BOXES, SAMPLE_BOXES

SEARCHED = 1 << 20  # bytes that are searched at a time for a place where a file makes sense again
OVERLAP = 1 << 10  # of them, in which such a place may begin
LONGEST_HEAD = 1 << 12  # bytes that tell the kind of a file
UNKNOWN = (0, 0xFFFFFFFF)  # sizes of a RIFF file that was written without going back
TS_PACKET, TS_BATCH = 188, 4096  # bytes; packets that are looked at together
TS_STRIDES, TS_SYNC = (188, 192, 204), 0x47
CUT_BOXES = SAMPLE_BOXES | FILLING_BOXES | {b"ftyp", b"meta", b"udta", b"uuid", b"pdin", b"emsg", b"mfra"}
ASF_OBJECTS = {  # beginnings of the names of header, data and three indices
    *(b"\x30\x26\xb2\x75", b"\x36\x26\xb2\x75", b"\x90\x08\x00\x33", b"\xd3\x29\xe2\xd6", b"\xfe\xb1\x03\xf8"),
}
LONGEST_PAGE = 27 + 255 + 255 * 255  # bytes
TURNED, ONES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256)), 0xFFFFFFFF


class Structure:
    """A file as a row of parts, followed while its packets are read. Of an unknown kind it is taken to be whole.

    Args:
        start: byte before which nothing is of interest.
    """

    mark: ClassVar[re.Pattern[bytes]]  # what is searched for after damage: the beginning of a part
    before_mark = 0  # bytes of that part before it
    before_filling = 0  # bytes of the last part where the next one would begin
    counts_to_the_end = False  # whether there may be parts after damage that no search finds

    def __init__(self, file: BinaryIO, size: int, start: int) -> None:
        self.file, self.size, self.end, self.said = file, size, size, 0  # where the file says that it ends
        self.at = self.first()
        if start > self.at:
            self.at = self.found(start)

    def first(self) -> int:
        """Where the first part begins."""
        return 0

    def after(self, at: int) -> int | None:
        """Where the part that begins here ends and the next one begins; None if nothing begins here."""
        raise NotImplementedError

    def is_broken_until(self, place: int) -> bool:
        """Go on to this byte; whether something on the way made no sense."""
        broken = False
        while self.at < min(place, self.end):
            after = self.after(self.at)
            if after is None or after > self.size:
                again = self.found(self.at + 1)
                broken |= again < self.size or after is None and self.counts_to_the_end and not self._is_filled()
                after = again if again < self.size else after or self.size
            self.at = after
        return broken

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before its last part does, once all of it was gone through."""
        return max(self.at, self.said) > self.size

    def found(self, at: int) -> int:
        """The first place from here on where two parts follow one another, or the end of the file."""
        while at < self.size:
            content = self.read(at, SEARCHED)
            for match in self.mark.finditer(content):
                place = at + match.start() - self.before_mark
                after = self.after(place) if place >= at else None
                if after is not None and (after == self.size or after < self.size and self.after(after) is not None):
                    return place
            at += len(content) - (OVERLAP if len(content) == SEARCHED else 0)
        return self.size

    def read(self, at: int, size: int) -> bytes:
        self.file.seek(at)
        return self.file.read(size)

    def _is_filled(self) -> bool:
        """Whether the rest is one byte again and again: recorders leave that, after what the file claims to hold."""
        rest = self.read(self.at + self.before_filling, SEARCHED)
        return not self.said and rest == rest[:1] * len(rest)


class Unknown(Structure):
    def first(self) -> int:
        return self.size


class Matroska(Structure):
    mark = re.compile(re.escape(elements.identifier(elements.CLUSTER)))
    counts_to_the_end = True
    opened = (elements.SEGMENT, elements.CLUSTER, 0xA0)  # and block groups
    known = {
        *(elements.HEAD, elements.SEEK_HEAD, elements.INFO, elements.TRACKS, elements.CHAPTERS),
        *(elements.ATTACHMENTS, elements.TAGS, elements.CUES, *elements.FILLING),
        *(0xE7, 0xA3, 0xAB, 0xA7, 0x5854, 0xAF),  # in a cluster
        *(0xA1, 0x9B, 0xFB, 0xFD, 0x75A1, 0xA4, 0x8E, 0x75A2, 0xFA, 0xA2, 0xC8),  # in a block group
    }

    def after(self, at: int) -> int | None:
        opening = elements.opening_at(self.read(at, 12), 0)
        if opening is None or opening[0] not in self.known and opening[0] not in self.opened:
            return None
        name, size, head = opening
        if name == elements.SEGMENT and size is not None:
            self.said = at + head + size
            self.end = min(self.said, self.size)
        if name in self.opened:
            return at + head
        return None if size is None else at + head + size


class Avi(Structure):
    mark = re.compile(rb"\d\d(?:dc|db|wb|tx)")
    counts_to_the_end = True

    def after(self, at: int) -> int | None:
        head = self.read(at, 12)
        name, size = head[:4], int.from_bytes(head[4:8], "little")
        if name == b"RIFF" and size not in UNKNOWN:
            self.said = at + 8 + size
            self.end = min(self.said, self.size)
        if name in (b"RIFF", b"LIST"):
            return at + 12
        return at + 8 + size + size % 2 if _is_word(name) else None


class Mp4(Structure):
    """Of which only fragments tell where the next one is; other samples lie where the header says."""

    mark = re.compile(rb"moof")
    before_mark = 4

    def first(self) -> int:
        self.in_fragments = b"mvex" in self.read(0, SEARCHED)
        return 0

    def after(self, at: int) -> int | None:
        head = self.read(at, 16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        if not _is_word(kind) or 0 < size < 8:
            return None
        if at + size > self.size and kind not in CUT_BOXES:
            return None  # what other programs leave at the end, and no box
        if kind == b"moof" and not self._is_fragment(self.read(at + 8, max(size - 8, 0))):
            return None
        if self.in_fragments and kind not in SAMPLE_BOXES | FILLING_BOXES and self.read(at + size + 4, 4) == b"mdat":
            return None  # which needs a moof before it
        return at + size if size else self.size

    @staticmethod
    def _is_fragment(content: bytes) -> bool:
        box = Box(b"moof", boxes=parse(content, {b"traf"}) or [])
        return box.find(b"mfhd") is not None and all(track.find(b"tfhd") for track in box.all(b"traf"))


class Flv(Structure):
    """Each part is the length of the tag before, and a tag."""

    mark = re.compile(rb"[\x08\x09\x12].{7}\x00{3}", re.DOTALL)
    before_mark = before_filling = 4
    counts_to_the_end = True

    def first(self) -> int:
        return int.from_bytes(self.read(5, 4), "big")

    def after(self, at: int) -> int | None:
        head = self.read(at + 4, 11)
        if not head:
            return self.size
        if head[:1] not in (b"\x08", b"\x09", b"\x12") or head[8:] != b"\0\0\0"[: len(head[8:])]:
            return None
        return at + 15 + int.from_bytes(head[1:4], "big")


class ProgramStream(Structure):
    mark = re.compile(rb"\x00\x00\x01\xba")
    counts_to_the_end = True

    def after(self, at: int) -> int | None:
        head = self.read(at, 14)
        if head[:3] == b"\0\0\0":  # filling
            content = self.read(at, SEARCHED)
            return at + max(len(content) - len(content.lstrip(b"\0")) - 2, 1)
        if head[:3] != b"\0\0\1" or head[3:4] < b"\xb9":
            return None
        if head[3] == 0xB9:
            return at + 4
        if head[3] == 0xBA:
            return at + 14 + (head[13] & 7) if head[4:5] >= b"\x40" and len(head) == 14 else at + 12
        return at + 6 + int.from_bytes(head[4:6], "big")


class TransportStream(Structure):
    mark = re.compile(b"|".join(rb"\x47(?=.{%d}\x47.{%d}\x47)" % (n - 1, n - 1) for n in TS_STRIDES), re.DOTALL)
    counts_to_the_end = True

    def first(self) -> int:
        begin = self.read(0, LONGEST_HEAD)
        found = self.mark.search(begin)
        place = found.start() if found else 0
        self.stride = next((n for n in TS_STRIDES if begin[place::n][:3] == b"GGG"), TS_PACKET)
        return place

    def after(self, at: int) -> int | None:
        content = np.frombuffer(self.read(at, self.stride * TS_BATCH), np.uint8)[:: self.stride]
        whole = min(len(content), (self.size - at + self.stride - TS_PACKET) // self.stride)
        odd = np.flatnonzero(content[:whole] != TS_SYNC)
        good = int(odd[0]) if odd.size else whole
        ends = at + good * self.stride
        if good:
            return min(ends, self.size)
        return ends + self.stride if content[:1] == TS_SYNC else None  # the last one, cut


class Ogg(Structure):
    mark = re.compile(rb"OggS\x00")
    counts_to_the_end = True

    def after(self, at: int) -> int | None:
        page = self.read(at, LONGEST_PAGE)
        if page[:5] != b"OggS\0" or len(page) < 27:
            return None
        size = 27 + page[26] + sum(page[27 : 27 + page[26]])
        page = page[:size]
        turned = (page[:22] + bytes(4) + page[26:]).translate(TURNED)  # zlib knows the checksum with its bits turned
        checksum = int(f"{zlib.crc32(turned, ONES) ^ ONES:032b}"[::-1], 2)
        return at + size if len(page) < size or page[22:26] == checksum.to_bytes(4, "little") else None


class Asf(Structure):
    mark = re.compile(rb"(?!)")  # its objects have no common beginning

    def after(self, at: int) -> int | None:
        head = self.read(at, 24)
        size = int.from_bytes(head[16:], "little")
        is_known = head[:4] in ASF_OBJECTS or at + size <= self.size
        return at + size if size >= 24 and is_known else None


def _is_word(name: bytes) -> bool:
    return len(name) == 4 and name.isascii() and name.decode().isprintable()


def kind_of(begin: bytes) -> type[Structure]:
    """Which parts a file that begins so is made of."""
    if begin[:4] == b"RIFF" and begin[8:11] == b"AVI":
        return Avi
    if begin[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
        return Mp4
    starts = {
        elements.identifier(elements.HEAD): Matroska,
        b"FLV\1": Flv,
        b"\0\0\1\xba": ProgramStream,
        b"OggS": Ogg,
        b"\x30\x26\xb2\x75": Asf,
    }
    found = starts.get(begin[:4])
    if found is None and TransportStream.mark.search(begin[: 2 * max(TS_STRIDES)]):
        return TransportStream
    return found or Unknown


@contextmanager
def structure(path: Path, start: int) -> Iterator[Structure]:
    """The structure of a file, from about the byte ``start`` on.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        yield kind_of(file.read(LONGEST_HEAD))(file, path.stat().st_size, start)
