"""From pixels of half the height and width to those of the whole, quickly on a processor that only infers."""

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


def joined(half: Tensor, skip: Tensor) -> Tensor:
    """``skip`` plus each pixel of ``half`` four times; what only infers writes that over ``skip``, in half the time."""
    if not only_infers_on_cpu(skip) or not skip.is_contiguous(memory_format=torch.channels_last):
        return F.interpolate(half, scale_factor=2.0, mode="nearest").add_(skip)
    count, channels, height, width = half.shape
    pixels = half.permute(0, 2, 3, 1)
    rows = torch.cat([pixels, pixels], 3).view(count, height, 1, 2 * width * channels)
    skip.permute(0, 2, 3, 1).view(count, height, 2, 2 * width * channels).add_(rows)
    return skip
