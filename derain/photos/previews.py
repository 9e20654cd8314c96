"""Small copies of a photo in its metadata, which file managers show: made anew from the result.

All are JPEGs. A new one takes the place of the old one, no longer than it and filled up with zeros, so that whatever
points into the metadata stays right: makers' notes are full of places that nobody knows.
"""

import base64
import io
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from derain.arrays import Pixels, Rgb8
from derain.photos import segments
from derain.photos.directories import first_place, order_of
from derain.photos.exif_tags import EXIF
from derain.photos.original import to_8_bit

JPEG_START = b"\xff\xd8\xff"
MOST_PIXELS = 40e6  # of a preview
QUALITIES = (90, 80, 65, 50, 35, 20, 8)  # tried where the old one's own tables give too many bytes
ALIKE, NEAR = 0.9, 24  # correlation and mean difference (of 255) to what a small copy of the photo would be
BARS_DIFFERENCE = 0.03  # difference of the sides' ratios above which cameras put bars beside the picture
STRIPS, JPEG_OFFSET = 273, 513  # tags of where a thumbnail lies
PHOTOSHOP_BGR = b"8BIM\x04\x09"  # Photoshop 4's thumbnail, with red and blue changed over
XMP_IMAGE = re.compile(rb"(<xmpGImg:image>|xmpGImg:image=\")([^<\"]*)")
XMP_BREAK = re.compile(rb"&#x[aAdD];|\s")
STILL_RAINY = "another picture in the file is kept and still shows the rain"
LEFT_OUT = "its thumbnail is left out because it still showed the rain"


