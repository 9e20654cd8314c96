"""Which tiles a photo is cut into, each with what the network has to see around it."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from derain.models.contract import Derainer
from derain.restoring.devices import affordable_pixels

SIDES = (256, 1536)  # px: least and greatest automatic tile
BYTES_A_PIXEL = 260  # that the default network takes at its height, in float32
Window = tuple[slice, slice]


def automatic_tile(device: torch.device, halo: int, heaviness: float = 1.0) -> int:
    """Side of a tile that, with the ``halo`` around it, takes no more than a share of the memory that is free now.

    ``heaviness`` is the network's; see :class:`Derainer`.
    """
    side = np.sqrt(affordable_pixels(device, BYTES_A_PIXEL * heaviness)) - 2 * halo
    return int(np.clip(side, *SIDES)) // 16 * 16


def tiles(height: int, width: int, tile: int | None, model: Derainer) -> Iterator[tuple[Window, Window]]:
    """Windows that cover the photo once, each with the window around it that the network has to see.

    Outer windows start on the model's padding grid, so that pixel-unshuffle falls on the same pixels as in the whole.
    """
    if tile is None or max(height, width) <= tile + (model.halo or 0):
        whole = (slice(0, height), slice(0, width))
        yield whole, whole
        return
    for rows, outer_rows in spans(height, tile, model):
        for columns, outer_columns in spans(width, tile, model):
            yield (rows, columns), (outer_rows, outer_columns)


def spans(length: int, tile: int, model: Derainer) -> Iterator[tuple[slice, slice]]:
    """Evenly long spans that cover ``length`` px, no more of them than of ``tile`` px, each with the one around it."""
    grid, halo = model.multiple, model.halo or 0
    count = math.ceil(length / max(tile - tile % grid, grid))
    side = math.ceil(length / count / grid) * grid
    for start in range(0, length, side):
        stop = min(start + side, length)
        yield slice(start, stop), slice(max(start - halo, 0), min(stop + halo, length))
