"""OpenCV's resizing in torch, so that a photo on a device need not leave it: the same to within one grey level."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

CUBIC = -0.75  # OpenCV's a
Taps = Callable[[int, int], tuple[np.ndarray, np.ndarray]]  # (K, L) places and weights for L of a length


def reduced(pixels: Tensor, width: int, height: int) -> Tensor:
    """As ``INTER_AREA`` reduces ``(..., H, W, 3)`` whole numbers: it rounds halves up if both sides are halved."""
    means = _means(pixels, height, width, _area_taps)
    halved = pixels.shape[-3:-1] == (2 * height, 2 * width)
    return (means.add_(0.5).floor_() if halved else means.round_()).to(pixels.dtype)


def reduced_plane(layers: Tensor, width: int, height: int) -> Tensor:
    """As ``INTER_AREA`` reduces ``(..., H, W)`` whole numbers that are float32."""
    rows, columns = (_area_matrix(*sizes, layers.device) for sizes in zip(layers.shape[-2:], (height, width)))
    means = rows @ layers @ columns.T
    halved = layers.shape[-2:] == (2 * height, 2 * width)
    return means.add_(0.5).floor_() if halved else means.round_()


@lru_cache(16)
def _area_matrix(length: int, wanted: int, device: torch.device) -> Tensor:
    matrix, (places, weights) = np.zeros((wanted, length), np.float32), _area_taps(length, wanted)
    np.add.at(matrix, (np.arange(wanted)[None], places), weights)
    return torch.from_numpy(matrix).to(device)


def enlarged(pixels: Tensor, width: int, height: int) -> Tensor:
    """As ``INTER_CUBIC`` enlarges ``(..., H, W, 3)`` whole numbers of at most 8 bits, or of 16 in int32."""
    most = 255 if pixels.dtype == torch.uint8 else 65535
    return _means(pixels, height, width, _cubic_taps).round_().clamp_(0, most).to(pixels.dtype)


def _means(pixels: Tensor, height: int, width: int, taps: Taps) -> Tensor:
    rows = _weighted(pixels, -3, *_placed(taps, pixels.shape[-3], height, pixels.device))
    return _weighted(rows, -2, *_placed(taps, pixels.shape[-2], width, pixels.device))


@lru_cache(64)
def _placed(taps: Taps, length: int, wanted: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copied to the device once: a GPU is waited for at each copy."""
    places, weights = taps(length, wanted)
    return torch.from_numpy(places).to(device), torch.from_numpy(weights).to(device)


def _weighted(values: Tensor, dim: int, places: Tensor, weights: Tensor) -> Tensor:
    """Along a dimension, sums of the values at ``(K, L)`` places by their weights: ``L`` of them, float32."""
    shape = [1] * values.dim()
    shape[dim] = places.shape[1]
    total = None
    for place, weight in zip(places, weights):
        picked = values.index_select(dim, place).float().mul_(weight.view(shape))
        total = picked if total is None else total.add_(picked)
    assert total is not None
    return total


def _area_taps(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Each new pixel is the mean of what it covers, pixels at its ends as far as it covers them."""
    scale = length / wanted
    start = np.arange(wanted) * scale
    places = np.floor(start).astype(np.int64) + np.arange(int(np.ceil(scale)) + 1)[:, None]
    cover = np.minimum(places + 1, start + scale) - np.maximum(places, start)
    weights = np.where(cover > 1e-6, cover, 0) / scale
    return places.clip(0, length - 1), (weights / weights.sum(0)).astype(np.float32)


def _cubic_taps(length: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    centre = (np.arange(wanted) + 0.5) * length / wanted - 0.5
    first = np.floor(centre)
    offsets = np.arange(-1, 3)[:, None]
    x = np.abs(centre - first - offsets)
    near = (CUBIC + 2) * x**3 - (CUBIC + 3) * x**2 + 1
    far = CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
    places = (first + offsets).astype(np.int64).clip(0, length - 1)
    return places, np.where(x <= 1, near, far).astype(np.float32)
