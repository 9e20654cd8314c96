"""The formats of photos. A new one is a row here and its codec."""

from pathlib import Path

from derain.errors import UsageError
from derain.extras import missing
from derain.photos import jpeg, png
from derain.photos.bmp import Bmp
from derain.photos.codec import METADATA, Format
from derain.photos.heif import AVIF_BRANDS, HEIF_BRANDS, Avif, Heif, brands
from derain.photos.tiff import SIGNATURES, Tiff
from derain.photos.webp import Webp, has_signature

BEGINNING = 4096  # bytes that tell a format
CAPTIONED = (*METADATA, "iptc", "comments")
WITHOUT_RESOLUTION = ("exif", "icc_profile", "xmp")  # other than in EXIF

TABLE = (
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        lambda content: content.startswith(jpeg.SIGNATURE),
        jpeg.Jpeg(),
        choices=("jpg", "jpeg"),
        holds=CAPTIONED,
        inks=True,
    ),
    Format(
        "PNG",
        (".png",),
        lambda content: content.startswith(png.SIGNATURE),
        png.Png(),
        choices=("png",),
        lossless=True,
        holds=CAPTIONED,
        alpha=True,
        deep=True,
    ),
    Format("WEBP", (".webp",), has_signature, Webp(), choices=("webp",), holds=WITHOUT_RESOLUTION, alpha=True),
    Format(
        "TIFF",
        (".tif", ".tiff"),
        lambda content: content.startswith(SIGNATURES),
        Tiff(),
        choices=("tiff",),
        lossless=True,
        holds=(*METADATA, "iptc"),
        alpha=True,
        deep=True,
        inks=True,
    ),
    Format(
        "BMP",
        (".bmp",),
        lambda content: content.startswith(b"BM"),
        Bmp(),
        choices=("bmp",),
        lossless=True,
        holds=("icc_profile", "dpi"),
        alpha=True,
    ),
    # before HEIF, whose brands it may have, too
    Format(
        "AVIF",
        (".avif",),
        lambda content: bool(AVIF_BRANDS & brands(content)),
        Avif(),
        choices=("avif",),
        holds=WITHOUT_RESOLUTION,
        alpha=True,
        codes=True,
    ),
    Format(
        "HEIF",
        (".heic", ".heif", ".hif"),
        lambda content: bool(HEIF_BRANDS & brands(content)),
        Heif(),
        choices=("heic",),
        extra="heic",
        holds=WITHOUT_RESOLUTION,
        alpha=True,
        codes=True,
    ),
)
BY_NAME = {row.name: row for row in TABLE}
CHOICES = {choice: row for row in TABLE for choice in row.choices}
WRITTEN = [choice for choice, row in CHOICES.items() if not (row.extra and missing(row.extra))]  # here
SPELLINGS = {suffix[1:]: row for row in TABLE for suffix in row.suffixes} | CHOICES
FORMATS = {suffix: row.name for row in TABLE for suffix in row.suffixes}  # suffix to Pillow's name


def begins_as_photo(path: Path) -> bool:
    """Whether a file on this machine begins as one of the formats does; not so if it cannot be read, as a pipe."""
    if not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return format_by_content(file.read(BEGINNING)) is not None
    except OSError:
        return False


def format_by_content(content: bytes) -> Format | None:
    """The format of a file, whatever its name says: no decoder sees bytes but that of their format."""
    return next((row for row in TABLE if row.has_signature(content)), None)


def format_asked_for(name: str) -> Format:
    """The format of this name, in any spelling.

    Raises:
        UsageError: there is none, or it needs an extra that is not installed.
    """
    found = SPELLINGS.get(name.lower())
    if found is None:
        raise UsageError(f"`format` {name}: choose one of {', '.join(CHOICES)}")
    if found.extra and (lack := missing(found.extra)):
        raise UsageError(f"`format` {name} {lack}")
    return found
