"""What a JPEG holds beside its image and Pillow does not write: IPTC captions and keywords, and further pictures
(a phone's gain map, depth, preview) by CIPA's Multi-Picture Format.
"""

import struct
from collections.abc import Iterator

ENTRIES = 0xB002  # tag of the list of pictures: attributes, size, offset, dependencies; 16 bytes each
SEGMENT = b"\xff\xe2"
NAME = b"MPF\0"
IPTC_SEGMENT, IPTC_NAME = b"\xff\xed", b"Photoshop 3.0\0"
FIRST = (b"\xff\xe0", b"\xff\xe1")  # JFIF and EXIF, which readers want before all others


def with_captions_of(plain: bytes, source: bytes) -> bytes:
    """The JPEG ``plain``, which has none, with the IPTC segments of the JPEG ``source``.

    A damaged ``source`` may give fewer.
    """
    kept = b""
    try:
        for start, kind, data in _segments(source):
            if kind == IPTC_SEGMENT and data.startswith(IPTC_NAME):
                kept += source[start : start + 4] + data
    except (struct.error, IndexError):
        pass
    start = _after_first(plain)
    return plain[:start] + kept + plain[start:]


def with_further_pictures_of(plain: bytes, source: bytes) -> bytes:
    """The JPEG ``plain`` with what follows the first picture of the JPEG ``source``, and its list of pictures.

    ``source`` may have none, or a damaged list; then ``plain`` comes back as it is.
    """
    try:
        return _joined(plain, source)
    except (struct.error, StopIteration, ValueError):
        return plain


def _joined(plain: bytes, source: bytes) -> bytes:
    place = next(start for start, kind, data in _segments(source) if kind == SEGMENT and data.startswith(NAME))
    (length,) = struct.unpack_from(">H", source, place + 2)
    header = place + 8  # all offsets count from here
    pictures = bytearray(source[place : place + 2 + length])
    order, entries = _entries(pictures)
    offsets = [struct.unpack_from(order + "I", pictures, entry + 8)[0] for entry in entries]
    end = min(header + offset for offset in offsets if offset)
    if not 0 < end < len(source):
        raise ValueError("pictures outside the file")
    start = _after_first(plain)
    first = len(plain) + len(pictures)
    for entry, offset in zip(entries, offsets):
        if offset:
            moved = header + offset - end + first - (start + 8)
            struct.pack_into(order + "I", pictures, entry + 8, moved)
        else:
            struct.pack_into(order + "I", pictures, entry + 4, first)
    return plain[:start] + bytes(pictures) + plain[start:] + source[end:]


def _entries(segment: bytearray) -> tuple[str, list[int]]:
    """Byte order, and where in the segment the entry of each picture lies."""
    header = 8
    order = {b"II": "<", b"MM": ">"}.get(bytes(segment[header : header + 2]), "")
    if not order:
        raise ValueError("no byte order")
    (directory,) = struct.unpack_from(order + "I", segment, header + 4)
    (count,) = struct.unpack_from(order + "H", segment, header + directory)
    for index in range(count):
        tag, _, size, offset = struct.unpack_from(order + "HHII", segment, header + directory + 2 + 12 * index)
        if tag == ENTRIES:
            return order, [header + offset + 16 * picture for picture in range(size // 16)]
    raise ValueError("no list of pictures")


def _after_first(jpeg: bytes) -> int:
    return next(start for start, kind, _ in _segments(jpeg) if kind not in FIRST)


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Place, marker and data of each segment before the image's own data."""
    place = 2
    while jpeg[place : place + 1] == b"\xff" and jpeg[place + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", jpeg, place + 2)
        yield place, jpeg[place : place + 2], jpeg[place + 4 : place + 2 + length]
        place += 2 + length
