"""What a JPEG holds beside its image and Pillow does not write: IPTC captions, extended XMP, and what a phone adds:
further pictures (gain map, depth, preview) by CIPA's Multi-Picture Format, a video after the end.
"""

import struct
from collections.abc import Iterator

ENTRIES = 0xB002  # tag of the list of pictures: attributes, size, offset, dependencies; 16 bytes each
SEGMENT = b"\xff\xe2"
NAME = b"MPF\0"
KEPT = {  # marker and beginning of further segments
    (b"\xff\xed", b"Photoshop 3.0\0"),  # IPTC
    (b"\xff\xe1", b"http://ns.adobe.com/xmp/extension/\0"),
    (b"\xff\xe2", b"urn:iso:std:iso:ts:21496:-1\0"),  # of a gain map
}
FIRST = (b"\xff\xe0", b"\xff\xe1")  # JFIF and EXIF, which readers want before all others


def with_further_segments_of(plain: bytes, source: bytes) -> bytes:
    """The JPEG ``plain``, which has none, with those segments of the JPEG ``source`` that are to be kept.

    A damaged ``source`` may give fewer.
    """
    kept = b""
    try:
        for start, kind, data in _segments(source):
            if any(kind == marker and data.startswith(name) for marker, name in KEPT):
                kept += source[start : start + 4] + data
    except (struct.error, IndexError):
        pass
    start = _after_first(plain)
    return plain[:start] + kept + plain[start:]


def with_further_pictures_of(plain: bytes, source: bytes) -> bytes:
    """The JPEG ``plain`` with what follows the first picture of the JPEG ``source``, and its list of pictures.

    ``source`` may have none, or a damaged list; then only what follows it.
    """
    try:
        return _joined(plain, source)
    except (struct.error, StopIteration, ValueError):
        return plain + source[_end(source) :]


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


def _end(jpeg: bytes) -> int:
    """Where the first picture ends; the end of the file if it has no end of its own."""
    place = 2
    while 0 <= (place := jpeg.find(b"\xff", place)) < len(jpeg) - 3:
        kind = jpeg[place + 1]
        if kind == 0xD9:
            return place + 2
        if kind in (0, 0xFF) or 0xD0 <= kind <= 0xD7:  # data, filling or a restart
            place += 2 if kind != 0xFF else 1
        else:
            place += 2 + struct.unpack_from(">H", jpeg, place + 2)[0]
    return len(jpeg)


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Place, marker and data of each segment before the image's own data."""
    place = 2
    while jpeg[place : place + 1] == b"\xff" and jpeg[place + 1] != 0xDA:
        if jpeg[place + 1] == 0xFF:  # filling
            place += 1
            continue
        (length,) = struct.unpack_from(">H", jpeg, place + 2)
        yield place, jpeg[place : place + 2], jpeg[place + 4 : place + 2 + length]
        place += 2 + length
