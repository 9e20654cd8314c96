"""PNG's ancillary chunks (colour space, resolution, text, EXIF), carried from file to file as they are."""

import struct
import zlib
from collections.abc import Iterator

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


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
