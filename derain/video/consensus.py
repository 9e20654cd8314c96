"""What a frame and its aligned neighbours agree on."""

from dataclasses import dataclass

import cv2
import numpy as np

from derain.arrays import Pixels, Plane
from derain.motion import Small

BRIGHTER_TOLERANCE = 6.0  # grey levels above the background, up to which a sample shows it
DARKER_TOLERANCE = 10.0  # grey levels below the background, up to which a sample shows it
SINGLE_IMAGE_WEIGHT = 0.25  # of the single-image background, where a sample has 1
RAIN_CHROMA = 12.0  # grey levels that the channels of colourless rain differ by
CHROMA_PER_HEIGHT = 1.25  # grey levels more for each of the rain's height: over coloured things rain looks coloured
CHROMA_PER_RAIN = 2.0  # grey levels more for each that the network took around there: lamps colour rain
NOISE_ABOVE = 2  # grey levels by which noise may put the result above the frame


@dataclass(frozen=True)
class Aligned:
    """A neighbour as it looks from a frame."""

    rainy: Pixels
    background: Plane  # grey
    seen: Small  # 1 where it shows the same things

    def rows(self, rows: slice) -> "Aligned":
        return Aligned(self.rainy[rows], self.background[rows], self.seen[rows])


def grey(photo: Pixels) -> Plane:
    return np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))


def consensus(rainy: Pixels, background: Pixels, rain: Small, neighbours: list[Aligned]) -> Pixels:
    """The background that a frame and its aligned neighbours agree on."""
    level = np.float32(np.iinfo(rainy.dtype).max / 255)
    single = grey(background)
    samples = [grey(rainy), *(np.where(n.seen, grey(n.rainy), single) for n in neighbours)]
    darkest, second = samples[0], np.full_like(single, np.iinfo(single.dtype).max)
    for sample in samples[1:]:
        second = np.minimum(second, np.maximum(darkest, sample))
        darkest = np.minimum(darkest, sample)
    network = lower_median([single, *(np.where(n.seen, n.background, single) for n in neighbours)])
    pivot = np.clip(network, darkest, second).astype(np.float32)
    total = SINGLE_IMAGE_WEIGHT * (background + (pivot - single)[..., None])
    weights = np.full(single.shape, SINGLE_IMAGE_WEIGHT, np.float32)
    seen_by = [n.seen for n in neighbours]
    witnessed = np.maximum.reduce(seen_by)  # alone, a frame cannot tell rain from background
    for picture, sample, seen in zip(
        [rainy, *(n.rainy for n in neighbours)], samples, [witnessed, *seen_by], strict=True
    ):
        height = (sample - pivot) / level
        weight = (
            np.maximum(1 - np.square(np.maximum(height / BRIGHTER_TOLERANCE, -height / DARKER_TOLERANCE)), 0) * seen
        )
        total += picture * weight[..., None]
        weights += weight
    shown = np.rint(total / weights[..., None])
    red, green, blue = cv2.split((rainy - shown) / level)
    brightest, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    coloured = brightest - least > RAIN_CHROMA + CHROMA_PER_HEIGHT * np.maximum(green, 0) + CHROMA_PER_RAIN * rain
    shown[coloured] = background[coloured]
    return np.asarray(np.clip(shown, 0, np.minimum(rainy + NOISE_ABOVE * level, 255 * level))).astype(rainy.dtype)


def lower_median(pictures: list[Plane]) -> Plane:
    """At each pixel; of an even number the darker of the middle two."""
    ordered = list(pictures)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            low, high = np.minimum(ordered[i], ordered[i + 1]), np.maximum(ordered[i], ordered[i + 1])
            ordered[i], ordered[i + 1] = low, high
    return ordered[(len(ordered) - 1) // 2]
