"""Rain at every scale: on a large photo the streaks are as wide as on a small one seen through a loupe.

The network knows streaks as wide as they are on photos of half a megapixel. On a photo of 20 they are several times as
wide, and it takes them for background. So it looks at the photo reduced, too.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from derain.models.contract import Derainer
from derain.rain.clean import Layer, clean_rain
from derain.restoring import tiling
from derain.restoring.tiling import Photo

LEAST = 400  # px: short side of a reduced photo at the least, about that of the photos of training
EVIDENT = 0.002  # mean height of the cleaned layer from which rain at another scale is believed
SHARE = 0.4  # and how much that must be of the rain found before: remains of it are no rain of their own
WINDOW = 128  # px


def restore(model: Derainer, photo: Photo, tile: int | None = None, precision: str = "float32") -> tuple[Photo, Photo]:
    """Background and rain layer of an ``(H, W, 3)`` RGB photo of any size, uint8 or uint16; both like it.

    Args:
        tile: side of the tiles in px, 0 takes the photo whole; default: by the free memory. Each tile sees as far
            around itself as the network can, so tiled and whole agree. Models without a halo take photos whole.
        precision: float32, bfloat16, or auto: bfloat16 where the device is good at it.

    Raises:
        PhotoError: not even a small tile fits into the memory, or the network's result is not finite.
    """
    background, rain = tiling.restore(model, photo, tile, precision)
    height, width = photo.shape[:2]
    for factor in model.reductions:
        size = width // factor, height // factor
        if min(size) < LEAST:
            break
        reduced = np.asarray(cv2.resize(background, size, interpolation=cv2.INTER_AREA))
        found = tiling.restore(model, reduced, tile, precision)[1]
        if is_evident(found, np.asarray(cv2.resize(rain, size, interpolation=cv2.INTER_AREA))):
            enlarged = cv2.resize(found, (width, height), interpolation=cv2.INTER_CUBIC)
            cv2.subtract(background, enlarged, dst=background)  # not below 0
            np.subtract(photo, background, out=rain)
    return background, rain


def is_evident(found: Photo, before: Photo) -> bool:
    """Whether ``found`` is rain of a scale of its own, given the layer that was found ``before``."""
    if found.mean() <= EVIDENT * np.iinfo(found.dtype).max:  # cleaning only takes away
        return False
    return mean_height(found) > max(EVIDENT, SHARE * mean_height(before))


def mean_height(layer: Photo) -> float:
    """Mean height in [0, 1] of what is streaks in a layer."""
    return float(np.mean([clean_rain(part)[0].mean() for part in windows(layer)]))


def windows(layer: Photo) -> Iterator[Layer]:
    """Nine windows of the layer, spread over it, in [0, 1]; of a small layer all of it."""
    side = min(WINDOW, *layer.shape[:2])
    for top in np.unique(np.linspace(0, layer.shape[0] - side, 3).astype(int)):
        for left in np.unique(np.linspace(0, layer.shape[1] - side, 3).astype(int)):
            part = layer[top : top + side, left : left + side]
            yield part.astype(np.float32) / np.float32(np.iinfo(layer.dtype).max)
