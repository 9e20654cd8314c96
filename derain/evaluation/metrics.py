"""Scores of one picture against its truth.

Pictures are ``(H, W, 3)`` or ``(H, W)``, uint8 or uint16. Every score is given in 8-bit units, so depths compare.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain.photos import as_rgb

Picture = NDArray[Any]  # uint8 or uint16
Values = NDArray[np.float64]

IDENTICAL_PSNR = 100.0  # dB that identical pictures count as in means; infinity has no mean
WINDOW, SIGMA = 11, 1.5  # SSIM's Gaussian window, px


class MisfitError(ValueError):
    """Of pictures that are to be compared and are of two sizes; it tells what one is and the other has."""


def values(picture: Picture) -> Values:
    """Values in [0, 255], whatever the depth."""
    return picture.astype(np.float64) / (257 if picture.dtype == np.uint16 else 1)


def luma(picture: Picture) -> Values:
    """BT.601 luma in studio range [16, 235], rounded to the picture's depth as MATLAB's ``rgb2ycbcr`` does.

    Grey pictures are their own luma, as in the field's scripts.
    """
    if picture.ndim == 2:
        return values(picture)
    steps = 257 if picture.dtype == np.uint16 else 1
    exact = 16 + values(picture) @ np.array([65.481, 128.553, 24.966]) / 255
    return np.floor(exact * steps + 0.5) / steps


def psnr(one: Values, other: Values) -> float:
    """Peak signal-to-noise ratio in dB for values in [0, 255]; infinite if they are equal."""
    error = float(np.mean((one - other) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def capped_psnr(one: Values, other: Values) -> float:
    """As :func:`psnr`, at the most :data:`IDENTICAL_PSNR`."""
    return min(psnr(one, other), IDENTICAL_PSNR)


def ssim(one: Values, other: Values) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian 11x11 window of sigma 1.5, K = 0.01 and 0.03, range 255.

    Averaged where the window lies inside the picture, and over channels. A picture smaller than the window is one
    window with even weights.
    """
    from skimage.metrics import structural_similarity

    if min(one.shape[:2]) < WINDOW:
        return _ssim_of_one_window(one, other)
    options = {"gaussian_weights": True, "sigma": SIGMA, "use_sample_covariance": False, "data_range": 255.0}
    return float(structural_similarity(one, other, channel_axis=2 if one.ndim == 3 else None, **options))


def _ssim_of_one_window(one: Values, other: Values) -> float:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = one.mean((0, 1)), other.mean((0, 1))
    covariance = ((one - mean_a) * (other - mean_b)).mean((0, 1))
    structure = (2 * covariance + c2) / (one.var((0, 1)) + other.var((0, 1)) + c2)
    return float(np.mean((2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1) * structure))


class Paired:
    """A picture beside its truth, in the form of the truth: grey repeated beside colour, colour averaged beside grey.

    Raises:
        MisfitError: the sizes differ.
    """

    def __init__(self, picture: Picture, truth: Picture) -> None:
        if picture.shape[:2] != truth.shape[:2]:
            raise MisfitError(f"{size_of(picture)} px, but its ground truth has {size_of(truth)}")
        self.luma, self.truth_luma = luma(picture), luma(truth)
        self.values, self.truth_values = values(picture), values(truth)
        if truth.ndim == 2 and picture.ndim == 3:
            self.luma = self.values = self.values.mean(axis=2)
        elif truth.ndim == 3 and picture.ndim == 2:
            self.luma, self.values = luma(as_rgb(picture)), as_rgb(self.values)


def size_of(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
