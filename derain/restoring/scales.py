"""Rain at every scale: on a large photo the streaks are as wide as on a small one seen through a loupe.

The network knows streaks as wide as they are on photos of half a megapixel. On a photo of 20 they are several times as
wide, and it takes them for background. So it looks at the photo reduced, too.
"""

from collections.abc import Iterator

import numpy as np

from derain.arrays import Pixels, UnitRgb
from derain.rain.clean import clean_rain

LEAST = 400  # px: short side of a reduced photo at the least, about that of the photos of training
EVIDENT = 0.002  # mean height of the cleaned layer from which rain at another scale is believed
SHARE = 0.4  # and how much that must be of the rain found before: remains of it are no rain of their own
WINDOW = 128  # px


def reduced_sizes(width: int, height: int, factors: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Width and height of a photo reduced by each of the factors, down to the least that is worth a look."""
    for factor in factors:
        size = width // factor, height // factor
        if min(size) < LEAST:
            return
        yield size


def is_evident(found: Pixels, before: Pixels) -> bool:
    """Whether ``found`` is rain of a scale of its own, given the layer that was found ``before``."""
    if found.mean() <= EVIDENT * np.iinfo(found.dtype).max:  # cleaning only takes away
        return False
    return mean_height(found) > max(EVIDENT, SHARE * mean_height(before))


def mean_height(layer: Pixels) -> float:
    """Mean height in [0, 1] of what is streaks in a layer."""
    return float(np.mean([clean_rain(part)[0].mean() for part in windows(layer)]))


def windows(layer: Pixels) -> Iterator[UnitRgb]:
    """Nine windows of the layer, spread over it, in [0, 1]; of a small layer all of it."""
    side = min(WINDOW, *layer.shape[:2])
    for top in np.unique(np.linspace(0, layer.shape[0] - side, 3).astype(int)):
        for left in np.unique(np.linspace(0, layer.shape[1] - side, 3).astype(int)):
            part = layer[top : top + side, left : left + side]
            yield part.astype(np.float32) / np.float32(np.iinfo(layer.dtype).max)
