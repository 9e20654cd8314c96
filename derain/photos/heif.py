"""What the colours of a HEIC or AVIF mean where no profile says it: H.273 codes in its ``colr`` box."""

import struct

BOX = b"colrnclx"
PLAIN = 1, 13  # primaries and transfer of sRGB
PLAIN_PRIMARIES = {1, 2, 5, 6, 7}  # those, not specified, and television's of old, which are shown alike
PLAIN_TRANSFERS = {1, 2, 4, 5, 6, 7, 13, 14, 15}


def colours(content: bytes) -> tuple[int, int]:
    """Codes of primaries and transfer; those of sRGB if the file names none."""
    place = _place(content)
    return struct.unpack_from(">HH", content, place) if 0 < place < len(content) - 4 else PLAIN


def are_plain(codes: tuple[int, int]) -> bool:
    """Whether any viewer shows these colours right without being told."""
    return codes[0] in PLAIN_PRIMARIES and codes[1] in PLAIN_TRANSFERS


def with_colours_of(plain: bytes, source: bytes) -> bytes:
    """``plain`` with the codes of ``source``, if both name them; how its numbers are stored stays its own."""
    here, there = _place(plain), _place(source)
    return plain[:here] + source[there : there + 4] + plain[here + 4 :] if here and there else plain


def _place(content: bytes) -> int:
    """Where the codes of the picture stand, not those of a video beside it; 0 if it has none."""
    start = 0
    while start + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, start)
        if size == 1 and start + 16 <= len(content):  # the size follows, in 64 bits
            (size,) = struct.unpack_from(">Q", content, start + 8)
        size = size or len(content) - start
        if kind == b"meta":
            found = content.find(BOX, start, start + size)
            return found + len(BOX) if found > 0 else 0
        start += max(size, 8)
    return 0
