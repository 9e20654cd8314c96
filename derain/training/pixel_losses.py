"""How far a background is from its truth, pixel by pixel."""

import torch
from torch import Tensor

from derain.training.config import TrainConfig

# squared error, 40 dB, below which a crop counts as right: dry ones are not to outweigh all others
LEAST_SQUARED_ERROR = 1e-4


def pixel_losses(error: Tensor, doubtful: Tensor, config: TrainConfig) -> dict[str, Tensor]:
    """Absolute and squared error, PSNR of the crops, and the absolute error of gradients, by name.

    Where the rain is fine or real, rain left counts ``leftover`` times as much as background taken.

    Args:
        error: ``(N, 3, H, W)``.
        doubtful: ``(N, 1, 1, 1)``, whether it is.
    """
    weighted = torch.where((error > 0) & doubtful, config.leftover * error, error)
    squared = (weighted * error).mean((1, 2, 3))
    found = {
        "pixels": weighted.abs().mean(),
        "gradients": 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()),
    }
    if config.squares:
        found["squares"] = config.squares * squared.mean()
    if config.psnr:
        found["psnr"] = config.psnr * torch.log(squared + LEAST_SQUARED_ERROR).mean()
    return found
