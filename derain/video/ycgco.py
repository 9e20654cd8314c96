"""YCgCo, luma with greenness and orangeness, which FFmpeg's converter does not know, to RGB and back, by H.273."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Pixels

MATRIX = 8  # H.273's code
RGB_OF_YCGCO = np.array([[1, -1, 1], [1, 1, 0], [1, -1, -1]])


def unhalved(bits: int, alpha: bool) -> str:
    """The pixel format of planes that are all of the picture's size."""
    return f"yuv{'a' * alpha}444p" + (f"{bits}le" if bits > 8 else "")


def to_rgb(planes: Sequence[Pixels], bits: int, full: bool) -> Pixels:
    """``(H, W, 3)``, or 4 with alpha, of planes of so many bits: uint8, or uint16 of more than 8 bits."""
    stored: Any = cv2.merge(list(planes))
    linear, constant = _to_unit(bits, full, len(planes) > 3)
    return np.asarray(cv2.transform(stored, np.iinfo(stored.dtype).max * np.column_stack([linear, constant])))


def from_rgb(picture: Pixels, bits: int, full: bool) -> Sequence[Pixels]:
    """Planes of so many bits, as uint16, of ``(H, W, 3)``, or 4 with alpha."""
    linear, constant = _to_unit(bits, full, picture.shape[2] == 4)
    back = np.linalg.inv(linear)
    towards = np.column_stack([back / np.iinfo(picture.dtype).max, -back @ constant])
    return cv2.split(cv2.transform(picture.astype(np.uint16), towards).clip(None, (1 << bits) - 1))


def _to_unit(bits: int, full: bool, alpha: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """What stored values are multiplied by, and what is added, to have RGB, and perhaps alpha, in [0, 1]."""
    white, middle = (1 << bits) - 1, 1 << bits - 1
    span, black = (white, 0) if full else (219 << bits - 8, 16 << bits - 8)
    linear = RGB_OF_YCGCO / span
    constant = -linear @ [black, middle, middle]
    if alpha:
        linear, constant = np.pad(linear, (0, 1)), np.append(constant, 0)
        linear[3, 3] = 1 / white
    return linear, constant
