"""Rain is alike all over a photo: what was found that looks unlike the rest of it is given back.

Where the background is restless a network takes some of it for rain: leaves, railings, the stick of an umbrella. In the
layer that it finds, rain is what recurs, falling one way, with streaks of one kind. So the layer's spectrum where it
looks most like streaks tells what rain looks like in this photo, and the rest of the layer is held to it (a Wiener
filter in windows that overlap). Only a share of what was found in a pixel is ever given back, never more.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 64  # px, of a window; the windows lie half of it apart
STEP = SIDE // 2
SPARSE = 4  # of so many rows of px one is measured, which tells as much
LEAST_SIDE = 2 * SIDE  # px, of a photo: in a smaller one there is little to compare
MOST_COMPARED = 1.5e6  # px: a larger photo is compared reduced, and its streaks are wider
WHOLE = 65535  # a share of 1, in 16 bits
LEAST_HEIGHT = 0.25  # grey levels of 255, root mean square: fainter rain is left as it is
MODEL_SHARE = 0.2  # of the windows with rain, those most like streaks: the photo's rain is what they have in common
MOST_MODELS = 512  # windows
MOST_OF_MODELS = 0.85  # of these windows have less at a frequency than may be rain
COMMON_SHARE = 0.95  # of the model's energy, by which windows with much and with little rain are compared
NEIGHBOURS = 1.2  # standard deviation over neighbouring frequencies, of which one window tells little
MOST_WINDOWS = {"cpu": 512, "cuda": 16384}  # at once


def compared_size(height: int, width: int) -> tuple[int, int]:
    """Width and height at which a photo's rain is compared."""
    while height * width > MOST_COMPARED and min(height, width) >= 2 * LEAST_SIDE:
        height, width = height // 2, width // 2
    return width, height


def shares_of_rain(heights: Tensor, brightness: Tensor) -> Tensor | None:
    """Which share of what was found is rain like the photo's, ``(H, W)`` in int32 from 0 to ``WHOLE``.

    Args:
        heights: ``(H, W)``, of the rain layer, in grey levels of 255.
        brightness: of the background as it was found. No more is given back than that: what is brighter than its
            backdrop by more than the backdrop itself is rain, whatever it looks like.

    Returns:
        ``None`` if there is too little rain to tell.
    """
    if min(heights.shape) < LEAST_SIDE:
        return None
    windows = _Windows(heights)
    streaks = _measure(windows)
    if (model := _model(windows, streaks)) is None:
        return None
    shares = torch.empty(heights.shape, dtype=torch.int32, device=heights.device)
    for rows, part in _filtered(windows, model, streaks.rainy):
        surely = 1 - brightness[rows] / heights[rows].clamp(min=LEAST_HEIGHT)
        shares[rows] = torch.maximum(part, surely).mul_(WHOLE).round_().to(torch.int32)
    return shares


