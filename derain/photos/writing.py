"""A photo's new pixels in its old file's form."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from derain.arrays import Pixels, check_pixels
from derain.bounds import Bounds
from derain.errors import PhotoError
from derain.files.places import place
from derain.files.writing import write_bytes
from derain.given import check
from derain.photos.codec import Format, NewPhoto
from derain.photos.described import COMMENT, in_exif
from derain.photos.formats import BY_NAME, TABLE
from derain.photos.names import format_of
from derain.photos.original import Original, as_stored
from derain.photos.previews import Previews
from derain.text import printable

NO_QUALITY = {row.name: f"its quality was not set because {row.name} loses nothing" for row in TABLE if row.lossless}
NAMES = {"exif": "EXIF", "icc_profile": "ICC profile", "xmp": "XMP", "iptc": "IPTC captions", "comments": "comments"}


@dataclass(frozen=True)
class Encoded:
    """A photo's file, and a sentence for each thing that it could not keep."""

    content: bytes = field(repr=False)
    notes: tuple[str, ...] = ()


def encode(original: Original, pixels: Pixels, to: str | None = None, quality: int | None = None) -> bytes:
    """The file that :func:`encode_with_notes` makes."""
    return encode_with_notes(original, pixels, to, quality).content


def encode_with_notes(original: Original, pixels: Pixels, to: str | None = None, quality: int | None = None) -> Encoded:
    """The file of ``original`` with other pixels: alpha, orientation, metadata and encoding are the original's.

    Args:
        pixels: upright ``(H, W, 3)`` RGB of the original's size and depth.
        to: Pillow's name of another format. If it cannot hold alpha, that is an error; 16 bits become 8.
        quality: 1 to 100 for lossy formats, instead of the source's.

    Raises:
        PhotoError: the format cannot hold the photo.
        UsageError: an argument that cannot be.
    """
    check("original", original, Original)
    check_pixels("pixels", pixels, "derain.restore() returns", like=original.pixels)
    check("to", to or original.format, str, Bounds(choices=BY_NAME))
    check("quality", quality, int | None, Bounds(1, 100))
    target, source = BY_NAME[to or original.format], BY_NAME.get(original.format)
    if original.alpha is not None and not target.alpha:
        raise PhotoError(f"{target.name} cannot hold transparency; choose PNG, WebP, TIFF or AVIF")
    if not holds_colours(original, target):
        raise PhotoError(f"{target.name} cannot describe its colours as HEIC and AVIF do; leave out `format`")
    turn = as_stored(original.orientation if "exif" in target.holds else 1)
    previews = Previews(original.pixels, pixels, turn)
    further = list[str]()
    if source and source is not target:
        original, further = _for_another(original, source, target)
    lost = [NAMES[name] for name in NAMES if name in original.options and name not in target.holds]
    if lost or further:
        previews.say(f"{', '.join(lost + further)} left out, which {target.name} cannot hold")
    for sentence in _changed(original, target, quality):
        previews.say(sentence)
    content = target.codec.write(NewPhoto(original, pixels, target, source, quality, previews))
    return Encoded(content, (*(f"{what} is left out" for what in original.left_out), *previews.notes))


def _for_another(original: Original, source: Format, target: Format) -> tuple[Original, list[str]]:
    """The photo with what its file says of it in the places of another format, and what has none there."""
    said, options = source.codec.captions(original), original.options
    options, texts = options | said.as_options(), said.texts
    if "exif" in target.holds:
        if said.comments and "comments" not in target.holds:
            texts = texts | {COMMENT: "\n".join(said.comments)}
        exif, homeless = in_exif(options.get("exif", b""), texts)
        options |= {"exif": exif} if exif else {}
        if COMMENT in texts and COMMENT not in homeless:
            del options["comments"]
        texts = {name: texts[name] for name in homeless if name != COMMENT}
    named = ", ".join(map(printable, texts))
    lost = [f"its text{'s' * (len(texts) > 1)} {named}"] if texts else []
    return replace(original, options=options), source.codec.further(original) + lost


def _changed(original: Original, target: Format, quality: int | None) -> Iterator[str]:
    """What a result is to be that the photo is not, or that was asked for in vain."""
    yield from original.changes
    if original.inks is not None and not target.inks:
        yield "its CMYK inks became RGB"
    if quality is not None and target.lossless:
        yield NO_QUALITY[target.name]


def holds_colours(original: Original, target: Format) -> bool:
    """Whether the format can say what the colours mean: wide ones of HEIC and AVIF need not have a profile."""
    source = BY_NAME.get(original.format)
    if target.codes or source is None or "icc_profile" in original.options:
        return True
    return not source.codec.needs_codes(original.content)


def write_photo(path: str | Path, photo: Pixels, write: Callable[[Path, bytes], None] = write_bytes) -> None:
    """Write a new ``(H, W, 3)`` RGB picture in the format that the suffix names, whole or not at all.

    It has no EXIF and no ICC profile; :func:`encode` keeps those of the photo that it was made of. What the format
    cannot hold, such as 16 bits, is told by a warning.

    Raises:
        PhotoError: the format is unknown, or the folder cannot be written.
        UsageError: no path, or no such picture.
    """
    path = place(path)
    check_pixels("photo", photo, "derain.restore() returns")
    encoded = encode_with_notes(Original(photo, ""), photo, format_of(path))
    write(path, encoded.content)
    for note in encoded.notes:
        warnings.warn(f"{path}: {note}", stacklevel=2)
