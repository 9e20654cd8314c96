"""What arrays hold, named once. Rows come first, colours last; all photos are RGB."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.errors import UsageError

Pixels = NDArray[Any]  # (H, W, 3) uint8 or uint16, as a file has them
Plane = NDArray[Any]  # (H, W), one channel of such pixels: grey or alpha
Rgb8 = NDArray[np.uint8]  # (H, W, 3)
UnitRgb = NDArray[np.float32]  # (H, W, 3) in [0, 1]
Heights = NDArray[np.float32]  # (H, W) heights of rain in [0, 1]
Grey = NDArray[np.float32]  # (H, W) brightness, in the units that are said
Mask = NDArray[np.bool_]  # (H, W)

NUMBERS_IN_CACHE = 2**18
UNIT_OF_BYTE = np.arange(256, dtype=np.float32) / np.float32(255)


def check_pixels(name: str, given: object, such_as: str, like: Pixels | None = None) -> None:
    """
    Args:
        name: of the argument.
        such_as: what would be right.
        like: pixels of a photo, as many as there are to be.

    Raises:
        UsageError: no :data:`Pixels`, or none of them.
    """
    wanted = f"`{name}`: give an (H, W, 3) array of uint8 or uint16"
    if not isinstance(given, np.ndarray):
        raise UsageError(f"{wanted}, such as {such_as}, not {type(given).__name__}")
    if given.ndim != 3 or given.shape[2] != 3 or 0 in given.shape or given.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"{wanted}, not one of {given.dtype} with shape {given.shape}")
    if like is not None and given.shape != like.shape:
        raise UsageError(f"`{name}`: has shape {given.shape}, but its photo {like.shape}; give pixels of that photo")


def rows_in_cache(picture: NDArray[Any]) -> Iterator[slice]:
    """Rows by rows, few enough that what is computed of them stays in the processor's cache."""
    step = max(NUMBERS_IN_CACHE // max(picture[0].size, 1), 1) if len(picture) else 1
    for top in range(0, len(picture), step):
        yield slice(top, top + step)


def in_unit(pixels: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Whole numbers as float32 in [0, 1].

    Args:
        out: memory for them, of the same shape and contiguous.
    """
    if pixels.dtype == np.uint8 and pixels.size:  # at once, where to convert and to divide may be twice the way
        return np.asarray(cv2.LUT(pixels, UNIT_OF_BYTE, dst=out), np.float32).reshape(pixels.shape)
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), out=out, dtype=np.float32)


def to_bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """What is in [0, 1] as whole numbers; what is beyond becomes the next of those."""
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
