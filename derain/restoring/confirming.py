"""Rain shows at half the scale, too: what was found in a large photo and is not found in the reduced one is given back.

A camera's photo of many megapixels has blades of grass, threads and blurred edges that look like streaks of a smaller
one. Reduced, they no longer do, but a streak is still one. So where the reduced photo shows none, the photo itself need
not be looked at.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derain.restoring.alike import WHOLE

LEAST_CONFIRMED = 3e6  # px, of a photo: in smaller ones rain may be so fine that it is lost when they are reduced
CELL = 16  # px of the reduced photo: the share that is found again is told of such squares and those around them
NEVER, SURELY = 0.1, 0.35  # the share up to which nothing, and from which all of it, is rain
REACH = 2  # squares, how far the share that is found again in one counts when shares are enlarged
SEEN = 0.01  # grey levels of 255, mean over a square and those around it: no more than ten times that could be kept
FAINT = 0.03  # grey levels of 255, mean over a square: of so little rain no share can be told


def is_confirmed(height: int, width: int) -> bool:
    """Whether what is found in a photo of this size is held to what its reduced copy shows."""
    return height * width >= LEAST_CONFIRMED


def shares_found_again(before: Tensor, again: Tensor) -> Tensor:
    """Which share of what was found is rain, ``(h, w)`` in int32 from 0 to ``WHOLE``, for squares of ``CELL`` px.

    Args:
        before: ``(H, W)``, heights of the rain found in the photo, reduced; in grey levels of 255.
        again: those of the rain found in the reduced photo.
    """
    shared, all_of_it, seen = _means_around(torch.stack([torch.minimum(before, again), before, again]))
    share = (shared + FAINT * SURELY) / (all_of_it + FAINT)
    share = ((share - NEVER) / (SURELY - NEVER)).clamp_(0, 1).mul_(WHOLE).round_().to(torch.int32)
    return share * _near_rain(seen)


def squares_with_rain(again: Tensor) -> NDArray[np.bool_]:
    """In which squares of ``CELL`` px any of what is found in the photo itself would be kept, ``(h, w)``.

    Args:
        again: ``(H, W)``, heights of the rain found in the reduced photo; in grey levels of 255.
    """
    return _near_rain(_means_around(again[None])[0]).numpy()


def _near_rain(means: Tensor) -> Tensor:
    around = F.max_pool2d(means[None], 2 * REACH + 1, stride=1, padding=REACH)[0]
    return around > SEEN


def _means_around(layers: Tensor) -> Tensor:
    """Means of ``(N, H, W)`` layers over each square of ``CELL`` px and those around it, ``(N, h, w)``."""
    cells = max(layers.shape[1] // CELL, 1), max(layers.shape[2] // CELL, 1)
    means = F.adaptive_avg_pool2d(layers[None], cells)
    return F.avg_pool2d(means, 3, stride=1, padding=1, count_include_pad=False)[0]
