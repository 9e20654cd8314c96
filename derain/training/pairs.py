"""Pairs without a paired photo.

Paste: a clean crop, and the same under rain that is rendered or was discovered; the truth is exact. Teach: a real rainy
crop, and the same less the rain that was discovered in it; the rain is.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain.arrays import Heights, UnitRgb, in_unit, to_bytes
from derain.rain.compose import compose, fade, in_colour, jpeg, unfaded
from derain.rain.render import (
    ANY_RAIN,
    DEFOCUSED_RAIN,
    FAR_RAIN,
    FINE_RAIN,
    HEAVY_RAIN,
    OPAQUE_RAIN,
    SHORT_RAIN,
    Kind,
    between,
    render,
)
from derain.rain.scene import defocused, lit, misty, night, noisy, overcast, photographed, turned_along
from derain.rain.things import with_things
from derain.training.config import TrainConfig

ANY_GAIN = (0.7, 2.5)
TIMED_GAIN = (0.8, 1.3)  # time finds streaks as high as they are
SKY_LIGHT = (0.55, 1.0)  # brightness of a drop that hides what is behind it
LAMP_FADING = (0.0, 1.2)  # less than 0: rain under a lamp has the colour of what the lamp lights
FAITHFUL_GAIN = (0.95, 1.5)  # a network in doubt finds streaks a tenth to a quarter lower than they are


class Discovery(NamedTuple):
    """What was found in a rainy crop: the crop, its rain as far as it is sure, and a layer to paste; all uint8.

    Rain is ``(size, size)`` heights or, if time found it, ``(size, size, 3)``.
    """

    rainy: NDArray[np.uint8]  # (size, size, 3)
    rain: NDArray[np.uint8]  # completed: the target of teaching
    layer: NDArray[np.uint8]  # over black, to paste: all rain, or cleaned of what may not be
    trust: NDArray[np.uint8]  # (size, size), how surely the truth behind is known
    purity: float = 1.0  # of its rain, in [0, 1]
    fading: float = 0.0  # of its rain over bright background (derain.rain.compose.fade)


class Rain(NamedTuple):
    """A rain layer to paste."""

    heights: UnitRgb  # (size, size), or in colour (size, size, 3), over black
    fading: float | None = None  # over bright background; None: composed at random


class Taught(NamedTuple):
    """A real rainy crop ``(size, size, 3)`` and the same without the rain that was found in it, in [0, 1]."""

    rainy: UnitRgb
    clean: UnitRgb
    trust: Heights  # (size, size), how surely that is the truth


class RainBank:
    """The most recent discoveries, newest last.

    The share ``pure`` of the layers is pasted, those with the purest rain. Of these a share ``faithful`` stays nearly
    as it was found; of the others a share ``oblique`` is turned by up to 45 degrees, and they are enlarged up to
    ``widest`` times.
    """

    def __init__(
        self,
        capacity: int,
        pure: float = 1.0,
        faithful: float = 0.0,
        oblique: float = 0.0,
        widest: float = 1.4,
        gain: tuple[float, float] = FAITHFUL_GAIN,
    ) -> None:
        self.capacity, self.pure, self.gain = capacity, pure, gain
        self.faithful, self.oblique, self.widest = faithful, oblique, widest
        self._keep([])

    def add(
        self,
        rainy: UnitRgb,
        rain: UnitRgb,
        layer: UnitRgb,
        purity: float = 1.0,
        fading: float = 0.0,
        trust: Heights | None = None,
    ) -> None:
        """Keep what was found in a rainy crop ``(size, size, 3)``: its rain to take away and the layer to paste, both
        ``(size, size)`` or in colour as they lie over the crop, and where to trust it, all in [0, 1]. The oldest goes
        where there are too many.
        """
        behind = (rainy.mean(axis=2) if layer.ndim == 2 else rainy) - layer
        over_black = unfaded(layer, np.maximum(behind, 0), fading)
        trusted = np.ones(rainy.shape[:2], np.float32) if trust is None else trust
        crop, heights, to_paste, sure = (to_bytes(part) for part in (rainy, rain, over_black, trusted))
        found = Discovery(crop, heights, to_paste, sure, purity, fading)
        self._keep([*self.discoveries, found][-self.capacity :])

    def _keep(self, discoveries: list[Discovery]) -> None:
        self.discoveries = discoveries
        by_purity = sorted(discoveries, key=lambda found: found.purity)
        self.purest = by_purity[len(by_purity) - math.ceil(self.pure * len(by_purity)) :]

    def layer(self, rng: np.random.Generator, size: int) -> Rain:
        """One layer as it was found, but for a flip and a little gain; or one, or two overlapping ones, with random
        gain, flip, scale and a few degrees of rotation or more.
        """
        if self.faithful and rng.random() < self.faithful:
            found = self._pure(rng)
            return Rain(window(rng, in_unit(found.layer), size, self.gain), found.fading)
        layer = self._one(rng, size)
        return Rain(np.clip(layer + self._one(rng, size), 0, 1) if rng.random() < 0.3 else layer)

    def _one(self, rng: np.random.Generator, size: int) -> UnitRgb:
        layer = in_unit(self._pure(rng).layer)
        side = layer.shape[0]
        degrees = rng.uniform(-45, 45) if rng.random() < self.oblique else rng.normal(0, 8)
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, between(rng, (0.7, self.widest)))
        layer = np.asarray(cv2.warpAffine(layer, turn, (side, side), borderMode=cv2.BORDER_REFLECT), np.float32)
        return window(rng, layer, size, ANY_GAIN)

    def taught(self, rng: np.random.Generator, size: int) -> "Taught":
        """A real rainy crop and the same less the rain that was found in it."""
        found = self._any(rng)
        where = square(rng, found.rain.shape[0], size)
        rainy, rain, trust = (in_unit(part[where]) for part in (found.rainy, found.rain, found.trust))
        return Taught(rainy, np.maximum(rainy - in_colour(rain), 0), trust)

    def _pure(self, rng: np.random.Generator) -> Discovery:
        return self.purest[rng.integers(len(self.purest))]

    def _any(self, rng: np.random.Generator) -> Discovery:
        return self.discoveries[rng.integers(len(self.discoveries))]

    def state(self) -> dict[str, Tensor]:
        return (
            {name: torch.as_tensor(np.stack(parts)) for name, *parts in zip(Discovery._fields, *self.discoveries)}
            if self.discoveries
            else {}
        )

    def load_state(self, state: dict[str, Tensor]) -> None:
        if state and "trust" not in state:  # as in older checkpoints
            state = state | {"trust": torch.full_like(state["rain"], 255)}
            state = {name: state[name] for name in Discovery._fields}
        self._keep([Discovery(*(part.numpy() for part in parts)) for parts in zip(*state.values())])


def window(rng: np.random.Generator, layer: UnitRgb, size: int, gain: tuple[float, float]) -> UnitRgb:
    """A random square of a square layer, perhaps mirrored, times a gain between two limits."""
    cut = layer[square(rng, layer.shape[0], size)]
    return cut[:, :: rng.choice([-1, 1])] * np.float32(between(rng, gain))


def square(rng: np.random.Generator, side: int, size: int) -> tuple[slice, slice]:
    """Rows and columns of a random square of ``size`` px in one of ``side`` px."""
    top, left = rng.integers(0, side - size + 1, 2)
    return slice(top, top + size), slice(left, left + size)


class Pair(NamedTuple):
    """A rainy crop and what it should become, ``(size, size, 3)`` in [0, 1]."""

    rainy: UnitRgb
    clean: UnitRgb
    doubtful: bool  # fine or real rain, which a network in doubt leaves
    remembered: bool = False  # not the crop is the target, but what the network made of it at the start
    trust: Heights | None = None  # (size, size), how surely it should become that; None: surely

    @classmethod
    def of(cls, taught: Taught) -> "Pair":
        return cls(taught.rainy, taught.clean, True, trust=taught.trust if taught.trust.min() < 1 else None)


def shares_of_pairs(config: TrainConfig) -> str | None:
    """Why pairs cannot be made by these settings; ``None`` if they can."""
    for names in (("dry", "taught", "discovered"), ("short", "wide", "opaque")):
        if (total := sum(getattr(config, name) for name in names)) > 1 + 1e-9:
            first, second, last = (f"{name} = {getattr(config, name)}" for name in names)
            return f"{first}, {second} and {last}: sum to {total:.10g}; these shares must sum to 1 at most"
    return None


def pair(
    rng: np.random.Generator,
    truth: UnitRgb,
    config: TrainConfig,
    bank: RainBank | None = None,
    pasted: RainBank | None = None,
    timed: RainBank | None = None,
) -> Pair:
    """The clean crop ``truth`` under rendered or discovered rain or as it is; or a real rainy crop of the bank.

    The shares of what time found (``timed``) come first; the others share the rest.
    """
    if timed and timed.discoveries:
        by_time = rng.random()
        if by_time < config.timed:
            return Pair.of(timed.taught(rng, truth.shape[0]))
        if by_time < config.timed + config.timed_pasted:
            truth, _ = scene(rng, truth, config)
            return seen(rng, truth, timed.layer(rng, truth.shape[0]), config, doubtful=True)
    if config.drizzle and rng.random() < config.drizzle:
        rain = rendered_of(rng, truth.shape[0], FAR_RAIN if rng.random() < config.far else FINE_RAIN)
        return seen(rng, misty(rng, truth), rain, config, doubtful=True)
    kind, size = rng.random(), truth.shape[0]
    bank, pasted = (b if b and b.discoveries else None for b in (bank, pasted))
    if bank and kind < config.dry + config.taught + config.discovered and rng.random() < config.own:
        truth = bank.taught(rng, size).clean
    truth, by_night = scene(rng, truth, config)
    if kind < config.dry:
        return Pair(truth, truth, doubtful=False)
    kind -= config.dry
    if bank and kind < config.taught:
        return Pair.of(bank.taught(rng, size))
    kind -= config.taught
    source = pasted if pasted and (bank is None or rng.random() < config.pasted_share) else bank
    if source and kind < config.discovered:
        rain = source.layer(rng, size)
        return seen(rng, truth, by_lamps(rng, rain, truth) if by_night else rain, config, doubtful=source is bank)
    rain, fine = rendered(rng, size, config)
    if by_night:
        rain = by_lamps(rng, rain, truth)
    if config.remember:
        return Pair(under(rng, truth, rain), truth, doubtful=False, remembered=True)
    return seen(rng, truth, rain, config, doubtful=fine)


def scene(rng: np.random.Generator, truth: UnitRgb, config: TrainConfig) -> tuple[UnitRgb, bool]:
    """The clean crop as a rainy day or night shows it, and whether it is night."""
    if config.things and rng.random() < config.things:
        truth = with_things(rng, truth)
    if config.backdrop and rng.random() < config.backdrop:
        truth = defocused(rng, truth)
    if config.night and rng.random() < config.night:
        return night(rng, truth), True
    return overcast(rng, truth) if rng.random() < config.overcast else truth, False


def rendered(rng: np.random.Generator, size: int, config: TrainConfig) -> tuple[Rain, bool]:
    """A rendered layer, and whether it is of fine rain."""
    rare = {SHORT_RAIN: config.short, DEFOCUSED_RAIN: config.wide, OPAQUE_RAIN: config.opaque}
    if any(rare.values()):
        kind = rng.random()
        for rain, share in rare.items():
            if kind < share:
                return rendered_of(rng, size, rain), False
            kind -= share
    fine = bool(rng.random() < config.fine)
    extreme = rng.random() < (config.far if fine else config.heavy)
    usual, other = (FINE_RAIN, FAR_RAIN) if fine else (ANY_RAIN, HEAVY_RAIN)
    return rendered_of(rng, size, other if extreme else usual), fine


def rendered_of(rng: np.random.Generator, size: int, kind: Kind) -> Rain:
    """A rendered layer of that kind of rain; what hides the background covers it with light of one brightness."""
    layer = render(rng, size, kind)
    if kind is not OPAQUE_RAIN:
        return Rain(layer)
    light = rng.uniform(*SKY_LIGHT)
    return Rain(layer * np.float32(light), 1 / light)


def by_lamps(rng: np.random.Generator, rain: Rain, truth: UnitRgb) -> Rain:
    """Rain over a crop taken by night, where lamps light it, half of them in their own colour."""
    own_colour = rng.random() < 0.5
    return Rain(
        np.asarray(in_colour(rain.heights) * lit(truth)[..., None], np.float32),
        -float(rng.uniform(*LAMP_FADING)) if own_colour else 0.0,
    )


def under(rng: np.random.Generator, truth: UnitRgb, rain: Rain) -> UnitRgb:
    """The truth under a rain layer."""
    if rain.fading is None:
        return compose(rng, truth, rain.heights)
    return fade(truth, in_colour(rain.heights), rain.fading)


def seen(rng: np.random.Generator, truth: UnitRgb, rain: Rain, config: TrainConfig, doubtful: bool) -> Pair:
    """The truth under a rain layer, as a camera sees and stores them."""
    if config.along and rng.random() < config.along:
        truth = turned_along(truth, rain.heights)
    rainy = under(rng, truth, rain)
    if rng.random() < config.camera:
        rainy, truth = photographed(rng, rainy, truth)
    if config.noise and rng.random() < config.noise:
        rainy, truth = noisy(rng, rainy, truth)
    if rng.random() < config.jpeg:
        quality = int(rng.integers(config.jpeg_quality[0], config.jpeg_quality[1] + 1))
        rainy = jpeg(rainy, quality)
        if config.jpeg_both and rng.random() < config.jpeg_both:
            truth = jpeg(truth, quality)
    return Pair(rainy, truth, doubtful)
