"""The layers of a photo, and what is seen in one."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Pixels, rows_in_cache
from derain.restoring.scales import FEW
from derain.restoring.tiling import Window


@dataclass(frozen=True)
class Layers:
    """What a photo is made of, both like the photo, with ``background + rain == photo``.

    Only where a streak is darker than its backdrop is the background brighter than the photo, and the rain 0.
    """

    background: Pixels
    rain: Pixels

    def at(self, window: Window) -> "Layers":
        """Views of a part of both."""
        return Layers(self.background[window], self.rain[window])


def empty_layers(photo: Pixels) -> Layers:
    """For what is still to be written."""
    return Layers(np.empty_like(photo), np.empty_like(photo))


def take_too(photo: Pixels, layers: Layers, rain: Pixels) -> None:
    """Take from the background, in the layers that are given, more rain, which was found in the photo at any size."""
    more = np.asarray(cv2.resize(rain, photo.shape[1::-1], interpolation=cv2.INTER_CUBIC))
    cv2.subtract(layers.background, more, dst=layers.background)  # not below 0
    np.subtract(photo, layers.background, out=layers.rain)


def shows_rain(rain: Pixels) -> bool:
    """Whether there is more of it anywhere than a grey level of 255 over a square of some px."""
    height, width = rain.shape[:2]
    size = max(width // FEW, 1), max(height // FEW, 1)
    coarse = np.asarray(cv2.resize(rain, size, interpolation=cv2.INTER_AREA))
    return bool(coarse.max() >= np.iinfo(rain.dtype).max // 255)


def least_seen(kind: np.dtype[np.unsignedinteger]) -> float:
    """Half a grey level of 8 bits, in the whole numbers of a picture: less rounds to nothing."""
    return float(np.iinfo(kind).max / 255 / 2)


def if_seen(photo: Pixels, layers: Layers) -> Layers:
    """The layers; of rain that 8 bits would not show any of, the photo itself and none."""
    if photo.dtype == np.uint8 or layers.rain.max() > least_seen(photo.dtype):
        return layers
    return Layers(photo.copy(), np.zeros_like(photo))


def heights_of(layer: Pixels) -> NDArray[np.float32]:
    """``(H, W)``, the mean of the channels, in grey levels of 255."""
    heights = np.zeros(layer.shape[:2], np.float32)
    for rows in rows_in_cache(layer):
        for plane in cv2.split(layer[rows]):
            cv2.accumulate(plane, heights[rows])
        heights[rows] *= np.float32(255 / np.iinfo(layer.dtype).max / 3)
    return heights
