"""Whether it rains in a clip, told by a few of its frames before any work."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from derain.arrays import Pixels
from derain.photos import read_original
from derain.rain.amount import coverage
from derain.restoring.restorer import Restorer
from derain.video.reading import Clip
from derain.video.sequences import list_pictures, wanted
from derain.video.settings import VideoSettings
from derain.video.treatment import Run

LOOKS = 8  # frames that are looked at, spread evenly
RAINY_LOOKS = 2  # of them, from which it rains: a quarter of the clip is worth the work
BETWEEN_FRAMES = 10  # frames from one look to the next, where nobody knows the clip's length


def count_rainy(run: Run) -> int:
    """How many of :data:`LOOKS` frames are rainy by the settings' threshold.

    Raises:
        PhotoError: a frame cannot be read.
    """
    settings = run.settings
    restorer = Restorer(run.model, settings.precision, settings.tile, settings.max_memory)
    least = settings.rainy_from or 0.0
    frames = _of_clip(run.source, settings) if run.source.is_file() else _of_pictures(run.source, settings)
    return sum(coverage(restorer.bright_layers(pixels).rain) >= least for pixels in frames)


def _of_clip(path: Path, settings: VideoSettings) -> Iterator[Pixels]:
    with Clip(path) as clip:
        since, until = settings.stretch(clip.begins)
        first, last = max(since, clip.begins), min(until, clip.begins + clip.seconds)
        if last - first < LOOKS / float(clip.rate):  # or of unknown length
            yield from (frame.pixels for frame in islice(clip.frames(since), 0, LOOKS * BETWEEN_FRAMES, BETWEEN_FRAMES))
            return
        for share in (np.arange(LOOKS) + 0.5) / LOOKS:
            if frame := next(clip.frames(float(first + share * (last - first))), None):
                yield frame.pixels


def _of_pictures(source: Path, settings: VideoSettings) -> Iterator[Pixels]:
    pictures = wanted(list_pictures(source), settings)
    for number in sorted({int((look + 0.5) / LOOKS * len(pictures)) for look in range(LOOKS)}):
        yield read_original(pictures[number]).pixels
