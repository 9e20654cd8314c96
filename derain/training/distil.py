"""Preset ``derain``: discover, distil, repeat.

Paste: the truth is an unpaired clean photo; the rain put on it is rendered, or discovered in real rainy photos by the
EMA teacher, cleaned, and transformed. Teach: the target is a real rainy photo less the rain that the teacher found.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from derain.arrays import Heights, Mask, UnitRgb
from derain.finetuning.guide import Guide, load_guide
from derain.models.contract import Derainer
from derain.restoring.devices import moved_to
from derain.training.clips import Footage, found_in_clips, told
from derain.training.clock import Clock
from derain.training.config import TrainConfig
from derain.training.crops import Crops, Room, cores, to_tensor
from derain.training.discovery import Source, discover, side_of_finds
from derain.training.learner import adam_options, first_network, load_optimiser
from derain.training.live import LiveObjective
from derain.training.mean import RunningMean
from derain.training.pairs import TIMED_GAIN, Pair, RainBank, pair, shares_of_pairs
from derain.training.pixel_losses import pixel_losses
from derain.weights import load

DISCOVERY_TIME_SHARE = 0.3  # share of a run's time that all rounds of discovery may take
LOOKING_TIME_SHARE = 0.1  # share that looking at the further photos may take
TIMED_TIME_SHARE = 0.1  # share that looking at clips may take
TIMED_FAITHFUL = 0.7  # share of the layers found by time that are neither turned nor scaled
# steps between those with the terms of the guide or of a live critic, which take as long as four crops
GUIDED_EVERY = 4
LIVE_CROPS = 8  # crops of a batch for each real rainy crop that the live critic sees


@dataclass(frozen=True)
class Batch:
    """Pairs of crops, ``(batch, crop, crop, 3)`` in [0, 1]; see :class:`derain.training.pairs.Pair`."""

    rainy: UnitRgb
    clean: UnitRgb
    doubtful: Mask  # (batch,)
    remembered: Mask  # (batch,)
    trust: Heights | None = None  # (batch, crop, crop), how surely the clean crops are the truth; None: surely
    guided: UnitRgb | None = None  # real rainy crops, on which the terms of the guide or of the live critic count
    unrelated: UnitRgb | None = None  # clean crops, for the live critic

    @classmethod
    def of(cls, pairs: list[Pair], guided: UnitRgb | None, unrelated: UnitRgb | None = None) -> "Batch":
        *parts, trusts = zip(*pairs)
        rainy, clean, doubtful, remembered = map(np.stack, parts)
        surely = np.ones(rainy.shape[1:3], np.float32)
        partly = any(trust is not None for trust in trusts)
        trust = np.stack([surely if one is None else one for one in trusts]) if partly else None
        return cls(rainy, clean, doubtful, remembered, trust, guided, unrelated)


def is_live(config: TrainConfig) -> bool:
    """Whether NLCL's objective with a live critic counts on real rainy crops."""
    return bool(config.critic or config.contrasted)


