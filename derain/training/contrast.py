"""Preset ``nlcl``: one training step of the paper, equation by equation; and, before it, what the paper did not have.

That is a warm start on rendered rain, and a stage in which both generators learn the layers that another network finds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from derain.arrays import Mask, UnitRgb
from derain.errors import TrainingError
from derain.models.nlcl import NLCL, SMOOTHING_RADIUS, blur, match_colours
from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.terms import (
    critic_widths,
    layer_saturation,
    layer_term,
    location_saturation,
    location_term,
    matched_layer_term,
    matched_widths,
)
from derain.restoring.devices import moved_to
from derain.training.clock import Clock
from derain.training.config import TrainConfig
from derain.training.crops import Crops, Room, to_tensor
from derain.training.discovery import Source, discover
from derain.training.learner import adam_options, first_network, load_optimiser
from derain.training.mean import RunningMean
from derain.training.pairs import RainBank, pair, shares_of_pairs
from derain.training.pixel_losses import pixel_losses
from derain.weights import load

DEFAULT_TEACHER = "derain"
DISCOVERY_TIME_SHARE = 0.3  # share of a run's time that the teacher may take
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
    # (batch,) of pairs made with the teacher's rain; see :class:`derain.training.pairs.Pair`
    doubtful: Mask | None = None


@dataclass(frozen=True)
class CropsApart:
    """The recipe of batches: pairs in the first stages and now and then after them, else unrelated crops."""

    config: TrainConfig
    rainy: Crops
    clean: Crops
    bank: RainBank  # of the teacher's discoveries; empty in the warm start

    def __call__(self, rng: np.random.Generator, step: int, progress: float) -> Batch:
        config, truths = self.config, self.clean.batch(rng, self.config.batch)
        anchored = np.random.default_rng((config.seed, step)).random() < config.anchor  # on every process
        if progress >= config.warm + config.distilled and not anchored:
            return Batch(self.rainy.batch(rng, config.batch), truths, paired=False)
        rainy, clean, doubtful, _ = (
            np.stack(parts) for parts in zip(*(pair(rng, truth, config, self.bank)[:4] for truth in truths))
        )
        distilled = bool(config.distilled) and progress >= config.warm
        with_rain = distilled or np.random.default_rng((config.seed, step, 1)).random() < RAIN_SHARE
        return Batch(rainy, clean, paired=True, with_rain=with_rain, doubtful=doubtful if distilled else None)


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
        self.matched = config.contrast == "matched"
        self.background_heads = Heads((matched_widths if self.matched else critic_widths)(self.critic))
        self.rain_heads = None if self.matched else Heads(critic_widths(self.critic))
        for network in self.networks().values():
            moved_to(network, device)
        layers = [p for name, n in self.networks().items() if name != "critic" for p in n.parameters()]
        self.layers_optimiser, self.critic_optimiser = (
            torch.optim.Adam(parameters, config.lr, betas=(0.5, 0.999), **adam_options(device))
            for parameters in (layers, self.critic.parameters())
        )

        self.clock = clock or Clock()
        self.mean = RunningMean(self.model, config.ema, device)
        self.teacher = load(config.teacher or DEFAULT_TEACHER, device) if config.distilled else None
        self.bank = RainBank(config.bank, config.pure, config.faithful, config.oblique, config.widest)

    @staticmethod
    def problem(config: TrainConfig) -> str | None:
        if config.crop < 32:
            return f"crop = {config.crop}: the critic of preset nlcl needs 32"
        if (total := config.warm + config.distilled) > 1 + 1e-9:
            return f"warm = {config.warm} and distilled = {config.distilled}: sum to {total:.10g}; the most is 1"
        return shares_of_pairs(config) if config.distilled else None

    def networks(self) -> dict[str, torch.nn.Module]:
        names = ("model", "critic", "location_heads", "background_heads", "rain_heads")
        return {name: network for name in names if (network := getattr(self, name))}

    def due(self, progress: float) -> bool:
        return self.teacher is not None and not self.bank.discoveries and progress >= self.config.warm

    def renew(self, rng: np.random.Generator, progress: float, rainy: Crops, say: Callable[[str], None]) -> None:
        """Fill the bank with the rain that the teacher finds.

        Raises:
            TrainingError: it finds none.
        """
        assert self.teacher
        source = Source(rainy, self.teacher, self.config.bank, "distinct" if self.config.whole else "layer")
        until = min(self.clock.share(DISCOVERY_TIME_SHARE), self.clock.seconds - self.clock.after)
        discover(rng, source, self.bank, self.config, self.clock, until)
        if not self.bank.discoveries:
            raise TrainingError(
                f"{rainy.folder}: {self.config.teacher or DEFAULT_TEACHER} finds no rain in it; give other rainy "
                "photos, more tries or another teacher"
            )

    def recipe(self, rainy: Crops, clean: Crops) -> CropsApart:
        return CropsApart(self.config, rainy, clean, self.bank)

    def losses(self, batch: Batch) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """The critic's loss, then the weighted losses of both generators and every head."""
        O, B = (to_tensor(images, self.device) * 2 - 1 for images in (batch.rainy, batch.clean))
        if batch.paired:
            if batch.doubtful is None:
                yield self.layers_optimiser, self.warm_start(O, B, batch.with_rain)
            else:
                doubtful = torch.as_tensor(batch.doubtful, device=self.device)[:, None, None, None]
                yield self.layers_optimiser, self.distillation(O, B, doubtful)
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

        terms = {
            "reconstruction": losses.reconstruction(B_hat, R_hat, O),
            "fidelity": config.fidelity * losses.fidelity(B_hat, O),
            "adversarial": config.adversarial * losses.adversarial(self.critic(B_hat), True),
        }
        if config.location:
            location = (self.location_contrast(B_hat, keys) + self.location_contrast(B_same, keys_same)) / 2
            terms["location"] = config.location * location
        if config.layer:
            terms["layer"] = config.layer * self.layer_contrast(B_hat, R_hat)
        yield self.layers_optimiser, terms

    def distances(self, losses: dict[str, float]) -> dict[str, float]:
        """How far the contrastive losses are above their least values, which leave nothing to learn."""
        size = (self.config.crop, self.config.crop)
        least = {
            "location": location_saturation(size),
            "layer": layer_saturation(size, self.config.layer_contrast == "symmetric", self.matched),
        }
        weights = {"location": self.config.location, "layer": self.config.layer}
        return {f"{n}_above_least": losses[n] / weights[n] - least[n] for n in least if n in losses}

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

    def distillation(self, O: Tensor, B: Tensor, doubtful: Tensor) -> dict[str, Tensor]:
        """Three layers against their truths: the background as the tool gives it, as generated, and the rain."""
        rainy, clean = (O + 1) / 2, (B + 1) / 2
        generated = (self.model.background_generator(O).float() + 1) / 2
        found = rainy - match_colours(generated, rainy)
        # plain, it would not revive
        height = F.leaky_relu(found - blur(found, SMOOTHING_RADIUS), 0.02).amin(1, keepdim=True)
        error = rainy - height - clean
        raw, rain = generated - clean, self.model.rain_generator(O).float() - (O - B)
        return pixel_losses(error, doubtful, self.config) | {
            "generated": 0.3 * raw.abs().mean() + 0.5 * raw.square().mean(),
            "rain": 0.2 * rain.abs().mean() + 0.2 * rain.square().mean(),
        }

    def location_contrast(self, background: Tensor, keys: list[Tensor]) -> Tensor:
        """The location term; ``keys`` are the photo's features, which the generator passed through on its way."""
        keys = [key.detach().float() for key in keys]
        queries = self.model.background_generator.features(background, self.generator_levels)
        return location_term(queries, keys, self.location_heads, (background.shape[2], background.shape[3]))

    def layer_contrast(self, background: Tensor, rain: Tensor) -> Tensor:
        symmetric = self.config.layer_contrast == "symmetric"
        if self.rain_heads is None:
            return matched_layer_term(self.critic, self.background_heads, background, rain, symmetric)
        return layer_term(self.critic, self.background_heads, self.rain_heads, background, rain, symmetric)

    def learning_rate(self, progress: float) -> float:
        """Constant, then linear to zero (paper: 200 epochs and 10); the stages before come down to it from above."""
        if progress < (before := self.config.warm + self.config.distilled):
            return 1 + WARM_START_RATE * (1 - progress / before)
        return min(1.0, (1 - progress) / (1 - CONSTANT_RATE_SHARE))

    def begin_step(self, step: int) -> None:
        self.mean.begin_step(step)

    def end_step(self) -> None:
        self.mean.end_step()

    def state(self) -> dict[str, Any]:
        parts = {name: network.state_dict() for name, network in self.networks().items()}
        optimisers = (self.layers_optimiser, self.critic_optimiser)
        return {
            "networks": parts,
            "optimisers": [o.state_dict() for o in optimisers],
            "mean": self.mean.module.state_dict(),
            "bank": self.bank.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        for name, network in self.networks().items():
            network.load_state_dict(state["networks"][name])
        for optimiser, saved in zip((self.layers_optimiser, self.critic_optimiser), state["optimisers"]):
            load_optimiser(optimiser, saved)
        # older checkpoints have neither
        self.mean.module.load_state_dict(state.get("mean", state["networks"]["model"]))
        self.bank.load_state(state.get("bank", {}))

    @property
    def result(self) -> NLCL:
        return self.mean.module

    @property
    def photos(self) -> list[Crops]:
        return []
