"""Judgement without truth: is a network better on this camera than the one it started from?

Each measure can be fooled alone, so five of them are read together, on photos that training never sees; a sixth, the
critic's, is only told.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from derain.arrays import Mask, UnitRgb, in_unit, to_bytes
from derain.errors import PhotoError, TrainingError
from derain.evaluation.scores import unpaired_scores
from derain.finetuning.guide import Guide
from derain.finetuning.material import LOOK_WINDOW, MOSTLY_JPEG, Material, centre, digest_of_pixels
from derain.models.contract import Derainer, device_of
from derain.photos import read_photo
from derain.rain.amount import VISIBLE_HEIGHT
from derain.rain.by_time import Moment, moment
from derain.rain.compose import add, jpeg
from derain.rain.likeness import likeness, more_like
from derain.rain.render import ANY_RAIN, FINE_RAIN, Kind, render
from derain.restoring.restorer import Restorer
from derain.training.clips import TRUSTED, VISIBLE, Footage, TimedCrop, cropped, shortest_side, windows
from derain.training.clock import Clock
from derain.training.discovery import Found, find_rain, repeatable

MOST_PHOTOS = 12  # held-out photos that judge, at the most
MOST_PICTURES = 8  # of the clean bank
WEIGHTS = {  # what a dB of each score, or all of the streaks left, is worth in dB
    "repasted": 0.5,
    "matched": 1.0,
    "timed": 1.5,  # where the truth is known
    "streaks_left": -10.0,
    "unchanged": 0.25,
    "rendered": 0.25,
}
UNCHANGED_ENOUGH = 45.0  # dB, above which it matters little how unchanged the rest is
TOLERATED_LOSS = 0.2  # dB on rendered rain that may be lost
MOMENTS_JUDGING = 12  # of a clip, of the part that is held out; they have no frame in common
MOST_MOMENTS = 24
LEAST_MOMENTS = 6  # however slow the machine: fewer can hardly tell
CROPS_A_MOMENT = 2  # from anywhere in the frame, for what is changed elsewhere than in the rain counts as well
TRIED_CROPS = 8  # that are cut for them
MOMENTS_TIME_SHARE = 0.02  # share of a run's time that judging one network by them may take
TIMED_TIME_SHARE = 0.04  # of a run, that finding them may take
EACH = ("repasted", "matched", "streaks_left", "cleanness", "photos", "pictures", "rendered", "timed")
SURE = 0.5  # trust from which a pixel counts
LOSSLESS = (0.0, (100, 100))  # share and quality of JPEG, see Material.jpeg
JUDGING_TIME_SHARE = 0.05  # share of a run's time that judging one network may take
PICTURE_COST = 1.5  # a picture of the bank is restored three times, a photo twice
FREE_DISTANCE = 15  # px from any rain found, where a photo counts as free of it


@dataclass(frozen=True)
class Scores:
    """What a network does to the held-out photos; means over them."""

    repasted: float  # PSNR in dB under rain that was found in one photo and pasted on the derained version of another
    matched: float  # PSNR in dB of the clean bank under rain like that of the photos
    # height of the streaks along their main direction, relative to the photo's; of photos alone, and of clips in which
    # time tells nothing: elsewhere the truth is known, and bright shapes are no streaks
    streaks_left: float
    cleanness: float  # the critic's, about 1 for clean pictures
    unchanged: float  # PSNR in dB of the regions without rain, and of the clean bank, to themselves
    rendered: float  # PSNR in dB of the clean bank under rendered rain: what the network could do before
    timed: float = math.nan  # PSNR in dB of moments of clips whose truth time tells
    each: dict[str, list[float]] = field(default_factory=dict, compare=False, repr=False)  # of each picture

    @classmethod
    def unknown(cls) -> "Scores":
        """Of a run that had no time to judge."""
        return cls(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)

    @classmethod
    def noted(cls, state: dict[str, Any]) -> "Scores":
        """Of the fields that a checkpoint holds; older ones call one of them otherwise."""
        new = {"rain_left": "streaks_left"}
        each = {new.get(name, name): values for name, values in state.get("each", {}).items()}
        return cls(**{new.get(name, name): value for name, value in state.items()} | {"each": each})

    def as_dict(self) -> dict[str, float | None]:
        """As JSON has it, where what could not be measured is null; without clips there is no ``timed``."""
        means = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "each"}
        known = {name: None if np.isnan(value) else value for name, value in means.items()}
        return {name: value for name, value in known.items() if name != "timed" or value is not None}


@dataclass(frozen=True)
class Trial:
    """A held-out photo ``(H, W, 3)`` in [0, 1], and the same derained and under another's rain."""

    photo: UnitRgb
    free: Mask  # where no rain was found
    derained: UnitRgb
    rainy: UnitRgb  # derained, with rain pasted on it
    pasted: Mask  # where


