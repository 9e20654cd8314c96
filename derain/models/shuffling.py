"""From pixels of half the height and width to those of the whole, quickly on a processor that only infers."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

PAIRS = {2: torch.int32, 4: torch.int64}  # two numbers as one, by the bytes of a number

PIXELS_IN_CACHE = 2**15  # of which all that is worked out for each of them fits into a core's cache


def only_infers_on_cpu(x: Tensor) -> bool:
    """Whether nothing but the result is wanted, so that it may be computed in any way."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def rows_in_cache(image: Tensor) -> Iterator[slice]:
    """An even number of rows of ``(N, C, H, W)`` at a time: of all at once each step would go to memory and back."""
    rows = max(PIXELS_IN_CACHE // (image.shape[0] * image.shape[3]) // 2 * 2, 2)
    return (slice(first, min(first + rows, image.shape[2])) for first in range(0, image.shape[2], rows))


def halved(rows: slice) -> slice:
    return slice(rows.start // 2, rows.stop // 2)


def pixel_shuffle(x: Tensor) -> Tensor:
    """``F.pixel_shuffle(x, 2)``, in a fifth of the time: two pixels that come to lie side by side are moved as one."""
    if not only_infers_on_cpu(x) or x.element_size() not in PAIRS:
        return F.pixel_shuffle(x, 2)
    count, channels, height, width = x.shape
    pairs = x.permute(0, 2, 3, 1).contiguous().view(PAIRS[x.element_size()])
    moved = pairs.view(count, height, width, channels // 4, 2).permute(0, 3, 1, 4, 2).contiguous().view(x.dtype)
    return moved.view(count, channels // 4, 2 * height, 2 * width)


def joined(half: Tensor, skip: Tensor) -> Tensor:
    """``skip`` plus each pixel of ``half`` four times; of what only infers in half the time."""
    if not only_infers_on_cpu(skip) or not skip.is_contiguous(memory_format=torch.channels_last):
        return F.interpolate(half, scale_factor=2.0, mode="nearest").add_(skip)
    count, channels, height, width = half.shape
    pixels = half.permute(0, 2, 3, 1)
    rows = torch.cat([pixels, pixels], 3).view(count, height, 1, 2 * width * channels)
    sums = skip.permute(0, 2, 3, 1).view(count, height, 2, 2 * width * channels) + rows
    return sums.view(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
