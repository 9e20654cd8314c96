"""Many photos in one go: where each result goes, and doing them one by one without one failure stopping the rest."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from derain.errors import PhotoError, UsageError
from derain.models.contract import Derainer
from derain.photos import SUFFIXES, Photo, encode, find_photos, read_original, to_8_bit, write_bytes, write_photo
from derain.photos.files import FORMATS
from derain.tiling import TILE, restore

MARKS = (".derained", ".rain", ".compare")


@dataclass(frozen=True)
class Job:
    """One photo and where its results go; ``rain`` and ``compare`` are ``None`` if not asked for."""

    source: Path
    background: Path
    rain: Path | None = None
    compare: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.background, self.rain, self.compare) if path]


def plan(inputs: Iterable[Path], output: Path | None = None, rain: bool = False, compare: bool = False) -> list[Job]:
    """One job for each photo named, or found directly in a folder named; results of earlier runs are left out.

    Args:
        output: a file (its suffix is a photo's) or a folder; without it results stand beside their photo.

    Raises:
        UsageError: nothing to do, a file as output of several photos, or two results in one place.
    """
    photos = [photo for path in inputs for photo in _photos(path)]
    if not photos:
        raise UsageError("no photos found; name photos or folders that hold some")
    as_file = output is not None and output.suffix.lower() in SUFFIXES and not output.is_dir()
    if as_file and len(photos) > 1:
        raise UsageError(f"{output}: is one file for {len(photos)} photos; give a folder instead")
    jobs = [_job(photo, output, as_file, rain, compare) for photo in photos]
    _refuse_collisions(jobs)
    return jobs


def _photos(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [photo for photo in find_photos(path) if not photo.stem.endswith(MARKS)]


def _job(photo: Path, output: Path | None, as_file: bool, rain: bool, compare: bool) -> Job:
    if as_file:
        assert output is not None
        background = output
    elif output is not None:
        background = output / photo.name
    else:
        background = photo.with_name(f"{photo.stem}.derained{photo.suffix}")
    stem = background.stem.removesuffix(".derained")
    return Job(
        photo,
        background,
        background.with_name(f"{stem}.rain.png") if rain else None,
        background.with_name(f"{stem}.compare.png") if compare else None,
    )


def _refuse_collisions(jobs: list[Job]) -> None:
    taken = {job.source.resolve(): job.source for job in jobs}
    for job in jobs:
        for path in job.outputs:
            if path.resolve() in taken:
                raise UsageError(f"{path}: would be written for {job.source}, but is also {taken[path.resolve()]}'s")
            taken[path.resolve()] = job.source


def pending(jobs: list[Job]) -> list[Job]:
    """Jobs of which some output is missing."""
    return [job for job in jobs if not all(path.exists() for path in job.outputs)]


def run(jobs: Iterable[Job], model: Derainer, tile: int | None = TILE) -> Iterator[tuple[Job, PhotoError | None]]:
    """Do the jobs in order; yields each with the error that it ended in, or ``None``."""
    for job in jobs:
        try:
            do(job, model, tile)
            yield job, None
        except PhotoError as error:
            yield job, error


def do(job: Job, model: Derainer, tile: int | None = TILE) -> None:
    """Remove the rain from one photo and write what was asked for.

    Raises:
        PhotoError: the photo cannot be read, or a result not written.
    """
    original = read_original(job.source)
    background, rain = restore(model, original.pixels, tile)
    try:
        job.background.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{job.background.parent}: cannot be made ({error.strerror})") from None
    if job.rain:
        write_photo(job.rain, to_8_bit(rain))
    if job.compare:
        write_photo(job.compare, comparison(to_8_bit(original.pixels), to_8_bit(background)))
    if job.background.suffix.lower() not in FORMATS:
        raise PhotoError(f"{job.background}: give the output one of the suffixes {' '.join(sorted(SUFFIXES))}")
    write_bytes(job.background, encode(original, background, FORMATS[job.background.suffix.lower()]))


def comparison(photo: Photo, background: Photo) -> Photo:
    """Before and after side by side, labelled, with a thin gap between."""
    height = photo.shape[0]
    gap = np.full((height, 4, 3), 255, np.uint8)
    return np.hstack([_labelled(photo, "before"), gap, _labelled(background, "after")])


def _labelled(photo: Photo, text: str) -> Photo:
    scale = max(photo.shape[0] / 600, 0.4)
    place = (int(12 * scale), int(28 * scale))
    picture = photo.copy()
    for colour, thickness in ((0, 4), (255, 1.5)):
        weight = max(round(thickness * scale), 1)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (colour,) * 3, weight, cv2.LINE_AA)
    return picture
