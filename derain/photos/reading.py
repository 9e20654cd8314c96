"""A photo with everything that its file holds: depth, grey or colour, alpha, inks, orientation, metadata."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from derain.errors import PhotoError, reason
from derain.files.writing import read_file, write_bytes
from derain.photos import coded, deep, heif, items, png, webp
from derain.photos.extent import SparseError, check_extent
from derain.photos.jpeg_end import with_end
from derain.photos.names import format_of
from derain.photos.opening import open_picture
from derain.photos.tiff import without_structure

Photo = NDArray[np.uint8]
Pixels = NDArray[Any]  # uint8 or uint16
MAX_MEGAPIXELS = 500.0
WHITE = 65535
ORIENTATION, RESOLUTION = 274, 282  # TIFF and EXIF tags
REDUCED, BITS, LIGHT, FURTHER, EXTRA, SAMPLES, RAW = 254, 258, 262, 330, 338, 339, 50706
IS_REDUCED, IS_MASK = 1, 4  # bits of the first of them
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
EXIF = b"Exif\0\0"


@dataclass(frozen=True)
class Original:
    """A decoded photo; all arrays stand upright, as a viewer shows them."""

    pixels: Pixels  # (H, W, 3) RGB, uint8 or uint16; grey and inks are turned into RGB
    format: str  # Pillow's name of the file's format
    alpha: Pixels | None = None  # (H, W), of the pixels' depth
    grey: bool = False
    inks: Photo | None = None  # (H, W, 4) CMYK, of which the pixels are a plain conversion
    orientation: int = 1  # EXIF's: how the file is to be turned; written back as it was
    content: bytes = field(default=b"", repr=False)  # the file itself
    options: dict[str, Any] = field(default_factory=dict)  # how the file was written, for Pillow's save
    left_out: tuple[str, ...] = ()  # what else the file holds and no result will, in a few words each

    @property
    def deep(self) -> bool:
        return self.pixels.dtype == np.uint16


def read_original(path: Path, max_megapixels: float = MAX_MEGAPIXELS, patient: bool = False) -> Original:
    """A photo from a file.

    Args:
        patient: whether to decode one of hundreds of megapixels in a few kilobytes, too.

    Raises:
        SparseError: it is such a file.
        PhotoError: the file is missing, is no photo, is damaged, is too large, or holds more than one picture.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such file") from None
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror or error})") from None
    return decode(content, str(path), max_megapixels, patient)


def decode(
    content: bytes, name: str = "the photo", max_megapixels: float = MAX_MEGAPIXELS, patient: bool = True
) -> Original:
    """A photo from the bytes of its file; ``name`` is for messages.

    Raises:
        PhotoError: as :func:`read_original`.
    """
    try:
        if content.startswith(b"RIFF"):
            _check_size(*webp.size(content), max_megapixels)
        readable = png.to_read(content) if content.startswith(png.SIGNATURE) else content
        with open_picture(readable) as image:
            _check_size(image.width, image.height, max_megapixels)
            check_extent(image, content, patient)
        with open_picture(with_end(content) if image.format == "JPEG" else readable) as image:
            left_out = _choose_page(image)
            return replace(_from_image(image, content), left_out=left_out)
    except UnidentifiedImageError:
        hint = "; derain video takes GIFs" if content.startswith(b"GIF8") else ""
        raise PhotoError(f"{name}: not a photo that derain can read{hint}") from None
    except SparseError as error:
        raise SparseError(error.what, name) from None
    except PhotoError as error:
        raise PhotoError(f"{name}: {error}") from None
    except Exception as error:  # decoders raise anything on damaged files
        raise PhotoError(f"{name}: cannot be read ({reason(error)})") from None


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise PhotoError(f"{megapixels:.1f} megapixels; `max_megapixels` {math.ceil(megapixels)} allows that")


def _choose_page(image: ImageFile) -> tuple[str, ...]:
    """Turn to the one page of a file that is a photo, and say what the others are.

    Raises:
        PhotoError: there are several photos.
    """
    count = getattr(image, "n_frames", 1)
    pages = {}
    for index in range(count if image.format == "TIFF" and count > 1 else 0):
        image.seek(index)
        pages[index] = int(image.tag_v2.get(REDUCED, 0))  # type: ignore[attr-defined]
    photos = [index for index, kind in pages.items() if not kind & (IS_REDUCED | IS_MASK)]
    if image.format == "HEIF":  # the picture that is shown stands open; the others are kept
        return ()
    if count > 1 and len(photos) != 1:
        raise PhotoError("animated and multi-page files are not supported; save one picture of it")
    if not pages:
        return ()
    image.seek(photos[0])
    others = [kind for index, kind in pages.items() if index != photos[0]]
    named = {"its reduced copy": IS_REDUCED, "its page with a mask": IS_MASK}
    return tuple(name for name, bit in named.items() if any(kind & bit for kind in others))


