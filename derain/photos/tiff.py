"""TIFF: one photo among its pages, of 8 or 16 bits."""

import io
import math
import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from PIL.ImageFile import ImageFile

from derain.arrays import Pixels
from derain.errors import PhotoError
from derain.photos import tiff_tags
from derain.photos.codec import SEVERAL, Codec, NewPhoto, has_bytes, read_plain
from derain.photos.original import WHITE, Original, as_rgb, upright
from derain.photos.previews import LEFT_OUT, has_thumbnail
from derain.photos.tiff_strips import TiffPicture, read_strips

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RESOLUTION, PREDICTOR, XMP, COMPRESSION, CHANNELS = 282, 317, 700, 259, 277  # tags
REDUCED, BITS, LIGHT, FURTHER, EXTRA, SAMPLES, RAW = 254, 258, 262, 330, 338, 339, 50706
IS_REDUCED, IS_MASK = 1, 4  # bits of the first of them
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
UNPACKED_DEFLATE = 1032  # bytes that one byte becomes at the most
BYTES_A_BYTE = {1: 1, 5: 2731, 8: UNPACKED_DEFLATE, 32946: UNPACKED_DEFLATE, 32773: 64}  # by compression
DEFLATE = "tiff_adobe_deflate"  # where the source has no lossless compression of its own
NOT_OF_COLOURS = {"jpeg", "tiff_jpeg", "group3", "group4", "tiff_ccitt", "tiff_raw_16"}  # lossy, or of black and white


class Tiff(Codec):
    opener = TiffPicture

    def least_bytes(self, image: ImageFile, content: bytes) -> float:
        tags = tags_of(image)
        ratio = BYTES_A_BYTE.get(tags.get(COMPRESSION, 1), math.inf)
        bits = tags.get(BITS, (1,))[0] * tags.get(CHANNELS, 1)
        return image.height * math.ceil(image.width * bits / 8) / ratio

    def choose_page(self, image: ImageFile) -> tuple[str, ...]:
        others = _turn_to_photo(image)
        tags = tags_of(image)
        if RAW in tags or (tags.get(REDUCED, 0) & IS_REDUCED and FURTHER in tags):
            raise PhotoError("is a camera's raw file; develop it first")
        return others

    def read(self, image: ImageFile, content: bytes) -> Original:
        tags = tags_of(image)
        orientation, options = self.orientation(image), self.kept(image)
        found = Original(np.empty(0), "TIFF", orientation=orientation, content=content, options=options)
        if has_bytes(image) and 16 in tags.get(BITS, ()):
            return _read_deep(found, tags)
        image.load()  # which turns it upright, and then drops the tag
        return read_plain(found, image, upright(1), inverted=tags.get(LIGHT) == 0)

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

    def exif_for_others(self, exif: bytes) -> bytes:
        return tiff_tags.without_its_own(exif)

    def renewed_exif(self, exif: bytes, new: NewPhoto) -> bytes:
        if has_thumbnail(exif):  # a directory of tags takes none
            new.previews.say(LEFT_OUT)
        return exif

    def options(self, new: NewPhoto) -> dict[str, Any]:
        options = self.metadata(new)
        compression = new.original.options.get("compression") if new.same else DEFLATE
        if compression in NOT_OF_COLOURS:
            compression = DEFLATE
        options["compression"] = None if compression == "raw" else compression
        options["tiffinfo"] = {XMP: options["xmp"]} if "xmp" in options else {}
        if compression in ("tiff_lzw", "tiff_deflate", DEFLATE):
            options["tiffinfo"][PREDICTOR] = 2  # differences of neighbours: photos halve in size
        options.pop("exif", None)
        return options

    def write(self, new: NewPhoto) -> bytes:
        channels, options = new.channels(), self.options(new)
        deep = channels.dtype == np.uint16 and channels.ndim == 3
        return _with_tags(_deep(channels, options) if deep else self.save(new, channels, options), new)


def tags_of(image: ImageFile) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]


def _turn_to_photo(image: ImageFile) -> tuple[str, ...]:
    count = getattr(image, "n_frames", 1)
    if count == 1:
        return ()
    pages = {}
    for index in range(count):
        image.seek(index)
        pages[index] = int(tags_of(image).get(REDUCED, 0))
    photos = [index for index, kind in pages.items() if not kind & (IS_REDUCED | IS_MASK)]
    if len(photos) != 1:
        raise PhotoError(SEVERAL)
    image.seek(photos[0])
    others = [kind for index, kind in pages.items() if index != photos[0]]
    named = {"its reduced copy": IS_REDUCED, "its page with a mask": IS_MASK}
    return tuple(name for name, bit in named.items() if any(kind & bit for kind in others))


def _read_deep(found: Original, tags: Any) -> Original:
    turn = upright(found.orientation)
    if tags.get(LIGHT) not in (0, 1, 2) or set(tags.get(SAMPLES, (1,))) != {1} or set(tags[BITS]) != {16}:
        raise PhotoError("its 16-bit colours cannot be read; save it as PNG or as plain TIFF")
    values = read_strips(found.content, tags)
    colours = 1 if values.shape[2] < 3 else 3
    further = tags.get(EXTRA, (UNASSOCIATED,))[0]  # of a TIFF: what its further channel is
    alpha = values[..., colours] if values.shape[2] > colours and further != UNSPECIFIED else None
    pixels = values[..., :colours]
    if tags.get(LIGHT) == 0:  # white is 0
        pixels = WHITE - pixels
    if alpha is not None and further == ASSOCIATED:
        pixels = np.minimum(pixels * (float(WHITE) / np.maximum(alpha, 1)[..., None]), WHITE).astype(np.uint16)
    upright_alpha = None if alpha is None else turn(alpha)
    return replace(found, pixels=turn(as_rgb(pixels)), alpha=upright_alpha, grey=colours == 1)


def _with_tags(content: bytes, new: NewPhoto) -> bytes:
    original = new.original
    exif = original.options.get("exif")
    if new.same:
        with suppress(struct.error, KeyError, IndexError):
            return tiff_tags.with_tags_of(content, original.content, original.options["directory"], new.previews)
    return tiff_tags.with_exif(content, exif, new.previews) if exif else content


def _deep(channels: Pixels, options: dict[str, Any]) -> bytes:
    import tifffile

    content = io.BytesIO()
    tifffile.imwrite(
        content,
        channels,
        byteorder="<",
        photometric="rgb" if channels.shape[2] > 2 else "minisblack",
        planarconfig="contig",
        compression="zlib" if options.get("compression") else None,
        predictor=2 if options.get("compression") else None,
        extrasamples=["unassalpha"] if channels.shape[2] in (2, 4) else None,
        iccprofile=options.get("icc_profile"),
        resolution=options.get("dpi"),
        resolutionunit="INCH" if options.get("dpi") else None,
        metadata=None,
        software=False,
        extratags=[(XMP, "B", len(xmp), xmp, True)] if (xmp := options.get("xmp")) else (),
    )
    return content.getvalue()
