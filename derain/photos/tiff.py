"""TIFF: one photo among its pages, of 8 or 16 bits."""

import math
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL.ImageFile import ImageFile

from derain.errors import PhotoError
from derain.photos import tiff_tags
from derain.photos.captions import Captions
from derain.photos.codec import ORIENTATION, SIMPLER, Codec, NewPhoto, fewer_bits, has_bytes, read_plain, with_channels
from derain.photos.original import CUT, WHITE, Original, upright
from derain.photos.previews import LEFT_OUT, has_thumbnail
from derain.photos.raw import WHAT
from derain.photos.tiff_strips import (
    BITS,
    CHANNELS_A_PIXEL,
    COMPRESSION,
    COMPRESSIONS,
    DIFFERENCES,
    EXTRA,
    LIGHT,
    PREDICTOR,
    UNASSOCIATED,
    TiffPicture,
    is_cut,
    packed,
    rare_values,
    read_strips,
    tags_of_packed,
    unread_compression,
)

LARGE = b"II+\0", b"MM\0+"
SIGNATURES = (b"II*\0", b"MM\0*", *LARGE)
REDUCED, RESOLUTION, FURTHER, SAMPLES, XMP, RAW = 254, 282, 330, 339, 700, 50706  # tags
SIGNED = 2  # a format of samples
IS_REDUCED, IS_MASK = 1, 4  # bits of the first of them
UNSPECIFIED, ASSOCIATED = 0, 1
UNPACKED_DEFLATE = 1032  # bytes that one byte becomes at the most
BYTES_A_BYTE = {1: 1, 5: 2731, 8: UNPACKED_DEFLATE, 32946: UNPACKED_DEFLATE, 32773: 64}  # by compression
DEFLATE = "tiff_adobe_deflate"  # where the source has no lossless compression of its own
DIFFERING = {"tiff_lzw", "tiff_deflate", DEFLATE, "lzma", "zstd"}  # halve photos by differences of neighbours
KEPT = {"raw", "packbits", *DIFFERING}  # all others are lossy, of black and white, or past


class Tiff(Codec):
    opener = TiffPicture

    def least_bytes(self, image: ImageFile, content: bytes) -> float:
        tags = tags_of(image)
        ratio = BYTES_A_BYTE.get(tags.get(COMPRESSION, 1), math.inf)
        bits = tags.get(BITS, (1,))[0] * tags.get(CHANNELS_A_PIXEL, 1)
        return image.height * math.ceil(image.width * bits / 8) / ratio

    def choose_page(self, image: ImageFile) -> tuple[str, ...]:
        others = _pages(image).left_out
        tags = tags_of(image)
        if RAW in tags or (tags.get(REDUCED, 0) & IS_REDUCED and FURTHER in tags):
            raise PhotoError(WHAT)
        return others

    def read(self, image: ImageFile, content: bytes) -> Original:
        tags = tags_of(image)
        try:
            return self._read(image, content, tags)
        except OSError:
            if is_cut(content, tags):
                raise PhotoError(CUT) from None
            if (compression := tags.get(COMPRESSION)) not in COMPRESSIONS:
                raise
            raise PhotoError(unread_compression(compression)) from None

    def _read(self, image: ImageFile, content: bytes, tags: Any) -> Original:
        orientation, options = self.orientation(image), self.kept(image)
        with suppress(struct.error, KeyError, IndexError):
            options["exif"] = tiff_tags.with_first_description(options["exif"], content, options["directory"])
        found = Original(np.empty(0), "TIFF", orientation=orientation, content=content, options=options)
        if has_bytes(image) and 16 in tags.get(BITS, ()):
            found = _read_deep(found, tags)
        else:
            image.load()  # which turns it upright, and then drops the tag
            if SIGNED in tags.get(SAMPLES, ()) and _holds_negative(image):
                raise PhotoError(f"holds {rare_values(tags)}, which derain does not read; {SIMPLER}")
            found = read_plain(found, image, upright(1), inverted=tags.get(LIGHT) == 0)
        return found if found.alpha is not None else _with_mask(found, image)

    def changes(self, image: ImageFile, content: bytes) -> tuple[str, ...]:
        tags = tags_of(image)
        if image.mode == "LAB":
            return ("its Lab colours became RGB",)
        if SIGNED in tags.get(SAMPLES, ()):
            return ("its signed numbers became unsigned",)
        is_grey = tags.get(LIGHT) in (0, 1)
        return fewer_bits(min(tags.get(BITS, (1,)))) if is_grey else super().changes(image, content)

    def kept(self, image: ImageFile) -> dict[str, Any]:
        tags = image.getexif()
        options = super().kept(image) | {
            "directory": tags_of(image).offset,
            "compression": image.info.get("compression"),
            "exif": tiff_tags.without_structure(tags).tobytes(),
        }
        if RESOLUTION not in tags:  # Pillow makes one up
            options.pop("dpi", None)
        return options

    def further(self, original: Original) -> list[str]:
        with suppress(struct.error, KeyError, IndexError):
            return tiff_tags.further(original.content, original.options["directory"])
        return []

    def captions(self, original: Original) -> Captions:
        with suppress(struct.error, KeyError, IndexError):
            return Captions(tiff_tags.iptc_of(original.content, original.options["directory"]))
        return Captions()

    def exif_for_others(self, exif: bytes) -> bytes:
        return tiff_tags.without_its_own(exif)

    def renewed_exif(self, exif: bytes, new: NewPhoto) -> bytes:
        if has_thumbnail(exif):  # a directory of tags takes none
            new.previews.say(LEFT_OUT)
        return exif

    def options(self, new: NewPhoto) -> dict[str, Any]:
        options = self.metadata(new)
        compression = new.original.options.get("compression") if new.same else DEFLATE
        if compression not in KEPT:
            new.previews.say(f"is compressed with Deflate instead of {compression}")
            compression = DEFLATE
        options["compression"] = None if compression == "raw" else compression
        options["tiffinfo"] = {XMP: options["xmp"]} if "xmp" in options else {}
        if iptc := options.pop("iptc", b""):
            options["tiffinfo"][tiff_tags.IPTC] = iptc
        if compression in DIFFERING:
            options["tiffinfo"][PREDICTOR] = DIFFERENCES
        options.pop("exif", None)
        return options

    def write(self, new: NewPhoto) -> bytes:
        channels, options = new.channels(), self.options(new)
        if new.same and new.original.content.startswith(LARGE):
            new.previews.say("became a classic TIFF instead of a BigTIFF")
        if "mask" in new.original.options and new.same:
            new.previews.say("its page with a mask has become an alpha channel")
        if channels.dtype == np.uint8:
            return _with_tags(self.save(new, channels, options), new)
        predicted = options["tiffinfo"].pop(PREDICTOR, None) == DIFFERENCES
        content = self.save(new, packed(channels, predicted), options)
        return _with_tags(tiff_tags.with_changed(content, tags_of_packed(channels, predicted)), new)


