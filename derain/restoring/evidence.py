"""Whether rain of another scale stands out, judged on the device; the reference is ``derain.restoring.scales``."""

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from derain.rain.clean import (
    ANGLES,
    DETAIL_SIGMA,
    NEARLY_NONE,
    SMOOTH_SHARE,
    SMOOTH_SIGMA,
    SURELY_LONGER,
    streak_line,
)
from derain.restoring.scales import EVIDENT_MEAN_HEIGHT, EVIDENT_SHARE

ALL_ANGLES = np.append(ANGLES, 90)  # with those across


def stand_out(parts: Tensor, before: Tensor) -> bool:
    """Whether parts of a rain layer are rain of a scale of its own, given those of the layer found ``before``.

    Both are ``(N, H, W, 3)`` heights in [0, 1].
    """
    if parts.mean() <= EVIDENT_MEAN_HEIGHT:  # cleaning only takes away
        return False
    found = mean_height(parts)
    return bool(found > EVIDENT_MEAN_HEIGHT and found > EVIDENT_SHARE * mean_height(before))


def stand_out_each(parts: Tensor, before: Tensor) -> Tensor:
    """What :func:`stand_out` says of each of M photos by ``(M, N, H, W, 3)`` parts, without a wait for the device."""
    found, earlier = (mean_heights(each.flatten(0, 1)).view(len(each), -1).mean(1) for each in (parts, before))
    enough = parts.mean((1, 2, 3, 4)) > EVIDENT_MEAN_HEIGHT
    return enough & (found > EVIDENT_MEAN_HEIGHT) & (found > EVIDENT_SHARE * earlier)


def mean_height(parts: Tensor) -> Tensor:
    """Mean height of what is streaks, as :func:`derain.rain.clean.clean_rain` tells them, all parts at once."""
    return mean_heights(parts).mean()


def mean_heights(parts: Tensor) -> Tensor:
    """Mean height of what is streaks in each of ``(N, H, W, 3)`` parts."""
    layer = parts.amin(dim=-1)[:, None]
    layer = F.relu(layer - SMOOTH_SHARE * blurred(layer, SMOOTH_SIGMA))
    lines = _lines(layer.device)
    energy = _filtered(layer - blurred(layer, DETAIL_SIGMA), lines[: len(ANGLES)]).square().mean((2, 3))
    along = energy.argmax(1)
    across = (along + len(ALL_ANGLES) // 2) % len(ALL_ANGLES)
    filtered, each = _filtered(layer, lines), torch.arange(len(layer), device=layer.device)
    ratio = filtered[each, along] / (filtered[each, across] + NEARLY_NONE)
    elongated = ((ratio - 1) / SURELY_LONGER).clamp(0, 1)
    return (layer[:, 0] * elongated).mean((1, 2))


def blurred(layer: Tensor, sigma: float) -> Tensor:
    """``(N, 1, H, W)`` float32 as OpenCV blurs it."""
    kernel = _gaussian(sigma, layer.device)
    return _filtered(_filtered(layer, kernel[None, None, :, None]), kernel[None, None, None, :])


def _filtered(layer: Tensor, kernels: Tensor) -> Tensor:
    down, right = (side // 2 for side in kernels.shape[-2:])
    return F.conv2d(F.pad(layer, (right, right, down, down), mode="reflect"), kernels)


@lru_cache(16)
def _gaussian(sigma: float, device: torch.device) -> Tensor:
    side = round(8 * sigma + 1) | 1  # as OpenCV takes it for floats
    return torch.from_numpy(cv2.getGaussianKernel(side, sigma)[:, 0]).float().to(device)


@lru_cache(2)
def _lines(device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack([streak_line(float(angle)) for angle in ALL_ANGLES]))[:, None].to(device)
