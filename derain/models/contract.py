"""The one contract that every model keeps, and the base of the configs that models are made of."""

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain.errors import UsageError, WeightsError
from derain.given import problems
from derain.models.shuffling import only_infers_on_cpu
from derain.models.strips import Map
from derain.text import shown

OVERSHOOT = 0.5  # beyond [0, 1] that noise, or a filter that reduced a photo, may leave
LARGEST_NUMBER = torch.finfo(torch.float16).max  # of all numbers of a network: its weights are stored as float16


class Config:
    """Base of the architectures' dataclasses: checks what it is made of, for a file of weights may hold anything.

    Raises:
        WeightsError: a value of another type than its field's, or outside its bounds.
    """

    def __post_init__(self) -> None:
        for name, value, _, bounds, _ in problems(self, plain=True):
            raise WeightsError(f"{name} = {shown(value)} must be {bounds or 'true or false'}")


class Derainer(nn.Module):
    """Split a rainy photo into its layers.

    ``forward`` takes ``(N, 3, H, W)`` floats in [0, 1], any H, W >= 1, and returns two tensors of the same shape,
    dtype and device: the background in [0, 1] and the rain layer, with ``background + rain == input``.

    ``multiple`` is the grid in pixels that H and W are padded to, ``halo`` the overlap in pixels that makes tiles
    agree with the whole, or ``None`` if the network looks across the whole photo. A processor takes a large photo or
    tile by :meth:`in_strips`, if the network has that, and whole if not. ``reductions`` are the factors by which a
    large photo is reduced to look for streaks that are wider than those of training. ``name`` is what messages call
    the network, ``heaviness`` how many times the memory of the default network it takes. One that
    ``may_have_half_weights`` takes and returns float32 all the same. One that does not ``only_removes`` light paints a
    background of its own, to which nothing is given back. One that ``may_compute_in_int8`` is known well enough for
    whole numbers. One that ``finds_dark_streaks`` finds streaks that are darker
    than a bright backdrop in the photo's negative.

    What is too large on the way is NaN in both layers, never a value that looks like one of a photo. Within
    ``torch.autocast`` the network computes as that says, and the layers are of the input's dtype all the same.
    """

    multiple: int = 1
    halo: int | None = None
    reductions: tuple[int, ...] = ()
    name: str = "the network"
    heaviness: float = 1.0
    may_have_half_weights: bool = False
    may_compute_in_int8: bool = False
    only_removes: bool = True
    finds_dark_streaks: bool = False

    @abstractmethod
    def layers(self, rainy: Tensor) -> tuple[Tensor, Tensor]:
        """Split photos whose sides are multiples of ``multiple``."""

    def in_strips(self, photo: Map) -> Map:
        """Background in [0, 1] of a large photo with sides as :meth:`layers` takes them, both as maps of its rows.

        Raises:
            MemoryError: not even that fits into the memory.
        """
        raise NotImplementedError

    @property
    def takes_strips(self) -> bool:
        return type(self).in_strips is not Derainer.in_strips

    def forward(self, rainy: Tensor) -> tuple[Tensor, Tensor]:
        """
        Raises:
            UsageError: no ``(N, 3, H, W)`` tensor of floats, one without pixels, or on a processor one that is far from
            [0, 1].
        """
        if not (isinstance(rainy, Tensor) and rainy.is_floating_point() and is_rgb(rainy.shape)):
            shape = f" of {rainy.dtype} with shape {tuple(rainy.shape)}" if isinstance(rainy, Tensor) else ""
            given = f"{type(rainy).__name__}{shape}"
            raise UsageError(f"`rainy`: give an (N, 3, H, W) tensor of floats in [0, 1], not {given}")
        check_range(rainy)
        height, width = rainy.shape[-2:]
        background, rain = self.layers(pad_to_multiple(rainy, self.multiple))
        return background[..., :height, :width], rain[..., :height, :width]


def check_range(rainy: Tensor) -> None:
    """
    Raises:
        UsageError: floats far from [0, 1], as of 0 to 255 or -1 to 1, or NaN; a GPU is not made to wait for that.
    """
    if rainy.device.type != "cpu" or torch.compiler.is_compiling() or not has_numbers(rainy):
        return
    least, most = float(rainy.detach().amin()), float(rainy.detach().amax())
    if not (least >= -OVERSHOOT and most <= 1 + OVERSHOOT):  # which NaN is not
        found = "with NaN among them" if math.isnan(least) else f"from {least:.4g} to {most:.4g}"
        raise UsageError(f"`rainy`: give floats in [0, 1], not {found}")


def has_numbers(x: Tensor) -> bool:
    """Whether they can be looked at, which is not so while PyTorch only finds out shapes or operations."""
    try:
        float(x.detach()[(0,) * x.dim()])
    except RuntimeError:
        return False
    return True


def check_model(model: object, kind: type[nn.Module] = Derainer) -> None:
    """
    Raises:
        UsageError: it is none.
    """
    if not isinstance(model, kind):
        raise UsageError(f"`model`: give a network, such as derain.load(), not {type(model).__name__}")


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def is_rgb(shape: torch.Size) -> bool:
    return len(shape) == 4 and shape[1] == 3 and 0 not in shape


def nan_where_too_large(x: Tensor) -> Tensor:
    """``x`` with NaN for what overflowed: a limit put on it later would make an ordinary value of it."""
    if torch.compiler.is_exporting():  # OpenCV 5.0's Where goes wrong from 2**23 numbers on
        return x
    if only_infers_on_cpu(x) and has_numbers(x) and bool(x.abs().amax() <= LARGEST_NUMBER):  # a fifth of the time
        return x
    return x.where(x.abs() <= LARGEST_NUMBER, torch.nan)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Extend ``(N, C, H, W)`` at the bottom and right: reflected, or replicated where it is too small to reflect."""
    height, width = image.shape[-2:]
    down, right = -height % multiple, -width % multiple
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(image, (0, right, 0, down), mode=mode) if down or right else image