def _holds_negative(image: ImageFile) -> bool:
    """Whether an image of signed numbers has some below 0, which Pillow takes for large ones if they have 8 bits."""
    values = np.asarray(image)
    return bool((values.view(np.int8) if values.dtype == np.uint8 else values).min() < 0)


def tags_of(image: ImageFile) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Pages:
    photo: int
    mask: int | None  # of what is to be seen of the photo, of its size
    left_out: tuple[str, ...]


def _pages(image: ImageFile) -> _Pages:
    """The pages, of which the photo's is turned to.

    Raises:
        PhotoError: there are several photos.
    """
    kinds, sizes = {}, {}
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        kinds[index], sizes[index] = int(tags_of(image).get(REDUCED, 0)), image.size
    photos = [index for index, kind in kinds.items() if not kind & (IS_REDUCED | IS_MASK)] or list(kinds)
    if len(photos) != 1:
        raise PhotoError("has several pages; save the one that you want as a file of its own")
    image.seek(photos[0])
    masks = [i for i, kind in kinds.items() if kind == IS_MASK and sizes[i] == image.size and i != photos[0]]
    others = [kind for index, kind in kinds.items() if index not in (photos[0], *masks[:1])]
    named = {"its smaller copy": IS_REDUCED, "its page with a mask": IS_MASK}
    left_out = tuple(name for name, bit in named.items() if any(kind & bit for kind in others))
    return _Pages(photos[0], masks[0] if masks else None, left_out)


def _read_deep(found: Original, tags: Any) -> Original:
    if tags.get(LIGHT) not in (0, 1, 2) or set(tags.get(SAMPLES, (1,))) != {1} or set(tags[BITS]) != {16}:
        raise PhotoError("its 16-bit colours cannot be read; save it as PNG or as plain TIFF")
    values = read_strips(found.content, tags)
    colours = 1 if values.shape[2] < 3 else 3
    further = tags.get(EXTRA, (UNASSOCIATED,))[0]  # what the channel after the colours is
    pixels = values[..., :colours]
    if tags.get(LIGHT) == 0:  # white is 0
        pixels[...] = WHITE - pixels
    if values.shape[2] > colours and further == ASSOCIATED:
        alpha = np.maximum(values[..., colours, None], 1)
        pixels[...] = np.minimum(pixels * (float(WHITE) / alpha), WHITE)
    return with_channels(found, values, colours, has_alpha=further != UNSPECIFIED)


def _with_tags(content: bytes, new: NewPhoto) -> bytes:
    original = new.original
    exif = original.options.get("exif")
    if new.same:
        with suppress(struct.error, KeyError, IndexError):
            return tiff_tags.with_tags_of(content, original.content, original.options["directory"], new.previews)
    return tiff_tags.with_exif(content, exif, new.previews) if exif else content


def _with_mask(found: Original, image: ImageFile) -> Original:
    """The photo with the page that says what of it is to be seen as its alpha."""
    mask = _pages(image).mask
    if mask is None:
        return found
    image.seek(mask)
    turned = ORIENTATION in tags_of(image)
    white = np.iinfo(found.pixels.dtype).max
    seen = np.asarray(image.convert("1")).astype(found.pixels.dtype) * white
    return replace(
        found, alpha=seen if turned else upright(found.orientation)(seen), options=found.options | {"mask": True}
    )
