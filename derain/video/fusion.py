"""Temporal fusion: a streak is gone in the next frame.

The frames around a frame are aligned to it. Rain only brightens, so of what they show at a place the darkest two limit
the background from both sides, and the single-image backgrounds say where between them it lies; the mean of all samples
near that is the result. Where nothing can be aligned the single-image background stays.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from derain.motion import (
    FLOW_TOLERANCE,
    Field,
    Motion,
    Motions,
    Small,
    camera_flow,
    composed_motion,
    motion_both_ways,
    pixel_grid,
    warped,
)
from derain.photos import Photo, to_8_bit

REACH = 2  # frames to each side

FLOW_SIDE = 512  # px, largest side of the frames that motion is estimated from
STREAK_WIDTH = 7  # px at the size of the flow, largest width of a streak
CAMERA_PREFERENCE = 2.0  # grey levels by which the camera's motion may fit worse than a pixel's own and is taken
ALIGNMENT_TOLERANCE = 10.0  # grey levels by which aligned frames without thin bright lines may differ
RESIDUAL_RAIN = 4.0  # grey levels more of tolerance for each that the network took as rain around there
ALIGNMENT_MARGIN = 3  # px at the size of the flow, side of the square that must be alike as a whole

BRIGHTER_TOLERANCE = 6.0  # grey levels above the background, up to which a sample shows it
DARKER_TOLERANCE = 10.0  # grey levels below the background, up to which a sample shows it
SINGLE_IMAGE_WEIGHT = 0.25  # of the single-image background, where a sample has 1
RAIN_CHROMA = 12.0  # grey levels that the channels of colourless rain differ by
CHROMA_PER_HEIGHT = 1.25  # grey levels more for each of the rain's height: over coloured things rain looks coloured
CHROMA_PER_RAIN = 2.0  # grey levels more for each that the network took around there: lamps colour rain
BAND = 32  # rows at a time, as many as a processor's cache holds
NOISE_ABOVE = 2  # grey levels by which noise may put the result above the frame


@dataclass(frozen=True)
class Shot:
    """A frame with what its neighbours need of it."""

    rainy: Photo
    background: Photo
    smooth: Small  # of the background
    plain: Small  # the same without thin bright lines
    rain: Small  # how much the network took around there


@dataclass(frozen=True)
class Aligned:
    """A neighbour as it looks from a frame."""

    rainy: Photo
    background: Photo  # grey
    seen: Small  # 1 where it shows the same things

    def rows(self, rows: slice) -> "Aligned":
        return Aligned(self.rainy[rows], self.background[rows], self.seen[rows])


def fused(pairs: Iterable[tuple[Photo, Photo]]) -> Iterator[Photo]:
    """Backgrounds that agree with the frames around them, one for each pair, :data:`REACH` frames late.

    Each depends on nothing but the pairs up to REACH before and after it, so a run may start anywhere: from the
    REACH-th on its frames are those of any other run. No more than 2 REACH + 1 pairs are kept.

    Args:
        pairs: rainy frames and their single-image backgrounds, ``(H, W, 3)`` RGB, uint8 or uint16, all of one size.
    """
    shots: deque[Shot] = deque(maxlen=2 * REACH + 1)
    motions: Motions = {}
    last = -1
    for last, (rainy, background) in enumerate(pairs):
        shots.append(shot_of(rainy, background))
        if last > 0:
            both = motion_both_ways(shots[-2].smooth, shots[-1].smooth)
            motions[last - 1, last], motions[last, last - 1] = both or (None, None)
        motions = {key: value for key, value in motions.items() if min(key) >= last - 2 * REACH}
        if last >= REACH:
            yield fuse(shots, motions, last, last - REACH)
    for index in range(max(last - REACH + 1, 0), last + 1):
        yield fuse(shots, motions, last, index)


def shot_of(rainy: Photo, background: Photo) -> Shot:
    height, width = background.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small, small_rain = (
        to_8_bit(np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA)))
        for layer in (grey(background), np.asarray(cv2.subtract(grey(rainy), grey(background))))
    )
    smooth = np.asarray(cv2.GaussianBlur(small, (0, 0), 1.0), np.uint8)
    rain = np.asarray(cv2.GaussianBlur(small_rain, (0, 0), 3.0), np.uint8)
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (STREAK_WIDTH, STREAK_WIDTH))
    return Shot(rainy, background, smooth, np.asarray(cv2.morphologyEx(smooth, cv2.MORPH_OPEN, thin), np.uint8), rain)


def grey(photo: Photo) -> Photo:
    return np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))


def fuse(shots: deque[Shot], motions: Motions, last: int, index: int) -> Photo:
    """The background of frame ``index``; the last of the ``shots`` is frame ``last``."""
    first = last - len(shots) + 1
    shot = shots[index - first]
    near = range(max(index - REACH, first), min(index + REACH, last) + 1)
    if not any(shots[other - first].rain.any() for other in near):
        return shot.background  # noise and what moves are no rain, whatever the neighbours show
    neighbours = []
    for other in near:
        there, back = composed_motion(motions, index, other), composed_motion(motions, other, index)
        if there and back:
            neighbours.append(align_neighbour(shot, shots[other - first], there, back))
    if not neighbours:
        return shot.background
    result = np.empty_like(shot.background)
    rain = np.asarray(cv2.resize(shot.rain, result.shape[1::-1]), np.uint8)
    for top in range(0, len(result), BAND):
        rows = slice(top, top + BAND)
        result[rows] = consensus(
            shot.rainy[rows], shot.background[rows], rain[rows], [n.rows(rows) for n in neighbours]
        )
    return result


def align_neighbour(shot: Shot, other: Shot, there: Motion, back: Motion) -> Aligned:
    """The other frame as it looks from this one."""
    height, width = shot.rainy.shape[:2]
    field, valid = choose_flow(shot, other, there, back)
    seen = np.asarray(cv2.resize(valid, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    if not field.any():
        return Aligned(other.rainy, grey(other.background), seen)
    field = field * np.array([width / field.shape[1], height / field.shape[0]], np.float32)
    field = np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR))
    return Aligned(
        warped(other.rainy, field, cv2.INTER_CUBIC), warped(grey(other.background), field, cv2.INTER_CUBIC), seen
    )


def choose_flow(shot: Shot, other: Shot, there: Motion, back: Motion) -> tuple[Field, Small]:
    """The camera's motion where it fits, elsewhere the pixel's own; and 1 where one of them does."""
    places = pixel_grid(*shot.smooth.shape)
    candidates = camera_flow(there.camera, places), there.flow
    differences = (cv2.absdiff(warped(other.smooth, field), shot.smooth).astype(np.float32) for field in candidates)
    misfits = [np.asarray(cv2.GaussianBlur(difference, (0, 0), 3.0)) for difference in differences]
    astray = there.flow + warped(back.flow, there.flow)
    own = (misfits[0] > misfits[1] + CAMERA_PREFERENCE) & (np.hypot(astray[..., 0], astray[..., 1]) < FLOW_TOLERANCE)
    field = np.where(own[..., None], there.flow, candidates[0])
    difference = warped(other.plain, field).astype(np.float32) - shot.plain
    brighter = np.asarray(cv2.GaussianBlur(difference, (0, 0), 2.0))
    darkest = -(ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * shot.rain)
    valid = (brighter > darkest) & (brighter < ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * warped(other.rain, field))
    valid = cv2.erode(valid.astype(np.uint8), np.ones((ALIGNMENT_MARGIN, ALIGNMENT_MARGIN), np.uint8)) > 0
    for target, size in zip(cv2.split(places + field), reversed(shot.smooth.shape)):
        valid &= (target > -0.5) & (target < size - 0.5)
    return field, valid.astype(np.uint8)


def consensus(rainy: Photo, background: Photo, rain: Small, neighbours: list[Aligned]) -> Photo:
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


def lower_median(pictures: list[Photo]) -> Photo:
    """At each pixel; of an even number the darker of the middle two."""
    ordered = list(pictures)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            low, high = np.minimum(ordered[i], ordered[i + 1]), np.maximum(ordered[i], ordered[i + 1])
            ordered[i], ordered[i + 1] = low, high
    return ordered[(len(ordered) - 1) // 2]
