"""JPEG, with what it holds beside its image and Pillow does not write.

IPTC captions, extended XMP, comments, makers' segments and whatever else; and what a phone adds: further pictures (gain
map, depth, preview) by CIPA's Multi-Picture Format, a video after the end.
"""

import math
import struct
from typing import Any

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from derain.errors import PhotoError
from derain.photos import segments
from derain.photos.codec import QUALITY, Codec, NewPhoto
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
SIGNATURE = b"\xff\xd8\xff"
MOST_SCANS = 100  # each of which goes over all of the picture; encoders write about ten
BLOCKS_A_BYTE = 8  # of 64 pixels: each takes one bit at the least
LONGEST_XMP = 65_502  # bytes that a segment holds


class Jpeg(Codec):
    opener = JpegImageFile

    def least_bytes(self, image: ImageFile, content: bytes) -> float:
        return math.ceil(image.width / 8) * math.ceil(image.height / 8) / BLOCKS_A_BYTE

    def refuse_endless(self, content: bytes) -> None:
        if (scans := segments.scans_of(content)) > MOST_SCANS:
            raise PhotoError(
                f"goes over the picture {scans} times, as no photo does; save it anew with another program"
            )

    def completed(self, content: bytes) -> bytes:
        return segments.with_end(content)

    def kept(self, image: ImageFile) -> dict[str, Any]:
        assert isinstance(image, JpegImageFile)
        sampling = get_sampling(image)
        return super().kept(image) | {
            "qtables": image.quantization,
            "progressive": bool(image.info.get("progressive")),
            "subsampling": sampling if sampling >= 0 else 0,
        }

    def holds_more(self, content: bytes) -> bool:
        return holds_more(content)

    def options(self, new: NewPhoto) -> dict[str, Any]:
        options, own = self.metadata(new), new.original.options
        if len(options.get("xmp", b"")) > LONGEST_XMP:
            del options["xmp"]
            new.previews.say("its XMP is left out, which is longer than a JPEG holds")
        if new.same and new.quality is None:
            tables = ("qtables", "subsampling", "progressive")
            return options | {name: own[name] for name in tables if name in own}
        return options | {"quality": new.quality or QUALITY, "subsampling": 0 if new.quality is None else -1}

    def write(self, new: NewPhoto) -> bytes:
        plain = super().write(new)
        if not new.same:
            return plain
        content = with_further_segments_of(plain, new.original.content, new.previews)
        return with_further_pictures_of(content, new.original.content, new.previews)


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
            if _is_further(kind, data):
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
