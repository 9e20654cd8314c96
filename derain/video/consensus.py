"""What a frame and its aligned neighbours agree on."""

from dataclasses import dataclass

import cv2
import numpy as np

from derain.arrays import Grey, Pixels, Plane
from derain.motion import Small
from derain.ordering import ordered
from derain.video.dark_rain import BRIGHT, DEEPEST

BRIGHTER_TOLERANCE = 6.0  # grey levels above the background, up to which a sample shows it
DARKER_TOLERANCE = 10.0  # grey levels below the background, up to which a sample shows it
RAIN_TOLERANCE = 4.0  # grey levels above it that the network takes for rain, too, up to which a sample shows it
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


def consensus(
    rainy: Pixels, background: Pixels, rain: Small, neighbours: list[Aligned], dark: Grey | None = None
) -> Pixels:
    """The background that a frame and its aligned neighbours agree on.

    Args:
        rain: grey levels that the network took around there.
        dark: ``(H, W)``, how surely each pixel is of a sky behind dark rain, from 0 to 1; default: none is.
    """
    level = np.float32(np.iinfo(rainy.dtype).max / 255)
    single = grey(background)
    own, others = grey(rainy), [grey(n.rainy) for n in neighbours]
    samples = [own, *(np.where(n.seen, sample, single) for n, sample in zip(neighbours, others))]
    backgrounds = [single, *(np.where(n.seen, n.background, single) for n in neighbours)]
    pivot = limited(middling(backgrounds), samples)
    if dark is not None:
        middle = upper_median([own, *(np.where(n.seen, sample, own) for n, sample in zip(neighbours, others))])
        deeper = (middle > own + DEEPEST * level) & (dark > 0)
        dark = dark * np.clip((middle / level - BRIGHT[0]) / (BRIGHT[1] - BRIGHT[0]), 0, 1)
        pivot += dark * np.maximum(middle - pivot, 0)
    total = SINGLE_IMAGE_WEIGHT * (background + (pivot - single)[..., None])
    weights = np.full(single.shape, SINGLE_IMAGE_WEIGHT, np.float32)
    seen_by = [n.seen for n in neighbours]
    witnessed = np.maximum.reduce(seen_by)  # alone, a frame cannot tell rain from background
    for picture, sample, its_background, seen in zip(
        [rainy, *(n.rainy for n in neighbours)], samples, backgrounds, [witnessed, *seen_by], strict=True
    ):
        height = (sample - pivot) / level
        off = np.maximum(height / BRIGHTER_TOLERANCE, -height / DARKER_TOLERANCE)
        taken_there = cv2.subtract(sample, its_background) / level
        off = np.maximum(off, np.minimum(height, taken_there) / RAIN_TOLERANCE)
        weight = np.maximum(1 - np.square(off), 0) * seen
        total += picture * weight[..., None]
        weights += weight
    shown = np.rint(total / weights[..., None])
    red, green, blue = cv2.split((rainy - shown) / level)
    brightest, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    taken, most = np.maximum(green, 0), rainy + NOISE_ABOVE * level
    if dark is not None:
        taken, most = np.where(dark > 0, np.abs(green), taken), most + (255 * level * dark)[..., None]
    unlike_rain = brightest - least > RAIN_CHROMA + CHROMA_PER_HEIGHT * taken + CHROMA_PER_RAIN * rain
    if dark is not None:
        unlike_rain |= deeper
    shown[unlike_rain] = background[unlike_rain]
    return np.asarray(np.clip(shown, 0, np.minimum(most, 255 * level))).astype(rainy.dtype)


def limited(network: Plane | Grey, samples: list[Plane]) -> Grey:
    """What the network shows, held between the darkest two of the samples as far as the samples agree.

    Where it rains so densely that no sample is without rain they differ, and their darkest are no limit.
    """
    in_order = ordered(samples, np.minimum, np.maximum)
    darkest, second, middle = in_order[0], in_order[1], in_order[len(in_order) // 2]
    off = np.clip(network, darkest, second).astype(np.float32) - network
    power, spread = np.square(off), np.square(middle.astype(np.float32) - darkest)
    return np.asarray(network + off * (power / np.maximum(power + spread, np.float32(1e-6))), np.float32)


def middling(pictures: list[Plane]) -> Plane | Grey:
    """At each pixel the mean of the middle three; of fewer than five the lower median."""
    if len(pictures) < 5:
        return lower_median(pictures)
    first = (len(pictures) - 3) // 2
    below, middle, above = ordered(pictures, np.minimum, np.maximum)[first : first + 3]
    return np.asarray((below.astype(np.float32) + middle + above) / 3, np.float32)


def lower_median(pictures: list[Plane]) -> Plane:
    """At each pixel; of an even number the darker of the middle two."""
    return ordered(pictures, np.minimum, np.maximum)[(len(pictures) - 1) // 2]


def upper_median(pictures: list[Plane]) -> Plane:
    """At each pixel; of an even number the brighter of the middle two."""
    return ordered(pictures, np.minimum, np.maximum)[len(pictures) // 2]