@dataclass
class Previews:
    """What the photo was and what it has become, upright ``(H, W, 3)`` RGB, and what could not be made anew."""

    before: Pixels
    after: Pixels
    turn: Callable[[Pixels], Pixels]  # from upright to how the file stores them
    notes: list[str] = field(default_factory=list)

    @cached_property
    def stored_before(self) -> Pixels:
        return np.ascontiguousarray(self.turn(self.before))

    @cached_property
    def stored_after(self) -> Pixels:
        return np.ascontiguousarray(self.turn(self.after))

    def in_exif(self, exif: bytes) -> bytes:
        """EXIF with the thumbnail of its second directory, and with those of makers, made anew."""
        head = EXIF if exif.startswith(EXIF) else b""
        tiff = bytearray(exif[len(head) :])
        try:
            thumbnail = _second_directory(tiff)
        except (struct.error, KeyError, IndexError):
            thumbnail = None
        renewed = self.in_blob(bytes(tiff), thumbnail.start if thumbnail else None)
        if thumbnail and not (thumbnail.start > 0 and segments.length(renewed[thumbnail.start :])):
            tiff = bytearray(renewed)
            struct.pack_into(thumbnail.order + "I", tiff, thumbnail.pointer, 0)
            self.say(LEFT_OUT)
            renewed = bytes(tiff)
        return head + renewed

    def in_blob(self, blob: bytes, certain: int | None = None, swapped: bool = False, most: float = math.inf) -> bytes:
        """Bytes with the JPEGs in them made anew that look like the photo, or that begin at ``certain``.

        Args:
            swapped: whether red and blue are changed over.
            most: share of the photo's pixels above which a JPEG is no preview, but a picture that is kept.
        """
        place = 0
        while (place := blob.find(JPEG_START, place)) >= 0:
            length = segments.length(blob[place:])
            old = blob[place : place + length]
            if not length or not (place == certain or self.shows_photo(old)):
                place += len(JPEG_START)
                continue
            if place != certain and self.share(old) > most:
                self.say(STILL_RAINY)
                place += length
                continue
            new = self.like(old, swapped)
            if new is None:
                self.say(LEFT_OUT)
            blob = blob[:place] + (new or b"").ljust(length, b"\0") + blob[place + length :]
            place += length
        return blob

    def in_photoshop(self, resources: bytes) -> bytes:
        """Photoshop's blocks with the thumbnail made anew."""
        swapped = PHOTOSHOP_BGR in resources
        place = resources.find(JPEG_START)
        return self.in_blob(resources, place if place >= 0 else None, swapped)

    def in_xmp(self, xmp: bytes) -> bytes:
        """XMP with its thumbnails made anew; as long as it was, as it may be part of something longer."""

        def renewed(found: re.Match[bytes]) -> bytes:
            try:
                old = base64.b64decode(XMP_BREAK.sub(b"", found[2]))
            except ValueError:
                return found[0]
            new = self.like(old)
            if new is None:
                self.say(LEFT_OUT)
            text = base64.b64encode((new or b"").ljust(len(old), b"\0")) if new else b""
            return found[1] + text.ljust(len(found[2]))

        return XMP_IMAGE.sub(renewed, xmp)

    def shows_photo(self, content: bytes) -> bool:
        """Whether a JPEG is the photo as it was, only smaller; a gain map, a depth or another view is not."""
        try:
            with JpegImageFile(io.BytesIO(content)) as image:
                if image.width * image.height > MOST_PIXELS or image.mode not in ("RGB", "L"):
                    return False
                size = min(image.width, 256), min(image.height, 256)
                grey = image.mode == "L"
                shown = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), np.float32)
                whole = _small(self.stored_before, image.size)
        except Exception:  # damaged ones raise anything
            return False
        ours = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.float32)
        if grey and np.ptp(ours, axis=2).mean() > 4:
            return False
        if np.abs(shown - ours).mean() > NEAR:
            return False
        return all(_correlation(shown[..., i], ours[..., i]) > ALIKE for i in range(3))

    def share(self, content: bytes) -> float:
        """Pixels of a JPEG that can be read, of the photo's."""
        with JpegImageFile(io.BytesIO(content)) as image:
            return image.width * image.height / (self.before.shape[0] * self.before.shape[1])

    def like(self, old: bytes, swapped: bool = False) -> bytes | None:
        """The result as a JPEG like ``old``, no longer than it; ``None`` if that cannot be."""
        try:
            with JpegImageFile(io.BytesIO(old)) as image:
                if image.width * image.height > MOST_PIXELS or image.mode not in ("RGB", "L"):
                    return None
                picture = _small(self.stored_after, image.size)[..., :: -1 if swapped else 1]
                new = Image.fromarray(np.ascontiguousarray(picture)).convert(image.mode)
                own = {"qtables": image.quantization, "subsampling": max(get_sampling(image), 0)}
        except Exception:  # damaged ones raise anything
            return None
        for how in (own, *({"quality": quality} for quality in QUALITIES)):
            file = io.BytesIO()
            new.save(file, format="JPEG", optimize=True, **how)  # type: ignore[arg-type]
            content = segments.with_metadata(file.getvalue(), segments.metadata(old))
            if len(content) <= len(old):
                return content
        return None

    def say(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def has_thumbnail(exif: bytes) -> bool:
    """Whether EXIF holds one in its second directory."""
    try:
        return _second_directory(exif.removeprefix(EXIF)) is not None
    except (struct.error, KeyError):
        return False


def _small(photo: Pixels, size: tuple[int, int]) -> Rgb8:
    return to_8_bit(_fitted(photo, size))


def _fitted(photo: Pixels, size: tuple[int, int]) -> Pixels:
    """The photo reduced to a size, with black bars where its sides have another ratio."""
    height, width = photo.shape[:2]
    if abs(size[0] * height / (size[1] * width) - 1) <= BARS_DIFFERENCE:
        return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
    scale = min(size[0] / width, size[1] / height)
    inner = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((size[1], size[0], 3), photo.dtype)
    reduced = cv2.resize(photo, inner, interpolation=cv2.INTER_AREA)
    fitted[top : top + inner[1], left : left + inner[0]] = reduced
    return fitted


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of two flat pictures, 1: they cannot be told apart."""
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread > 1 else 1.0


@dataclass(frozen=True)
class _Thumbnail:
    order: str
    pointer: int  # where the place of its directory stands
    start: int  # of its JPEG; -1 if it is none


def _second_directory(tiff: bytes | bytearray) -> _Thumbnail | None:
    """The thumbnail of EXIF, whose directory follows that of the photo."""
    order, first = order_of(tiff), first_place(tiff)
    (count,) = struct.unpack_from(order + "H", tiff, first)
    pointer = first + 2 + 12 * count
    (second,) = struct.unpack_from(order + "I", tiff, pointer)
    if not second:
        return None
    (count,) = struct.unpack_from(order + "H", tiff, second)
    rows = (struct.unpack_from(order + "HHII", tiff, second + 2 + 12 * index) for index in range(count))
    places = {tag: value for tag, _, _, value in rows}
    if JPEG_OFFSET not in places and STRIPS not in places:
        return None
    return _Thumbnail(order, pointer, places.get(JPEG_OFFSET, -1))
