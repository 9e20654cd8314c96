"""What a JPEG holds beside its image and Pillow does not write.

IPTC captions, extended XMP, comments, makers' segments and whatever else; and what a phone adds: further pictures (gain
map, depth, preview) by CIPA's Multi-Picture Format, a video after the end.
"""

import struct

from derain.photos import segments
from derain.photos.previews import LEFT_OUT, STILL_RAINY, Previews

ENTRIES = 0xB002  # tag of the list of pictures: attributes, size, offset, dependencies; 16 bytes each
SEGMENT = b"\xff\xe2"
NAME = b"MPF\0"
ITS_OWN = (  # marker and beginning of what is written anew, or is of the old image alone
    (b"\xff\xe0", b"JFIF\0"),
    (b"\xff\xe0", b"JFXX\0"),
    (b"\xff\xe1", b"Exif\0"),
    (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0"),
    (b"\xff\xe2", b"ICC_PROFILE\0"),
    (b"\xff\xe2", NAME),
    (b"\xff\xee", b"Adobe"),  # how the colours are coded
)
PHOTOSHOP = b"Photoshop 3.0\0"
KIND, PREVIEW, VIEW = 0xFFFFFF, 0x01, 0x02  # of a picture in the list; its highest byte
UNDEFINED, SMALL = 0, 4  # pictures of no kind are previews if they show the photo on so small a share of its pixels
CREDENTIALS = b"c2pa"


def holds_more(source: bytes) -> bool:
    """Whether there is more than a picture with EXIF, XMP and profile."""
    try:
        return any(_is_further(kind, data) for _, kind, data in segments.segments(source)) or (
            segments.end(source) < len(source)
        )
    except (struct.error, IndexError):
        return False


def _is_further(kind: bytes, data: bytes) -> bool:
    return segments.is_metadata(kind) and not any(kind == marker and data.startswith(name) for marker, name in ITS_OWN)


def with_further_segments_of(plain: bytes, source: bytes, previews: Previews) -> bytes:
    """The JPEG ``plain``, which has none, with the segments of the JPEG ``source`` that are not of its image.

    They keep their order, known or not. A damaged ``source`` may give fewer.
    """
    kept: list[tuple[bytes, bytes]] = []
    try:
        for _, kind, data in segments.segments(source):
            if segments.is_metadata(kind) and not any(
                kind == marker and data.startswith(name) for marker, name in ITS_OWN
            ):
                kept.append((kind, data))
            elif data.startswith(b"JFXX\0") or (data.startswith(b"JFIF\0") and any(data[12:14])):
                previews.say(LEFT_OUT)
    except (struct.error, IndexError):
        pass
    if any(CREDENTIALS in data for kind, data in kept if kind == b"\xff\xeb"):
        previews.say("its content credentials are those of the photo as it was")
    added = b"".join(segments.segment(kind, data) for kind, data in _with_new_thumbnails(kept, previews))
    start = segments.after_first(plain)
    return plain[:start] + added + plain[start:]


def _with_new_thumbnails(parts: list[tuple[bytes, bytes]], previews: Previews) -> list[tuple[bytes, bytes]]:
    """Photoshop's blocks may go on from segment to segment, so they are taken together."""
    blocks = b"".join(data[len(PHOTOSHOP) :] for _, data in parts if data.startswith(PHOTOSHOP))
    renewed, result = previews.in_photoshop(blocks), []
    for kind, data in parts:
        if data.startswith(PHOTOSHOP):
            room = len(data) - len(PHOTOSHOP)
            data, renewed = PHOTOSHOP + renewed[:room], renewed[room:]
        result.append((kind, data))
    return result


def with_further_pictures_of(plain: bytes, source: bytes, previews: Previews) -> bytes:
    """The JPEG ``plain`` with what follows the first picture of the JPEG ``source``, and its list of pictures.

    ``source`` may have none, or a damaged list; then only what follows it.
    """
    try:
        return _joined(plain, source, previews)
    except (struct.error, StopIteration, ValueError):
        return plain + source[segments.end(source) :]


def _joined(plain: bytes, source: bytes, previews: Previews) -> bytes:
    place = next(start for start, kind, data in segments.segments(source) if kind == SEGMENT and data.startswith(NAME))
    (length,) = struct.unpack_from(">H", source, place + 2)
    header = place + 8  # all offsets count from here
    pictures = bytearray(source[place : place + 2 + length])
    order, entries = _entries(pictures)
    offsets = [struct.unpack_from(order + "I", pictures, entry + 8)[0] for entry in entries]
    end = min(header + offset for offset in offsets if offset)
    if not 0 < end < len(source):
        raise ValueError("pictures outside the file")
    tail = bytearray(source[end:])
    for entry, offset in zip(entries, offsets):
        kind, size = struct.unpack_from(order + "II", pictures, entry)
        if offset:
            place = header + offset - end
            tail[place : place + size] = _renewed(bytes(tail[place : place + size]), kind & KIND, previews)
    start = segments.after_first(plain)
    first = len(plain) + len(pictures)
    for entry, offset in zip(entries, offsets):
        if offset:
            moved = header + offset - end + first - (start + 8)
            struct.pack_into(order + "I", pictures, entry + 8, moved)
        else:
            struct.pack_into(order + "I", pictures, entry + 4, first)
    return plain[:start] + bytes(pictures) + plain[start:] + bytes(tail)


def _renewed(picture: bytes, kind: int, previews: Previews) -> bytes:
    """A further picture: made anew if it is a preview, else as it is."""
    shown = kind >> 16 == PREVIEW or (kind == UNDEFINED and previews.shows_photo(picture))
    if kind >> 16 == VIEW or (shown and kind == UNDEFINED and previews.share(picture) * SMALL > 1):
        previews.say(STILL_RAINY)
        return picture
    if not shown:
        return picture
    new = previews.like(picture)
    if new is None:
        previews.say(LEFT_OUT)
    return (new or b"").ljust(len(picture), b"\0")


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
