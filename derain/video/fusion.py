"""Temporal fusion: a streak is gone in the next frame.

The frames around a frame are aligned to it. Rain only brightens, so of what they show at a place the darkest two limit
the background from both sides, as far as the frames agree there, and the single-image backgrounds say where between
them it lies; the mean of all samples near that is the result. Where nothing can be aligned the single-image background
stays.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch

from derain.arrays import Grey, Pixels, rows_in_cache
from derain.motion import (
    MINIMUM_SIDE,
    Field,
    Motion,
    Motions,
    Small,
    composed_motion,
    motion_both_ways,
    warped,
    warped_where_it_moves,
)
from derain.photos import to_8_bit
from derain.restoring.ahead import ahead
from derain.restoring.devices import is_out_of_memory
from derain.video.alignment import Look, as_here, choose_flow, same_sky, same_things, stays
from derain.video.consensus import Aligned, consensus, grey
from derain.video.dark_rain import may_show, shares_of_dark_rain
from derain.video.device_fusion import (
    Placed,
    PlacedMotion,
    PlacedShot,
    PlacedView,
    fused_on_device,
    place_frame,
    place_motion,
    place_shot,
    smalls_of,
)

REACH = 3  # frames to each side

FLOW_SIDE = 512  # px, largest side of the frames that motion is estimated from
STREAK_WIDTH = 7  # px at the size of the flow, largest width of a streak

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
class Shot:
    """A frame with what its neighbours need of it."""

    rainy: Pixels
    background: Pixels
    rain: Small  # how much the network took around there
    look: Once[Look]
    placed: Once[PlacedShot | None]  # on a device, if there is one with room for it


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
    placed: Once[tuple[PlacedMotion, PlacedMotion] | None]  # on the device


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

    def placed_way(self, here: int, there: int) -> list[PlacedMotion] | None:
        """Motions on the device from one frame to the next; ``None`` across a cut."""
        step = 1 if there > here else -1
        way = []
        for index in range(here, there, step):
            both = self.steps[max(index, index + step) - self.first].placed()
            if both is None:
                return None
            way.append(both[0] if step > 0 else both[1])
        return way


def fused(
    pairs: Iterable[tuple[Pixels, Pixels]], device: torch.device | None = None, threads: int = 0, later: int = REACH
) -> Iterator[Pixels]:
    """Backgrounds that agree with the frames around them, one for each pair, ``later`` frames late.

    Each depends on nothing but the pairs up to REACH before and after it, so a run may start anywhere: from the
    REACH-th on its frames are those of any other run. No more than 2 REACH + 1 pairs are kept, and those in work.

    Args:
        pairs: rainy frames and their single-image backgrounds, ``(H, W, 3)`` RGB, uint8 or uint16, all of one size.
        device: where whole frames are warped and compared; default: on the CPU.
        threads: for each of three stages of the work; pairs are drawn about three times so far ahead.
        later: frames after each that are looked at, up to REACH.
    """

    def shot(pair: tuple[Pixels, Pixels]) -> Shot:
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
    placed = Once(lambda: placed_if_found(motion(), shot))
    if shot.rain.any() or before and before.rain.any():
        motion()
    return Step(shot, motion, placed)


def placed_if_found(both: tuple[Motion, Motion] | None, shot: Shot) -> tuple[PlacedMotion, PlacedMotion] | None:
    there = shot.placed()
    return place_motion(both, there.smooth.device) if both and there else None


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


def shot_of(rainy: Pixels, background: Pixels, device: torch.device | None = None) -> Shot:
    frame = Once(lambda: unless_full(lambda: place_frame(rainy, background, device)) if device else None)
    small = Once(lambda: smalls(rainy, background, frame()))
    rain = np.zeros(flow_size(background)[::-1], np.uint8)
    if background is not rainy:
        rain = np.asarray(cv2.GaussianBlur(small()[1], (0, 0), 3.0), np.uint8)
    look = Once(lambda: look_of(*small(), rain))
    placed = Once(lambda: placed_with(look(), frame()))
    if rain.any():
        look()
    return Shot(rainy, background, rain, look, placed)


def smalls(rainy: Pixels, background: Pixels, frame: Placed | None) -> tuple[Small, Small]:
    """Background and rain in grey, at the size of the flow."""
    size = flow_size(background)
    if frame and (found := unless_full(lambda: smalls_of(frame, *size))):
        return to_8_bit(found[0]), to_8_bit(found[1])
    layers = grey(background), cv2.subtract(grey(rainy), grey(background))
    one, other = (to_8_bit(np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA))) for layer in layers)
    return one, other


def look_of(background: Small, taken: Small, rain: Small) -> Look:
    rainy = np.asarray(cv2.add(background, taken), np.uint8)
    smooth, smooth_rainy = (cv2.GaussianBlur(each, (0, 0), 1.0) for each in (background, rainy))
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (STREAK_WIDTH, STREAK_WIDTH))
    plain = np.asarray(cv2.morphologyEx(smooth, cv2.MORPH_OPEN, thin), np.uint8)
    even = np.asarray(cv2.morphologyEx(smooth_rainy, cv2.MORPH_CLOSE, thin), np.uint8)
    return Look(np.asarray(smooth, np.uint8), plain, rain, rainy, taken, even, may_show(rainy))


def placed_with(look: Look, frame: Placed | None) -> PlacedShot | None:
    if frame is None or min(look.smooth.shape) < MINIMUM_SIDE:
        return None
    return unless_full(lambda: place_shot(frame, look))


def unless_full(work: Callable[[], Value]) -> Value | None:
    """What the work gives, or ``None`` if the device's memory is full."""
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def flow_size(picture: Pixels) -> tuple[int, int]:
    """Width and height at which a picture's motion is estimated."""
    height, width = picture.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    return max(round(width * scale), 1), max(round(height * scale), 1)


