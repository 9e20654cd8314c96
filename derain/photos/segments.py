"""The parts of a JPEG: its segments, where its picture ends, and whether only that end is missing."""

import hashlib
import io
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from PIL.JpegImagePlugin import JpegImageFile

from derain.errors import PhotoError
from derain.photos.original import CUT

START, END = b"\xff\xd8", b"\xff\xd9"
COMMENT, APPLICATIONS, ADOBE = 0xFE, range(0xE0, 0xF0), 0xEE
SCAN, LAST = 0xDA, 0xD9
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # data has zeros and restarts after this byte, filling the same again
SCAN_OR_END = re.compile(rb"\xff[\xd9\xda]")  # searched for in a third of the time that ``bytes.find`` takes
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of the components' list
LOSSLESS, HIERARCHICAL, LS = {0xC3, 0xCB}, {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}, 0xF7
ARITHMETIC = {0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
FILLING = b"\xfe\x55\x9a\x31" * 256  # data that a decoder which still wants some makes something else of than of none
COEFFICIENTS = 64  # of a block
WHOLE = 1 << 30  # bytes
LONGEST = 65_533  # bytes of what a segment holds


class JpegPicture(JpegImageFile):
    """Decoded from all of the file at once: libjpeg reads nothing in parts that is coded arithmetically."""

    def _open(self) -> None:
        super()._open()
        self.decodermaxblock = WHOLE


@dataclass(frozen=True)
class Segment:
    place: int  # in the file
    kind: int  # second byte of the marker
    data: bytes

    @property
    def is_metadata(self) -> bool:
        """Whether it is no part of the image's coding, as Adobe's of the colours is."""
        if self.kind == ADOBE and self.data.startswith(b"Adobe"):
            return False
        return self.kind in APPLICATIONS or self.kind == COMMENT

    def __bytes__(self) -> bytes:
        return struct.pack(">BBH", 0xFF, self.kind, len(self.data) + 2) + self.data


def segments(jpeg: bytes) -> Iterator[Segment]:
    """All that there are of the first picture, also between its scans, with its end as the last."""
    place = len(START)
    while found := MARKER.search(jpeg, place):
        place, kind = found.start(), jpeg[found.start() + 1]
        if kind == LAST:
            yield Segment(place, kind, b"")
            return
        if place + 4 > len(jpeg):
            return
        (length,) = struct.unpack_from(">H", jpeg, place + 2)
        yield Segment(place, kind, jpeg[place + 4 : place + 2 + length])
        place += 2 + length


def metadata(jpeg: bytes) -> list[Segment]:
    """The segments before the image that are no part of its coding."""
    return [part for part in takewhile(lambda part: part.kind != SCAN, segments(jpeg)) if part.is_metadata]


def with_metadata(jpeg: bytes, parts: Iterable[Segment]) -> bytes:
    """A JPEG with these segments instead of its own metadata."""
    coding = [part for part in takewhile(lambda part: part.kind != SCAN, segments(jpeg)) if not part.is_metadata]
    return START + b"".join(map(bytes, (*parts, *coding))) + jpeg[_first_scan(jpeg) :]


def length(jpeg: bytes) -> int:
    """Bytes of the picture at the beginning, its end included; 0 if it has none."""
    return next((part.place + len(END) for part in segments(jpeg) if part.kind == LAST), 0)


def with_end(jpeg: bytes) -> bytes:
    """The JPEG, with an end if it lacks that.

    Data that is put before the end decides whether more is missing: then the picture depends on it.

    Raises:
        PhotoError: part of the picture is missing.
    """
    start = _first_scan(jpeg)
    if start is None or jpeg.rfind(END, start) >= 0:
        return jpeg
    data = jpeg.rstrip(b"\0")  # a card that was pulled out leaves zeros, which decoders take for data
    data += b"\0" * (data.endswith(b"\xff") and len(data) < len(jpeg))
    if not _is_whole(data.removesuffix(b"\xff")):
        raise PhotoError(CUT)
    return data.removesuffix(b"\xff") + END


def scans_of(jpeg: bytes, most: int) -> int:
    """How often the data of the picture goes over it, counted up to ``most``; what stands before and after it does not
    count.
    """
    start = _first_scan(jpeg)
    if start is None:
        return 0
    found = islice(SCAN_OR_END.finditer(jpeg, start), most)
    return sum(1 for _ in takewhile(lambda marker: marker[0][1] == SCAN, found))


def is_arithmetic(jpeg: bytes) -> bool:
    """Whether it is coded in a way that may take less than a bit for a block."""
    return next((part.kind in ARITHMETIC for part in segments(jpeg) if part.kind in FRAMES), False)


def rare_kind(jpeg: bytes) -> str:
    """What a JPEG is called that common decoders do not read, such as "12-bit JPEG"; empty of others."""
    frame = next((part for part in segments(jpeg) if part.kind in FRAMES or part.kind in (LS, SCAN)), None)
    if frame is None or frame.kind == SCAN:
        return ""
    if frame.kind == LS:
        return "JPEG-LS"
    if frame.kind in LOSSLESS | HIERARCHICAL:
        return "lossless JPEG" if frame.kind in LOSSLESS else "hierarchical JPEG"
    return f"{frame.data[0]}-bit JPEG" if frame.data[:1] == b"\x0c" else ""


def _first_scan(jpeg: bytes) -> int | None:
    return next((part.place for part in segments(jpeg) if part.kind == SCAN), None)


def _is_whole(data: bytes) -> bool:
    try:
        if not _has_every_scan(data):
            return False
    except (IndexError, ValueError):  # damaged segments
        return False
    picture = _digest(data + END)
    return picture is not None and picture == _digest(data + FILLING + END)


def _digest(jpeg: bytes) -> bytes | None:
    try:
        with JpegPicture(io.BytesIO(jpeg)) as image:
            return hashlib.blake2b(image.tobytes()).digest()
    except Exception:  # damaged ones raise anything
        return None


def _has_every_scan(jpeg: bytes) -> bool:
    """Whether there are scans of all bits of all coefficients of all components, however much there is of the last."""
    components: set[int] = set()
    done: dict[int, set[int]] = {}
    for part in segments(jpeg):
        data = part.data
        if part.kind in FRAMES:
            components = {data[6 + 3 * index] for index in range(data[5])}
        elif part.kind == SCAN:
            of = data[1 : 1 + 2 * data[0] : 2]
            first, last, bits = data[1 + 2 * data[0] : 4 + 2 * data[0]]
            for component in of if not bits & 0x0F else ():
                done.setdefault(component, set()).update(range(first, last + 1))
    return bool(components) and all(len(done.get(component, ())) == COEFFICIENTS for component in components)
