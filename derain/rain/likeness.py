"""More rain like the rain that was found: its statistics are measured, and new streaks rendered with them.

A discovered layer always carries some background; what recurs in it (NLCL's non-local prior) is the streak. Rain is
taken for shot noise, equal streaks of uneven height that fall anywhere, so its mean, variance and autocorrelation tell
the streak's direction, length and width, and how dense and bright the rain is.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Heights
from derain.rain.render import PIXEL_SIGMA, drops, line_kernel

DIRECTIONS = np.arange(-80.0, 82.0, 2.0)  # degrees from the vertical
COMPARED_DISTANCES = np.arange(2.0, 20.0)  # px along a streak, over which directions are compared
LONGEST_STREAK = 120  # px, of the longest streak that is told from a line
DISTANCE_STEP = 0.25  # px
HALF_WIDTH = 2 * np.sqrt(np.log(2))  # where the autocorrelation of a Gaussian has fallen to a half, in its sigmas
DROP_UNEVENNESS = 1.5  # mean square over squared mean of the heights of drops


class Likeness(NamedTuple):
    """What a rain layer looks like."""

    degrees: float  # from the vertical
    length: float  # px
    width: float  # px, sigma
    density: float  # drops a pixel
    height: float  # of a streak, of 1


@np.errstate(under="ignore")  # be numbers that are next to nothing errors to the caller
def likeness(layer: Heights) -> Likeness:
    """The statistics of a cleaned ``(H, W)`` layer of heights, which must not be empty."""
    correlation = autocorrelation(layer)
    strengths = [_along(correlation, degrees, COMPARED_DISTANCES).mean() for degrees in DIRECTIONS]
    degrees = float(DIRECTIONS[int(np.argmax(strengths))])
    length = 2 * _fallen_to_half(correlation, degrees)
    seen = _fallen_to_half(correlation, degrees + 90) / HALF_WIDTH
    width = max(seen**2 - PIXEL_SIGMA**2, 0.3**2) ** 0.5
    streak = line_kernel(length, degrees, width)
    area, energy = streak.sum() / streak.max(), (streak**2).sum() / streak.max() ** 2
    density = DROP_UNEVENNESS * layer.mean() ** 2 * energy / (layer.var() * area**2 + 1e-12)
    return Likeness(degrees, length, width, float(density), float(layer.mean() / (density * area)))


def more_like(rng: np.random.Generator, size: int, like: Likeness) -> Heights:
    """A new ``(size, size)`` layer of heights in [0, 1]; direction, length and width vary a little."""
    length, width = (part * rng.uniform(0.8, 1.25) for part in (like.length, like.width))
    streak = line_kernel(length, like.degrees + rng.normal(0, 3), width)
    fallen = drops(rng, size, like.density)
    layer = cv2.filter2D(fallen, -1, streak / streak.max(), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.clip(like.height * layer, 0, 1), np.float32)


def autocorrelation(layer: Heights) -> Heights:
    """``(2 H, 2 W)``: the covariance of the layer with itself, shifted by up to its size; no shift is in the middle."""
    shape = (2 * layer.shape[0], 2 * layer.shape[1])

    def with_itself(part: Heights) -> NDArray[np.float64]:
        return np.asarray(np.fft.irfft2(np.abs(np.fft.rfft2(part, shape)) ** 2, shape))

    overlap = with_itself(np.ones_like(layer)).clip(min=1)
    return np.asarray(np.fft.fftshift(with_itself(layer - layer.mean()) / overlap), np.float32)


def _along(correlation: Heights, degrees: float, distances: NDArray[np.float64]) -> Heights:
    """The correlation at distances from the middle."""
    middle, angle = np.array(correlation.shape) // 2, np.radians(degrees)
    across, down = middle[1] + distances * np.sin(angle), middle[0] + distances * np.cos(angle)
    columns, rows = (places.astype(np.float32)[None] for places in (across, down))
    return np.asarray(cv2.remap(correlation, columns, rows, cv2.INTER_LINEAR)[0], np.float32)


def _fallen_to_half(correlation: Heights, degrees: float) -> float:
    """The distance in px at which the correlation has fallen to half."""
    distances = np.arange(0, LONGEST_STREAK / 2, DISTANCE_STEP)
    values = _along(correlation, degrees, distances)
    fallen = np.flatnonzero(values < values[0] / 2)
    return float(distances[fallen[0]]) if len(fallen) else LONGEST_STREAK / 2
