"""Scores of a restored rainy photo without its truth; none needs a download.

Each can be fooled alone, so read all four: a network that blurs leaves no rain and no sharpness, and one that does
nothing changes nothing and leaves all the rain.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Mask
from derain.evaluation.metrics import MisfitError, Picture, size_of, values
from derain.motion import Field, optical_flow, pixel_grid
from derain.photos import as_rgb
from derain.rain.clean import clean_rain, flattest, line_energies

LEAST_CERTAINTY = 0.08  # certainty of direction under which a photo has no streaks to speak of


class Unpaired:
    """A restored photo beside the rainy one.

    Raises:
        MisfitError: the sizes differ.
    """

    def __init__(self, picture: Picture, rainy: Picture) -> None:
        if picture.shape[:2] != rainy.shape[:2]:
            raise MisfitError(f"{size_of(picture)} px, but the rainy photo has {size_of(rainy)}")
        self.before, self.after = (_rgb(p) for p in (rainy, picture))
        self.grey_before, self.grey_after = self.before.mean(axis=2), self.after.mean(axis=2)
        self.change = self.before - self.after
        self.streaks = clean_rain(np.maximum(self.change, 0) / np.float32(255))[0][..., None] * 255


def streaks_left(photo: Unpaired) -> float:
    """Height of the streaks relative to the input's, 1 unchanged, 0 none; NaN if the input has none to speak of."""
    flat = flattest(photo.grey_before)
    energies = line_energies(_thin_bright(photo.grey_before), flat)
    degrees = max(energies, key=energies.__getitem__)
    clear = energies[degrees] > 0 and 1 - np.mean(list(energies.values())) / energies[degrees] > LEAST_CERTAINTY
    remaining = line_energies(_thin_bright(photo.grey_after), flat)
    left = _beyond_others(remaining, degrees) / max(_beyond_others(energies, degrees), 1e-9)
    return float(np.sqrt(left)) if clear else float("nan")


def change_outside(photo: Unpaired) -> float:
    """RMS in grey levels of what was changed beside bright, colourless streaks."""
    return float(np.sqrt(np.mean((photo.change - photo.streaks) ** 2)))


def colour_shift(photo: Unpaired) -> float:
    """Mean absolute change of chroma in grey levels."""
    before, after = (p - p.mean(axis=2, keepdims=True) for p in (photo.before, photo.after))
    return float(np.abs(before - after).mean())


def sharpness_kept(photo: Unpaired) -> float:
    """Energy of the gradient away from bright, colourless streaks, relative to the input's; NaN if it has none."""
    away = cv2.dilate(photo.streaks, np.ones((7, 7))) < 1
    before, after = (_sharpness(p, away) for p in (photo.grey_before, photo.grey_after))
    return after / before if before > 0 else float("nan")


def _thin_bright(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.maximum(grey - cv2.GaussianBlur(grey, (0, 0), 2), 0), np.float32)


def _beyond_others(energies: dict[float, float], degrees: float) -> float:
    """Energy at one angle above the mean of those that lie across it, which texture without direction has too."""
    others = [energy for angle, energy in energies.items() if abs((angle - degrees + 90) % 180 - 90) > 40]
    return max(energies[degrees] - float(np.mean(others)), 0.0)


def _rgb(picture: Picture) -> NDArray[np.float32]:
    return as_rgb(values(picture).astype(np.float32))


def _sharpness(grey: NDArray[np.float32], where: Mask) -> float:
    slope = cv2.Sobel(grey, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(grey, cv2.CV_32F, 0, 1) ** 2
    return float(slope[where].sum())


def motion(rainy: Picture, before: Picture) -> Field:
    """Where each pixel of a frame was in the frame before: ``(H, W, 2)`` columns and rows.

    The optical flow (DIS) of the smoothed frames.
    """
    smooth, smooth_before = (
        cv2.GaussianBlur(_rgb(p).mean(axis=2), (0, 0), 3).astype(np.uint8) for p in (rainy, before)
    )
    return pixel_grid(*smooth.shape) + optical_flow(smooth, smooth_before)


@dataclass(frozen=True)
class Sequel:
    """A frame, the frame before, and the :func:`motion` of the rainy frames, so every method is judged by the same."""

    frame: Picture
    before: Picture
    moved: Field


def flicker(sequel: Sequel) -> float:
    """Mean change in grey levels from the frame before to this one, as far as neither rest nor motion explains it."""
    grey, grey_before = (_rgb(p).mean(axis=2) for p in (sequel.frame, sequel.before))
    followed = cv2.remap(grey_before, sequel.moved[..., 0], sequel.moved[..., 1], cv2.INTER_LINEAR)
    return float(np.minimum(np.abs(grey - followed), np.abs(grey - grey_before)).mean())
