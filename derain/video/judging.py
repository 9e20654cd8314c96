"""Whether it rains in a clip, told by a few of its frames before any work."""

from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from derain.arrays import Pixels
from derain.photos import read_original
from derain.rain.amount import coverage
from derain.restoring.restorer import Restorer
from derain.video.reading import Clip, Frame
from derain.video.sequences import list_pictures, wanted
from derain.video.settings import VideoSettings
from derain.video.treatment import Run

LOOKS = 8  # frames that are looked at, spread evenly; fewer where there are not so many
MOST_READ = 8 * LOOKS  # frames from the beginning, where nobody knows the clip's length
RAINY_SHARE = 0.25  # of them, from which the clip is worth the work


class Looks(NamedTuple):
    """How many frames were looked at, and how many of those are rainy by the settings' threshold."""

    made: int
    rainy: int

    @property
    def are_dry(self) -> bool:
        return self.rainy < RAINY_SHARE * self.made


def looks_at(run: Run) -> Looks:
    """
    Raises:
        PhotoError: a frame cannot be read.
    """
    settings = run.settings
    restorer = Restorer(run.model, settings.precision, settings.tile, settings.max_memory)
    least = settings.rainy_from or 0.0
    frames = _of_clip(run.source, settings) if run.source.is_file() else _of_pictures(run.source, settings)
    found = [coverage(restorer.bright_layers(pixels).rain) >= least for pixels in frames]
    return Looks(len(found), sum(found))


def _of_clip(path: Path, settings: VideoSettings) -> Iterator[Pixels]:
    with Clip(path) as clip:
        since, until = settings.stretch(clip.begins)
        first, last = max(since, clip.begins), min(until, clip.begins + clip.seconds)
        of_one = 1 / float(clip.rate)
        if last - first > LOOKS * of_one:
            places = first + (np.arange(LOOKS) + 0.5) / LOOKS * (last - first - of_one)
            found = (next(clip.frames(float(place)), None) for place in places)
            yield from (frame.pixels for frame in found if frame and frame.time < until)
        else:
            yield from _of_few(takewhile(lambda frame: frame.time < until, clip.frames(since)))


def _of_few(frames: Iterator[Frame]) -> list[Pixels]:
    """All of them, or of more than is known beforehand some that are evenly spread."""
    some, step = list[Pixels](), 1
    for number, frame in enumerate(islice(frames, MOST_READ)):
        if number % step == 0:
            some.append(frame.pixels)
        if len(some) > LOOKS:
            some, step = some[::2], 2 * step
    return some


def _of_pictures(source: Path, settings: VideoSettings) -> Iterator[Pixels]:
    pictures = wanted(list_pictures(source), settings)
    for number in sorted({int((look + 0.5) / LOOKS * len(pictures)) for look in range(LOOKS) if pictures}):
        yield read_original(pictures[number]).pixels
