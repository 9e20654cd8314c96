"""A photo with everything that its file holds: depth, grey or colour, alpha, inks, orientation, metadata."""

import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from derain.errors import PhotoError, reason
from derain.files import write_bytes
from derain.photos.files import format_of
from derain.photos.tiff import without_structure

Photo = NDArray[np.uint8]
Pixels = NDArray[Any]  # uint8 or uint16
MAX_MEGAPIXELS = 500.0
ORIENTATION, RESOLUTION = 274, 282  # TIFF and EXIF tags
REDUCED, LIGHT, PLANES, FURTHER, EXTRA, RAW = 254, 262, 284, 330, 338, 50706
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
EXIF = b"Exif\0\0"
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

warnings.filterwarnings("ignore", module="PIL")  # of damaged metadata; a damaged photo is an error
Image.MAX_IMAGE_PIXELS = None  # derain sets its own limit, before decoding


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

    @property
    def deep(self) -> bool:
        return self.pixels.dtype == np.uint16


def read_original(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Original:
    """A photo from a file.

    Raises:
        PhotoError: the file is missing, is no photo, is damaged, is too large, or holds more than one picture.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such file") from None
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror or error})") from None
    return decode(content, str(path), max_megapixels)


def decode(content: bytes, name: str = "the photo", max_megapixels: float = MAX_MEGAPIXELS) -> Original:
    """A photo from the bytes of its file; ``name`` is for messages.

    Raises:
        PhotoError: as :func:`read_original`.
    """
    _allow_heif(content, name)
    try:
        with Image.open(io.BytesIO(content)) as image:
            megapixels = image.width * image.height / 1e6
            if megapixels > max_megapixels:
                raise PhotoError(
                    f"{name}: {megapixels:.1f} megapixels; --max-megapixels {math.ceil(megapixels)} allows that"
                )
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise PhotoError(f"{name}: animated and multi-page files are not supported; save one picture of it")
            return _from_image(image, content, name)
    except UnidentifiedImageError:
        raise PhotoError(f"{name}: not a photo that derain can read") from None
    except PhotoError:
        raise
    except Exception as error:  # decoders raise anything on damaged files
        raise PhotoError(f"{name}: cannot be read ({reason(error)})") from None


def _from_image(image: Image.Image, content: bytes, name: str) -> Original:
    file_format = "JPEG" if image.format == "MPO" else image.format or ""
    tags: Any = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if RAW in tags or (tags.get(REDUCED, 0) & 1 and FURTHER in tags):
        raise PhotoError(f"{name}: is a camera's raw file; develop it first")
    deep = _is_deep(image, content)
    if file_format != "TIFF":  # Pillow and OpenCV turn a TIFF upright as they load it, and Pillow then drops the tag
        image.load()
    orientation = image.getexif().get(ORIENTATION, 1) or 1
    orientation = orientation if orientation in range(1, 9) and file_format != "HEIF" else 1
    turn = upright(1 if file_format == "TIFF" else orientation)
    found = Original(np.empty(0), file_format, orientation=orientation, content=content, options=_options(image))
    image.load()
    if deep:
        return _deep(found, turn, name, tags)
    mode = image.mode
    if mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise PhotoError(f"{name}: has more than 16 bits; save it with 16")
        if tags.get(LIGHT) == 0:  # white is 0
            values = 65535 - values
        return replace(found, pixels=turn(as_rgb(values.astype(np.uint16))), grey=True)
    if mode == "F":
        raise PhotoError(f"{name}: holds floating-point values; save it with 8 or 16 bits")
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


def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Whether these are 16-bit colours, which Pillow would cut to 8."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    if image.format == "PNG":
        return content[24] == 16
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 16 in image.tag_v2.get(258, ())
    return False


def _deep(found: Original, turn: Callable[[Pixels], Pixels], name: str, tags: Any) -> Original:
    if tags.get(PLANES) == 2:
        raise PhotoError(f"{name}: keeps its 16-bit channels apart; save it interleaved")
    stored = cv2.imdecode(np.frombuffer(found.content, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise PhotoError(f"{name}: its 16-bit colours cannot be read; save it as PNG or as plain TIFF")
    values = np.asarray(stored)
    if values.ndim == 2 or values.shape[2] == 1:
        return replace(found, pixels=turn(as_rgb(values.reshape(values.shape[:2]))), grey=True)
    further = tags.get(EXTRA, (UNASSOCIATED,))[0]  # of a TIFF: what its fourth channel is
    alpha = turn(values[..., 3]) if values.shape[2] == 4 and further != UNSPECIFIED else None
    colours = turn(np.ascontiguousarray(values[..., 2::-1]))
    if alpha is not None and further == ASSOCIATED:
        colours = np.minimum(colours * (65535.0 / np.maximum(alpha, 1)[..., None]), 65535).astype(np.uint16)
    grey = alpha is not None and found.format == "PNG" and found.content[25] == 4  # PNG's grey with alpha
    return replace(found, pixels=colours, alpha=alpha, grey=grey)


def as_rgb(values: Pixels) -> Pixels:
    """Three channels, of one repeated where the values are grey."""
    return np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values


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


def _options(image: Image.Image) -> dict[str, Any]:
    """Metadata and encoding, under the names that Pillow's ``save`` takes."""
    kept = {name: image.info.get(name) for name in ("exif", "icc_profile", "dpi", "xmp", "comment")}
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
    if image.format == "TIFF":
        options["compression"] = image.info.get("compression")
        options["exif"] = without_structure(image.getexif()).tobytes()
        if RESOLUTION not in image.getexif():  # Pillow makes one up
            options.pop("dpi", None)
    return options


def _allow_heif(content: bytes, name: str) -> None:
    if content[4:8] != b"ftyp" or content[8:12] not in HEIF_BRANDS:
        return
    try:
        register_heif()
    except PhotoError as error:
        raise PhotoError(f"{name}: {error}") from None


def register_heif() -> None:
    """Teach Pillow HEIC.

    Raises:
        PhotoError: the extra for it is not there.
    """
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError("HEIC needs an extra; pip install 'derain[heic]'") from None
    pillow_heif.register_heif_opener()


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
    from derain.photos.encode import encode

    write_bytes(path, encode(Original(photo, ""), photo, format_of(path)))
