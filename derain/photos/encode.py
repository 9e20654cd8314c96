"""A photo's new pixels in its old file's form."""

import io
import struct
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from derain.errors import PhotoError, reason
from derain.photos import heif, jpeg, png, tiff
from derain.photos.opening import heif_library
from derain.photos.original import Original, Pixels, as_stored, to_8_bit

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


def encode(original: Original, pixels: Pixels, to: str | None = None, quality: int | None = None) -> bytes:
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
        raise PhotoError(f"{to} cannot hold its colours, which only HEIC and AVIF name so; leave out --format")
    turn, alpha = as_stored(original.orientation if to in HOLDS_EXIF else 1), original.alpha
    in_inks = original.inks is not None and to in HOLDS_INKS
    if original.inks is not None and in_inks:
        inks = original.inks.copy()  # rain is light: taking it away adds ink
        darker = np.maximum(original.pixels.astype(int) - pixels, 0)
        under_black = np.maximum(255 - inks[..., 3:].astype(int), 1)  # where ink tells less the more black there is
        inks[..., :3] = np.minimum(original.inks[..., :3] + darker * 255 // under_black, 255)
        channels: Pixels = turn(inks)
    else:
        if pixels.dtype == np.uint16 and to not in HOLDS_DEPTH:
            pixels, alpha = to_8_bit(pixels), None if alpha is None else to_8_bit(alpha)
        colours = _mean(pixels) if original.grey else pixels
        channels = turn(colours if alpha is None else np.dstack([colours, alpha]))
    channels = np.ascontiguousarray(channels if channels.shape[-1] != 1 else channels[..., 0])
    deep = channels.dtype == np.uint16
    options = _options(original, to, quality)
    if to == "PNG" and original.format == "PNG":
        plain = _deep_png(channels) if deep else _save(channels, "PNG", {})
        return png.with_metadata_of(plain, original.content)
    if deep and channels.ndim == 3:
        if to == "TIFF":
            return _with_exif(_deep_tiff(channels, options), original)
        return png.with_metadata_of(_deep_png(channels), _save(np.zeros((1, 1, 3), np.uint8), "PNG", options))
    content = _save(channels, to, options, "CMYK" if in_inks else None)
    if to in COLOURS_BY_CODES and original.format in COLOURS_BY_CODES and "icc_profile" not in options:
        return heif.with_colours_of(content, original.content)
    if to == "TIFF":
        return _with_exif(content, original)
    if to == original.format == "JPEG":
        content = jpeg.with_further_segments_of(content, original.content)
        return jpeg.with_further_pictures_of(content, original.content)
    return content


def holds_colours(original: Original, to: str) -> bool:
    """Whether the format can say what the colours mean: wide ones of HEIC and AVIF need not have a profile."""
    if to in COLOURS_BY_CODES or original.format not in COLOURS_BY_CODES or "icc_profile" in original.options:
        return True
    return heif.are_plain(heif.colours(original.content))


def _options(original: Original, to: str, quality: int | None) -> dict[str, Any]:
    same = original.format == to
    options = {name: original.options[name] for name in METADATA if name in original.options}
    if original.inks is not None and to not in HOLDS_INKS:
        options.pop("icc_profile", None)  # it describes inks
    if original.format == "TIFF" and to != "TIFF" and "exif" in options:
        options["exif"] = tiff.without_its_own(options["exif"])
    if to == "JPEG" and len(options.get("xmp", b"")) > LONGEST_XMP:
        del options["xmp"]
    if to == "JPEG":
        if same and quality is None:
            tables = ("qtables", "subsampling", "progressive", "comment")
            options |= {name: original.options[name] for name in tables if name in original.options}
        else:
            options |= {"quality": quality or QUALITY, "subsampling": 0 if quality is None else -1}
    elif to == "WEBP":
        lossless = is_lossless_webp(original.content) if same else original.format in ("PNG", "BMP", "TIFF")
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


def is_lossless_webp(content: bytes) -> bool:
    """Whether the image's own chunk of a WebP, which a profile may precede, is of the lossless kind."""
    place = 12
    while place + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, place)
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        place += 8 + size + size % 2
    return False


def _with_exif(content: bytes, original: Original) -> bytes:
    exif = original.options.get("exif")
    return tiff.with_exif(content, exif) if exif else content


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
