"""A photo's new pixels in its old file's form."""

import io
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from derain.errors import PhotoError, reason
from derain.photos import heif, jpeg, png, tiff, webp
from derain.photos.opening import heif_library
from derain.photos.previews import LEFT_OUT, Previews, has_thumbnail
from derain.photos.reading import Original, Pixels, as_stored, to_8_bit

QUALITY = 95  # of lossy formats, where the source's own tables cannot be kept
HOLDS_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF", "HEIF"}
HOLDS_DEPTH = {"PNG", "TIFF"}
COLOURS_BY_CODES = {"AVIF", "HEIF"}
HOLDS_EXIF = {"JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"}
HOLDS_INKS = {"JPEG", "TIFF"}
PREDICTOR, XMP = 317, 700  # TIFF tags
PNG_XMP = "XML:com.adobe.xmp"
DEFLATE = "tiff_adobe_deflate"  # of TIFF, where the source has no lossless compression of its own
LONGEST_XMP = 65_502  # bytes that a JPEG's segment holds
NOT_OF_COLOURS = {"jpeg", "tiff_jpeg", "group3", "group4", "tiff_ccitt", "tiff_raw_16"}  # lossy, or of black and white
METADATA = ("exif", "icc_profile", "dpi", "xmp")
NAMES = {"exif": "EXIF", "icc_profile": "ICC profile", "xmp": "XMP"}  # of what BMP does not hold


@dataclass(frozen=True)
class Encoded:
    """A photo's file, and in a sentence each what it could not keep."""

    content: bytes = field(repr=False)
    notes: tuple[str, ...] = ()


def encode(original: Original, pixels: Pixels, to: str | None = None, quality: int | None = None) -> bytes:
    """The file that :func:`encode_with_notes` makes."""
    return encode_with_notes(original, pixels, to, quality).content


def encode_with_notes(original: Original, pixels: Pixels, to: str | None = None, quality: int | None = None) -> Encoded:
    """The file of ``original`` with other pixels: alpha, orientation, metadata and encoding are the original's.

    Args:
        pixels: upright ``(H, W, 3)`` RGB of the original's size and depth.
        to: Pillow's name of another format; what it cannot hold is an error for alpha, and 16 bits become 8.
        quality: 1 to 100 for lossy formats, instead of the source's.

    Raises:
        PhotoError: the format cannot hold the photo.
    """
    to = to or original.format
    if original.alpha is not None and to not in HOLDS_ALPHA:
        raise PhotoError(f"{to} cannot hold transparency; choose PNG, WebP, TIFF or AVIF")
    if not holds_colours(original, to):
        raise PhotoError(f"{to} cannot hold its colours, which only HEIC and AVIF name so; leave out `format`")
    previews = Previews(original.pixels, pixels, as_stored(original.orientation))
    if to == "BMP" and (lost := [NAMES[name] for name in NAMES if name in original.options]):
        previews.say(f"{', '.join(lost)} left out: BMP holds none")
    if to != original.format and _holds_more(original):
        previews.say(f"what only {original.format} holds of it, such as comments or further pictures, is left out")
    content = _encoded(original, pixels, to, quality, previews)
    return Encoded(content, (*(f"{what} is left out" for what in original.left_out), *previews.notes))


def _encoded(original: Original, pixels: Pixels, to: str, quality: int | None, previews: Previews) -> bytes:
    if to == original.format and to in COLOURS_BY_CODES:
        try:
            return heif.with_picture(original.content, pixels, quality or QUALITY, previews)
        except PhotoError:
            previews.say(
                "what its file holds beside picture, EXIF, XMP and profile is left out, as derain cannot read it"
            )
    channels = _channels(original, pixels, to)
    options = _options(original, to, quality, previews)
    if to == original.format == "PNG":
        return png.with_metadata_of(_plain_png(channels), original.content, previews)
    if channels.dtype == np.uint16 and channels.ndim == 3:
        if to == "TIFF":
            return _with_exif(_deep_tiff(channels, options), original, previews)
        return png.with_metadata_of(_deep_png(channels), _save(np.zeros((1, 1, 3), np.uint8), "PNG", options), previews)
    content = _save(channels, to, options, "CMYK" if original.inks is not None and to in HOLDS_INKS else None)
    if to in COLOURS_BY_CODES and original.format in COLOURS_BY_CODES and "icc_profile" not in options:
        return heif.with_colours_of(content, original.content)
    if to == "TIFF":
        return _with_exif(content, original, previews)
    if to == original.format == "JPEG":
        content = jpeg.with_further_segments_of(content, original.content, previews)
        return jpeg.with_further_pictures_of(content, original.content, previews)
    if to == original.format == "WEBP":
        return webp.with_further_chunks_of(content, original.content)
    return content


def _holds_more(original: Original) -> bool:
    """Whether the file holds what no other format takes."""
    holds = {"JPEG": jpeg.holds_more, "PNG": png.holds_texts, "WEBP": webp.holds_more}
    holds |= dict.fromkeys(COLOURS_BY_CODES, heif.holds_more)
    return original.format in holds and holds[original.format](original.content)