@dataclass(frozen=True)
class _Windows:
    """Windows over heights that are mirrored at the borders, by rows and columns."""

    heights: Tensor

    @property
    def count(self) -> tuple[int, int]:
        return tuple(math.ceil(side / STEP) + 1 for side in self.heights.shape)  # type: ignore[return-value]

    def rows(self, first: int, last: int, around: int = 0) -> Tensor:
        """What the windows of some rows of them see, ``(STEP * (rows + 1), W')``, and some px around that."""
        height, width = self.heights.shape
        top, bottom = (first - 1) * STEP - around, last * STEP + around
        within = top >= 0 and bottom <= height
        seen = self.heights[slice(top, bottom) if within else _mirrored(top, bottom, height, self.heights.device)]
        left, right = STEP + around, self.count[1] * STEP + around - width
        return torch.cat([seen[:, :left].flip(1), seen, seen[:, width - right :].flip(1)], 1)

    def cut(self, first: int, last: int, wanted: Tensor | None = None) -> Tensor:
        """``(rows, columns, SIDE, SIDE)``, fading towards their edges so that they add up to the heights.

        Args:
            wanted: which of them; gives ``(N, SIDE, SIDE)``.
        """
        rows = self.rows(first, last)
        parts = rows.unfold(0, SIDE, STEP).unfold(1, SIDE, STEP)
        return (parts if wanted is None else parts[wanted]) * _fading(rows.device)

    def strips(self) -> Iterator[tuple[int, int]]:
        """First and last row of windows that are taken at once."""
        down, right = self.count
        most = max(MOST_WINDOWS.get(self.heights.device.type, MOST_WINDOWS["cpu"]) // right, 1)
        return ((first, min(first + most, down)) for first in range(0, down, most))


def _mirrored(first: int, last: int, size: int, device: torch.device) -> Tensor:
    at = torch.arange(first, last, device=device).remainder(2 * size)
    return torch.where(at < size, at, 2 * size - 1 - at)


def _fading(device: torch.device) -> Tensor:
    window = torch.hann_window(SIDE, periodic=True, dtype=torch.float32, device=device)
    return window[:, None] * window


@dataclass(frozen=True)
class _Streaks:
    """Of each window: whether there is rain in it, and how much it looks like streaks along the photo's direction."""

    rainy: Tensor  # bool
    alike: Tensor  # -1: streaks across it; 0: no direction; 1: streaks along it


def _measure(windows: _Windows) -> _Streaks:
    """By the structure tensor of the heights."""
    found = torch.cat([_slopes(windows.rows(first, last, 1)) for first, last in windows.strips()], 1)
    square, xx, yy, xy = found
    twice = torch.atan2(2 * xy.sum(), (xx - yy).sum())  # the angle of the steepest slope, across the streaks
    alike = ((xx - yy) * torch.cos(twice) + 2 * xy * torch.sin(twice)) / (xx + yy).clamp(min=1e-6)
    return _Streaks(square > LEAST_HEIGHT**2, alike)


def _slopes(rows: Tensor) -> Tensor:
    """Means over each window: of the square, and of the products of the slopes to the right and down.

    Args:
        rows: with a pixel around them.
    """
    above, here, below = rows[:-2:SPARSE], rows[1:-1:SPARSE], rows[2::SPARSE]
    smooth, steep = above + 2 * here + below, below - above
    x, y = smooth[:, 2:] - smooth[:, :-2], steep[:, :-2] + 2 * steep[:, 1:-1] + steep[:, 2:]
    products = torch.stack([here[:, 1:-1] ** 2, x * x, y * y, x * y])
    cells = products.unflatten(2, (-1, STEP)).mean(3).unflatten(1, (-1, STEP // SPARSE)).mean(2)
    return F.avg_pool2d(cells, 2, stride=1)


@dataclass(frozen=True)
class _Model:
    """Shares of a window's energy that rain has at each frequency, ``(SIDE, SIDE / 2 + 1)``."""

    usual: Tensor
    most: Tensor  # what is still rain: in a few windows it is finer or wider than in the others


def _model(windows: _Windows, streaks: _Streaks) -> _Model | None:
    alike = streaks.alike[streaks.rainy]
    if not len(alike):
        return None
    chosen = (streaks.rainy & (streaks.alike >= _quantile(alike, 1 - MODEL_SHARE))).nonzero()
    wanted = torch.zeros_like(streaks.rainy)
    wanted[tuple(chosen[:: math.ceil(len(chosen) / MOST_MODELS)].T)] = True
    found = []
    for first, last in windows.strips():
        if wanted[first:last].any():  # FFTs refuse none
            energy = _smoothed(_energy(torch.fft.rfft2(windows.cut(first, last, wanted[first:last]))))
            found.append(energy / energy.sum((1, 2), keepdim=True).clamp(min=1e-6))
    shares = torch.cat(found)
    usual = shares.mean(0)
    return _Model(usual, torch.maximum(usual, _quantile(shares, MOST_OF_MODELS)))


def _quantile(values: Tensor, share: float) -> Tensor:
    """Over the first dimension."""
    return values.kthvalue(int(share * (len(values) - 1)) + 1, 0).values


def _energy(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _smoothed(energy: Tensor) -> Tensor:
    """Over neighbouring frequencies."""
    down, right, right_mirrored = _kernels(energy.device)
    mirrored = energy[..., -torch.arange(SIDE, device=energy.device) % SIDE, :]
    return down @ (energy @ right + mirrored @ right_mirrored)


@cache
def _kernels(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussians over the rows and columns of a spectrum; beyond its first and last column lies its own mirror image."""
    frequencies = torch.arange(SIDE, dtype=torch.float32, device=device)
    kept = torch.arange(STEP + 1, dtype=torch.float32, device=device)
    down, right = _gaussian(frequencies, frequencies), _gaussian(frequencies, kept)
    mirrored = torch.zeros_like(right[: STEP + 1])
    mirrored[1:STEP] = right[STEP + 1 :].flip(0)
    return down, right[: STEP + 1].contiguous(), mirrored


def _gaussian(rows: Tensor, columns: Tensor) -> Tensor:
    """Over frequencies that repeat after ``SIDE`` of them."""
    distance = (rows[:, None] - columns).remainder(SIDE)
    distance = torch.minimum(distance, SIDE - distance)
    kernel = torch.exp(-((distance / NEIGHBOURS) ** 2) / 2)
    kernel = torch.where(kernel > 1e-4, kernel, 0)  # processors are slow at the smallest numbers
    return kernel / kernel[:, 0].sum()


def _filtered(windows: _Windows, model: _Model, rainy: Tensor) -> Iterator[tuple[slice, Tensor]]:
    height, width = windows.heights.shape
    common = _common(model.usual)
    below = None  # what the windows above give to the first strip of cells
    for first, last in windows.strips():
        parts = windows.cut(first, last)
        here = rainy[first:last]
        if here.any():  # FFTs refuse none
            parts[here] = _like(model, common, parts[here])
        cells = _added(parts)
        if below is not None:
            cells[0] += below
        below = cells[-1]
        kept = cells[:-1].transpose(1, 2).flatten(2).flatten(0, 1)
        rows = slice(max((first - 1) * STEP, 0), min((last - 1) * STEP, height))
        if rows.start < rows.stop:
            kept = kept[rows.start - (first - 1) * STEP :][: rows.stop - rows.start, STEP : STEP + width]
            yield rows, (kept / windows.heights[rows].clamp(min=LEAST_HEIGHT)).clamp(0, 1)


def _common(shares: Tensor) -> Tensor:
    """``(SIDE, SIDE / 2 + 1)``: 1 at the frequencies that hold most of the energy, 0 elsewhere."""
    strongest = shares.flatten().sort(descending=True).values
    least = strongest[int((strongest.cumsum(0) < COMMON_SHARE * shares.sum()).sum())]
    return (shares >= least).float()


def _like(model: _Model, common: Tensor, parts: Tensor) -> Tensor:
    """``(N, SIDE, SIDE)`` windows without what is more than rain has at its frequency."""
    spectrum = torch.fft.rfft2(parts)
    energy = _smoothed(_energy(spectrum))
    amount = energy.flatten(1) @ common.flatten() / (model.usual * common).sum()
    most = amount[:, None, None] * model.most
    gain = most.div_(energy.clamp_(min=1e-9)).clamp_(max=1).sqrt_()
    return torch.fft.irfft2(spectrum * gain, s=(SIDE, SIDE))


def _added(parts: Tensor) -> Tensor:
    """Overlapping windows ``(rows, columns, SIDE, SIDE)`` as cells ``(rows + 1, columns + 1, STEP, STEP)``."""
    down, right = parts.shape[:2]
    cells = parts.new_zeros(down + 1, right + 1, STEP, STEP)
    for top in (0, 1):
        for left in (0, 1):
            corner = parts[..., top * STEP : (top + 1) * STEP, left * STEP : (left + 1) * STEP]
            cells[top : top + down, left : left + right] += corner
    return cells
