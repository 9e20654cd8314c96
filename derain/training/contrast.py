"""Preset ``nlcl``: one training step of the paper, equation by equation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from derain.arrays import UnitRgb
from derain.models.nlcl import NLCL, match_colours
from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.terms import critic_widths, layer_term, location_term
from derain.restoring.devices import place
from derain.training.clock import Clock
from derain.training.config import TrainConfig
from derain.training.crops import Crops, Room, to_tensor
from derain.training.learner import adam_options, first_network, load_optimiser
from derain.training.pairs import pair

RAIN_SHARE = 0.25  # of the steps of the warm start with the rain generator, which only training needs
WARM_START_RATE = 4  # how much higher the learning rate starts
CONSTANT_RATE_SHARE = 200 / 210  # share of the run before the learning rate's linear decay


@dataclass(frozen=True)
class Batch:
    """Crops of ``(batch, crop, crop, 3)`` in [0, 1]."""

    rainy: UnitRgb
    clean: UnitRgb
    paired: bool  # the clean crops are the truths of the rainy ones, as in the warm start; else they are unrelated
    with_rain: bool = False  # whether the rain generator learns from such pairs, too


@dataclass(frozen=True)
class CropsApart:
    """The recipe of batches: rendered pairs in the warm start and now and then after it, else unrelated crops."""

    config: TrainConfig
    rainy: Crops
    clean: Crops

    def __call__(self, rng: np.random.Generator, step: int, progress: float) -> Batch:
        config, truths = self.config, self.clean.batch(rng, self.config.batch)
        anchored = np.random.default_rng((config.seed, step)).random() < config.anchor  # on every process
        if progress < config.warm or anchored:
            pairs = [pair(rng, truth, config) for truth in truths]
            rainy, clean = np.stack([p.rainy for p in pairs]), np.stack([p.clean for p in pairs])
            with_rain = np.random.default_rng((config.seed, step, 1)).random() < RAIN_SHARE
            return Batch(rainy, clean, paired=True, with_rain=with_rain)
        return Batch(self.rainy.batch(rng, config.batch), truths, paired=False)


class Contrast:
    """The learner of the paper's objective; see :class:`derain.training.learner.Learner`."""

    def __init__(
        self, config: TrainConfig, device: torch.device, clock: Clock | None = None, room: Room | None = None
    ) -> None:
        self.config, self.device = config, device
        self.model: NLCL = first_network(config)  # type: ignore[assignment]
        width, blocks = self.model.config.width, self.model.config.blocks
        self.generator_levels = tuple(level for level in (0, 2, 4, 8, 12) if level <= blocks)
        self.critic = Critic()
        self.location_heads = Heads((width,) * len(self.generator_levels))
        self.background_heads = Heads(critic_widths(self.critic))
        self.rain_heads = Heads(critic_widths(self.critic))
        for network in self.networks().values():
            place(network, device)
        layers = [p for name, n in self.networks().items() if name != "critic" for p in n.parameters()]
        self.layers_optimiser, self.critic_optimiser = (
            torch.optim.Adam(parameters, config.lr, betas=(0.5, 0.999), **adam_options(device))
            for parameters in (layers, self.critic.parameters())
        )

    @staticmethod
    def problem(config: TrainConfig) -> str | None:
        return f"crop = {config.crop}: the critic of preset nlcl needs 32" if config.crop < 32 else None

    def networks(self) -> dict[str, torch.nn.Module]:
        names = ("model", "critic", "location_heads", "background_heads", "rain_heads")
        return {name: getattr(self, name) for name in names}

    def due(self, progress: float) -> bool:
        return False

    def renew(self, rng: np.random.Generator, progress: float, rainy: Crops) -> None:
        """Batches are made of the same photos throughout."""

    def recipe(self, rainy: Crops, clean: Crops) -> CropsApart:
        return CropsApart(self.config, rainy, clean)

    def losses(self, batch: Batch) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """The critic's loss, then the weighted losses of both generators and every head."""
        O, B = (to_tensor(images, self.device) * 2 - 1 for images in (batch.rainy, batch.clean))
        if batch.paired:
            yield self.layers_optimiser, self.warm_start(O, B, batch.with_rain)
            return
        G_B, G_R, config = self.model.background_generator, self.model.rain_generator, self.config
        last = len(G_B.levels) - 1
        *keys, B_hat = G_B.features(O, (*self.generator_levels, last))
        *keys_same, B_same = G_B.features(B, (*self.generator_levels, last))
        R_hat = G_R(O)

        fake, real = self.critic(B_hat.detach()), self.critic(B)
        yield (
            self.critic_optimiser,
            {"critic": (losses.adversarial(fake, False) + losses.adversarial(real, True)) / 2},
        )

        location = (self.location_contrast(B_hat, keys) + self.location_contrast(B_same, keys_same)) / 2
        yield (
            self.layers_optimiser,
            {
                "reconstruction": losses.reconstruction(B_hat, R_hat, O),
                "fidelity": config.fidelity * losses.fidelity(B_hat, O),
                "adversarial": config.adversarial * losses.adversarial(self.critic(B_hat), True),
                "location": config.location * location,
                "layer": config.layer * self.layer_contrast(B_hat, R_hat),
            },
        )

    def warm_start(self, O: Tensor, B: Tensor, with_rain: bool) -> dict[str, Tensor]:
        """Both generators on rendered rain, of which the truth is known; colours count little."""
        B_hat = self.model.background_generator(O).float()
        error = match_colours(B_hat, O) - B
        found = {
            "background": torch.where(error > 0, self.config.leftover * error, error).abs().mean(),
            "gradients": error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean(),
            "colours": 0.5 * F.l1_loss(B_hat, B),
        }
        if with_rain:
            found["rain"] = F.l1_loss(self.model.rain_generator(O).float(), O - B)
        return found

    def location_contrast(self, background: Tensor, keys: list[Tensor]) -> Tensor:
        """The location term; ``keys`` are the photo's features, which the generator passed through on its way."""
        keys = [key.detach().float() for key in keys]
        queries = self.model.background_generator.features(background, self.generator_levels)
        return location_term(queries, keys, self.location_heads, (background.shape[2], background.shape[3]))

    def layer_contrast(self, background: Tensor, rain: Tensor) -> Tensor:
        symmetric = self.config.layer_contrast == "symmetric"
        return layer_term(self.critic, self.background_heads, self.rain_heads, background, rain, symmetric)

    def learning_rate(self, progress: float) -> float:
        """Constant, then linear to zero (paper: 200 epochs and 10); a warm start comes down to it from above."""
        if progress < self.config.warm:
            return 1 + WARM_START_RATE * (1 - progress / self.config.warm)
        return min(1.0, (1 - progress) / (1 - CONSTANT_RATE_SHARE))

    def begin_step(self, step: int) -> None:
        """Nothing changes from step to step."""

    def end_step(self) -> None:
        """Nothing follows the optimisers."""

    def state(self) -> dict[str, Any]:
        parts = {name: network.state_dict() for name, network in self.networks().items()}
        optimisers = (self.layers_optimiser, self.critic_optimiser)
        return {"networks": parts, "optimisers": [o.state_dict() for o in optimisers]}

    def load_state(self, state: dict[str, Any]) -> None:
        for name, network in self.networks().items():
            network.load_state_dict(state["networks"][name])
        for optimiser, saved in zip((self.layers_optimiser, self.critic_optimiser), state["optimisers"]):
            load_optimiser(optimiser, saved)

    @property
    def result(self) -> NLCL:
        return self.model

    @property
    def photos(self) -> list[Crops]:
        return []
