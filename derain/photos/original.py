"""A photo with everything that its file holds: depth, grey or colour, alpha, inks, orientation, metadata."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Pixels, Rgb8

WHITE = 65535
CUT = "part of the picture is missing; get the file again from its source"
TURNS: dict[int, Callable[[Pixels], Any]] = {  # by EXIF's orientation; NumPy takes four times as long to turn a photo
    2: lambda a: cv2.flip(a, 1),
    3: lambda a: cv2.rotate(a, cv2.ROTATE_180),
    4: lambda a: cv2.flip(a, 0),
    5: cv2.transpose,
    6: lambda a: cv2.rotate(a, cv2.ROTATE_90_CLOCKWISE),
    7: lambda a: cv2.transpose(cv2.rotate(a, cv2.ROTATE_180)),
    8: lambda a: cv2.rotate(a, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


@dataclass(frozen=True)
class Original:
    """A decoded photo. All arrays are upright, as a viewer shows them."""

    pixels: Pixels  # (H, W, 3) RGB, uint8 or uint16; grey and inks are turned into RGB
    format: str  # Pillow's name of the file's format
    alpha: NDArray[Any] | None = None  # (H, W), of the pixels' depth
    grey: bool = False
    inks: NDArray[np.uint8] | None = None  # (H, W, 4) CMYK, of which the pixels are a plain conversion
    orientation: int = 1  # EXIF's: how the file is to be turned; written back as it was
    content: bytes = field(default=b"", repr=False)  # the file itself
    options: dict[str, Any] = field(default_factory=dict)  # how the file was written, for Pillow's save
    changes: tuple[str, ...] = ()  # how any result differs from it, in a sentence each
    left_out: tuple[str, ...] = ()  # what else the file holds and no result will, in a few words each

    @property
    def deep(self) -> bool:
        return self.pixels.dtype == np.uint16


def as_rgb(values: Pixels) -> Pixels:
    """The picture with three channels; grey values are repeated."""
    values = values[..., None] if values.ndim == 2 else values
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def upright(orientation: int) -> Callable[[Pixels], Pixels]:
    """How an array with this EXIF orientation is turned for viewing; the result is contiguous unless it is the same."""
    turn = TURNS.get(orientation)
    if turn is None:
        return lambda a: a

    def turned(a: Pixels) -> Pixels:
        found = turn(a)
        return np.asarray(found).reshape(found.shape[:2] + a.shape[2:])  # OpenCV leaves out a channel that is alone

    return turned


def as_stored(orientation: int) -> Callable[[Pixels], Pixels]:
    """The inverse of :func:`upright`."""
    return upright({6: 8, 8: 6}.get(orientation, orientation))


def to_8_bit(pixels: Pixels) -> Rgb8:
    """16-bit values rounded to 8 bits; 8-bit values unchanged."""
    return (pixels / 257 + 0.5).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
