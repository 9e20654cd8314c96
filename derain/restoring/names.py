"""Devices, precisions and tiles as they are given: checked without torch, which takes seconds to load."""

import re
from numbers import Integral

from derain.errors import UsageError

SMALLEST_TILE = 64  # px
TRAINED_PRECISIONS = "auto", "float32", "bfloat16"
PRECISIONS = *TRAINED_PRECISIONS, "int8"
DEVICE_NAME = re.compile(r"cpu|mps|cuda(:[0-9]{1,3})?")


def check_device_name(name: str) -> None:
    """
    Raises:
        UsageError: no name of a device; whether it is there is another question.
    """
    if name != "auto" and not (isinstance(name, str) and DEVICE_NAME.fullmatch(name)):
        raise UsageError(f"`device` {name}: choose auto, cpu, cuda, one GPU such as cuda:1, or mps")


def check_device_of_cluster(name: str) -> None:
    """
    Raises:
        UsageError: one device of a machine, where each worker has its own.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"`device` {name}: on a cluster choose auto, cpu or cuda")


def check_precision(precision: str, choices: tuple[str, ...] = PRECISIONS) -> None:
    """
    Raises:
        UsageError: an unknown precision.
    """
    if precision not in choices:
        raise UsageError(f"`precision` {precision}: choose {', '.join(choices[:-1])} or {choices[-1]}")


def check_tile(tile: int | None) -> None:
    """
    Raises:
        UsageError: no side in px, or one that is too small; 0 takes the photo whole, ``None`` lets derain choose.
    """
    if tile is None:
        return
    if not isinstance(tile, Integral) or isinstance(tile, bool) or 0 != tile < SMALLEST_TILE:
        raise UsageError(f"`tile` {tile}: give a side of {SMALLEST_TILE} px or more, or 0 for no tiles")