def _channels(original: Original, pixels: Pixels, to: str) -> Pixels:
    """``(H, W)`` or ``(H, W, C)`` as the file is to store them."""
    turn, alpha = as_stored(original.orientation if to in HOLDS_EXIF else 1), original.alpha
    if original.inks is not None and to in HOLDS_INKS:
        inks = original.inks.copy()  # rain is light: taking it away adds ink
        darker = np.maximum(original.pixels.astype(int) - pixels, 0)
        under_black = np.maximum(255 - inks[..., 3:].astype(int), 1)  # where ink tells less the more black there is
        inks[..., :3] = np.minimum(original.inks[..., :3] + darker * 255 // under_black, 255)
        return np.ascontiguousarray(turn(inks))
    if pixels.dtype == np.uint16 and to not in HOLDS_DEPTH:
        pixels, alpha = to_8_bit(pixels), None if alpha is None else to_8_bit(alpha)
    colours = _mean(pixels) if original.grey else pixels
    channels: Pixels = turn(colours if alpha is None else np.dstack([colours, alpha]))
    return np.ascontiguousarray(channels if channels.shape[-1] != 1 else channels[..., 0])


def holds_colours(original: Original, to: str) -> bool:
    """Whether the format can say what the colours mean: wide ones of HEIC and AVIF need not have a profile."""
    if to in COLOURS_BY_CODES or original.format not in COLOURS_BY_CODES or "icc_profile" in original.options:
        return True
    return heif.are_plain(heif.colours(original.content))


def _options(original: Original, to: str, quality: int | None, previews: Previews) -> dict[str, Any]:
    same = original.format == to
    options = {name: original.options[name] for name in METADATA if name in original.options}
    if original.inks is not None and to not in HOLDS_INKS:
        options.pop("icc_profile", None)  # it describes inks
    if original.format == "TIFF" and to != "TIFF" and "exif" in options:
        options["exif"] = tiff.without_its_own(options["exif"])
    if "exif" in options and to in HOLDS_EXIF and to != "TIFF":  # which takes the tags and no thumbnail
        options["exif"] = previews.in_exif(options["exif"])
    elif to == "TIFF" and "exif" in options and has_thumbnail(options["exif"]):
        previews.say(LEFT_OUT)
    if "xmp" in options:
        options["xmp"] = previews.in_xmp(options["xmp"])
    if to == "JPEG" and len(options.get("xmp", b"")) > LONGEST_XMP:
        del options["xmp"]
        previews.say("its XMP is left out, which is longer than a JPEG holds")
    if to == "JPEG":
        if same and quality is None:
            tables = ("qtables", "subsampling", "progressive")
            options |= {name: original.options[name] for name in tables if name in original.options}
        else:
            options |= {"quality": quality or QUALITY, "subsampling": 0 if quality is None else -1}
    elif to == "WEBP":
        lossless = webp.is_lossless(original.content) if same else original.format in ("PNG", "BMP", "TIFF")
        options |= (
            {"lossless": True, "exact": True} if lossless and quality is None else {"quality": quality or QUALITY}
        )
    elif to in ("AVIF", "HEIF"):
        options |= {"quality": quality or QUALITY}
    elif to == "PNG" and "xmp" in options:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(PNG_XMP, options["xmp"].decode(errors="replace"))
    elif to == "TIFF":
        compression = original.options.get("compression") if same else DEFLATE
        if compression in NOT_OF_COLOURS:
            compression = DEFLATE
        options["compression"] = None if compression == "raw" else compression
        options["tiffinfo"] = {XMP: options["xmp"]} if "xmp" in options else {}
        if compression in ("tiff_lzw", "tiff_deflate", DEFLATE):
            options["tiffinfo"][PREDICTOR] = 2  # differences of neighbours: photos halve in size
        options.pop("exif", None)
    return options


def _with_exif(content: bytes, original: Original, previews: Previews) -> bytes:
    exif = original.options.get("exif")
    if original.format == "TIFF":
        with suppress(struct.error, KeyError, IndexError):
            return tiff.with_tags_of(content, original.content, original.options["directory"], previews)
    return tiff.with_exif(content, exif, previews) if exif else content


def _plain_png(channels: Pixels) -> bytes:
    return _deep_png(channels) if channels.dtype == np.uint16 else _save(channels, "PNG", {})


def _save(channels: Pixels, to: str, options: dict[str, Any], mode: str | None = None) -> bytes:
    height, width = channels.shape[:2]
    image = Image.frombytes(mode, (width, height), channels.tobytes()) if mode else Image.fromarray(channels)
    content = io.BytesIO()
    try:
        if to == "HEIF":
            _save_heif(image, content, options)
        else:
            image.save(content, format=to, **options)
    except PhotoError:
        raise
    except Exception as error:  # encoders raise anything on what their format cannot hold
        raise PhotoError(f"cannot be written as {to} ({reason(error)})") from None
    return content.getvalue()


def _save_heif(image: Image.Image, file: io.BytesIO, options: dict[str, Any]) -> None:
    if "icc_profile" in options:
        image.info["icc_profile"] = options["icc_profile"]
    heif_library().from_pillow(image).save(
        file, **{k: v for k, v in options.items() if k in ("exif", "xmp", "quality")}
    )


def _mean(pixels: Pixels) -> Pixels:
    """One channel, ``(H, W, 1)``."""
    return (pixels.mean(axis=2, keepdims=True) + 0.5).astype(pixels.dtype)


def _deep_png(channels: Pixels) -> bytes:
    if channels.ndim == 3 and channels.shape[2] == 2:
        return png.of_grey_and_alpha(channels)
    swapped = channels[..., [2, 1, 0, 3][: channels.shape[2]]] if channels.ndim == 3 else channels
    return cv2.imencode(".png", swapped)[1].tobytes()


def _deep_tiff(channels: Pixels, options: dict[str, Any]) -> bytes:
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
