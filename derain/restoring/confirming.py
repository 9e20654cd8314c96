"""Rain shows at half the scale, too: what was found in a large photo and is not found in the reduced one is given back.

A camera's photo of many megapixels has blades of grass, threads and blurred edges that look like streaks of a smaller
one. Reduced, they no longer do, but a streak is still one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from derain.restoring.alike import WHOLE

LEAST_CONFIRMED = 3e6  # px, of a photo: in smaller ones rain may be so fine that it is lost when they are reduced
CELL = 16  # px of the reduced photo: the share that is found again is told of such squares and those around them
NEVER, SURELY = 0.1, 0.35  # the share up to which nothing, and from which all of it, is rain
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
    cells = max(before.shape[0] // CELL, 1), max(before.shape[1] // CELL, 1)
    means = F.adaptive_avg_pool2d(torch.stack([torch.minimum(before, again), before])[None], cells)
    shared, all_of_it = F.avg_pool2d(means, 3, stride=1, padding=1, count_include_pad=False)[0]
    share = (shared + FAINT * SURELY) / (all_of_it + FAINT)
    return ((share - NEVER) / (SURELY - NEVER)).clamp_(0, 1).mul_(WHOLE).round_().to(torch.int32)
