"""What is scored: pictures that belong together, read one by one from folders, single photos or clips."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from derain.batch.listing import is_own_clip
from derain.errors import PhotoError, UsageError
from derain.evaluation.matching import Entry, match
from derain.evaluation.metrics import Picture
from derain.evaluation.pictures import read_picture
from derain.photos import find_photos
from derain.photos.names import left_out, results_among
from derain.photos.unread import unread_left_out
from derain.text import counted
from derain.video.naming import is_clip

INPUT = "input"


@dataclass(frozen=True)
class Sample:
    """Pictures that belong together; without ``clean`` they are judged without truth."""

    name: str
    rainy: Picture
    clean: Picture | None = None
    restored: dict[str, Picture] = field(default_factory=dict)


@dataclass
class Samples:
    """The samples of a set, read one by one, and what could not be read or matched so far."""

    samples: Iterator[Sample]
    problems: list[str]
    tools: list[str] = field(default_factory=list)
    total: int | None = None  # unknown for clips
    in_sequence: bool = False  # the frames of a clip
    left_out: list[str] = field(default_factory=list)  # sentences about what lies among the photos


def open_samples(
    rainy: Path, clean: Path | None = None, restored: dict[str, Path] | None = None, frames: int | None = None
) -> Samples:
    """The samples of folders, of single photos or of clips, all of one kind.

    Args:
        rainy: rainy folder, photo or clip.
        clean: its truth; without it the scores are those that need none.
        restored: results of other tools by the tool's name.
        frames: how many frames of a clip to take; default: all.

    Raises:
        UsageError: paths that are missing, empty, or not of one kind.
    """
    restored = restored or {}
    paths = [rainy, *([clean] if clean else []), *restored.values()]
    for path in paths:
        if not os.path.exists(path):
            raise UsageError(f"{path}: no such file or folder")
    if frames and not is_clip(rainy):
        raise UsageError(f"{rainy}: is no clip; leave out `frames`")
    problems: list[str] = []
    if all(path.is_dir() for path in paths):
        entries, problems = match(rainy, clean, restored)
        left = left_out(results_among(find_photos(rainy))) + unread_left_out(sorted(rainy.iterdir()))
        if clips := sorted(path for path in rainy.iterdir() if is_own_clip(path.name)):
            left.append(f"{counted(len(clips), 'clip')} left out, such as {clips[0]}: give each clip by itself")
        return Samples(folder_samples(entries, problems), problems, list(restored), len(entries), left_out=left)
    if all(map(is_clip, paths)):
        return Samples(clip_samples(rainy, clean, restored, problems, frames), problems, list(restored), frames, True)
    for path in paths:
        if (kind := _kind(path)) != _kind(rainy):
            raise UsageError(
                f"{path}: is {kind}, but {rainy} is {_kind(rainy)}; "
                "compare folders with folders, photos with photos and clips with clips"
            )
    entry = Entry(rainy.name, rainy, clean, restored)
    return Samples(folder_samples([entry], problems), problems, list(restored), 1)


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a clip" if is_clip(path) else "a photo"


def folder_samples(entries: Iterable[Entry], problems: list[str]) -> Iterator[Sample]:
    """Read matched entries one by one; what cannot be read is added to ``problems``."""
    for entry in entries:
        try:
            rainy = read_picture(entry.rainy)
            clean = read_picture(entry.clean) if entry.clean else None
        except PhotoError as error:
            problems.append(str(error))
            continue
        restored = {}
        for tool, path in entry.restored.items():
            try:
                restored[tool] = read_picture(path)
            except PhotoError as error:
                problems.append(str(error))
        yield Sample(entry.name, rainy, clean, restored)


def clip_samples(
    rainy: Path, clean: Path | None, restored: dict[str, Path], problems: list[str], limit: int | None = None
) -> Iterator[Sample]:
    """The frames of clips that run side by side; a clip that ends early is added to ``problems``.

    Raises:
        PhotoError: a file is no clip that can be read.
    """
    from derain.video.reading import read_frames  # which brings torch

    clips = {INPUT: rainy, **({"clean": clean} if clean else {}), **restored}
    for index, frames in enumerate(zip_longest(*(read_frames(path) for path in clips.values()))):
        if index == limit:
            return
        ended = [path for path, frame in zip(clips.values(), frames) if frame is None]
        if ended:
            problems += [f"{path}: ends after {counted(index, 'frame')}, before the others" for path in ended]
            return
        found = dict(zip(clips, frames))
        truth = found.pop("clean") if clean else None
        yield Sample(f"frame {index + 1:05d}", found.pop(INPUT), truth, found)


def as_far_as_whole(given: Samples) -> Iterator[Sample]:
    """The samples up to where a clip is damaged, which is added to the problems."""
    try:
        yield from given.samples
    except PhotoError as error:
        given.problems.append(str(error))
