"""Streaks darker than a bright backdrop: before the sky a drop shows the rest of the scene, which is darker.

The network only takes light away. In the photo's negative such streaks are bright, so it finds them there as it finds
others, and they are filled before the photo itself is looked at once more. Dark streaks before a bright sky look much
like bright ones before a grey sky. Which they are is told by what is left: the right answer is smoother, has to change
less, and its streaks run as those elsewhere do. Before a sky that the camera clipped no streak is bright.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Grey, Pixels
from derain.restoring.alike import WHOLE
from derain.restoring.layers import Layers, heights_of

CELL = 8  # px, side of what shares are told of
MOST_COMPARED = 1e6  # px: a larger photo is compared reduced
BACKDROP, NEIGHBOURHOOD = 12, 48  # px, standard deviations: what is bright, and what is compared
FOUND = 2  # grey levels of 255, from which a pixel lies in a streak
DETAIL = 4  # px, standard deviation: what is finer may be a streak
EDGE = 20  # grey levels of 255: what stands out more says no more
LEFT_ALONG = 0.2  # likeness of detail to the direction of the bright rain, from which it may be dark streaks
LEAST_FILLED = 0.002  # share of the photo
# Each of these: where nothing, and where all of it, is dark rain.
BRIGHT = 140, 165  # grey levels of 255, of the photo
BRIGHT_FILLED = 153, 191  # and of the photo once it is filled
CLIPPED = 235, 248  # grey levels of 255, once it is filled, so that no light can have been added
ALONG = 0.5, 0.75  # likeness to the direction of the bright rain, from -1 to 1
SMOOTHER = 0.95, 0.85  # steepness of what is filled over that of the background without
LESS = 0.65, 0.5  # bright rain there over dark rain


@dataclass(frozen=True)
class Compared:
    """A photo and its layers by bright rain alone, grey, and reduced if they are large."""

    photo: Grey
    background: Grey
    rain: Grey

    @classmethod
    def of(cls, photo: Pixels, bright: Layers) -> "Compared":
        height, width = photo.shape[:2]
        while height * width > MOST_COMPARED:
            height, width = max(height // 2, 1), max(width // 2, 1)
        return cls(*(_grey(layer, (width, height)) for layer in (photo, bright.background, bright.rain)))

    def may_be_dark(self) -> NDArray[np.bool_] | None:
        """In which cells there may be dark streaks, ``(h, w)``; ``None`` if nothing that is bright shows any."""
        cells = _around(self.photo, BACKDROP) >= BRIGHT[0]
        detail = (self.background - cv2.GaussianBlur(self.background, (0, 0), DETAIL)).clip(-EDGE, EDGE)
        detail *= cv2.resize(cells.astype(np.float32), detail.shape[::-1])
        shown = cells & (_likeness(detail, self.rain) > LEFT_ALONG)
        return cells if shown.mean() >= LEAST_FILLED else None

    def shares_of_dark_rain(self, found: Pixels) -> NDArray[np.int32] | None:
        """Which share of the rain found in the negative, of any size, is dark rain, ``(h, w)`` from 0 to ``WHOLE``.

        Returns:
            ``None`` if there is next to none.
        """
        dark = _grey(found, self.photo.shape[::-1])
        streaks = (dark > FOUND).astype(np.float32)
        if streaks.mean() < LEAST_FILLED:
            return None

        def in_streaks(numbers: Grey) -> Grey:
            return _around(streaks * numbers, NEIGHBOURHOOD)

        filled = np.minimum(self.photo + dark, 255)
        brightness = _around(filled, BACKDROP)
        smoother = _ratio(in_streaks(_steepness(filled)), in_streaks(_steepness(self.background)))
        less = _ratio(in_streaks(self.rain), in_streaks(dark))
        shares = (
            _between(_around(self.photo, BACKDROP), BRIGHT)
            * _between(brightness, BRIGHT_FILLED)
            * _between(_likeness(dark, self.rain), ALONG)
            * _between(smoother, SMOOTHER)
            * np.maximum(_between(less, LESS), _between(brightness, CLIPPED))
        )
        if (shares * _cells(streaks)).mean() < LEAST_FILLED:
            return None
        return np.rint(shares * WHOLE).astype(np.int32)


def _grey(layer: Pixels, size: tuple[int, ...]) -> Grey:
    """In grey levels of 255, at width and height ``size``."""
    return heights_of(np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA)))


def _cells(numbers: Grey) -> Grey:
    """Means over cells."""
    height, width = numbers.shape
    size = max(width // CELL, 1), max(height // CELL, 1)
    return np.asarray(cv2.resize(numbers, size, interpolation=cv2.INTER_AREA))


def _around(numbers: Grey, deviation: float) -> Grey:
    """Means around each cell, weighed by a Gaussian with this standard deviation in px."""
    return np.asarray(cv2.GaussianBlur(_cells(numbers), (0, 0), deviation / CELL))


def _steepness(brightness: Grey) -> Grey:
    right, down = _slopes(brightness)
    return np.abs(right) + np.abs(down)


def _slopes(brightness: Grey) -> tuple[Grey, Grey]:
    """To the right and down."""
    right, down = (cv2.Sobel(brightness, cv2.CV_32F, *step) for step in ((1, 0), (0, 1)))
    return np.asarray(right, np.float32), np.asarray(down, np.float32)


def _likeness(streaks: Grey, rain: Grey) -> Grey:
    """How streaks run around each cell: -1 across the rain, 0 in no direction, 1 along it."""
    right, down = _slopes(rain)
    twice = np.arctan2(2 * (right * down).mean(), (right**2 - down**2).mean())  # the angle across the rain, doubled
    right, down = _slopes(streaks)
    along = _around((right**2 - down**2) * np.cos(twice) + 2 * right * down * np.sin(twice), NEIGHBOURHOOD)
    return _ratio(along, _around(right**2 + down**2, NEIGHBOURHOOD))


def _ratio(numbers: Grey, others: Grey) -> Grey:
    return np.asarray(numbers / np.maximum(others, 1e-3), np.float32)


def _between(numbers: Grey, ends: tuple[float, float]) -> Grey:
    """0 at the first end and beyond it, 1 at the second, smooth between them."""
    none, whole = ends
    share = ((numbers - none) / (whole - none)).clip(0, 1)
    return np.asarray(share**2 * (3 - 2 * share), np.float32)
