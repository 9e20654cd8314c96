"""Rain lies in streaks: what its layer holds between them, too, is a veil, and most of that is given back.

Where streaks are dense a network takes light from between them as well, for it cannot tell how bright the scene is
there. It takes some grey levels too many, so pictures came out darker than the scene. The veil is smooth, so giving it
back leaves no streak behind.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derain.restoring.devices import CPU, inferring

CELL = 8  # samples to a side; the veil is told for each cell, by what is in it and half a cell around it
SPACING = 2  # px at the least between samples
MOST_SAMPLES = 2**18  # of a photo: in a larger one they lie further apart, for its streaks are wider
BETWEEN = 0.1  # share of the samples that lie between the streaks, at the least
GIVEN_BACK = 0.75  # of the veil: the rest of it is rain


def veil_of(heights: Tensor) -> Tensor:
    """What a rain layer holds between its streaks, for ``(h, w)`` equal cells, in the layer's units.

    Args:
        heights: ``(H, W)``, of the rain layer as :func:`samples` picks them.
    """
    padded = F.pad(heights[None, None], [CELL // 2] * 4, mode="replicate")[0, 0]
    windows = padded.unfold(0, 2 * CELL, CELL).unfold(1, 2 * CELL, CELL).flatten(2)
    lowest = windows.kthvalue(math.ceil(BETWEEN * windows.shape[2]), 2).values
    return F.avg_pool2d(lowest[None], 3, stride=1, padding=1, count_include_pad=False)[0]


def veil_in_cells(rain: NDArray) -> NDArray[np.float32]:
    """:func:`veil_of` an ``(H, W, 3)`` layer."""
    picked = rain[np.ix_(*(places.numpy() for places in samples(*rain.shape[:2])))]
    with inferring(CPU):
        return np.asarray(veil_of(torch.from_numpy(picked.mean(2, dtype=np.float32))).numpy())


def samples(height: int, width: int, device: torch.device = CPU) -> tuple[Tensor, Tensor]:
    """Rows and columns of the pixels of a photo that tell its veil: a grid, whole cells of it."""
    spacing = max(SPACING, math.sqrt(height * width / MOST_SAMPLES))
    return _spread(height, spacing, device), _spread(width, spacing, device)


def _spread(side: int, spacing: float, device: torch.device) -> Tensor:
    count = CELL * math.ceil(side / spacing / CELL)
    return ((torch.arange(count, device=device, dtype=torch.float64) + 0.5) * side / count).long()
