"""Rain darker than a bright sky, as time shows it: it darkens a place in one frame and is gone in the next.

Fusion takes what is darkest for the background, since rain brightens. But before a bright sky a drop shows the rest of
the scene, and is darker. There the frames' median is the background. Such rain darkens far more than it brightens,
falls as the rain elsewhere does, and is all over the sky. What is longer than a streak, such as a lamp post that moves
before the sky, stays, and so does what is much darker than a drop.
"""

import math
from functools import lru_cache

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from derain.motion import Small
from derain.ordering import ordered

CELL = 8  # px at the size of the flow, side of what shares are told of
AROUND = 12  # px, standard deviation, over which frames are compared
NOISE = 3  # grey levels, by which a frame may differ from the median
LEAST_DARKENING = 0.5  # grey levels, mean over all frames
LEAST_OF_SKY = 0.4  # share of all that is as bright, before which there is to be dark rain
AS_BRIGHT = 20  # grey levels, less than what shows dark rain
LONGEST = 66  # px, of a streak
COVERED = 0.95  # share of a line so long, from which it is one thing
ANGLES = 16  # of such lines
DEEPEST = 90  # grey levels below the sky, up to which a drop may be
# Each of these: where nothing, and where all of it, is dark rain.
BRIGHT = 150, 175  # grey levels, of the median
LESS = 0.5, 0.3  # brightening over darkening
ALONG = 0.3, 0.6  # likeness to the direction of the bright rain, from -1 to 1


def may_show(rainy: Small) -> bool:
    """Whether a frame in grey, at the size of the flow, has a sky bright enough."""
    height, width = rainy.shape
    cells = cv2.resize(rainy, (max(width // CELL, 1), max(height // CELL, 1)), interpolation=cv2.INTER_AREA)
    return bool((cells >= BRIGHT[0]).any())


def shares_of_dark_rain(rainy: Tensor, rain: Tensor, neighbours: Tensor) -> Tensor:
    """How surely what is seen in each cell of a frame is the sky behind dark rain, ``(h, w)`` from 0 to 1.

    Args:
        rainy: ``(H, W)``, the frame in grey levels, at the size of the flow.
        rain: ``(H, W)``, what the network took of it.
        neighbours: ``(N, H, W)``, as they look from the frame.
    """
    frames = torch.cat([rainy[None], neighbours])
    in_order = ordered(frames.unbind(), torch.minimum, torch.maximum)
    low, high = in_order[(len(frames) - 1) // 2], in_order[len(frames) // 2]  # the medians, if there are two
    bright = ((high - BRIGHT[0]) / (BRIGHT[1] - BRIGHT[0])).clamp(0, 1)
    darkened, brightened = (
        around(bright * F.relu(off - NOISE).mean(0), AROUND) for off in (low - frames, frames - high)
    )
    shares = (
        between(brightened / darkened.clamp(min=1e-3), LESS)
        * between(likeness(bright * F.relu(low - rainy), rain), ALONG)
        * (darkened > LEAST_DARKENING * around(bright, AROUND))
    )
    if not shares.any():
        return shares
    shares = shares * ~long_things(bright * (high - rainy) > NOISE, shares)
    sky = cells(bright)
    light = cells(bright * high) / sky.clamp(min=1e-3)
    level = (shares * sky * light).sum() / (shares * sky).sum().clamp(min=1e-3)
    return shares * ((shares * sky).sum() >= LEAST_OF_SKY * (sky * (light >= level - AS_BRIGHT)).sum())


def long_things(dark: Tensor, like: Tensor) -> Tensor:
    """In which cells, as many as ``like`` has, there is something dark that is longer than a streak."""
    halved = F.max_pool2d(dark[None, None].float(), 2, ceil_mode=True)
    share = F.conv2d(halved, lines(dark.device), padding=LONGEST // 4).amax(1, keepdim=True)
    side, margin = LONGEST // 2, LONGEST // 4
    beside_it = F.max_pool2d((share > COVERED).float(), (1, side), stride=1, padding=(0, margin))
    around_it = F.max_pool2d(beside_it, (side, 1), stride=1, padding=(margin, 0))
    return F.adaptive_max_pool2d(around_it, like.shape)[0, 0] > 0


@lru_cache(4)
def lines(device: torch.device) -> Tensor:
    """``(ANGLES, 1, h, h)``: means along lines half as long as the longest streak, for maps halved."""
    side = LONGEST // 2
    places: Tensor = torch.arange(side, dtype=torch.float32) - side // 2
    found = torch.zeros(ANGLES, 1, side, side)
    for index in range(ANGLES):
        angle = torch.tensor(math.pi * index / ANGLES)
        found[
            index,
            0,
            (side // 2 + (places * angle.cos()).round()).long(),
            (side // 2 + (places * angle.sin()).round()).long(),
        ] = 1
    return (found / found.sum((2, 3), keepdim=True)).to(device)


def likeness(streaks: Tensor, rain: Tensor) -> Tensor:
    """How streaks run around each cell: -1 across the rain, 0 in no direction, 1 along it."""
    right, down = slopes(rain)
    twice = torch.atan2(2 * (right * down).mean(), (right**2 - down**2).mean())  # the angle across the rain, doubled
    right, down = slopes(streaks)
    along = around((right**2 - down**2) * torch.cos(twice) + 2 * right * down * torch.sin(twice), AROUND)
    return along / around(right**2 + down**2, AROUND).clamp(min=1e-3)


def slopes(brightness: Tensor) -> tuple[Tensor, Tensor]:
    """To the right and down, by Sobel's filters."""
    smooth = torch.tensor([1.0, 2, 1], device=brightness.device)
    steep = torch.tensor([-1.0, 0, 1], device=brightness.device)
    kernels = torch.stack([smooth[:, None] * steep, steep[:, None] * smooth])[:, None]
    right, down = F.conv2d(F.pad(brightness[None, None], (1, 1, 1, 1), mode="replicate"), kernels)[0]
    return right, down


def around(numbers: Tensor, deviation: float) -> Tensor:
    """Means around each cell of ``(H, W)``, weighed by a Gaussian with this standard deviation in px."""
    kernel, each = gaussian(deviation / CELL, numbers.device), cells(numbers)[None, None]
    reach = len(kernel) // 2
    both = torch.cat([each, torch.ones_like(each)])
    down = F.conv2d(both, kernel[None, None, :, None], padding=(reach, 0))
    found, weight = F.conv2d(down, kernel[None, None, None], padding=(0, reach))[:, 0]
    return found / weight


def cells(numbers: Tensor) -> Tensor:
    """Their means, of ``(H, W)``."""
    return F.avg_pool2d(numbers[None, None], CELL, ceil_mode=True, count_include_pad=False)[0, 0]


@lru_cache(4)
def gaussian(deviation: float, device: torch.device) -> Tensor:
    reach = round(3 * deviation)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1, device=device) / deviation) ** 2) / 2)
    return kernel / kernel.sum()


def between(numbers: Tensor, ends: tuple[float, float]) -> Tensor:
    """0 at the first end and beyond it, 1 at the second, smooth between them."""
    none, whole = ends
    share = ((numbers - none) / (whole - none)).clamp(0, 1)
    return share**2 * (3 - 2 * share)
