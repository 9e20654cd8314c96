"""The parts of a JPEG: segments before the image, and where the image ends."""

import struct
from collections.abc import Iterator

START, END = b"\xff\xd8", b"\xff\xd9"
COMMENT, APPLICATIONS = 0xFE, range(0xE0, 0xF0)  # markers of what is no part of the image's coding
FIRST = (b"\xff\xe0", b"\xff\xe1")  # JFIF and EXIF, which readers want before all others


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
