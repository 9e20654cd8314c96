"""Pictures to score, at their depth."""

from pathlib import Path

from derain.arrays import Rgb8
from derain.evaluation.metrics import Picture
from derain.photos import as_rgb, read_original, to_8_bit


def read_picture(path: Path) -> Picture:
    """``(H, W, 3)`` or grey ``(H, W)``, uint8 or uint16, upright; alpha is left out.

    Raises:
        PhotoError: as :func:`derain.photos.read_original`.
    """
    original = read_original(path)
    return original.pixels[..., 0] if original.grey else original.pixels


def to_photo(picture: Picture) -> Rgb8:
    """8-bit RGB, as pictures are shown."""
    return as_rgb(to_8_bit(picture))
