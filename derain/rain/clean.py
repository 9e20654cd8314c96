"""Cleaning of discovered rain layers: what is left is bright, colourless, high-pass and elongated like the rest.

A layer that a network finds in a real photo always holds some background. Pasted uncleaned it would teach the next
network that leaves and edges are rain.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Grey, Heights, Mask
from derain.rain.render import line_kernel

ANGLES = np.arange(-75, 90, 15)  # degrees from the vertical
SMOOTH_SIGMA, SMOOTH_SHARE = 10, 0.8  # px, of the blur that tells what is smooth, and how much of that is taken away
DETAIL_SIGMA = 4  # px, of the blur that tells what is no detail, by which the direction is found
NEARLY_NONE = 1e-4  # height that is added to what is divided by
SURELY_LONGER = 0.5  # share by which a streak's line stands above the one across it, from which it counts in full
MOST_ADDED = 2.0  # how many times what was found is added to it at most, on flat background
FAINT_HEIGHT = 0.015  # height up to which a layer shows no streak
FLATTEST_SHARE = 1 / 3  # of a photo
TEXTURE_SHARE = 0.8  # share of what was found that is taken from texture


@lru_cache(2 * len(ANGLES))
def streak_line(degrees: float) -> Heights:
    """The line that streaks are compared with; the same few are asked for again and again."""
    line = line_kernel(13, degrees, 0.5)
    line.flags.writeable = False
    return line


def dominant_direction(layer: Heights) -> tuple[float, float]:
    """Degrees from the vertical that the streaks of ``(H, W)`` run along, and how certain that is, in [0, 1].

    The energy of the layer after a line filter at each angle; certainty is the share by which the best angle stands
    above the mean of all.
    """
    energies = line_energies(layer - cv2.GaussianBlur(layer, (0, 0), DETAIL_SIGMA))
    best = max(energies, key=energies.__getitem__)
    return best, 1 - float(np.mean(list(energies.values()))) / (energies[best] + 1e-12)


def line_energies(detail: Heights, where: NDArray[np.bool_] | slice = slice(None)) -> dict[float, float]:
    """Mean square of ``(H, W)`` detail after a line filter at each angle (degrees from the vertical)."""
    lines = {float(a): cv2.filter2D(detail, -1, streak_line(float(a))) for a in ANGLES}
    return {angle: float((line[where] ** 2).mean()) for angle, line in lines.items()}


def clean_rain(rain: NDArray[np.float32]) -> tuple[Heights, float]:
    """Clean a discovered ``(H, W, 3)`` rain layer; returns ``(H, W)`` heights >= 0 and its certainty in [0, 1].

    Takes away colour (the channels' minimum is kept), what is smooth (a wide blur), what is negative, and what is not
    elongated along the photo's own dominant streak direction.
    """
    layer = rain.min(axis=2)
    layer = np.maximum(layer - SMOOTH_SHARE * cv2.GaussianBlur(layer, (0, 0), SMOOTH_SIGMA), 0)
    degrees, certainty = dominant_direction(layer)
    along = cv2.filter2D(layer, -1, streak_line(degrees))
    across = cv2.filter2D(layer, -1, streak_line(degrees + 90))
    elongated = np.clip((along / (across + NEARLY_NONE) - 1.0) / SURELY_LONGER, 0, 1)
    return layer * elongated, certainty


def distinct_rain(height: Heights) -> Heights:
    """``(H, W)`` heights without the faintest: between streaks a network finds a little of everything."""
    return height * np.clip((height - FAINT_HEIGHT) / (2 * FAINT_HEIGHT), 0, 1)


def complete_rain(rainy: NDArray[np.float32], rain: NDArray[np.float32], layer: Heights) -> Heights:
    """``(H, W)`` heights of the rain to take from ``rainy``, given the ``(H, W, 3)`` layer that a network found there.

    A network in doubt finds streaks where they are, but lower than they are. What still stands above the median of its
    surroundings is added, up to half of ``layer``, the cleaned one. Repeated often this feeds on itself and takes
    texture for rain, so it is for a few rounds.
    """
    height = rain.min(axis=2)
    left = (rainy - height[..., None]).mean(axis=2)
    return height + _standing_out(left, 0.5 * layer)


def weigh_by_texture(rainy: NDArray[np.float32], rain: NDArray[np.float32], layer: Heights, flat: float) -> Heights:
    """``(H, W)`` heights of the rain to take from ``rainy``, given the ``(H, W, 3)`` rain found and its cleaned layer.

    Where the background bends less than ``flat`` (mean absolute Laplacian, of 1), what stands above its surroundings
    at a found streak is all rain, up to ``MOST_ADDED`` times what was found. In texture only what the cleaned layer has
    close by is believed, and not to its full height: rain hardly shows there, and taken texture does.
    """
    height = rain.min(axis=2)
    background = (rainy - height[..., None]).mean(axis=2)
    flatness = flatness_of(background, flat)
    bold = height + _standing_out(background, MOST_ADDED * height)
    wary = TEXTURE_SHARE * np.minimum(height, cv2.dilate(layer, np.ones((5, 5))))
    return np.asarray(flatness * bold + (1 - flatness) * wary, np.float32)


def flatness_of(background: Heights, flat: float) -> Heights:
    """How flat each pixel of an ``(H, W)`` background is, in [0, 1]: whether it bends less than ``flat`` around it."""
    bends = cv2.blur(np.abs(cv2.Laplacian(cv2.GaussianBlur(background, (0, 0), 1.5), cv2.CV_32F)), (15, 15))
    return np.asarray(np.clip(1.5 - bends / flat, 0, 1), np.float32)


def flattest(grey: Grey) -> Mask:
    """The flattest third of ``(H, W)`` brightness, in which streaks are measured: elsewhere edges drown them."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 3)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    around = cv2.blur(slope, (15, 15))
    return around <= np.quantile(around, FLATTEST_SHARE)


def _standing_out(left: Heights, most: Heights) -> Heights:
    """By how much each pixel stands above the median of its surroundings, up to ``most``."""
    return np.clip(left - cv2.medianBlur(left, 5), 0, most)
