"""The network on a processor: what follows a convolution is computed within it, by oneDNN.

By itself torch goes over all of a layer again for its ReLU and for its skip, which takes a third of the time in
bfloat16 and a tenth in float32.
"""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from derain.models.contract import Derainer
from derain.models.deployable import ResidualBlock
from derain.restoring.devices import CPU, inferring


class Convolution(nn.Module):
    """A convolution with its weights in oneDNN's order, and what follows it: ``none`` or ``relu``."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, plain: nn.Conv2d, then: str = "none") -> None:
        super().__init__()
        self.geometry: tuple[Any, ...] = (plain.padding, plain.stride, plain.dilation, plain.groups)
        self.then = then
        packed = torch.ops.mkldnn._reorder_convolution_weight(plain.weight.detach(), *self.geometry, None)
        self.register_buffer("weight", packed)
        self.register_buffer("bias", None if plain.bias is None else plain.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.geometry, self.then, [], ""
        )
        return found

    def added_to(self, total: Tensor, x: Tensor) -> Tensor:
        """``total`` with the convolution of ``x`` added in place."""
        found: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            total, x, self.weight, self.bias, *self.geometry, "add", None, None, [], ""
        )
        return found


class FusedBlock(nn.Module):
    """A :class:`ResidualBlock` that takes its input's place."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.first, self.second = Convolution(block.first, "relu"), Convolution(block.second)

    def forward(self, x: Tensor) -> Tensor:
        return self.second.added_to(x, self.first(x))


def fused(model: Derainer, dtype: torch.dtype) -> Derainer | None:
    """A copy in bfloat16 or float32 with fused residual blocks; ``None`` if it has none, or torch cannot do it here."""
    if not any(isinstance(part, ResidualBlock) for part in model.modules()):
        return None
    copy = deepcopy(model).to(dtype).requires_grad_(False)
    try:
        _fuse(copy)
        with inferring(CPU):
            copy(torch.zeros(1, 3, 64, 64, dtype=torch.float32, device="cpu"))
    except (AttributeError, RuntimeError):  # the operators are there where oneDNN is
        return None
    return copy


def _fuse(module: nn.Module) -> None:
    for name, part in module.named_children():
        if isinstance(part, ResidualBlock):
            setattr(module, name, FusedBlock(part))
        else:
            _fuse(part)
