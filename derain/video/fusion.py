"""Temporal fusion: a streak is gone in the next frame.

The frames around a frame are aligned to it. Rain only brightens, so of what they show at a place the darkest two limit
the background from both sides, and the single-image backgrounds say where between them it lies; the mean of all samples
near that is the result. Where nothing can be aligned the single-image background stays.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.photos import Photo, to_8_bit

REACH = 2  # frames to each side

FLOW_SIDE = 512  # px, long side at the most of the frames that motion is estimated from
LEAST = 24  # px, sides from which it can be
THIN = 7  # px at that size, up to which something bright may be a streak
STILL = 0.12  # px at that size by which a camera that stands still seems to move
ASTRAY = 1.0  # px at that size by which motion there and back may differ
OUTLIER = np.uint8(20)  # grey levels, from which a difference says no more of the camera's motion
UNTIL = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 1e-4)  # the camera's motion is refined
AS_WELL = 1.02  # times its misfit up to which no motion of the camera fits as well
SIMPLER = 2.0  # grey levels by which the camera's motion may fit worse than a pixel's own and is taken
UNLIKE = 10.0  # grey levels by which aligned frames without thin bright lines may differ
LEFT = 4.0  # and, for each grey level that the network took around there, that it may have left
MARGIN = 3  # px at that size, side of the square within which all of them must be alike
CUT = 0.5  # share of a frame's contrast that is left after alignment from which it is another scene

BRIGHTER, DARKER = 6.0, 10.0  # grey levels around the background, within which samples show it
PRIOR = 0.25  # weight of the single-image backgrounds against one sample
COLOUR = 12.0  # grey levels between the channels of what goes, up to which it may be rain; and more
TINT = 1.25  # times its height, because rain over coloured things looks coloured
LIT = 2.0  # times what the network took around there, because lamps colour rain
BAND = 32  # rows at a time, as many as a processor's cache holds
ABOVE = 2  # grey levels by which noise may put the result above the frame

Small = NDArray[np.uint8]  # grey, at the size at which motion is estimated
Field = NDArray[np.float32]  # (H, W, 2) px to the right and down
Camera = NDArray[np.float64]  # (3, 3), or its first two rows


@dataclass(frozen=True)
class Shot:
    """A frame with what its neighbours need of it."""

    rainy: Photo
    background: Photo
    smooth: Small  # of the background
    plain: Small  # the same without thin bright lines
    rain: Small  # how much the network took around there


@dataclass(frozen=True)
class Motion:
    """Where the pixels of a frame are in a neighbour."""

    flow: Field  # each pixel's own
    camera: Camera  # what most of them follow


@dataclass(frozen=True)
class Aligned:
    """A neighbour as it looks from a frame."""

    rainy: Photo
    background: Photo  # grey
    seen: Small  # 1 where it shows the same things

    def rows(self, rows: slice) -> "Aligned":
        return Aligned(self.rainy[rows], self.background[rows], self.seen[rows])


Motions = dict[tuple[int, int], Motion | None]  # from a frame to a neighbour; None across a cut


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
            both = motion(shots[-2].smooth, shots[-1].smooth)
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
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THIN, THIN))
    return Shot(rainy, background, smooth, np.asarray(cv2.morphologyEx(smooth, cv2.MORPH_OPEN, thin), np.uint8), rain)


def grey(photo: Photo) -> Photo:
    return np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))


def motion(here: Small, there: Small) -> tuple[Motion, Motion] | None:
    """Motion from one frame to the next and back; ``None`` across a cut."""
    flow, back = optical_flow(here, there), optical_flow(there, here)
    contrast = np.abs(here - here.mean()).mean() + 4
    if cv2.absdiff(warped(there, flow), here).mean() > CUT * contrast:
        return None
    camera = of_the_camera(here, there, flow)
    return Motion(flow, camera), Motion(back, np.asarray(np.linalg.inv(camera), np.float64))


def optical_flow(here: Small, there: Small) -> Field:
    """Where each pixel of one grey picture is in another, relative to where it was; none in tiny pictures."""
    none = np.zeros((*here.shape, 2), np.float32)
    if min(here.shape) < LEAST:
        return none
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(dis.calc(here, there, none), np.float32)


def of_the_camera(here: Small, there: Small, flow: Field) -> Camera:
    """The simplest motion of a whole frame, none, a shift or an affine one, that fits what most of the flow follows."""
    none, places = np.eye(3), positions(*here.shape)
    if min(here.shape) < LEAST:
        return none
    step = min(here.shape) // LEAST
    some = (slice(step // 2, None, step), slice(step // 2, None, step))
    pairs = places[some].reshape(-1, 2), (places + flow)[some].reshape(-1, 2)
    found = cv2.estimateAffine2D(*pairs, ransacReprojThreshold=0.5)[0]
    if found is None:
        return none
    affine = np.asarray(found, np.float64)
    off = along(affine, places) - flow
    followers = (np.hypot(off[..., 0], off[..., 1]) < ASTRAY).astype(np.uint8)
    centre = np.array([here.shape[1] / 2, here.shape[0] / 2, 1])
    shift = np.hstack([np.eye(2), (affine @ centre - centre[:2])[:, None]])
    cameras = [
        none,
        refined(here, there, shift, cv2.MOTION_TRANSLATION, followers),
        refined(here, there, affine, cv2.MOTION_AFFINE, followers),
    ]
    fields = [along(camera, places) for camera in cameras]
    differences = [np.minimum(cv2.absdiff(warped(there, field), here), OUTLIER) for field in fields]
    misfits = np.array([cv2.mean(difference, followers)[0] for difference in differences])
    chosen = int(np.argmax(misfits <= AS_WELL * misfits.min()))
    return none if np.abs(fields[chosen]).mean() < STILL else cameras[chosen]


def refined(here: Small, there: Small, start: Camera, form: int, followers: Small) -> Camera:
    """The camera's motion that aligns the pixels of its ``followers`` best; their flow, one by one, is vague."""
    try:
        found = cv2.findTransformECC(here, there, start.astype(np.float32), form, UNTIL, followers, 5)[1]
    except cv2.error:  # does not converge, as on frames without texture
        found = start
    return np.vstack([found, [0, 0, 1]]).astype(np.float64)


