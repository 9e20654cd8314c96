"""Pixels of half the height and width unfolded, on a processor that only infers."""

import torch
import torch.nn.functional as F
from torch import Tensor

PAIRS = {2: torch.int32, 4: torch.int64}  # two numbers as one, by the bytes of a number


def only_infers_on_cpu(x: Tensor) -> bool:
    """Whether nothing but the result is wanted, so that it may be computed in any way."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def pixel_shuffle(x: Tensor) -> Tensor:
    """``F.pixel_shuffle(x, 2)``, in a fifth of the time: two pixels that come to lie side by side are moved as one."""
    if not only_infers_on_cpu(x) or x.element_size() not in PAIRS:
        return F.pixel_shuffle(x, 2)
    count, channels, height, width = x.shape
    pairs = x.permute(0, 2, 3, 1).contiguous().view(PAIRS[x.element_size()])
    moved = pairs.view(count, height, width, channels // 4, 2).permute(0, 3, 1, 4, 2).contiguous().view(x.dtype)
    return moved.view(count, channels // 4, 2 * height, 2 * width)
