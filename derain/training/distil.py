"""Preset ``derain``: discover, distil, repeat.

The truth is always an unpaired clean photo; the rain put on it is rendered, or discovered in real rainy photos by the
EMA teacher, cleaned, and transformed.
"""

import copy
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain.models import build
from derain.models.contract import Derainer
from derain.rain.clean import clean_rain
from derain.rain.compose import compose
from derain.rain.render import fine_rain, render
from derain.training.config import TrainConfig
from derain.training.crops import Crops, to_tensor

Image = NDArray[np.float32]
CERTAIN = 0.3  # layers whose direction is less certain than this are not rain
VISIBLE = 0.004  # mean height under which a layer teaches nothing


class RainBank:
    """The most recent discovered layers: ``(size, size)`` uint8 heights, newest last."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.layers: list[NDArray[np.uint8]] = []

    def add(self, layer: Image) -> None:
        self.layers = [*self.layers, (layer.clip(0, 1) * 255 + 0.5).astype(np.uint8)][-self.capacity :]

    def sample(self, rng: np.random.Generator, size: int) -> Image:
        """One layer, or two overlapping ones, with random gain, flip, scale and a few degrees of rotation."""
        layer = self._one(rng, size)
        return np.clip(layer + self._one(rng, size), 0, 1) if rng.random() < 0.3 else layer

    def _one(self, rng: np.random.Generator, size: int) -> Image:
        layer = self.layers[rng.integers(len(self.layers))].astype(np.float32) / 255
        side = layer.shape[0]
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.normal(0, 8), rng.uniform(0.7, 1.4))
        layer = cv2.warpAffine(layer, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
        top, left = rng.integers(0, side - size + 1, 2)
        layer = layer[top : top + size, left : left + size]
        return layer[:, :: rng.choice([-1, 1])] * np.float32(np.exp(rng.uniform(np.log(0.7), np.log(2.5))))


class Distil:
    """The learner of the deployable network; see :class:`derain.training.loop.Learner`."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model = build("derain", config.model).to(device, memory_format=torch.channels_last)
        self.teacher = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), config.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        self.bank = RainBank(config.bank)

    def prepare(self, rng: np.random.Generator, step: int, progress: float, rainy: Crops, clean: Crops) -> Any:
        """Pasted pairs ``(rainy, clean)`` of ``(batch, crop, crop, 3)``; at times first refreshes the bank."""
        if progress >= self.config.warm and step % self.config.refresh == 0:
            self.discover(rng, rainy)
        truths = clean.batch(rng, self.config.batch)
        return np.stack([self.paste(rng, truth) for truth in truths]), truths

    def paste(self, rng: np.random.Generator, truth: Image) -> Image:
        kind, size = rng.random(), truth.shape[0]
        if kind < self.config.dry:
            return truth
        if self.bank.layers and kind < self.config.dry + self.config.discovered:
            return compose(rng, truth, self.bank.sample(rng, size))
        renderer = fine_rain if rng.random() < self.config.fine else render
        return compose(rng, truth, renderer(rng, size))

    @torch.no_grad()
    def discover(self, rng: np.random.Generator, rainy: Crops, tries: int = 64) -> None:
        """Add the teacher's rain in random rainy crops to the bank, cleaned, where it is surely rain."""
        size = self.config.crop * 3 // 2 // 16 * 16
        for _ in range(tries):
            crop = rainy.sample(rng, size)
            rain = self.teacher(to_tensor(crop[None], self.device))[1]
            layer, certainty = clean_rain(rain[0].permute(1, 2, 0).float().cpu().numpy())
            if certainty > CERTAIN and layer.mean() > VISIBLE:
                self.bank.add(layer)

    def losses(self, batch: Any) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """One optimiser and its losses: L1 and squared error on pixels, L1 on gradients.

        Real rain differs from pasted rain, and a network in doubt leaves it; so rain left counts ``leftover`` times
        as much as background taken.
        """
        rainy, clean = (to_tensor(images, self.device) for images in batch)
        background, _ = self.model(rainy)
        error = background.float() - clean
        weighted = torch.where(error > 0, self.config.leftover * error, error)
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
        layers = [torch.from_numpy(layer) for layer in self.bank.layers]
        return {
            "model": self.model.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "bank": torch.stack(layers) if layers else torch.empty(0),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.bank.layers = [layer.numpy() for layer in state["bank"]]

    @property
    def result(self) -> Derainer:
        return self.teacher
