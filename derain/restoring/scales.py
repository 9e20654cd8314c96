"""Rain at every scale: on a large photo the streaks are as wide as on a small one seen through a loupe.

The network knows streaks as wide as they are on photos of half a megapixel. On a photo of 20 they are several times as
wide, and it takes them for background. So it looks at the photo reduced, too.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from derain.arrays import Pixels, in_unit
from derain.rain.clean import clean_rain
from derain.restoring.tiling import Window

LEAST_SHORT_SIDE = 400  # px, of a reduced photo at the least: about that of the photos of training
EVIDENT_MEAN_HEIGHT = 0.002  # mean height of the cleaned layer from which rain at another scale is believed
# share of the mean height found before that another scale must exceed: less is what remains of that rain
EVIDENT_SHARE = 0.4
FEW = 8  # px, side of the squares in which rain shows
EVIDENCE_WINDOW = 128  # px, side of the windows of a layer in which streaks are told from the rest
GLIMPSE_MARGIN = 112  # px around a window in a glimpse
WORTH_A_GLIMPSE = 2  # times the pixels of all glimpses that a photo must have


def reduced_sizes(width: int, height: int, factors: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Width and height of a photo reduced by each of the factors, down to the least that is worth a look."""
    for factor in factors:
        size = width // factor, height // factor
        if min(size) < LEAST_SHORT_SIDE:
            return
        yield size


def is_evident(found: Pixels, before: Pixels) -> bool:
    """Whether ``found`` is rain of a scale of its own, given the layer that was found ``before``."""
    if found.mean() <= EVIDENT_MEAN_HEIGHT * np.iinfo(found.dtype).max:  # cleaning only takes away
        return False
    return stand_out(*([layer[window] for window in windows(*found.shape[:2])] for layer in (found, before)))


def stand_out(parts: list[Pixels], before: list[Pixels]) -> bool:
    """Whether parts of a layer are rain of a scale of its own, given those of the layer found ``before``."""
    if np.mean([part.mean() for part in parts]) <= EVIDENT_MEAN_HEIGHT * np.iinfo(parts[0].dtype).max:
        return False  # cleaning only takes away
    found = mean_height(parts)
    return found > EVIDENT_MEAN_HEIGHT and found > EVIDENT_SHARE * mean_height(before)


def mean_height(parts: list[Pixels]) -> float:
    """Mean height in [0, 1] of what is streaks in parts of a layer."""
    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1)) as pool:  # a GPU waits for it
        return float(np.mean(list(pool.map(lambda part: clean_rain(in_unit(part))[0].mean(), parts))))


def windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Nine windows of a layer, spread over it; of a small layer all of it."""
    side = min(EVIDENCE_WINDOW, height, width)
    for top in np.unique(np.linspace(0, height - side, 3).astype(int)):
        for left in np.unique(np.linspace(0, width - side, 3).astype(int)):
            yield slice(top, top + side), slice(left, left + side)


def glimpses(height: int, width: int, grid: int) -> list[tuple[Window, Window]]:
    """The windows, each with one around it that shows the network enough to tell whether there is rain, all alike.

    None if the photo is so small that all of it is looked at as quickly.
    """
    side = EVIDENCE_WINDOW + 2 * GLIMPSE_MARGIN
    if height * width < WORTH_A_GLIMPSE * 9 * side**2 or min(height, width) < side:
        return []
    found = []
    height, width = height // grid * grid, width // grid * grid  # a glimpse begins on the grid and is whole
    for rows, columns in windows(height, width):
        top, left = (
            min(max(inner.start - GLIMPSE_MARGIN, 0) // grid * grid, length - side)
            for inner, length in ((rows, height), (columns, width))
        )
        found.append(((rows, columns), (slice(top, top + side), slice(left, left + side))))
    return found
