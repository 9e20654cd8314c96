"""What rain a network finds in a rainy crop: the first step of "discover, distil, repeat"."""

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from derain.arrays import Heights, UnitRgb
from derain.models.contract import Derainer, device_of
from derain.rain.clean import clean_rain, complete_rain, distinct_rain, flatness_of, weigh_by_texture
from derain.rain.compose import measured_fading
from derain.rain.likeness import likeness, more_like
from derain.restoring.conversion import to_picture
from derain.restoring.devices import repeatable_precision
from derain.restoring.restorer import Restorer
from derain.restoring.veil import veil_in_cells
from derain.text import counted
from derain.training.clock import Clock
from derain.training.config import TrainConfig
from derain.training.crops import Crops
from derain.training.pairs import RainBank

FADING_WINDOW = 512  # px, side of the middle of a photo that tells how its rain fades over bright background
FLAT = 0.007  # curvature under which a background is flat, where no other is given
FEWEST_DISCOVERIES = 8  # that are kept where the time allowed for few tries
LEAST_CERTAINTY = 0.3  # layers whose direction is less certain than this are not rain
LEAST_RAINY_SHARE = 0.05  # of the crops that are looked at, under which the photos may be the wrong ones
LEAST_VISIBLE_MEAN = 0.004  # mean height under which a layer teaches nothing


class Found(NamedTuple):
    """Rain of an ``(H, W, 3)`` crop in [0, 1]."""

    rain: Heights  # (H, W) heights to take from the crop, completed
    layer: Heights  # (H, W) heights cleaned of everything that may be background
    whole: Heights  # (H, W) heights as the network found them
    certainty: float  # of the direction of its streaks, in [0, 1]; 0 if they are too faint to teach anything
    purity: float  # share of the layer in all fine detail, in [0, 1]: on smooth background no texture leaks into it

    @property
    def distinct(self) -> Heights:
        """``(H, W)`` heights of all that stands out as streaks."""
        return distinct_rain(self.whole)

    @property
    def certain(self) -> bool:
        """Whether this is surely rain, and enough to be seen."""
        return self.certainty > LEAST_CERTAINTY


def repeatable(network: Derainer, precision: str = "auto") -> Restorer:
    """A restorer that finds the same each time: the device alone tells the precision, no measurement."""
    return Restorer(network, repeatable_precision(precision, device_of(network)))


def find_rain(restorer: Restorer, rainy: UnitRgb, scales: int = 1, strict: bool = False, flat: float = 0.0) -> Found:
    """Rain in a crop as it is and, for streaks wider than the network knows, reduced by 2, 4, ... in turn.

    Args:
        restorer: whose rain is believed.
        rainy: ``(H, W, 3)`` in [0, 1].
        scales: how many; what is found at a reduced scale counts if it is surely rain there.
        strict: take nothing from the crop but what the cleaned layer has close by.
        flat: take streaks to their full height where the background bends less than this, and less of them
            elsewhere (:func:`derain.rain.clean.weigh_by_texture`); 0: alike everywhere.
    """
    rain, layer, whole, certainty, _ = _find_at_one_scale(restorer, rainy, strict, flat)
    height, width = rain.shape
    for factor in (2**n for n in range(1, scales)):
        left = np.maximum(rainy - rain[..., None], 0)
        reduced = cv2.resize(left, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        wide = _find_at_one_scale(restorer, np.asarray(reduced, np.float32), strict, flat)
        if wide.certain:
            rain, layer, whole = (
                old + np.maximum(cv2.resize(new, (width, height), interpolation=cv2.INTER_CUBIC), 0)
                for old, new in ((rain, wide.rain), (layer, wide.layer), (whole, wide.whole))
            )
            certainty = max(certainty, wide.certainty)
    purity = float(layer.mean()) / (float(layer.mean()) + detail(np.maximum(rainy - rain[..., None], 0)))
    rain, layer, whole = (np.asarray(part, np.float32) for part in (rain, layer, whole))
    return Found(rain, layer, whole, certainty, purity)


def find_fading(restorer: Restorer, rainy: UnitRgb) -> float:
    """Fading (:func:`derain.rain.compose.fade`) of the rain of an ``(H, W, 3)`` photo in [0, 1]."""
    height = _rain(restorer, rainy).min(axis=2)
    return measured_fading(height, np.maximum(rainy.mean(axis=2) - height, 0))


def _rain(restorer: Restorer, rainy: UnitRgb) -> UnitRgb:
    with restorer.computing():
        return to_picture(look_twice(restorer.model, restorer.to_tensor(rainy)))


def _find_at_one_scale(restorer: Restorer, rainy: UnitRgb, strict: bool, flat: float) -> Found:
    rain = streaks_of(_rain(restorer, rainy))
    layer, certainty = clean_rain(rain)
    height = weigh_by_texture(rainy, rain, layer, flat) if flat else complete_rain(rainy, rain, layer)
    if strict:
        height = np.minimum(height, cv2.dilate(layer, np.ones((7, 7))))
    return Found(height, layer, rain.min(axis=2), certainty if layer.mean() > LEAST_VISIBLE_MEAN else 0.0, 1.0)


def streaks_of(rain: UnitRgb) -> UnitRgb:
    """An ``(H, W, 3)`` layer without its veil: taught and pasted, that would teach the network to find more of it."""
    height, width = rain.shape[:2]
    veil = np.asarray(cv2.resize(veil_in_cells(rain), (width, height), interpolation=cv2.INTER_LINEAR))
    return np.maximum(rain - veil[..., None], 0)


def detail(picture: UnitRgb) -> float:
    """Mean height of fine structure in an ``(H, W, 3)`` picture."""
    grey = picture.mean(axis=2)
    return float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 3)).mean()) + 1e-4


