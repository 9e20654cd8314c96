"""Clips of a fixed camera as material: crops whose rain time finds, with the truth behind it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from pathlib import Path

import cv2
import numpy as np

from derain.arrays import Heights, Rgb8, UnitRgb, in_unit
from derain.errors import PhotoError
from derain.photos import to_8_bit
from derain.rain.by_time import WINDOW, Moment, moment
from derain.rain.compose import fading_by_colour, measured_fading
from derain.training.clock import Clock
from derain.video.reading import Clip, sample_frames

MOMENTS = 30  # of a clip that are looked at, at the most
TRIED = 3  # crops that are cut for each that is kept
TRUSTED = 0.6  # mean trust of a crop, at the least
VISIBLE = 0.0004  # mean rain of a crop in which there is any
LOOK_SIDE = 128  # px, of crops that tell whether it rains at all
LONGEST_SIDE = 1600  # px, of frames; larger ones are reduced
TELLING = 0.9  # trust from which a pixel tells how the rain fades
SEEN = 0.02  # height of rain whose colour tells
LEAST_PIXELS = 500  # of them
IN_FOCUS = 7  # px, width of a streak from which it is out of focus
UNKNOWN_LENGTH = 100  # frames of a clip that does not tell its length


@dataclass(frozen=True)
class Footage:
    """A clip, or its beginning, and by how much its frames are to be reduced."""

    path: Path
    since: float = 0.0  # share of the clip
    until: float = 1.0
    factor: float = 1.0


@dataclass(frozen=True)
class TimedCrop:
    """A square crop of a frame, and what time tells of it; see :class:`derain.rain.by_time.Moment`."""

    rainy: UnitRgb
    rain: UnitRgb
    trust: Heights

    @property
    def visible(self) -> float:
        """How much of it is rain whose truth is known."""
        return float(self.rain.mean()) * float(self.trust.mean()) ** 2


@dataclass(frozen=True)
class TimedRain:
    """What time found in a clip."""

    name: str
    looked: int  # moments that were looked at
    still: int  # of them, in which the camera stood still
    crops: list[TimedCrop]
    fading: float  # derain.rain.compose.fade
    defocus: float  # share of the rain's light that is out of focus

    def __str__(self) -> str:
        if not self.still:
            return f"{self.name} (its camera never stands still)"
        if not self.crops:
            return f"{self.name} (no rain where nothing else moves)"
        return (
            f"{self.name} (still in {self.still} of {self.looked} moments, fading {self.fading:.1f}, "
            f"{self.defocus:.0%} out of focus)"
        )


def found_by_time(
    footage: Footage,
    rng: np.random.Generator,
    size: int,
    count: int,
    clock: Clock,
    until: float,
    moments: int = MOMENTS,
) -> TimedRain:
    """At most ``count`` crops of ``size`` px with the most rain; fewer if the second ``until`` of the run is over.

    Raises:
        PhotoError: the clip cannot be read.
    """
    looked, crops, parts, defocus = 0, [], [], []
    still = 0
    for frames in windows(footage, moments):
        looked += 1
        if (found := moment(frames)) is not None:
            still += 1
            crops += best_crops(found, rng, size, -(-2 * count // moments))
            parts.append(rain_and_background(found))
            defocus.append(out_of_focus(found.rain))
        if clock.spent >= until:
            break
    crops = sorted(crops, key=lambda crop: -crop.visible)[:count]
    fading = faded(*np.concatenate(parts, axis=1)) if parts else 0.0
    return TimedRain(footage.path.name, looked, still, crops, fading, float(np.mean(defocus)) if defocus else 0.0)


def found_in_clips(
    clips: list[Footage], rng: np.random.Generator, size: int, count: int, clock: Clock, until: float, threads: int
) -> list[TimedRain]:
    """What time finds in each of the clips that can be read, with at most ``count`` crops in all, shared out fairly."""
    generators, rounds, began = rng.spawn(len(clips)), -(-len(clips) // threads), clock.spent

    def look(number: int) -> TimedRain | None:
        ends = began + (until - began) * (number // threads + 1) / rounds
        try:
            return found_by_time(clips[number], generators[number], size, -(-2 * count // len(clips)), clock, ends)
        except PhotoError:  # which was said when its frames were looked at
            return None

    found: list[TimedRain] = []
    with ThreadPoolExecutor(threads) as pool:
        for number, rain in enumerate(pool.map(look, range(len(clips)))):
            clock.show("finding rain by time", number / len(clips))
            found += [rain] if rain else []
    while sum(len(rain.crops) for rain in found) > count:
        most = max(range(len(found)), key=lambda n: len(found[n].crops))
        found[most] = replace(found[most], crops=found[most].crops[:-1])
    return found


def told(found: list[TimedRain], clips: int) -> str:
    """A sentence on what time found in so many clips."""
    useful = sum(bool(rain.crops) for rain in found)
    return f"rain found by time in {useful} of {clips} clips: {', '.join(map(str, found))}"


def rains(clip: Path) -> bool:
    """Whether time finds rain in some moments of a clip.

    Raises:
        PhotoError: it cannot be read.
    """
    rng = np.random.default_rng(0)
    return bool(found_by_time(Footage(clip), rng, LOOK_SIDE, 1, Clock(), inf, moments=3).crops)


def windows(footage: Footage, count: int = MOMENTS) -> Iterator[list[Rgb8]]:
    """So many stretches of consecutive frames, spread over the footage, or as many as a short one has.

    A frame that only repeats the one before is none.

    Raises:
        PhotoError: the clip cannot be read.
    """
    with Clip(footage.path) as clip:
        begin, end = (part * clip.seconds for part in (footage.since, footage.until))
        frames = (end - begin) * float(clip.rate)
        if frames <= 2 * count * WINDOW:
            length = frames or UNKNOWN_LENGTH * (footage.until - footage.since)
            some = islice(distinct(clip, footage.factor, clip.begins + begin if footage.since else None), int(length))
            while len(window := list(islice(some, WINDOW))) == WINDOW:
                yield window
            return
        places = begin + (np.arange(count) + 0.5) / count * (end - begin - WINDOW / float(clip.rate))
        for second in (*places[::3], *places[1::3], *places[2::3]):  # as who ends early has seen all of it
            window = list(islice(distinct(clip, footage.factor, clip.begins + float(second)), WINDOW))
            if len(window) == WINDOW:
                yield window


def shortest_side(footage: Footage) -> int:
    """Of its frames in px, as they are looked at; 0 of a clip that cannot be read."""
    try:
        frame = next(sample_frames(footage.path, 1), None)
    except PhotoError:
        frame = None
    return 0 if frame is None else int(min(frame.shape[:2]) / max(footage.factor, max(frame.shape[:2]) / LONGEST_SIDE))


def distinct(clip: Clip, factor: float, since: float | None) -> Iterator[Rgb8]:
    """The frames reduced, without those that repeat the one before."""
    last: Rgb8 | None = None
    for frame in clip.frames(since):
        pixels = to_8_bit(frame.pixels)
        if last is None or not np.array_equal(pixels, last):
            yield smaller(pixels, max(factor, max(pixels.shape[:2]) / LONGEST_SIDE))
        last = pixels


def smaller(picture: Rgb8, factor: float) -> Rgb8:
    if factor <= 1:
        return np.ascontiguousarray(picture)
    size = round(picture.shape[1] / factor), round(picture.shape[0] / factor)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def best_crops(found: Moment, rng: np.random.Generator, size: int, count: int) -> list[TimedCrop]:
    """The crops of ``size`` px with the most rain among some, half of them cut up to twice as large and reduced."""
    height, width = found.trust.shape
    if min(height, width) < size:
        return []
    crops = []
    for _ in range(TRIED * count):
        side = min(int(size * rng.uniform(1, 2)) if rng.random() < 0.5 else size, height, width)
        crop = cropped(found, rng.integers(0, height - side + 1), rng.integers(0, width - side + 1), side, size)
        if crop.trust.mean() >= TRUSTED and crop.visible >= VISIBLE:
            crops.append(crop)
    return sorted(crops, key=lambda crop: -crop.visible)[:count]


def cropped(found: Moment, top: int, left: int, side: int, size: int) -> TimedCrop:
    where = (slice(top, top + side), slice(left, left + side))
    rainy = in_unit(found.rainy[where])
    parts = [
        cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA)
        for p in (rainy, found.rain[where], found.trust[where])
    ]
    return TimedCrop(*(np.asarray(part, np.float32) for part in parts))


def rain_and_background(found: Moment) -> UnitRgb:
    """``(2, N, 3)``: the rain and what is behind it in some pixels where that is known."""
    some = (slice(None, None, 4), slice(None, None, 4))
    known = found.trust[some] > TELLING
    rain = found.rain[some][known]
    return np.stack([rain, in_unit(found.rainy[some][known]) - rain])


def faded(rain: UnitRgb, background: UnitRgb) -> float:
    """The fading of the rain, by its colours if they tell, else by its heights; see :mod:`derain.rain.compose`."""
    seen = rain.mean(axis=1) > SEEN
    by_colour = fading_by_colour(rain[seen], background[seen]) if seen.sum() > LEAST_PIXELS else None
    return measured_fading(rain.mean(axis=1), background.mean(axis=1)) if by_colour is None else by_colour


def out_of_focus(rain: UnitRgb) -> float:
    """Share of the rain's light in streaks too wide to be in focus."""
    height = rain.mean(axis=2)
    wide = cv2.morphologyEx(height, cv2.MORPH_OPEN, np.ones((1, IN_FOCUS), np.uint8))
    return float(wide.sum() / max(height.sum(), 1e-6))