@dataclass(frozen=True)
class JudgingMoment:
    """A moment of a clip in which time tells the truth, and some large crops of it."""

    clip: str  # its name
    crops: list[TimedCrop]

    def psnr(self, restored: Callable[[UnitRgb], UnitRgb]) -> float:
        """In dB, of all crops together, where their truth is known."""
        errors = [(restored(crop.rainy) - (crop.rainy - crop.rain))[crop.trust > SURE] for crop in self.crops]
        return decibel(np.concatenate(errors))


@dataclass(frozen=True)
class Extent:
    """How much is judged."""

    photos: int  # held out
    pictures: int  # of the clean bank
    moments: int = MOST_MOMENTS  # of clips


@dataclass(frozen=True)
class Earlier:
    """What a run that was interrupted judged, and how."""

    extent: Extent
    start: Scores  # of the network at the start


class Judge:
    """Scores networks on the held-out photos of ``material``; the trials are made once, by the network at the start.

    Args:
        clock: of the run: one picture is judged and timed, then as many are as there is time for.
        earlier: of an interrupted run, whose judgements this one's are compared with.
        footage: clips of which moments judge, whose truth time tells.

    Raises:
        OutOfTime: there is no time to judge anything.
        TrainingError: none of the pictures of the bank can be read.
    """

    def __init__(  # who is judged, by which pictures, and in what time
        self,
        start: Derainer,
        material: Material,
        bank: list[Path],
        guide: Guide,
        scales: int,
        clock: Clock | None = None,
        earlier: Earlier | None = None,
        footage: list[Footage] | None = None,
    ) -> None:
        self.network, self.guide, self.clock = start, guide, clock or Clock()
        restorer = repeatable(start)
        self.pace = 0.0  # seconds that judging a photo takes
        held_out = [source for source in material.sources if source.held_out]
        judging = sorted(held_out, key=lambda source: not source.rainy)[:MOST_PHOTOS]
        extent = earlier.extent if earlier else None
        names: list[str] = []
        crops: list[UnitRgb] = []
        found: list[Found] = []
        for source in judging:
            if len(found) >= (extent.photos if extent else MOST_PHOTOS):
                break
            self.clock.check(self.clock.seconds)
            self.clock.show("scoring the held-out photos", len(found) / len(judging))
            names.append(source.name)
            photo = centre(read_photo(material.folder / source.file), LOOK_WINDOW)
            crops.append(in_unit(photo))
            found.append(find_rain(restorer, crops[-1], scales, strict=True))
            extent = extent or self.affordable(restorer, crops[0])
        self.extent = extent or Extent(MOST_PHOTOS, MOST_PICTURES)
        self.trials = trials(crops, found, material.jpeg)
        self.dry = readable(bank, self.extent.pictures)
        rng = np.random.default_rng(0)
        likes = [likeness(rain.layer) for rain in found if rain.certain]
        self.matched = [
            under(p, more_like(rng, LOOK_WINDOW, like), material.jpeg) for p, like in zip(self.dry, cycle(likes))
        ]
        self.rendered = [under(p, render(rng, LOOK_WINDOW, _any(rng)), LOSSLESS) for p in self.dry]
        self.timed = judging_moments(footage or [], self.clock, self.extent.moments)
        self.of_timed = [name in {one.clip for one in self.timed} for name in names]  # of each trial
        self.seconds = 0.0  # that judging a network took the last time
        self.start = earlier.start if earlier else self.scores(start)

    def affordable(self, restorer: Restorer, crop: UnitRgb) -> Extent:
        """How many pictures one judgement can take, by the time that judging one of them takes."""
        if not self.clock.limited:
            return Extent(MOST_PHOTOS, MOST_PICTURES)
        began = self.clock.spent
        unpaired_scores(to_bytes(restorer.background(crop)), to_bytes(restorer.background(crop)))
        each = self.pace = max(self.clock.spent - began, 1e-6)
        units = JUDGING_TIME_SHARE * self.clock.seconds / each
        photos = int(np.clip(0.4 * units, 1, MOST_PHOTOS))
        crops = 2 * MOMENTS_TIME_SHARE * self.clock.seconds / each
        moments = int(np.clip(crops / CROPS_A_MOMENT, LEAST_MOMENTS, MOST_MOMENTS))
        return Extent(photos, int(np.clip((units - photos) / PICTURE_COST, 1, MOST_PICTURES)), moments)

    def scores(self, network: Derainer, until: float = math.inf) -> Scores:
        """Scores of a network; the same network always has the same.

        Raises:
            OutOfTime: the second ``until`` of the run is over.
        """
        began, count = self.clock.spent, len(self.trials) + len(self.dry)
        restored = repeatable(network).background
        each: dict[str, list[float]] = {name: [] for name in EACH}
        for number, (trial, of_timed) in enumerate(zip(self.trials, self.of_timed)):
            self._next(number / count, until)
            background, under_paste = restored(trial.photo), restored(trial.rainy)
            each["repasted"].append(
                decibel(under_paste - trial.derained, trial.pasted) if trial.pasted.any() else math.nan
            )
            each["streaks_left"].append(math.nan if of_timed else streaks_left(background, trial.photo))
            each["photos"].append(decibel(background - trial.photo, trial.free) if trial.free.any() else math.nan)
            device = device_of(self.guide)
            picture = torch.from_numpy(background).to(device).permute(2, 0, 1)[None]
            each["cleanness"].append(float(self.guide.cleanness(picture)))
        for number, dry in enumerate(self.dry):
            self._next((len(self.trials) + number) / count, until)
            each["pictures"].append(decibel(restored(dry) - dry))
            for name, pictures in (("matched", self.matched), ("rendered", self.rendered)):
                if number < len(pictures):
                    each[name].append(decibel(restored(pictures[number]) - dry))
        each["timed"] = [one.psnr(restored) for one in self.timed]
        self.seconds = self.clock.spent - began
        means = {name: mean(each[name]) for name in EACH if name not in ("photos", "pictures")}
        return Scores(**means, unchanged=mean(each["photos"] + each["pictures"]), each=each)

    def _next(self, done: float, until: float) -> None:
        self.clock.check(min(until, self.clock.seconds))
        self.clock.show("judging", done)

    def gain(self, scores: Scores) -> float:
        """By how much the scores are better than those of the start, in about dB."""
        return gain(self.start, scores)