def look_twice(network: Derainer, rainy: Tensor) -> Tensor:
    """Rain of ``(N, 3, H, W)``: the mean of the photo's and its mirror image's, and what is left after that."""
    found = torch.zeros_like(rainy)
    for _ in range(2):
        left = rainy - found
        found = found + (network(left)[1] + network(left.flip(3))[1].flip(3)) / 2
    return found


class Source(NamedTuple):
    """Rainy photos, and how rain is discovered in them."""

    photos: Crops
    network: Derainer  # that discovers it
    kept: int  # discoveries
    kind: str  # what is pasted of Found: layer, distinct or whole


class Tries(NamedTuple):
    """What a discovery came to."""

    folder: Path
    crops: int  # that were looked at
    rainy: int

    @property
    def lack(self) -> str:
        """A sentence if hardly any rain was found, as in photos without; empty if there was enough, or no time."""
        if self.crops < FEWEST_DISCOVERIES or self.rainy >= LEAST_RAINY_SHARE * self.crops:
            return ""
        crops = counted(self.crops, "crop")
        if not self.rainy:
            return f"{self.folder}: no rain found in {crops}, so its photos teach nothing; give photos that show rain"
        return f"{self.folder}: rain found in only {self.rainy} of {crops}; give more photos that show rain"


def discover(
    rng: np.random.Generator,
    source: Source,
    bank: RainBank,
    config: TrainConfig,
    clock: Clock,
    until: float = math.inf,
) -> Tries:
    """Fill the bank with the rain in random crops of the source, where it is surely rain.

    At the second ``until`` of the run it ends, with the purest of as many crops as there was time for.
    """
    photos, network, kept, kind = source
    restorer = repeatable(network, config.precision)
    size = side_of_finds(config)
    found: list[tuple[Path, UnitRgb, Found]] = []
    tried = 0
    while tried < config.tries * kept and clock.spent < until:
        clock.show("finding rain to learn from", tried / (config.tries * kept))
        photo = photos.choose(rng)
        crop = photos.cut(rng, photo, size)
        rain = find_rain(restorer, crop, config.scales, config.strict, config.flat)
        tried += 1
        if rain.certain:
            found.append((photo, crop, rain))
    kept = min(kept, max(math.ceil(tried / config.tries), FEWEST_DISCOVERIES))
    fadings: dict[Path, float] = {}
    for photo, crop, rain in sorted(found, key=lambda f: f[-1].purity)[-kept:]:
        if config.faithful and photo not in fadings and clock.spent < until:
            fadings[photo] = find_fading(restorer, photos.middle(photo, FADING_WINDOW))
        again = rng.random() < config.alike
        layer = more_like(rng, size, likeness(rain.layer)) if again else getattr(rain, kind)
        bank.add(crop, rain.rain, layer, rain.purity, fadings.get(photo, 0.0), say_of(crop, rain, config))
    return Tries(photos.folder, tried, len(found))


def side_of_finds(config: TrainConfig) -> int:
    """Side in px of the crops in a bank, of which those of training are parts."""
    return config.crop * 3 // 2 // 16 * 16


def say_of(crop: UnitRgb, rain: Found, config: TrainConfig) -> Heights | None:
    """How much each pixel of a taught crop has to say: less in texture, which may have been taken for rain."""
    if config.floor == 1:
        return None
    background = crop.mean(axis=2) - rain.rain
    return np.maximum(flatness_of(background, config.flat or FLAT), np.float32(config.floor))