def along(camera: Camera, places: Field) -> Field:
    """How far the camera's motion takes each place."""
    return np.asarray(cv2.subtract(cv2.transform(places, camera[:2]), places))


@lru_cache(4)
def positions(height: int, width: int) -> Field:
    """Each pixel's column and row."""
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=2)


def warped(picture: NDArray[Any], flow: Field, form: int = cv2.INTER_LINEAR) -> NDArray[Any]:
    """The picture sampled where ``flow`` says."""
    columns, rows = cv2.split(cv2.add(positions(*flow.shape[:2]), flow))
    return np.asarray(cv2.remap(picture, columns, rows, form, borderMode=cv2.BORDER_REPLICATE))


def between(motions: Motions, here: int, there: int) -> Motion | None:
    """Motion over several frames, one after the other; ``None`` if there is a cut between."""
    step = 1 if there > here else -1
    total: Motion | None = None
    for index in range(here, there, step):
        further = motions[index, index + step]
        if further is None:
            return None
        if total is None:
            total = further
        else:
            total = Motion(
                np.asarray(cv2.add(total.flow, warped(further.flow, total.flow)), np.float32),
                further.camera @ total.camera,
            )
    return total


def fuse(shots: deque[Shot], motions: Motions, last: int, index: int) -> Photo:
    """The background of frame ``index``; the last of the ``shots`` is frame ``last``."""
    first = last - len(shots) + 1
    shot = shots[index - first]
    near = range(max(index - REACH, first), min(index + REACH, last) + 1)
    if not any(shots[other - first].rain.any() for other in near):
        return shot.background  # noise and what moves are no rain, whatever the neighbours show
    neighbours = []
    for other in near:
        there, back = between(motions, index, other), between(motions, other, index)
        if there and back:
            neighbours.append(aligned(shot, shots[other - first], there, back))
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


def aligned(shot: Shot, other: Shot, there: Motion, back: Motion) -> Aligned:
    """The other frame as it looks from this one."""
    height, width = shot.rainy.shape[:2]
    field, valid = settled(shot, other, there, back)
    seen = np.asarray(cv2.resize(valid, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    if not field.any():
        return Aligned(other.rainy, grey(other.background), seen)
    field = field * np.array([width / field.shape[1], height / field.shape[0]], np.float32)
    field = np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR))
    return Aligned(
        warped(other.rainy, field, cv2.INTER_CUBIC), warped(grey(other.background), field, cv2.INTER_CUBIC), seen
    )


def settled(shot: Shot, other: Shot, there: Motion, back: Motion) -> tuple[Field, Small]:
    """The camera's motion where it fits, elsewhere the pixel's own; and 1 where one of them does."""
    places = positions(*shot.smooth.shape)
    candidates = along(there.camera, places), there.flow
    differences = (cv2.absdiff(warped(other.smooth, field), shot.smooth).astype(np.float32) for field in candidates)
    misfits = [np.asarray(cv2.GaussianBlur(difference, (0, 0), 3.0)) for difference in differences]
    astray = there.flow + warped(back.flow, there.flow)
    own = (misfits[0] > misfits[1] + SIMPLER) & (np.hypot(astray[..., 0], astray[..., 1]) < ASTRAY)
    field = np.where(own[..., None], there.flow, candidates[0])
    difference = warped(other.plain, field).astype(np.float32) - shot.plain
    brighter = np.asarray(cv2.GaussianBlur(difference, (0, 0), 2.0))
    valid = (-brighter < UNLIKE + LEFT * shot.rain) & (brighter < UNLIKE + LEFT * warped(other.rain, field))
    valid = cv2.erode(valid.astype(np.uint8), np.ones((MARGIN, MARGIN), np.uint8)) > 0
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
    total = PRIOR * (background + (pivot - single)[..., None])
    weights = np.full(single.shape, PRIOR, np.float32)
    seen_by = [n.seen for n in neighbours]
    witnessed = np.maximum.reduce(seen_by)  # alone, a frame cannot tell rain from background
    for picture, sample, seen in zip(
        [rainy, *(n.rainy for n in neighbours)], samples, [witnessed, *seen_by], strict=True
    ):
        height = (sample - pivot) / level
        weight = np.maximum(1 - np.square(np.maximum(height / BRIGHTER, -height / DARKER)), 0) * seen
        total += picture * weight[..., None]
        weights += weight
    shown = np.rint(total / weights[..., None])
    red, green, blue = cv2.split((rainy - shown) / level)
    brightest, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    coloured = brightest - least > COLOUR + TINT * np.maximum(green, 0) + LIT * rain
    shown[coloured] = background[coloured]
    return np.asarray(np.clip(shown, 0, np.minimum(rainy + ABOVE * level, 255 * level))).astype(rainy.dtype)


def lower_median(pictures: list[Photo]) -> Photo:
    """At each pixel; of an even number the darker of the middle two."""
    ordered = list(pictures)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            low, high = np.minimum(ordered[i], ordered[i + 1]), np.maximum(ordered[i], ordered[i + 1])
            ordered[i], ordered[i + 1] = low, high
    return ordered[(len(ordered) - 1) // 2]
