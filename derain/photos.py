"""Photos as files: finding, reading and writing them."""

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from derain.errors import PhotoError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
OPTIONS = {  # how each lossy format is written
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
}
Photo = NDArray[np.uint8]


def find_photos(folder: Path) -> list[Path]:
    """Photos directly in ``folder``, by suffix, sorted by name; hidden files are left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def read_photo(path: Path) -> Photo:
    """An upright ``(H, W, 3)`` RGB photo.

    Raises:
        PhotoError: the file is missing, is no photo, is damaged, or holds more than one picture.
    """
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise PhotoError(f"{path}: animated and multi-page files are not supported; save one picture of it")
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise PhotoError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise PhotoError(f"{path}: not a photo that derain can read") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{path}: cannot be read ({error})") from None


def read_metadata(path: Path) -> dict[str, bytes]:
    """EXIF (its orientation spent, as :func:`read_photo` turns photos upright) and ICC profile, to write again."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        found = {"exif": upright.getexif().tobytes(), "icc_profile": image.info.get("icc_profile")}
        if image.mode == "CMYK":  # the profile describes inks, the result is RGB
            del found["icc_profile"]
    return {name: value for name, value in found.items() if value}


def write_photo(path: Path, photo: Photo, metadata: dict[str, bytes] | None = None) -> None:
    """Write an ``(H, W, 3)`` RGB photo in the format that the suffix names, whole or not at all.

    Args:
        metadata: as :func:`read_metadata` gives it.

    Raises:
        PhotoError: the format is unknown, or the folder cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PhotoError(f"{path}: give the output one of the suffixes {' '.join(sorted(SUFFIXES))}")
    options = OPTIONS.get(path.suffix.lower(), {}) | (metadata or {})
    try:
        with atomic(path) as part:
            Image.fromarray(photo).save(part, format=Image.registered_extensions()[path.suffix.lower()], **options)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be written ({error.strerror or error})") from None


class atomic:
    """A path beside ``target`` to write to; it takes the name ``target`` only if the block ends well."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(prefix=".derain-", suffix=".part", dir=self.target.parent)
        os.close(handle)
        self.part = Path(name)
        return self.part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            umask = os.umask(0)
            os.umask(umask)
            self.part.chmod(0o666 & ~umask)
            self.part.replace(self.target)
        else:
            self.part.unlink(missing_ok=True)
