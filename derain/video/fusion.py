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
import torch

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
from derain.restoring.ahead import ahead
from derain.restoring.devices import is_out_of_memory
from derain.video.consensus import Aligned, consensus, grey
from derain.video.device_fusion import Placed, PlacedLook, fused_on_device, place_frame

REACH = 2  # frames to each side

FLOW_SIDE = 512  # px, largest side of the frames that motion is estimated from
STREAK_WIDTH = 7  # px at the size of the flow, largest width of a streak
CAMERA_PREFERENCE = 2.0  # grey levels by which the camera's motion may fit worse than a pixel's own and is taken
ALIGNMENT_TOLERANCE = 10.0  # grey levels by which aligned frames without thin bright lines may differ
RESIDUAL_RAIN = 4.0  # grey levels more of tolerance for each that the network took as rain around there
ALIGNMENT_MARGIN = 3  # px at the size of the flow, side of the square that must be alike as a whole

BAND = 32  # rows at a time, as many as a processor's cache holds


@dataclass(frozen=True)
class Shot:
    """A frame with what its neighbours need of it."""

    rainy: Photo
    background: Photo
    smooth: Small  # of the background
    plain: Small  # the same without thin bright lines
    rain: Small  # how much the network took around there
    placed: Placed | None = None  # on a device, if it has one with room for it


@dataclass(frozen=True)
class View:
    """How a frame sees a neighbour."""

    other: Shot
    field: Field  # where its pixels are in the neighbour, at the size of the flow
    valid: Small  # 1 where the neighbour shows the same things


@dataclass(frozen=True)
class Step:
    """A shot, and the motion between the one before it and itself; ``None`` across a cut and for the first."""

    shot: Shot
    since: Motion | None = None
    back: Motion | None = None


@dataclass(frozen=True)
class Window:
    """What a frame is made of."""

    shots: list[Shot]
    motions: Motions
    last: int  # number of the last shot
    index: int  # number of the frame


def fused(
    pairs: Iterable[tuple[Photo, Photo]], device: torch.device | None = None, threads: int = 0, later: int = REACH
) -> Iterator[Photo]:
    """Backgrounds that agree with the frames around them, one for each pair, ``later`` frames late.

    Each depends on nothing but the pairs up to REACH before and after it, so a run may start anywhere: from the
    REACH-th on its frames are those of any other run. No more than 2 REACH + 1 pairs are kept, and those in work.

    Args:
        pairs: rainy frames and their single-image backgrounds, ``(H, W, 3)`` RGB, uint8 or uint16, all of one size.
        device: where whole frames are warped and compared; default: on the CPU.
        threads: for each of three stages of the work; pairs are drawn about three times so far ahead.
        later: frames after each that are looked at, up to REACH.
    """

    def shot(pair: tuple[Photo, Photo]) -> Shot:
        return shot_of(*pair, device)

    shots = ahead(shot, pairs, threads + 1, threads)
    steps = ahead(step_of, before_and_after(shots), threads + 1, threads)
    yield from ahead(fuse, windows(steps, later), threads + 1, threads)


def before_and_after(shots: Iterable[Shot]) -> Iterator[tuple[Shot | None, Shot]]:
    """Each shot with the one before it."""
    before = None
    for shot in shots:
        yield before, shot
        before = shot


def step_of(pair: tuple[Shot | None, Shot]) -> Step:
    before, shot = pair
    both = before and motion_both_ways(before.smooth, shot.smooth)
    return Step(shot, *both) if both else Step(shot)


def windows(steps: Iterable[Step], later: int = REACH) -> Iterator[Window]:
    """What each frame is made of, ``later`` frames late."""
    shots: deque[Shot] = deque(maxlen=2 * REACH + 1)
    motions: Motions = {}
    last = -1
    for last, step in enumerate(steps):
        shots.append(step.shot)
        motions = {key: value for key, value in motions.items() if min(key) >= last - 2 * REACH}
        if last > 0:
            motions |= {(last - 1, last): step.since, (last, last - 1): step.back}
        if last >= later:
            yield Window(list(shots), motions, last, last - later)
    for index in range(max(last - later + 1, 0), last + 1):
        yield Window(list(shots), motions, last, index)


def shot_of(rainy: Photo, background: Photo, device: torch.device | None = None) -> Shot:
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
    plain = np.asarray(cv2.morphologyEx(smooth, cv2.MORPH_OPEN, thin), np.uint8)
    return Shot(rainy, background, smooth, plain, rain, placed_if_it_fits(rainy, background, device))


def placed_if_it_fits(rainy: Photo, background: Photo, device: torch.device | None) -> Placed | None:
    try:
        return place_frame(rainy, background, device) if device else None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def fuse(window: Window) -> Photo:
    """The background of a frame."""
    shots, index = window.shots, window.index
    first = window.last - len(shots) + 1
    shot = shots[index - first]
    near = range(max(index - REACH, first), min(index + REACH, window.last) + 1)
    if not any(shots[other - first].rain.any() for other in near):
        return shot.background  # noise and what moves are no rain, whatever the neighbours show
    views = []
    for other in near:
        there, back = composed_motion(window.motions, index, other), composed_motion(window.motions, other, index)
        if there and back:
            views.append(View(shots[other - first], *choose_flow(shot, shots[other - first], there, back)))
    if not views:
        return shot.background
    rain = np.asarray(cv2.resize(shot.rain, shot.background.shape[1::-1]), np.uint8)
    found = agreed_on_device(shot, rain, views)
    return agreed(shot, rain, views) if found is None else found


def agreed_on_device(shot: Shot, rain: Small, views: list[View]) -> Photo | None:
    """The background that a frame and its neighbours agree on; ``None`` if they are not on a device, or it is full."""
    placed = [view.other.placed for view in views]
    if shot.placed is None or None in placed:
        return None
    seen = [
        PlacedLook(other, view.field if view.field.any() else None, view.valid)
        for view, other in zip(views, placed)
        if other
    ]
    try:
        return fused_on_device(shot.placed, rain, seen, int(np.iinfo(shot.rainy.dtype).max))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def agreed(shot: Shot, rain: Small, views: list[View]) -> Photo:
    """The background that a frame and its neighbours agree on."""
    neighbours = [align_neighbour(view, shot.rainy.shape[1::-1]) for view in views]
    result = np.empty_like(shot.background)
    for top in range(0, len(result), BAND):
        rows = slice(top, top + BAND)
        result[rows] = consensus(
            shot.rainy[rows], shot.background[rows], rain[rows], [n.rows(rows) for n in neighbours]
        )
    return result


def align_neighbour(view: View, size: tuple[int, ...]) -> Aligned:
    """The neighbour as it looks from the frame."""
    width, height = size
    field, other = view.field, view.other
    seen = np.asarray(cv2.resize(view.valid, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
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