def gain(start: Scores, scores: Scores) -> float:
    """By how much scores are better than those of the start, in about dB."""
    total = 0.0
    for better, weight in (
        *((getattr(scores, name) - getattr(start, name), weight) for name, weight in WEIGHTS.items()),
        (min(scores.unchanged - min(start.unchanged, UNCHANGED_ENOUGH), 0), 1.0),
        (min(scores.rendered - start.rendered + TOLERATED_LOSS, 0), 3.0),
    ):
        total += 0.0 if np.isnan(better) else weight * better
    return total


def readable(bank: list[Path], count: int) -> list[UnitRgb]:
    """The middles of so many pictures from all over the bank; what cannot be read or was there is passed over.

    Raises:
        TrainingError: none can be read.
    """
    spread = bank[:: -(-len(bank) // count)]
    found: dict[str, UnitRgb] = {}
    for path in (*spread, *(other for other in bank if other not in spread)):
        try:
            picture = centre(read_photo(path), LOOK_WINDOW)
        except PhotoError:
            continue
        found[digest_of_pixels(picture)] = in_unit(picture)
        if len(found) == len(spread):
            break
    if not found:
        raise TrainingError(f"{bank[0].parent}: holds no photo that can be read; give photos without rain")
    return list(found.values())


def trials(photos: list[UnitRgb], found: list[Found], lossy: tuple[float, tuple[int, int]]) -> list[Trial]:
    """One for each photo, given the rain found in each; it gets the rain of the photo before it, a single one its own
    mirrored.
    """
    made = []
    for index, (photo, own) in enumerate(zip(photos, found)):
        derained = np.maximum(photo - own.rain[..., None], 0)
        other = found[index - 1].layer if len(found) > 1 else own.layer[:, ::-1]
        layer = fitted(other, photo.shape[:2])
        near = cv2.dilate(own.rain, np.ones((FREE_DISTANCE, FREE_DISTANCE)))
        made.append(
            Trial(photo, near < VISIBLE_HEIGHT / 2, derained, under(derained, layer, lossy), layer > VISIBLE_HEIGHT)
        )
    return made


def judging_moments(footage: list[Footage], clock: Clock, most: int) -> list[JudgingMoment]:
    """At most so many moments of the clips of fixed cameras; the same clips always give the same."""
    until, found = clock.share(TIMED_TIME_SHARE), list[JudgingMoment]()
    of_each = min(-(-most // max(len(footage), 1)), MOMENTS_JUDGING)
    for clip in footage:
        side, rng = min(LOOK_WINDOW, shortest_side(clip) // 16 * 16), np.random.default_rng(0)
        for frames in islice(windows(clip, of_each), of_each) if side else ():
            seen = moment(frames)
            if seen is not None and seen.rain.mean() >= VISIBLE and (crops := crops_anywhere(seen, rng, side)):
                found.append(JudgingMoment(clip.path.name, crops))
            if clock.spent >= until:
                break
    return found[:most]


def crops_anywhere(seen: Moment, rng: np.random.Generator, side: int) -> list[TimedCrop]:
    """Squares of ``side`` px in which the truth is mostly known."""
    corners = (rng.integers(0, [length - side + 1 for length in seen.trust.shape]) for _ in range(TRIED_CROPS))
    crops = (cropped(seen, top, left, side, side) for top, left in corners)
    return list(islice((crop for crop in crops if crop.trust.mean() >= TRUSTED), CROPS_A_MOMENT))


def streaks_left(background: UnitRgb, photo: UnitRgb) -> float:
    return unpaired_scores(to_bytes(background), to_bytes(photo))["streaks_left"]


def _any(rng: np.random.Generator) -> Kind:
    return FINE_RAIN if rng.random() < 0.5 else ANY_RAIN


def under(picture: UnitRgb, layer: UnitRgb, lossy: tuple[float, tuple[int, int]]) -> UnitRgb:
    """The picture under rain as the camera writes it: through JPEG, if that is what most of the user's photos are."""
    rainy = add(picture, layer[: picture.shape[0], : picture.shape[1], None])
    share, quality = lossy
    return jpeg(rainy, sum(quality) // 2) if share > MOSTLY_JPEG else rainy.astype(np.float32)


def fitted(layer: UnitRgb, size: tuple[int, ...]) -> UnitRgb:
    """The layer mirrored or cut to ``size``."""
    down, right = (max(wanted - have, 0) for wanted, have in zip(size, layer.shape))
    return np.pad(layer, ((0, down), (0, right)), mode="symmetric")[: size[0], : size[1]]


def decibel(error: UnitRgb, where: Any = slice(None)) -> float:
    """PSNR of an error in [-1, 1]; no error, or one under half a grey level, counts as 54 dB."""
    return float(-10 * np.log10(max(np.square(error[where]).mean(), (0.5 / 255) ** 2)))


def mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
