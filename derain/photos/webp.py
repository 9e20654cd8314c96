"""WebP. Its chunks tell how the image is coded, and those that derain does not know are carried from file to file."""

import struct
from collections.abc import Iterator
from typing import Any

from PIL.WebPImagePlugin import WebPImageFile

from derain.photos.codec import QUALITY, Codec, NewPhoto
from derain.photos.original import Original

EXTENDED, LOSSY, LOSSLESS = b"VP8X", b"VP8 ", b"VP8L"
KNOWN = {EXTENDED, LOSSY, LOSSLESS, b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"}


class Webp(Codec):
    opener = WebPImageFile

    def declared_size(self, content: bytes) -> tuple[int, int]:
        return size(content)

    def further(self, original: Original) -> list[str]:
        unknown = {kind.decode("latin-1").strip() for kind, _ in chunks(original.content) if kind not in KNOWN}
        return [f"chunks that derain does not know ({', '.join(sorted(unknown))})"] if unknown else []

    def options(self, new: NewPhoto) -> dict[str, Any]:
        lossless = is_lossless(new.original.content) if new.same else new.source is not None and new.source.lossless
        if lossless and new.quality is None:
            return self.metadata(new) | {"lossless": True, "exact": True}
        return self.metadata(new) | {"quality": new.quality or QUALITY}

    def write(self, new: NewPhoto) -> bytes:
        plain = super().write(new)
        return with_further_chunks_of(plain, new.original.content) if new.same else plain


def has_signature(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP"


def is_lossless(content: bytes) -> bool:
    """Whether the image's own chunk, which a profile may precede, is of the lossless kind."""
    return next((kind for kind, _ in chunks(content) if kind in (LOSSY, LOSSLESS)), LOSSY) == LOSSLESS


def with_further_chunks_of(plain: bytes, source: bytes) -> bytes:
    """``plain`` with the unknown chunks of ``source`` at its end."""
    further = [(kind, data) for kind, data in chunks(source) if kind not in KNOWN]
    if not further:
        return plain
    own = list(chunks(plain))
    if own[0][0] != EXTENDED:
        own.insert(0, (EXTENDED, _extended(*own[0])))
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in own + further)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk, as far as the file is whole."""
    place = 12
    while place + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, place)
        yield kind, content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def size(content: bytes) -> tuple[int, int]:
    """Width and height of the canvas, which Pillow would allocate before it tells them; 0 of a damaged file."""
    kind, data = next(chunks(content), (b"", b""))
    try:
        return _size(kind, data)
    except struct.error:
        return 0, 0


def _size(kind: bytes, data: bytes) -> tuple[int, int]:
    if kind == EXTENDED:
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 4)
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    if kind == LOSSLESS:
        (bits,) = struct.unpack_from("<I", data, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 6)
    return width & 0x3FFF, height & 0x3FFF


def _extended(kind: bytes, data: bytes) -> bytes:
    """What the chunk of an extended file says of a plain one: whether it has alpha, and its size."""
    alpha = 0x10 if kind == LOSSLESS and data[4] & 0x10 else 0
    width, height = _size(kind, data)
    return bytes([alpha, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
