"""What the colours of a HEIC or AVIF mean where no profile says it: H.273 codes in its ``colr`` box."""

import struct

BOX = b"colrnclx"
PLAIN = 1, 13  # primaries and transfer of sRGB
PLAIN_PRIMARIES, PLAIN_TRANSFERS = {1, 2}, {1, 2, 6, 13, 14, 15}  # those, not specified, and what is shown alike


def colours(content: bytes) -> tuple[int, int]:
    """Codes of primaries and transfer; those of sRGB if the file names none."""
    place = content.find(BOX)
    return struct.unpack_from(">HH", content, place + len(BOX)) if 0 <= place < len(content) - 12 else PLAIN


def are_plain(codes: tuple[int, int]) -> bool:
    """Whether any viewer shows these colours right without being told."""
    return codes[0] in PLAIN_PRIMARIES and codes[1] in PLAIN_TRANSFERS


def with_colours_of(plain: bytes, source: bytes) -> bytes:
    """``plain`` with the codes of ``source``, if both name them; how its numbers are stored stays its own."""
    here, there = plain.find(BOX), source.find(BOX)
    if here < 0 or there < 0:
        return plain
    named = source[there + len(BOX) : there + len(BOX) + 4]
    return plain[: here + len(BOX)] + named + plain[here + len(BOX) + 4 :]
