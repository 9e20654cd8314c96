"""Rendered streaks: the warm start, and the augmentation of discovered rain layers.

A drop falls several times its own size during the exposure, so a streak is a small blob convolved with a line. Depth
gives sizes: many thin faint streaks far away, few thick bright ones near.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Heights

PIXEL_SIGMA = 12**-0.5  # px, standard deviation of the square that a pixel sees

STREAK_COVER = (0.0024, 0.18)  # length of all separate streaks of a layer together, px a pixel


@np.errstate(under="ignore")  # be numbers that are next to nothing errors to the caller
def line_kernel(length: float, degrees: float, width: float) -> Heights:
    """Motion-blur kernel: a Gaussian blob of ``width`` px (sigma) that moves ``length`` px at ``degrees`` from the
    vertical, seen by pixels; sum 1.
    """
    along, across = along_and_across(int(np.ceil(length / 2 + 2 * width)) + 1, degrees)
    sigma = np.hypot(max(width, 0.3), PIXEL_SIGMA)
    shape = np.exp(-((across / sigma) ** 2) / 2)
    shape = shape * (normal_cdf((length / 2 - along) / sigma) - normal_cdf((-length / 2 - along) / sigma))
    return np.asarray(shape / shape.sum(), np.float32)


def bar_kernel(length: float, degrees: float, width: float) -> Heights:
    """A streak in focus that hides what is behind: as high over all of its ``width`` px to each side, with edges of a
    pixel and round ends; maximum 1.
    """
    along, across = along_and_across(int(np.ceil(length / 2 + width)) + 2, degrees)
    distance = np.hypot(np.maximum(np.abs(along) - max(length / 2 - width, 0), 0), across)
    return np.asarray(normal_cdf((width - distance) / PIXEL_SIGMA), np.float32)


def along_and_across(half: int, degrees: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each pixel of a kernel of ``2 half + 1`` px lies along a direction from the vertical, and across it."""
    down, right = np.mgrid[-half : half + 1, -half : half + 1]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return down * cos + right * sin, right * cos - down * sin


def normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    import torch  # which takes seconds to load, and a picture without rain is told without

    return np.asarray(torch.special.ndtr(torch.from_numpy(x)).numpy())


StreakKernel = Callable[[float, float, float], Heights]  # of length, degrees and width


def drops(rng: np.random.Generator, size: int, density: float) -> Heights:
    """Sparse drops of uneven brightness."""
    return np.where(rng.random((size, size)) < density, rng.gamma(2.0, 0.5, (size, size)), 0).astype(np.float32)


def grain(rng: np.random.Generator, size: int) -> Heights:
    """Dense noise, which a line filter turns into a curtain of overlapping streaks."""
    return rng.standard_normal((size, size)).astype(np.float32)


def curtain(rng: np.random.Generator, size: int, length: float, degrees: float, width: float) -> Heights:
    """A layer of many overlapping streaks, as heavy or distant rain gives."""
    layer = cv2.filter2D(grain(rng, size), -1, line_kernel(length, degrees, width), borderType=cv2.BORDER_REFLECT)
    layer = layer / (layer.std() + 1e-6) - rng.uniform(-0.5, 1.8)
    return np.maximum(layer, 0) / 2.5


def streaks(
    rng: np.random.Generator,
    size: int,
    length: float,
    degrees: float,
    width: float,
    cover: tuple[float, float] = STREAK_COVER,
    kernel_of: StreakKernel = line_kernel,
) -> Heights:
    """A layer of separate streaks whose directions spread by a few degrees."""
    layer = np.zeros((size, size), np.float32)
    density = between(rng, cover) / length
    for _ in range(rng.integers(1, 4)):
        kernel = kernel_of(length * rng.uniform(0.7, 1.3), degrees + rng.normal(0, 2.5), width)
        layer += cv2.filter2D(drops(rng, size, density), -1, kernel / kernel.max(), borderType=cv2.BORDER_REFLECT)
    return layer


@dataclass(frozen=True)
class Kind:
    """What a kind of rain draws its streaks from; pairs are ranges, drawn from evenly on a log scale."""

    slant: float  # standard deviation of the direction, in degrees from the vertical
    oblique: float  # share of layers with any direction up to 60 degrees
    length: tuple[float, float]  # px
    width: tuple[float, float]  # px
    strength: tuple[float, float]  # height of a streak, of 1
    curtains: float  # share of curtains, the rest is separate streaks
    cover: tuple[float, float] = STREAK_COVER
    kernel_of: StreakKernel = line_kernel


ANY_RAIN = Kind(slant=18, oblique=0.4, length=(6, 110), width=(0.3, 1.5), strength=(0.03, 0.7), curtains=0.5)
FINE_RAIN = Kind(slant=12, oblique=0.3, length=(5, 40), width=(0.28, 0.9), strength=(0.03, 0.4), curtains=0.75)
FAR_RAIN = Kind(slant=10, oblique=0.05, length=(2, 14), width=(0.25, 0.6), strength=(0.02, 0.15), curtains=0.8)
HEAVY_RAIN = Kind(
    slant=14, oblique=0.35, length=(15, 120), width=(0.6, 2.6), strength=(0.15, 0.7), curtains=0.2, cover=(0.006, 0.05)
)
SHORT_RAIN = Kind(  # a short exposure stops the drops: like snow
    slant=25, oblique=0.4, length=(1, 12), width=(0.5, 2.4), strength=(0.15, 0.85), curtains=0, cover=(0.002, 0.05)
)
DEFOCUSED_RAIN = Kind(  # near the lens: long, wide and soft
    slant=14, oblique=0.35, length=(20, 140), width=(1.2, 6), strength=(0.06, 0.6), curtains=0.1, cover=(0.002, 0.03)
)
OPAQUE_RAIN = Kind(  # lit drops in focus, which hide what is behind them
    slant=12,
    oblique=0.3,
    length=(5, 90),
    width=(0.6, 2.8),
    strength=(0.3, 1),
    curtains=0,
    cover=(0.001, 0.02),
    kernel_of=bar_kernel,
)


def render(rng: np.random.Generator, size: int, kind: Kind = ANY_RAIN) -> Heights:
    """A random rain layer: ``(size, size)`` heights in [0, 1], one to three sizes of streaks over each other."""
    degrees = rng.uniform(-60, 60) if rng.random() < kind.oblique else rng.normal(0, kind.slant)
    layer = np.zeros((size, size), np.float32)
    for _ in range(rng.integers(1, 4)):
        length, width, strength = (between(rng, r) for r in (kind.length, kind.width, kind.strength))
        if rng.random() < kind.curtains:
            layer += strength * curtain(rng, size, length, degrees + rng.normal(0, 3), width)
        else:
            layer += strength * streaks(
                rng, size, length, degrees + rng.normal(0, 3), width, kind.cover, kind.kernel_of
            )
    if rng.random() < 0.3:
        layer *= patchiness(rng, size)
    return np.clip(layer, 0, 1)


def between(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """A number between two limits, evenly drawn on a log scale."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def patchiness(rng: np.random.Generator, size: int) -> Heights:
    """Smooth gains in [0, 1]: rain is rarely even across a photo."""
    coarse = rng.random((4, 4)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)
