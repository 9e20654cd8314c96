"""From a photo's whole numbers to the floats of a network, and back."""

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from derain.arrays import Pixels, UnitRgb, rows_in_cache
from derain.restoring.layers import Layers


def padded_to_multiple(photo: Pixels, multiple: int) -> Pixels:
    """The photo as :func:`derain.models.contract.pad_to_multiple` extends it, in a tenth of the time."""
    height, width = photo.shape[:2]
    down, right = -height % multiple, -width % multiple
    how = cv2.BORDER_REFLECT_101 if down < height and right < width else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(photo, 0, down, 0, right, how)) if down or right else photo


def is_finite(image: Tensor) -> bool:
    """Whether all of it is: what is not makes the sum so, too, which is found in a third of the time."""
    return math.isfinite(image.sum(dtype=torch.float32).item())


def write_layers(found: Tensor, photo: Pixels, layers: Layers) -> bool:
    """Write the layers of a photo, given its background as :func:`write_if_finite` takes it."""
    for rows in rows_in_cache(photo):
        if not write_if_finite(found[:, rows], layers.background[rows]):
            return False
        cv2.subtract(photo[rows], layers.background[rows], dst=layers.rain[rows])
    return True


def write_if_finite(found: Tensor, pixels: Pixels) -> bool:
    """Write ``(3, H, W)`` in [0, 1] to ``(H, W, 3)`` as whole numbers, down to where it is not finite."""
    white = np.iinfo(pixels.dtype).max
    for rows in rows_in_cache(pixels):
        part = found[:, rows].float().cpu()
        with np.errstate(all="ignore"):
            if not math.isfinite(part.numpy().sum()):  # torch would wake its threads for so little
                return False
        if pixels.dtype == np.uint8:
            _write_bytes(part, pixels[rows])
        else:
            pixels[rows] = np.rint(part.permute(1, 2, 0).numpy() * np.float32(white)).clip(0, white)
    return True


def _write_bytes(part: Tensor, pixels: Pixels) -> None:
    """By OpenCV, in an eighth of NumPy's and torch's time; what lies in planes, as networks give it, plane by plane."""
    if part.stride(0) == 1:
        cv2.convertScaleAbs(part.permute(1, 2, 0).numpy(), dst=pixels, alpha=255)
    else:
        cv2.merge([cv2.convertScaleAbs(plane.numpy(), alpha=255) for plane in part], dst=pixels)


def to_picture(image: Tensor) -> UnitRgb:
    """``(H, W, 3)`` of the first picture of ``(N, 3, H, W)``."""
    return np.asarray(image[0].permute(1, 2, 0).float().cpu().numpy())
