"""The network on a processor in whole numbers of 8 bits, which most multiply four times as fast as float32.

Only within the residual blocks, where nearly all of the time goes: what goes around them stays float32, so errors do
not add up along the network. The last block of all stays float32, too: its errors would be seen in photos without rain.
For each block the weights tell the range of the numbers that it was seen to get.
"""

from copy import deepcopy
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from derain.models.contract import Derainer
from derain.models.deployable import DerainNet, ResidualBlock
from derain.restoring.devices import CPU, half_is_faster, inferring, least_seconds, measured_once
from derain.restoring.fused import FusedBlock

WORTH = 1.5  # times as fast as bfloat16 and float32, from which it is chosen
LARGEST = 255, 127  # whole numbers: of what a convolution is given, and of its weights


class Grid(NamedTuple):
    """Which number a whole one from 0 to 255 stands for: ``scale * (whole - zero)``."""

    scale: float
    zero: int

    @classmethod
    def over(cls, least: float, greatest: float) -> "Grid":
        least, greatest = min(least, 0.0), max(greatest, 0.0)
        scale = max((greatest - least) / LARGEST[0], 1e-8)
        return cls(scale, round(-least / scale))

    def of(self, x: Tensor) -> Tensor:
        """The nearest whole numbers, uint8, of ``(N, C, H, W)`` float32 with the channels last in memory."""
        rows = x.permute(0, 2, 3, 1)
        flat = rows.reshape(rows.shape[0] * rows.shape[1], -1).numpy()
        found = cv2.addWeighted(flat, 1 / self.scale, flat, 0, self.zero, dtype=cv2.CV_8U)
        return torch.from_numpy(np.asarray(found)).view(rows.shape).permute(0, 3, 1, 2)


class WholeConvolution(nn.Module):
    """A convolution of whole numbers, whose weights have a scale for each channel that it makes."""

    weight: Tensor
    scales: Tensor
    zeros: Tensor
    bias: Tensor

    def __init__(self, plain: nn.Conv2d, given: Grid) -> None:
        super().__init__()
        weight = plain.weight.detach().float()
        scales = (weight.abs().amax((1, 2, 3)) / LARGEST[1]).clamp(min=1e-8)
        whole = (weight / scales[:, None, None, None]).round().to(torch.int8)
        self.given = given
        self.geometry = [*plain.stride], [*plain.padding], [*plain.dilation], plain.groups
        packed = torch.ops.onednn.qconv_prepack(whole, scales, *given, *self.geometry, None)
        self.register_buffer("weight", packed)
        self.register_buffer("scales", scales)
        self.register_buffer("zeros", torch.zeros_like(scales, dtype=torch.long))
        self.register_buffer("bias", None if plain.bias is None else plain.bias.detach().float())

    def rectified(self, x: Tensor, made: Grid) -> Tensor:
        """What is above 0, in whole numbers."""
        found: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *self._of(x), self.bias, *self.geometry, *made, torch.uint8, "relu", [], ""
        )
        return found

    def added_to(self, total: Tensor, x: Tensor) -> Tensor:
        """``total`` in float32, and the convolution of ``x``."""
        found: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
            *self._of(x), total, self.bias, *self.geometry, 1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], ""
        )
        return found

    def _of(self, x: Tensor) -> tuple[Tensor, float, int, Tensor, Tensor, Tensor]:
        return x, *self.given, self.weight, self.scales, self.zeros


class WholeBlock(nn.Module):
    """A :class:`ResidualBlock` in whole numbers.

    Args:
        ranges: the least and greatest number that it is given, and the greatest within it.
    """

    def __init__(self, block: ResidualBlock, ranges: tuple[float, ...]) -> None:
        super().__init__()
        least, greatest, within = ranges
        self.first = WholeConvolution(block.first, Grid.over(least, greatest))
        self.second = WholeConvolution(block.second, Grid.over(0, within))

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.second.added_to(x, self.first.rectified(self.first.given.of(x), self.second.given))


def in_int8(model: Derainer) -> Derainer | None:
    """A copy that computes so; ``None`` if its ranges are not known, or :func:`is_exact` does not hold."""
    if not (isinstance(model, DerainNet) and model.config.ranges and is_exact()):
        return None
    copy = deepcopy(model).float().requires_grad_(False)
    ranges, levels = iter(model.config.ranges), [*copy.encoder, *copy.decoder]
    finest = levels[len(copy.encoder)] if len(copy.decoder) else levels[0]
    last = [*finest.children()][-1:]
    for level in levels:
        for index, block in enumerate(level):
            of_block = next(ranges), next(ranges), next(ranges)
            level[index] = FusedBlock(block) if block in last else WholeBlock(block, of_block)
    return copy


@measured_once
def is_exact() -> bool:
    """Whether torch multiplies whole numbers of 8 bits as they are. A processor without instructions for that takes
    half of each weight, and loses a bit, or is not asked at all.
    """
    with torch.random.fork_rng(devices=[]):  # random numbers of the caller stay as they are
        plain = nn.Conv2d(16, 16, 3, padding=1, dtype=torch.float32, device="cpu").requires_grad_(False)
    plain.weight.fill_(1)
    ones = torch.ones(1, 16, 16, 16, dtype=torch.float32, device="cpu").contiguous(memory_format=torch.channels_last)
    try:
        with inferring(CPU):
            whole = WholeConvolution(plain, Grid.over(0, 1))
            found = whole.added_to(torch.zeros_like(ones), whole.given.of(ones))
            return bool((found / plain(ones) - 1).abs().max() < 1e-3)
    except (AttributeError, RuntimeError):  # the operators are there where oneDNN is
        return False


@measured_once
def is_worth_it(threads: int) -> bool:
    """Whether a block like a network's takes far less of a processor's time so, measured in some ms."""
    if not is_exact():
        return False
    half = half_is_faster(CPU, threads)
    with torch.random.fork_rng(devices=[]), CPU:
        block = ResidualBlock(24, 24).requires_grad_(False)
    image = torch.zeros(1, 24, 128, 128, dtype=torch.float32, device=CPU).to(memory_format=torch.channels_last)

    def work(network: nn.Module, x: Tensor) -> None:
        for _ in range(3):
            network(x)

    dtype = torch.bfloat16 if half else torch.float32
    whole, other = WholeBlock(block, (-1.0, 1.0, 1.0)), FusedBlock(block.to(dtype))
    so, otherwise = least_seconds(partial(work, whole, image), partial(work, other, image.to(dtype)))
    return WORTH * so < otherwise
