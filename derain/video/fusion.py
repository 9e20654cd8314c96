"""Temporal fusion: a streak is gone in the next frame.

The frames around a frame are aligned to it. Rain only brightens, so of what they show at a place the darkest two limit
the background from both sides, and the single-image backgrounds say where between them it lies; the mean of all samples
near that is the result. Where nothing can be aligned the single-image background stays.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

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
Value = TypeVar("Value")


class Once(Generic[Value]):
    """What is computed when somebody asks for it first; others who ask meanwhile wait for it."""

    def __init__(self, compute: Callable[[], Value]) -> None:
        self._compute, self._lock = compute, Lock()
        self._found: list[Value] = []

    def __call__(self) -> Value:
        with self._lock:
            if not self._found:
                self._found.append(self._compute())
            return self._found[0]


@dataclass(frozen=True)
class Look:
    """A background at the size of the flow."""

    smooth: Small
    plain: Small  # the same without thin bright lines


@dataclass(frozen=True)
class Shot:
    """A frame with what its neighbours need of it."""

    rainy: Photo
    background: Photo
    rain: Small  # how much the network took around there
    look: Once[Look]
    placed: Once[Placed | None]  # on a device, if it has one with room for it


@dataclass(frozen=True)
class View:
    """How a frame sees a neighbour."""

    other: Shot
    field: Field  # where its pixels are in the neighbour, at the size of the flow
    valid: Small  # 1 where the neighbour shows the same things


@dataclass(frozen=True)
class Step:
    """A shot, and the motion between the one before it and itself, there and back; ``None`` across a cut."""

    shot: Shot
    motion: Once[tuple[Motion, Motion] | None]


@dataclass(frozen=True)
class Window:
    """What a frame is made of."""

    steps: list[Step]
    last: int  # number of the last of them
    index: int  # number of the frame

    @property
    def first(self) -> int:
        return self.last - len(self.steps) + 1

    def shot(self, index: int) -> Shot:
        return self.steps[index - self.first].shot

    def motions(self, near: range) -> Motions:
        """Between shots with these numbers that follow one another."""
        found: Motions = {}
        for index in near[1:]:
            both = self.steps[index - self.first].motion()
            found[index - 1, index], found[index, index - 1] = both or (None, None)
        return found


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
    """Frames without rain need no motion, as long as those around them have none either."""
    before, shot = pair
    motion = Once(lambda: motion_both_ways(before.look().smooth, shot.look().smooth) if before else None)
    if shot.rain.any() or before and before.rain.any():
        motion()
    return Step(shot, motion)


def windows(steps: Iterable[Step], later: int = REACH) -> Iterator[Window]:
    """What each frame is made of, ``later`` frames late."""
    near: deque[Step] = deque(maxlen=2 * REACH + 1)
    last = -1
    for last, step in enumerate(steps):
        near.append(step)
        if last >= later:
            yield Window(list(near), last, last - later)
    for index in range(max(last - later + 1, 0), last + 1):
        yield Window(list(near), last, index)


def shot_of(rainy: Photo, background: Photo, device: torch.device | None = None) -> Shot:
    shot = Shot(
        rainy,
        background,
        rain_of(rainy, background),
        Once(lambda: look_of(background)),
        Once(lambda: placed_if_it_fits(rainy, background, device)),
    )
    if shot.rain.any():
        shot.look()
        shot.placed()
    return shot


def rain_of(rainy: Photo, background: Photo) -> Small:
    """How much the network took around each place."""
    if np.array_equal(rainy, background):
        return np.zeros(flow_size(background)[::-1], np.uint8)
    rain: Photo = np.asarray(cv2.subtract(grey(rainy), grey(background)))
    return np.asarray(cv2.GaussianBlur(reduced(rain), (0, 0), 3.0), np.uint8)


def look_of(background: Photo) -> Look:
    smooth = np.asarray(cv2.GaussianBlur(reduced(grey(background)), (0, 0), 1.0), np.uint8)
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (STREAK_WIDTH, STREAK_WIDTH))
    return Look(smooth, np.asarray(cv2.morphologyEx(smooth, cv2.MORPH_OPEN, thin), np.uint8))


def reduced(layer: Photo) -> Small:
    return to_8_bit(np.asarray(cv2.resize(layer, flow_size(layer), interpolation=cv2.INTER_AREA)))


def flow_size(picture: Photo) -> tuple[int, int]:
    """Width and height at which a picture's motion is estimated."""
    height, width = picture.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def placed_if_it_fits(rainy: Photo, background: Photo, device: torch.device | None) -> Placed | None:
    try:
        return place_frame(rainy, background, device) if device else None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def fuse(window: Window) -> Photo:
    """The background of a frame."""
    index, shot = window.index, window.shot(window.index)
    near = range(max(index - REACH, window.first), min(index + REACH, window.last) + 1)
    if not any(window.shot(other).rain.any() for other in near):
        return shot.background  # noise and what moves are no rain, whatever the neighbours show
    views, motions = [], window.motions(near)
    for other in near:
        there, back = composed_motion(motions, index, other), composed_motion(motions, other, index)
        if there and back:
            views.append(View(window.shot(other), *choose_flow(shot, window.shot(other), there, back)))
    if not views:
        return shot.background
    rain = np.asarray(cv2.resize(shot.rain, shot.background.shape[1::-1]), np.uint8)
    found = agreed_on_device(shot, rain, views)
    return agreed(shot, rain, views) if found is None else found


def agreed_on_device(shot: Shot, rain: Small, views: list[View]) -> Photo | None:
    """The background that a frame and its neighbours agree on; ``None`` if they are not on a device, or it is full."""
    own, placed = shot.placed(), [view.other.placed() for view in views]
    if own is None or None in placed:
        return None
    seen = [
        PlacedLook(other, view.field if view.field.any() else None, view.valid)
        for view, other in zip(views, placed)
        if other
    ]
    try:
        return fused_on_device(own, rain, seen, int(np.iinfo(shot.rainy.dtype).max))
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
    here, neighbour = shot.look(), other.look()
    places = pixel_grid(*here.smooth.shape)
    candidates = camera_flow(there.camera, places), there.flow
    differences = (cv2.absdiff(warped(neighbour.smooth, field), here.smooth).astype(np.float32) for field in candidates)
    misfits = [np.asarray(cv2.GaussianBlur(difference, (0, 0), 3.0)) for difference in differences]
    astray = there.flow + warped(back.flow, there.flow)
    own = (misfits[0] > misfits[1] + CAMERA_PREFERENCE) & (np.hypot(astray[..., 0], astray[..., 1]) < FLOW_TOLERANCE)
    field = np.where(own[..., None], there.flow, candidates[0])
    difference = warped(neighbour.plain, field).astype(np.float32) - here.plain
    brighter = np.asarray(cv2.GaussianBlur(difference, (0, 0), 2.0))
    darkest = -(ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * shot.rain)
    valid = (brighter > darkest) & (brighter < ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * warped(other.rain, field))
    valid = cv2.erode(valid.astype(np.uint8), np.ones((ALIGNMENT_MARGIN, ALIGNMENT_MARGIN), np.uint8)) > 0
    for target, size in zip(cv2.split(places + field), reversed(here.smooth.shape)):
        valid &= (target > -0.5) & (target < size - 0.5)
    return field, valid.astype(np.uint8)