@dataclass(frozen=True)
class Pairs:
    """The recipe of batches: clean crops under rain that is rendered or was discovered, and real rainy crops."""

    config: TrainConfig
    rainy: Crops
    clean: Crops
    bank: RainBank
    pasted: RainBank
    timed: RainBank

    def __call__(self, rng: np.random.Generator, step: int, progress: float) -> Batch:
        config = self.config
        truths = self.clean.batch(rng, config.batch, config.hard, config.sideways)
        pairs = [pair(rng, truth, config, self.bank, self.pasted, self.timed) for truth in truths]
        if (step + 1) % GUIDED_EVERY or not (self.config.guided or is_live(self.config)):
            return Batch.of(pairs, None)
        if not is_live(self.config):
            return Batch.of(pairs, self.rainy.batch(rng, 1))
        count = max(self.config.batch // LIVE_CROPS, 1)
        return Batch.of(pairs, self.rainy.batch(rng, count), self.clean.batch(rng, count))


class Distil:
    """The learner of the deployable network; see :class:`derain.training.learner.Learner`."""

    def __init__(
        self, config: TrainConfig, device: torch.device, clock: Clock | None = None, room: Room | None = None
    ) -> None:
        self.config, self.device, self.clock = config, device, clock or Clock()
        self.model = moved_to(first_network(config), device)
        self.mean = RunningMean(self.model, config.ema, device)
        self.teacher = self.mean.module.eval()
        self.live = LiveObjective(config, device) if is_live(config) else None
        learning = [*self.model.parameters(), *(self.live.heads() if self.live else ())]
        self.optimiser = torch.optim.AdamW(
            learning, config.lr, betas=(0.9, 0.99), weight_decay=1e-4, **adam_options(device)
        )
        self.start = copy.deepcopy(self.teacher) if config.remember else None
        self.guide: Guide | None = load_guide(device) if config.guided else None
        loaded = cache(lambda weights: load(weights, device))
        self.discoverer = loaded(config.teacher) if config.teacher else self.teacher
        # What is faint in a real photo may be background; in one of rendered rain it is rain as well.
        self.of_real, of_rendered = ("distinct", "whole") if config.whole else ("layer", "layer")
        room = room or Room.of_free_memory(len(config.pasted))
        self.further = [
            Source(
                Crops(Path(pasted.folder), config.crop, 0.0, room, self.clock, LOOKING_TIME_SHARE / len(config.pasted)),
                loaded(pasted.teacher) if pasted.teacher else self.discoverer,
                pasted.bank or config.bank,
                of_rendered,
            )
            for pasted in config.pasted
        ]
        self.bank, self.pasted = (
            RainBank(size, config.pure, config.faithful, config.oblique, config.widest)
            for size in (config.bank, sum(source.kept for source in self.further))
        )
        self.timed = RainBank(config.clips, 1.0, TIMED_FAITHFUL, config.oblique, config.widest, TIMED_GAIN)
        self.round = 0
        self.told: set[Path] = set()  # folders of which it was said that they show hardly any rain

    @staticmethod
    def problem(config: TrainConfig) -> str | None:
        if config.warm == 1:
            return "warm = 1: must be less than 1, or no rain is ever discovered"
        if config.timed + config.timed_pasted > 1 + 1e-9:
            return f"timed = {config.timed} and timed_pasted = {config.timed_pasted}: must sum to 1 at most"
        return shares_of_pairs(config)

    def due(self, progress: float) -> bool:
        return self.round_at(progress) > self.round

    def renew(self, rng: np.random.Generator, progress: float, rainy: Crops, say: Callable[[str], None]) -> None:
        """A new round: fill the banks with discovered rain, in the first one with what time finds in clips, too."""
        if self.round == 0 and rainy.footage and self.config.clips:
            say(self.find_by_time(rng, rainy.footage))
        real = Source(rainy, self.discoverer, self.config.bank, self.of_real)
        sources = [(real, self.bank), *((source, self.pasted) for source in self.further)]
        now = self.round_at(progress)
        knows_rain = bool(self.config.start) or now == self.config.rounds  # or it is still to learn what rain is
        due_ones = [(s, bank) for s, bank in sources if self.round == 0 or s.network is self.teacher]
        for source, bank in due_ones:
            until = self.clock.share(DISCOVERY_TIME_SHARE / self.config.rounds / len(due_ones))
            until = min(until, self.clock.seconds - self.clock.after)
            tries = discover(rng, source, bank, self.config, self.clock, until)
            if tries.lack and tries.folder not in self.told and (knows_rain or source.network is not self.teacher):
                self.told.add(tries.folder)
                say(tries.lack)
        self.round = now

    def find_by_time(self, rng: np.random.Generator, clips: list[Footage]) -> str:
        """Fill the bank of what time finds, fairly from all clips; gives a sentence on what it was."""
        until = min(self.clock.share(TIMED_TIME_SHARE), self.clock.seconds - self.clock.after)
        found = found_in_clips(clips, rng, side_of_finds(self.config), self.config.clips, self.clock, until, cores())
        for rain in found:
            for crop in rain.crops:
                purity = float(crop.trust.mean())
                self.timed.add(crop.rainy, crop.rain, crop.rain, purity, rain.fading, crop.trust)
        return told(found, len(clips))

    def recipe(self, rainy: Crops, clean: Crops) -> Pairs:
        return Pairs(self.config, rainy, clean, self.bank, self.pasted, self.timed)

    def round_at(self, progress: float) -> int:
        """0 in the warm start, then 1 to ``rounds``."""
        after = (progress - self.config.warm) / (1 - self.config.warm)
        return 0 if after < 0 else 1 + int(after * self.config.rounds)

    def losses(self, batch: Batch) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """One optimiser and its losses, first those of pixels.

        Real rain differs from pasted rain, and a network in doubt leaves it; so where the rain is fine or real, rain
        left counts more than background taken. Where the truth is not known nothing counts.
        """
        rainy, clean = (to_tensor(images, self.device) for images in (batch.rainy, batch.clean))
        doubtful, remembered = (
            torch.as_tensor(flags, device=self.device)[:, None, None, None]
            for flags in (batch.doubtful, batch.remembered)
        )
        if self.start:
            clean = as_it_was(self.start, rainy, clean, remembered)
        background, _ = self.model(rainy)
        error = background.float() - clean
        if batch.trust is not None:
            error = error * torch.as_tensor(batch.trust, device=self.device)[:, None]
        found = pixel_losses(error, doubtful, self.config)
        if self.guide and batch.guided is not None:
            O = to_tensor(batch.guided, self.device)
            terms = self.guide.terms(O, self.model(O)[0].float())
            found |= {name: self.config.guided * term for name, term in terms.items()}
        if self.live and batch.guided is not None and batch.unrelated is not None:
            O, B = (to_tensor(images, self.device) for images in (batch.guided, batch.unrelated))
            B_hat = self.model(O)[0].float()
            yield self.live.optimiser, self.live.of_critic(B_hat, B)
            found |= self.live.of_network(O, B_hat)
        yield self.optimiser, found

    def distances(self, losses: dict[str, float]) -> dict[str, float]:
        return self.live.distances(losses) if self.live else {}

    def learning_rate(self, progress: float) -> float:
        """A warm-up, then a cosine to zero."""
        return min(progress / self.config.warm_up + 0.05, 1.0) * (0.5 + 0.5 * math.cos(math.pi * progress))

    def begin_step(self, step: int) -> None:
        self.mean.begin_step(step)

    def end_step(self) -> None:
        """Move the EMA teacher."""
        self.mean.end_step()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "bank": self.bank.state(),
            "pasted": self.pasted.state(),
            "timed": self.timed.state(),
            "round": self.round,
            "live": [self.live.state_dict(), self.live.optimiser.state_dict()] if self.live else [],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        load_optimiser(self.optimiser, state["optimiser"])
        self.bank.load_state(state["bank"])
        self.pasted.load_state(state.get("pasted", {}))  # older checkpoints have none
        self.timed.load_state(state.get("timed", {}))
        self.round = state["round"]
        if self.live:
            self.live.load_state_dict(state["live"][0])
            load_optimiser(self.live.optimiser, state["live"][1])

    @property
    def result(self) -> Derainer:
        return self.teacher

    @property
    def photos(self) -> list[Crops]:
        return [source.photos for source in self.further]


Network = Callable[[Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def as_it_was(start: Network, rainy: Tensor, clean: Tensor, remembered: Tensor) -> Tensor:
    """The truths, but of crops that are ``remembered`` what the network at the start made of them."""
    if rainy.device.type != "cpu":  # how many there are must not change what a GPU records
        return torch.where(remembered, start(rainy)[0].float(), clean)
    some = remembered.flatten()
    if not some.any():
        return clean
    truths = clean.clone()
    truths[some] = start(rainy[some])[0].float()
    return truths
