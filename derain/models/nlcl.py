"""The paper's two generators (preset ``nlcl``)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from derain.models.contract import Derainer


@dataclass(frozen=True)
class NLCLConfig:
    """Architecture of :class:`NLCL`; the defaults are the paper's."""

    width: int = 32
    blocks: int = 16


class ResidualBlock(nn.Module):
    """conv3x3, instance norm, ReLU, conv3x3, instance norm, plus the skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.instance_norm(self.second(F.relu(F.instance_norm(self.first(x)))))


class Tail(nn.Module):
    """conv3x3, instance norm, ReLU, conv3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(F.instance_norm(self.first(x))))


class Generator(nn.Module):
    """Maps ``(N, 3, H, W)`` in [-1, 1] to one layer in the same scale; no output activation."""

    def __init__(self, config: NLCLConfig = NLCLConfig()) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [
                nn.Conv2d(3, config.width, 3, padding=1),
                *(ResidualBlock(config.width) for _ in range(config.blocks)),
                Tail(config.width),
                nn.Conv2d(config.width, 3, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        for level in self.levels:
            x = level(x)
        return x

    def features(self, x: Tensor, levels: tuple[int, ...]) -> list[Tensor]:
        """Outputs of the given levels: 0 the first conv, then the blocks, the tail and the last conv."""
        found = []
        for index in range(max(levels) + 1):
            x = self.levels[index](x)
            if index in levels:
                found.append(x)
        return found


class NLCL(Derainer):
    """``background = G_B(O)`` and, so that the layers add up, ``rain = O - background``.

    ``rain_generator`` takes part in training only. Instance norm looks across the whole photo, so there is no halo
    within which tiles agree.
    """

    def __init__(self, config: NLCLConfig = NLCLConfig()) -> None:
        super().__init__()
        self.config = config
        self.background_generator = Generator(config)
        self.rain_generator = Generator(config)

    def layers(self, rainy: Tensor) -> tuple[Tensor, Tensor]:
        if rainy.shape[-2:] == (1, 1):  # one pixel has no statistics to normalise by
            return rainy, rainy * 0
        background = ((self.background_generator(rainy * 2 - 1) + 1) / 2).clamp(0, 1).to(rainy.dtype)
        return background, rainy - background
