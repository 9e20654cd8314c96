"""PNG's ancillary chunks (colour space, resolution, text, EXIF), carried from file to file as they are."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
METADATA = {
    *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI"),
    *(b"pHYs", b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"tIME"),
}


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk, as far as the file is whole."""
    place = len(SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        yield kind, content[place + 8 : place + 8 + length]
        place += 12 + length


def with_metadata_of(plain: bytes, source: bytes) -> bytes:
    """``plain`` with the metadata chunks of ``source`` instead of its own."""
    kept = [(kind, data) for kind, data in chunks(source) if kind in METADATA]
    image = [(kind, data) for kind, data in chunks(plain) if kind not in METADATA]
    header, *rest = image
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in (header, *kept, *rest))


def of_grey_and_alpha(channels: NDArray[np.uint16]) -> bytes:
    """A PNG of ``(H, W, 2)`` in 16 bits, which neither Pillow nor OpenCV writes."""
    height, width = channels.shape[:2]
    rows = channels.astype(">u2").view(np.uint8).reshape(height, 4 * width)
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # to the row above: filter 2
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), differences])
    header = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)
    image = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(filtered.tobytes())) + _chunk(b"IEND", b"")
    return SIGNATURE + image


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
