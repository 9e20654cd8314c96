"""PNG, with its ancillary chunks (colour space, resolution, text, EXIF) carried from file to file as they are."""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile, PngInfo

from derain.arrays import Pixels
from derain.errors import PhotoError
from derain.photos import png_texts
from derain.photos.captions import Captions, as_profile, of_profile
from derain.photos.codec import Codec, NewPhoto, fewer_bits, with_channels
from derain.photos.original import Original
from derain.photos.previews import Previews

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPE, INTERLACED = 25, 28  # places in the file; the first after the depth
CHANNEL_CHUNKS = {b"sBIT", b"bKGD"}  # whose form depends on the channels
XMP = b"XML:com.adobe.xmp\0"
METADATA = {
    *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI"),
    *(b"pHYs", b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"tIME"),
}
PICTURE_CHUNKS = {  # chunks without which the picture cannot be told, moving ones included
    *(b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"),
    *(b"acTL", b"fcTL", b"fdAT"),
}
METADATA_ELSEWHERE = {b"iCCP", b"eXIf"}  # metadata that other formats hold, too
RAW_EXIF = b"Raw profile type exif"  # ImageMagick's, as a text
PIXELS_A_METRE = 9  # bytes of a whole pHYs
DESCRIBING = {b"sBIT", b"bKGD", b"hIST"}  # the pixels' form, which is written anew
DEFLATE = 1032  # bytes that one byte becomes at the most
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
DEEP_CHANNELS = {"gray16be": 1, "ya16be": 2, "rgb48be": 3, "rgba64be": 4}  # by FFmpeg's names


class Png(Codec):
    opener = PngImageFile

    def open(self, content: bytes) -> ImageFile:
        return super().open(to_read(content))

    def least_bytes(self, image: ImageFile, content: bytes) -> float:
        bits, kind = content[COLOUR_TYPE - 1], content[COLOUR_TYPE]
        return image.height * math.ceil(image.width * CHANNELS.get(kind, 1) * bits / 8) / DEFLATE

    def changes(self, image: ImageFile, content: bytes) -> tuple[str, ...]:
        bits, is_grey = content[COLOUR_TYPE - 1], content[COLOUR_TYPE] == 0
        return fewer_bits(bits) if is_grey else super().changes(image, content)

    def is_deep(self, image: ImageFile, content: bytes) -> bool:
        return content[COLOUR_TYPE - 1] == 16

    def read_deep(self, found: Original, image: ImageFile) -> Original:
        values = read_deep(found.content)
        return with_channels(found, values, 1 if values.shape[2] < 3 else 3)

    def captions(self, original: Original) -> Captions:
        found = list(png_texts.texts(chunks(original.content)))
        iptc = next((of_profile(text) for name, text in found if name in png_texts.IPTC), b"")
        comments = tuple(text for name, text in found if png_texts.is_comment(name) and text)
        return Captions(iptc, comments, png_texts.further(found))

    def options(self, new: NewPhoto) -> dict[str, Any]:
        options = self.metadata(new)
        info = PngInfo()
        if "xmp" in options:
            info.add_itxt(XMP[:-1].decode(), options["xmp"].decode(errors="replace"))
        for comment in options.pop("comments", ()):
            info.add_text(png_texts.COMMENT, comment.replace("\0", ""))
        if iptc := options.pop("iptc", b""):
            info.add_text(png_texts.IPTC[0], as_profile(iptc), zip=True)
        return options | ({"pnginfo": info} if info.chunks else {})

    def write(self, new: NewPhoto) -> bytes:
        channels, options = new.channels(), self.options(new)
        deep = channels.dtype == np.uint16
        if new.same:
            if new.original.content[INTERLACED : INTERLACED + 1] == b"\1":
                new.previews.say("is no longer interlaced, which derain cannot write")
            plain = _deep(channels) if deep else self.save(new, channels, {})
            return with_metadata_of(plain, new.original.content, new.previews)
        if deep and channels.ndim == 3:
            metadata = self.save(new, np.zeros((1, 1, 3), np.uint8), options)
            return with_metadata_of(_deep(channels), metadata, new.previews)
        return self.save(new, channels, options)


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk, as far as the file is whole."""
    place = len(SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        yield kind, content[place + 8 : place + 8 + length]
        place += 12 + length


def to_read(content: bytes) -> bytes:
    """The file without what no decoder has to see: one damaged or enormous text would cost the picture."""
    file, place = bytearray(SIGNATURE), len(SIGNATURE)
    for kind, data in chunks(content):
        end = place + 12 + len(data)
        if _is_to_read(kind, data):
            file += content[place:end]
        place = end
    return bytes(file)


def _is_to_read(kind: bytes, data: bytes) -> bool:
    if kind in (b"tEXt", b"zTXt", b"iTXt"):
        return data.startswith((XMP, RAW_EXIF))
    return (
        kind in PICTURE_CHUNKS | METADATA_ELSEWHERE
        or not kind[:1].islower()
        or (kind == b"pHYs" and len(data) == PIXELS_A_METRE)
    )


def drawn(content: bytes) -> bytes:
    """The picture alone, with an end, be it that the file lacks that."""
    parts = [(kind, data) for kind, data in chunks(content) if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT")]
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in (*parts, (b"IEND", b"")))


def with_metadata_of(plain: bytes, source: bytes, previews: Previews) -> bytes:
    """``plain`` with the metadata of ``source`` instead of its own, also such as nobody knows that may be copied."""
    kept = [(kind, _renewed(kind, data, previews)) for kind, data in chunks(source) if _is_metadata(kind)]
    header, *rest = [(kind, data) for kind, data in chunks(plain) if not _is_metadata(kind)]
    lost = {kind for kind, _ in chunks(source) if not (kind in PICTURE_CHUNKS | DESCRIBING or _is_metadata(kind))}
    if lost:
        names = ", ".join(sorted(kind.decode("latin-1") for kind in lost))
        previews.say(f"chunks that describe the original photo are left out: {names}")
    of_channels = [(kind, data) for kind, data in chunks(source) if kind in CHANNEL_CHUNKS]
    if source[COLOUR_TYPE] == plain[COLOUR_TYPE] and source[COLOUR_TYPE - 1] == plain[COLOUR_TYPE - 1]:
        kept = of_channels + kept
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in (header, *kept, *rest))


def _is_metadata(kind: bytes) -> bool:
    """PNG marks what may be copied though the image has changed by the last letter being a small one."""
    return kind in METADATA or (kind[:1].islower() and kind[3:4].islower())


def _renewed(kind: bytes, data: bytes, previews: Previews) -> bytes:
    if kind == b"eXIf":
        return previews.in_exif(data)
    return previews.in_xmp(data) if kind == b"iTXt" and data.startswith(XMP) else data


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


def read_deep(content: bytes) -> Pixels:
    """``(H, W, C)`` of a PNG of 16 bits, with a colour key as a further channel.

    Raises:
        PhotoError: it cannot be decoded.
    """
    import av  # only where Pillow will not do

    decoder = av.CodecContext.create("png", "r")
    try:
        frames = [*decoder.decode(av.Packet(drawn(content))), *decoder.decode(None)]
        frame = frames[0]
        channels = DEEP_CHANNELS[frame.format.name]
    except (av.FFmpegError, IndexError, KeyError):
        raise PhotoError("its 16-bit colours cannot be read; save it again with another program") from None
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), ">u2").reshape(frame.height, plane.line_size // 2)
    return rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels).astype(np.uint16)


def _deep(channels: Pixels) -> bytes:
    if channels.ndim == 3 and channels.shape[2] == 2:
        return of_grey_and_alpha(channels)
    swapped = channels[..., [2, 1, 0, 3][: channels.shape[2]]] if channels.ndim == 3 else channels
    return cv2.imencode(".png", swapped)[1].tobytes()
