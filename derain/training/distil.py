"""Preset ``derain``: discover, distil, repeat.

Paste: the truth is an unpaired clean photo; the rain put on it is rendered, or discovered in real rainy photos by the
EMA teacher, cleaned, and transformed. Teach: the target is a real rainy photo less the rain that the teacher found.
"""

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from derain.devices import place
from derain.models.contract import Derainer
from derain.rain.clean import clean_rain, complete_rain
from derain.training.config import TrainConfig
from derain.training.crops import Crops, to_tensor
from derain.training.pairs import RainBank, pair
from derain.training.start import first_network

CERTAIN = 0.3  # layers whose direction is less certain than this are not rain
VISIBLE = 0.004  # mean height under which a layer teaches nothing


class Distil:
    """The learner of the deployable network; see :class:`derain.training.loop.Learner`."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model = place(first_network(config), device)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), config.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        self.bank = RainBank(config.bank)
        self.round = 0

    def prepare(self, rng: np.random.Generator, step: int, progress: float, rainy: Crops, clean: Crops) -> Any:
        """``(rainy, clean, doubtful)``, ``batch`` of each; at the start of a round first fills the bank."""
        if (due := self.round_at(progress)) > self.round:
            self.discover(rng, rainy)
            self.round = due
        pairs = [pair(rng, truth, self.config, self.bank) for truth in clean.batch(rng, self.config.batch)]
        return tuple(np.stack(parts) for parts in zip(*pairs))

    def round_at(self, progress: float) -> int:
        """0 in the warm start, then 1 to ``rounds``."""
        after = (progress - self.config.warm) / (1 - self.config.warm)
        return 0 if after < 0 else 1 + int(after * self.config.rounds)

    @torch.no_grad()
    def discover(self, rng: np.random.Generator, rainy: Crops) -> None:
        """A new round: fill the bank with the teacher's rain in random rainy crops, where it is surely rain."""
        size = self.config.crop * 3 // 2 // 16 * 16
        for _ in range(2 * self.config.bank):
            crop = rainy.sample(rng, size)
            rain = self.look_twice(to_tensor(crop[None], self.device))[0].permute(1, 2, 0).float().cpu().numpy()
            layer, certainty = clean_rain(rain)
            if certainty > CERTAIN and layer.mean() > VISIBLE:
                self.bank.add(crop, complete_rain(crop, rain, layer), layer)

    def look_twice(self, rainy: Tensor) -> Tensor:
        """The teacher's rain, the mean of the photo's and its mirror image's, and the rain that is left after that."""
        found = torch.zeros_like(rainy)
        for _ in range(2):
            left = rainy - found
            found = found + (self.teacher(left)[1] + self.teacher(left.flip(3))[1].flip(3)) / 2
        return found

    def losses(self, batch: Any) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """One optimiser and its losses: L1 and squared error on pixels, L1 on gradients.

        Real rain differs from pasted rain, and a network in doubt leaves it; so where the rain is fine or real, rain
        left counts ``leftover`` times as much as background taken.
        """
        rainy, clean = (to_tensor(images, self.device) for images in batch[:2])
        doubtful = torch.from_numpy(batch[2]).to(self.device)[:, None, None, None]
        background, _ = self.model(rainy)
        error = background.float() - clean
        weighted = torch.where((error > 0) & doubtful, self.config.leftover * error, error)
        yield (
            self.optimiser,
            {
                "pixels": weighted.abs().mean(),
                "squares": 5 * (weighted * error).mean(),
                "gradients": 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()),
            },
        )

    def learning_rate(self, progress: float) -> float:
        """A short warm-up, then a cosine to zero."""
        return min(progress / 0.01 + 0.05, 1.0) * (0.5 + 0.5 * math.cos(math.pi * progress))

    def after_step(self, step: int) -> None:
        """Move the EMA teacher; its memory is short at first."""
        decay = min(self.config.ema, (step + 1) / (step + 10))
        for mean, new in zip(self.teacher.parameters(), self.model.parameters()):
            mean.lerp_(new, 1 - decay)

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "bank": self.bank.state(),
            "round": self.round,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.bank.load_state(state["bank"])
        self.round = state["round"]

    @property
    def result(self) -> Derainer:
        return self.teacher