def fuse(window: Window) -> Pixels:
    """The background of a frame."""
    index, shot = window.index, window.shot(window.index)
    near = range(max(index - REACH, window.first), min(index + REACH, window.last) + 1)
    if not any(window.shot(other).rain.any() for other in near):
        return shot.background  # noise and what moves are no rain, whatever the neighbours show
    others = [other for other in near if other != index]
    if all(window.shot(other).placed() for other in near):
        found = unless_full(lambda: fused_there(window, others))
        if found is not None:
            return found
    motions, look = window.motions(near), shot.look()
    shots, fields = [], []
    for other in others:
        there, back = composed_motion(motions, index, other), composed_motion(motions, other, index)
        if there and back:
            shots.append(window.shot(other))
            fields.append(choose_flow(look, shots[-1].look(), there, back))
    if not shots:
        return shot.background
    looks = [each.look() for each in shots]
    seen = np.ones((len(shots), *look.smooth.shape), bool)
    if any(field.any() for field in fields):
        alike = [as_here(look, each) for each in looks]
        still = stays(look, looks, fields, alike)
        fields = [np.where(still[..., None], np.float32(0), field) for field in fields]
        seen = ~still | alike
    views = [
        View(other, field, same_things(look, other.look(), field) & part)
        for other, field, part in zip(shots, fields, seen)
    ]
    return agreed(shot, *seen_through(look, views))


def seen_through(look: Look, views: list[View]) -> tuple[Grey | None, list[View]]:
    """How surely each pixel of a frame, at the size of the flow, is of a sky behind dark rain, ``None`` if none is; and
    the views with what of that sky they show, too.
    """
    if not look.may_show_dark_rain:
        return None, views
    neighbours = np.stack([warped(view.other.look().rainy, view.field) for view in views])
    with torch.inference_mode():
        found = shares_of_dark_rain(
            *(torch.from_numpy(each).float() for each in (look.rainy, look.taken, neighbours))
        ).numpy()
    if not found.any():
        return None, views
    dark = np.asarray(cv2.resize(found, look.rainy.shape[::-1]), np.float32)
    skies = [(dark > 0.5) & same_sky(look, view.other.look(), view.field) for view in views]
    return dark, [replace(view, valid=view.valid | sky) for view, sky in zip(views, skies)]


def fused_there(window: Window, others: list[int]) -> Pixels:
    """The background of a frame that is on a device, as are its neighbours."""
    index, shot = window.index, window.shot(window.index)
    ways = [(other, window.placed_way(index, other), window.placed_way(other, index)) for other in others]
    views = [
        PlacedView(placed, there, back)
        for other, there, back in ways
        if there and back and (placed := window.shot(other).placed())
    ]
    own = shot.placed()
    return fused_on_device(own, views, int(np.iinfo(shot.rainy.dtype).max)) if own and views else shot.background


def agreed(shot: Shot, dark: Grey | None, views: list[View]) -> Pixels:
    """The background that a frame and its neighbours agree on."""
    size = shot.background.shape[1::-1]
    rain = np.asarray(cv2.resize(shot.rain, size), np.uint8)
    dark = None if dark is None else np.asarray(cv2.resize(dark, size), np.float32)
    neighbours = [align_neighbour(view, size) for view in views]
    result = np.empty_like(shot.background)
    for rows in rows_in_cache(result):
        result[rows] = consensus(
            shot.rainy[rows],
            shot.background[rows],
            rain[rows],
            [n.rows(rows) for n in neighbours],
            None if dark is None else dark[rows],
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
    rainy, background = (
        warped_where_it_moves(each, field, cv2.INTER_CUBIC) for each in (other.rainy, grey(other.background))
    )
    return Aligned(rainy, background, seen)
