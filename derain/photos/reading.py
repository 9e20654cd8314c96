"""Photos read from their files."""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from derain.arrays import Rgb8
from derain.errors import PhotoError, reason, unreadable
from derain.files.missing import absence
from derain.files.places import is_remote, place, read_place
from derain.files.writing import read_file
from derain.given import check
from derain.photos.codec import Format
from derain.photos.extent import SparseError, check_extent
from derain.photos.formats import BY_NAME, format_by_content
from derain.photos.original import Original, to_8_bit
from derain.photos.raw import WHAT, has_signature, is_named_raw
from derain.photos.unread import format_within, what_is_in

MAX_MEGAPIXELS = 500.0
INNER = (UnidentifiedImageError, LookupError, struct.error, ArithmeticError)  # whose words tell users nothing
ANEW = "get the file again from its source, or save it again with another program"


class UnknownFormatError(PhotoError):
    """A file of none of the formats that derain reads."""


class TooLargeError(PhotoError):
    """A photo of more than the megapixels that are allowed; ``megapixels`` is how many it declares."""

    def __init__(self, megapixels: float, name: str = "the photo") -> None:
        allowing = f"give `max_megapixels` {math.ceil(megapixels)} to allow that"
        super().__init__(f"{name}: {megapixels:.1f} megapixels; {allowing}")
        self.megapixels = megapixels


def read_original(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS, patient: bool = True) -> Original:
    """A photo from a file.

    Args:
        patient: also decode a file of a few kilobytes that declares hundreds of megapixels.

    Raises:
        SparseError: it is such a file; not if ``patient``.
        PhotoError: the file is missing, damaged, too large, not a photo, or holds more than one picture.
    """
    path = place(path)
    try:
        content = read_place(path) if is_remote(path) else read_file(path)
    except FileNotFoundError:
        raise PhotoError(f"{path}: {absence(path)}") from None
    except OSError as error:
        raise PhotoError(f"{path}: {unreadable(error)}") from None
    return decode(content, str(path), max_megapixels, patient)


def decode(
    content: bytes, name: str = "the photo", max_megapixels: float = MAX_MEGAPIXELS, patient: bool = True
) -> Original:
    """A photo from the bytes of its file; ``name`` is for messages.

    Raises:
        PhotoError: as :func:`read_original`.
    """
    check("content", content, bytes)
    form = examine(content, name, max_megapixels, patient)
    with _told_of(name, form), form.codec.open(form.codec.completed(content)) as image:
        left_out = form.codec.choose_page(image)
        changes = form.codec.changes(image, content)
        return replace(form.codec.read(image, content), changes=changes, left_out=left_out)


def examine(
    content: bytes, name: str = "the photo", max_megapixels: float = MAX_MEGAPIXELS, patient: bool = True
) -> Format:
    """The format of a file that declares nothing too large or impossible; told before anything is decoded.

    Raises:
        UnknownFormatError: it is no photo.
        TooLargeError: it declares more megapixels.
        PhotoError: as :func:`read_original`, of what can be told by then.
    """
    form = format_by_content(content)
    if not content:
        raise UnknownFormatError(f"{name}: is empty")
    if has_signature(content) or (is_named_raw(name) and (form is None or form.name == "TIFF")):
        raise UnknownFormatError(f"{name}: {WHAT}")
    if form is None:
        if unread := format_within(content):
            raise UnknownFormatError(f"{name}: {what_is_in(unread)}")
        hint = "use `derain video` for GIFs" if content.startswith(b"GIF8") else f"it reads {', '.join(BY_NAME)}"
        raise UnknownFormatError(f"{name}: not a photo that derain can read; {hint}")
    with _told_of(name, form):
        _check_size(*form.codec.declared_size(content), max_megapixels)
        with form.codec.open(content) as image:
            _check_size(image.width, image.height, max_megapixels)
            check_extent(image, content, form.codec, patient)
    return form


@contextmanager
def _told_of(name: str, form: Format) -> Iterator[None]:
    """Whatever goes wrong is told in a sentence of the file."""
    try:
        yield
    except INNER:
        raise PhotoError(f"{name}: cannot be read as {form.name}; it is damaged or of a rare kind; {ANEW}") from None
    except SparseError as error:
        raise SparseError(error.what, name) from None
    except TooLargeError as error:
        raise TooLargeError(error.megapixels, name) from None
    except PhotoError as error:
        raise PhotoError(f"{name}: {error}") from None
    except MemoryError:
        raise PhotoError(f"{name}: cannot be read because there is not enough memory; close other programs") from None
    except Exception as error:  # decoders raise anything on damaged files
        raise PhotoError(f"{name}: cannot be read ({reason(error)}); {ANEW}") from None


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise TooLargeError(megapixels)


def read_photo(path: str | Path) -> Rgb8:
    """An upright ``(H, W, 3)`` RGB photo in 8 bits, in an array that may be changed.

    Of what else the file holds, such as EXIF and an ICC profile, :func:`read_original` knows.

    Raises:
        PhotoError: as :func:`read_original`.
        UsageError: no path.
    """
    return np.require(to_8_bit(read_original(path).pixels), requirements=("C", "W"))
