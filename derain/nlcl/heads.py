"""Projection heads: features of one level to points on the unit sphere."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Heads(nn.Module):
    """One head a level: linear to 256, ReLU, linear to 256, L2 normalisation."""

    def __init__(self, widths: tuple[int, ...], dimension: int = 256) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Linear(w, dimension), nn.ReLU(), nn.Linear(dimension, dimension)) for w in widths
        )
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, patches: list[Tensor]) -> list[Tensor]:
        """``(N, K, C_level)`` features of each level to ``(N, K, 256)`` unit vectors in float32."""
        with torch.autocast(patches[0].device.type, enabled=False):
            return [F.normalize(head(p.float()), dim=-1) for head, p in zip(self.levels, patches)]
