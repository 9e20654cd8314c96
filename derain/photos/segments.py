"""The parts of a JPEG: segments before the image, where the image ends, and whether only that end is missing."""

import hashlib
import io
import struct
from collections.abc import Iterator

from PIL.JpegImagePlugin import JpegImageFile

from derain.errors import PhotoError

START, END = b"\xff\xd8", b"\xff\xd9"
COMMENT, APPLICATIONS = 0xFE, range(0xE0, 0xF0)  # markers of what is no part of the image's coding
FIRST = (b"\xff\xe0", b"\xff\xe1")  # JFIF and EXIF, which readers want before all others
FILLING = b"\xfe\x55\x9a\x31" * 256  # data that a decoder which still wants some makes something else of than of none
COEFFICIENTS = 64  # of a block
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of the components' list
SCAN = 0xDA


def after_first(jpeg: bytes) -> int:
    return next(start for start, kind, _ in segments(jpeg) if kind not in FIRST)


def length(jpeg: bytes) -> int:
    """Bytes of the picture at the beginning, its end included; 0 if it has none."""
    try:
        place = end(jpeg)
    except (struct.error, IndexError):
        return 0
    return place if jpeg[place - 2 : place] == END else 0


def with_metadata_of(plain: bytes, source: bytes) -> bytes:
    """``plain`` with all metadata of ``source`` instead of its own."""
    own = b"".join(segment(kind, data) for _, kind, data in segments(plain) if not is_metadata(kind))
    kept = [(kind, data) for _, kind, data in segments(source) if is_metadata(kind) and not data.startswith(b"Adobe")]
    first = b"".join(segment(kind, data) for kind, data in kept)
    return START + first + own + plain[image(plain) :]


def is_metadata(kind: bytes) -> bool:
    return kind[1] in APPLICATIONS or kind[1] == COMMENT


def segment(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack(">H", len(data) + 2) + data


def image(jpeg: bytes) -> int:
    """Where the segments end and the image begins."""
    return max((place + 4 + len(data) for place, _, data in segments(jpeg)), default=len(START))


def end(jpeg: bytes) -> int:
    """Where the first picture ends; the end of the file if it has no end of its own."""
    place = 2
    while 0 <= (place := jpeg.find(b"\xff", place)) < len(jpeg) - 1:
        kind = jpeg[place + 1]
        if kind == 0xD9:
            return place + 2
        if kind in (0, 0xFF) or 0xD0 <= kind <= 0xD7:  # data, filling or a restart
            place += 2 if kind != 0xFF else 1
        elif place + 4 > len(jpeg):
            break
        else:
            place += 2 + struct.unpack_from(">H", jpeg, place + 2)[0]
    return len(jpeg)


def segments(jpeg: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Place, marker and data of each segment before the image's own data."""
    place = 2
    while jpeg[place : place + 1] == b"\xff" and jpeg[place + 1] != 0xDA:
        if jpeg[place + 1] == 0xFF:  # filling
            place += 1
            continue
        (length,) = struct.unpack_from(">H", jpeg, place + 2)
        yield place, jpeg[place : place + 2], jpeg[place + 4 : place + 2 + length]
        place += 2 + length


def with_end(jpeg: bytes) -> bytes:
    """The JPEG, with an end if it lacks that.

    Data that is put before the end decides whether more is missing: then the picture depends on it.

    Raises:
        PhotoError: part of the picture is missing.
    """
    start = _first_scan(jpeg)
    if start is None or jpeg.find(END, start) >= 0:
        return jpeg
    data = jpeg.rstrip(b"\0")  # a card that was pulled out leaves zeros, which decoders take for data
    data += b"\0" * (data.endswith(b"\xff") and len(data) < len(jpeg))
    if not _is_whole(data.removesuffix(b"\xff")):
        raise PhotoError("part of the picture is missing; copy it again from where it came")
    return data.removesuffix(b"\xff") + END


def scans_of(jpeg: bytes) -> int:
    """How often the data of the picture goes over it; what stands before and after it does not count."""
    start = _first_scan(jpeg)
    if start is None:
        return 0
    end = jpeg.find(END, start)
    return jpeg.count(bytes((0xFF, SCAN)), start, end if end >= 0 else len(jpeg))


def _first_scan(jpeg: bytes) -> int | None:
    try:
        return next(place for place, kind, _ in _markers(jpeg) if kind == SCAN)
    except (struct.error, IndexError, StopIteration):
        return None


def _is_whole(data: bytes) -> bool:
    try:
        if not _has_every_scan(data):
            return False
    except (struct.error, IndexError):
        return False
    picture = _digest(data + END)
    return picture is not None and picture == _digest(data + FILLING + END)


def _digest(jpeg: bytes) -> bytes | None:
    try:
        with JpegImageFile(io.BytesIO(jpeg)) as image:
            return hashlib.blake2b(image.tobytes()).digest()
    except Exception:  # damaged ones raise anything
        return None


def _has_every_scan(jpeg: bytes) -> bool:
    """Whether there are scans of all bits of all coefficients of all components, however much there is of the last."""
    components: set[int] = set()
    done: dict[int, set[int]] = {}
    for _, kind, data in _markers(jpeg):
        if kind in FRAMES:
            components = {data[6 + 3 * index] for index in range(data[5])}
        elif kind == SCAN:
            of = data[1 : 1 + 2 * data[0] : 2]
            first, last, bits = data[1 + 2 * data[0] : 4 + 2 * data[0]]
            for component in of if not bits & 0x0F else ():
                done.setdefault(component, set()).update(range(first, last + 1))
    return bool(components) and all(len(done.get(component, ())) == COEFFICIENTS for component in components)


def _markers(jpeg: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Place, kind and data of all segments, also of those between scans."""
    place = 2
    while 0 <= (place := jpeg.find(b"\xff", place)) < len(jpeg) - 1:
        kind = jpeg[place + 1]
        if kind == 0xFF:
            place += 1
        elif kind == 0 or 0xD0 <= kind <= 0xD7:  # data or a restart
            place += 2
        else:
            (length,) = struct.unpack_from(">H", jpeg, place + 2)
            yield place, kind, jpeg[place + 4 : place + 2 + length]
            place += 2 + length
