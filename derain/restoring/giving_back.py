"""What was found and is no rain goes back to the background, in the layers that are given."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from derain.arrays import Pixels, rows_in_cache
from derain.restoring.alike import WHOLE, compared_size, shares_of_rain
from derain.restoring.devices import CPU, inferring
from derain.restoring.layers import Layers, heights_of, shows_rain
from derain.restoring.veil import GIVEN_BACK, veil_in_cells


def keep_rain(photo: Pixels, layers: Layers) -> None:
    """Leave in the rain layer what is like the rest of the photo's rain, and lies in streaks."""
    if shows_rain(layers.rain):
        _keep_what_is_alike(photo, layers)
        _keep_streaks(photo, layers)


def keep_share(photo: Pixels, layers: Layers, shares: NDArray[np.int32]) -> None:
    """Leave so much of the rain in its layer, from 0 to ``WHOLE``, told for a photo of any size."""
    height, width = photo.shape[:2]
    whole = shares.astype(np.uint16)
    if whole.shape != (height, width):
        whole = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_CUBIC))
    kind = cv2.CV_8U if photo.dtype == np.uint8 else cv2.CV_16U
    for rows in rows_in_cache(photo):
        three = cv2.merge([whole[rows]] * 3)
        cv2.multiply(layers.rain[rows], three, dst=layers.rain[rows], scale=1 / WHOLE, dtype=kind)
        cv2.subtract(photo[rows], layers.rain[rows], dst=layers.background[rows])


def _keep_what_is_alike(photo: Pixels, layers: Layers) -> None:
    height, width = photo.shape[:2]
    size, whole = compared_size(height, width), (width, height)
    both = [layers.rain, layers.background]
    if size != whole:
        both = [np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA)) for layer in both]
    with inferring(CPU):
        found = shares_of_rain(*(torch.from_numpy(heights_of(layer)) for layer in both))
    if found is not None:
        keep_share(photo, layers, found.numpy())


def _keep_streaks(photo: Pixels, layers: Layers) -> None:
    height, width = photo.shape[:2]
    coarse = np.rint(GIVEN_BACK * veil_in_cells(layers.rain)).astype(photo.dtype)
    if not coarse.any():
        return
    veil = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    for rows in rows_in_cache(photo):
        cv2.subtract(layers.rain[rows], cv2.merge([veil[rows]] * 3), dst=layers.rain[rows])
        cv2.subtract(photo[rows], layers.rain[rows], dst=layers.background[rows])