def _from_image(image: ImageFile, content: bytes) -> Original:
    file_format = image.format or ""
    tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if RAW in tags or (tags.get(REDUCED, 0) & 1 and FURTHER in tags):
        raise PhotoError("is a camera's raw file; develop it first")
    is_deep = _is_deep(image, content)
    if file_format != "TIFF":  # Pillow turns a TIFF upright as it loads it, and then drops the tag
        image.load()
    orientation = 1 if file_format == "HEIF" else _orientation(image)
    found = Original(np.empty(0), file_format, orientation=orientation, content=content, options=_options(image))
    if is_deep and file_format in ("AVIF", "HEIF"):
        return _deep_heif(found, image)
    if is_deep:
        return _deep(found, tags)
    turn = upright(1 if file_format == "TIFF" else orientation)
    image.load()
    mode = image.mode
    if mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > WHITE:
            raise PhotoError("has more than 16 bits; save it with 16")
        values = values.astype(np.uint16)
        key = image.info.get("transparency")
        if tags.get(LIGHT) == 0:  # white is 0
            values = WHITE - values
        alpha = None if key is None else turn(np.where(values == key, 0, WHITE).astype(np.uint16))
        return replace(found, pixels=turn(as_rgb(values)), grey=True, alpha=alpha)
    if mode == "F":
        raise PhotoError("holds floating-point values; save it with 8 or 16 bits")
    if mode == "CMYK":
        inks = np.asarray(image)
        return replace(found, pixels=turn(np.asarray(image.convert("RGB"))), inks=turn(inks))
    transparent = mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
    grey = mode in ("1", "L", "LA", "La")
    plain = image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB"))
    channels = np.asarray(plain)
    alpha = turn(channels[..., -1]) if transparent else None
    colours = channels[..., :-1] if transparent else channels
    return replace(
        found, pixels=turn(as_rgb(colours[..., 0] if grey and transparent else colours)), alpha=alpha, grey=grey
    )


def _orientation(image: ImageFile) -> int:
    """EXIF's; 1 where it says nothing that can be understood, as the picture is there all the same."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # damaged EXIF raises anything
        return 1
    return int(orientation) if orientation and orientation in range(1, 9) else 1


def _is_deep(image: ImageFile, content: bytes) -> bool:
    """Whether these are 16-bit colours, or grey with alpha, which Pillow would cut to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    if image.format == "PNG":
        return content[24] == 16
    if image.format in ("AVIF", "HEIF"):
        return heif.bits(content) > 8
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 16 in image.tag_v2.get(258, ())
    return False


def _deep(found: Original, tags: Any) -> Original:
    turn = upright(found.orientation)
    if found.format == "PNG":
        values = deep.read_png(found.content)
    elif tags.get(LIGHT) in (0, 1, 2) and set(tags.get(SAMPLES, (1,))) == {1} and set(tags[BITS]) == {16}:
        values = deep.read_tiff(found.content, tags)
    else:
        raise PhotoError("its 16-bit colours cannot be read; save it as PNG or as plain TIFF")
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


def _deep_heif(found: Original, image: ImageFile) -> Original:
    """More than 8 bits of HEIC and AVIF; of AVIF, Pillow has decoded the alpha."""
    turn = upright(found.orientation)
    if found.format == "HEIF":
        values = np.atleast_3d(coded.read_hevc(found.content, heif.bits(found.content)))
        alpha = values[..., -1] if values.shape[2] in (2, 4) else None
        colours = values[..., : 1 if values.shape[2] < 3 else 3]
        return replace(found, pixels=as_rgb(colours), alpha=alpha, grey=colours.shape[2] == 1)
    stored = coded.read_av1(items.read(found.content))
    alpha = np.asarray(image.getchannel("A"), np.uint16) * 257 if "A" in image.getbands() else None
    return replace(found, pixels=turn(stored), alpha=None if alpha is None else turn(alpha))


def as_rgb(values: Pixels) -> Pixels:
    """Three channels, of one repeated where the values are grey."""
    values = values[..., None] if values.ndim == 2 else values
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def upright(orientation: int) -> Callable[[Pixels], Pixels]:
    """How an array with this EXIF orientation is turned for viewing."""
    return {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }.get(orientation, lambda a: a)


def as_stored(orientation: int) -> Callable[[Pixels], Pixels]:
    """The inverse of :func:`upright`."""
    return upright({6: 8, 8: 6}.get(orientation, orientation))


def _options(image: ImageFile) -> dict[str, Any]:
    """Metadata and encoding, under the names that Pillow's ``save`` takes."""
    kept = {name: image.info.get(name) for name in ("exif", "icc_profile", "dpi", "xmp")}
    options = {name: value for name, value in kept.items() if value}
    if not all(0 < value < float("inf") for value in options.get("dpi", ())):
        del options["dpi"]
    if "exif" in options and not options["exif"].startswith(EXIF):
        options["exif"] = EXIF + options["exif"]  # WebP has it without
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        options["qtables"] = image.quantization
        options["progressive"] = bool(image.info.get("progressive"))
        sampling = JpegImagePlugin.get_sampling(image)
        options["subsampling"] = sampling if sampling >= 0 else 0
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        options["directory"] = image.tag_v2.offset
        options["compression"] = image.info.get("compression")
        options["exif"] = without_structure(image.getexif()).tobytes()
        if RESOLUTION not in image.getexif():  # Pillow makes one up
            options.pop("dpi", None)
    return options


def read_photo(path: Path) -> Photo:
    """An upright ``(H, W, 3)`` RGB photo in 8 bits.

    Raises:
        PhotoError: as :func:`read_original`.
    """
    return np.ascontiguousarray(to_8_bit(read_original(path).pixels))


def to_8_bit(pixels: Pixels) -> Photo:
    """The nearest 8-bit values of 16-bit ones; 8-bit ones as they are."""
    return (pixels / 257 + 0.5).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def write_photo(path: Path, photo: Photo) -> None:
    """Write a new ``(H, W, 3)`` RGB picture in the format that the suffix names, whole or not at all.

    Raises:
        PhotoError: the format is unknown, or the folder cannot be written.
    """
    from derain.photos.writing import encode

    write_bytes(path, encode(Original(photo, ""), photo, format_of(path)))
