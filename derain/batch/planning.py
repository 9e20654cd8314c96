"""Which photos there are to do, and where each result goes."""

import codecs
import glob
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from PIL import Image

from derain.errors import PhotoError, UsageError, reason
from derain.files.writing import read_option
from derain.photos import SUFFIXES, find_photos
from derain.photos.names import FORMATS, MARKS, results_among

MOVING_SUFFIXES = {
    ".gif",
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mts",
    ".m2ts",
    ".ts",
    ".mpg",
    ".3gp",
    ".wmv",
    ".flv",
}
NAMES = {"jpg": ".jpg", "jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "avif": ".avif", "bmp": ".bmp"}
CLIP = "a clip"  # why one is left out
DERAINED_MARK = ".derained"  # end of the stem of a background, wherever it lies
Leave = Callable[[Path, str], None]


@dataclass(frozen=True)
class Target:
    """Where results go and what is written."""

    output: Path | None = None  # file or folder; default: beside the photo
    suffix: str = ".derained"  # goes before the photo's own, beside the photo
    format: str | None = None  # jpg, png, webp, tiff, avif, bmp; default: the photo's own
    in_place: bool = False  # replace the photo itself
    rain: bool = False
    compare: bool = False

    @property
    def marks(self) -> tuple[str, ...]:
        """Ends of the stems of results."""
        return (*MARKS, self.suffix) if self.suffix else MARKS


@dataclass(frozen=True)
class Job:
    """One photo and where its results go; ``rain`` and ``compare`` are ``None`` if not asked for."""

    source: Path
    background: Path
    rain: Path | None = None
    compare: Path | None = None
    below: Path | None = None  # a folder under which links are not followed to where results go

    @property
    def in_place(self) -> bool:
        return self.background == self.source

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.background, self.rain, self.compare) if path]


def plan(
    inputs: Iterable[str | Path],
    target: Target = Target(),
    recursive: bool = False,
    leave: Leave = lambda path, why: None,
) -> list[Job]:
    """One job for each photo named, matched by a pattern, or found in a folder; results of earlier runs are left out.

    A folder that cannot be read becomes a job too, and so does what is no file: each fails and says why.

    Args:
        leave: called with each file that is left out, and the reason.

    Raises:
        UsageError: nothing to do, options that contradict each other, or two results in one place.
    """
    if target.in_place and (target.output or target.format):
        raise UsageError("`in_place` goes without `output` and `format`")
    if Path(target.suffix).name != target.suffix:
        raise UsageError(f"`suffix` {target.suffix}: is part of a file's name; `output` names a folder for the results")
    ending = ending_of(target.format)
    left: list[Path] = []

    def leave_out(path: Path, why: str) -> None:
        left.append(path)
        leave(path, why)

    named = dict(pair for given in inputs for pair in _photos(given, recursive, target, leave_out))
    # the shell expands *.jpg to photos and to what an earlier run made of them
    results = results_among(list(named), target.marks)
    for path, photo in results.items():
        leave_out(path, f"a result of {photo.name}")
    found = {photo: place for photo, place in named.items() if photo not in results}
    if found and all(is_moving(photo) for photo in found):
        raise UsageError(for_video(sorted(found)))
    if not found and left and all(is_moving(path) for path in left):
        raise UsageError(f"no photos found, but clips: {for_video(left)}")
    if left and not found:
        result = next(path for path in left if not is_moving(path))
        raise UsageError(f"no photos found but results, such as {result}; name one by itself to derain it again")
    if not found:
        raise UsageError("no photos found; name photos or folders that hold some")
    as_file = target.output is not None and is_file_name(target.output, target.format)
    if as_file and len(found) > 1:
        raise UsageError(f"{target.output}: is one file for {len(found)} photos; give a folder instead")
    jobs = [_job(photo, place, target, ending or photo.suffix, as_file) for photo, place in found.items()]
    _refuse_collisions(jobs, target.in_place)
    return jobs


def is_moving(path: Path) -> bool:
    """Whether a file is by its name no photo but a clip, or a GIF."""
    return path.suffix.lower() in MOVING_SUFFIXES


def for_video(clips: list[Path]) -> str:
    """A sentence that names the command for clips."""
    first = shlex.quote(str(clips[0]))
    if len(clips) == 1:
        return f"{clips[0]}: is a clip; `derain video {first}` removes its rain"
    return f"{clips[0]} and {len(clips) - 1} more are clips; `derain video {first}` removes the rain of one"


def obstacle(job: Job) -> PhotoError | None:
    """What stands in the way of a job, as far as that can be told without opening the photo."""
    if is_moving(job.source):
        return PhotoError(for_video([job.source]))
    if not os.path.exists(job.source):
        return PhotoError(f"{job.source}: no such file{near(job.source)}")
    for path in job.outputs:
        at = next(folder for folder in (path.parent, *path.parent.parents) if os.path.lexists(folder))
        if not os.path.isdir(at):
            return PhotoError(f"{path}: cannot be written, as {at} is no folder; give another `output`")
        if not os.access(at, os.W_OK | os.X_OK):
            return PhotoError(f"{path}: cannot be written, as you may not write in {at}; give another `output`")
    return None


def near(path: Path) -> str:
    """The file beside a missing one whose name is most like its, as the end of a sentence."""
    with suppress(OSError):
        others = [name for name in os.listdir(path.parent) if len(path.stem) > 3 or Path(name).stem == path.stem]
        if found := get_close_matches(path.name, others, 1, 0.8):
            return f"; is it {path.with_name(found[0])}?"
    return ""


def ending_of(format: str | None) -> str | None:
    """The suffix of a format's name; ``None`` of none.

    Raises:
        UsageError: an unknown format.
    """
    if format and format not in NAMES:
        raise UsageError(f"`format` {format}: choose one of {', '.join(NAMES)}")
    return NAMES[format] if format else None


def is_file_name(output: Path, format: str | None) -> bool:
    """Whether results are to go into one file of this name, not into a folder.

    Raises:
        UsageError: the name is that of another format than ``format``, or of one that derain does not write.
    """
    ending = output.suffix.lower()
    if ending not in {*SUFFIXES, *Image.registered_extensions()} or os.path.isdir(output):
        return False
    if ending not in SUFFIXES:
        raise UsageError(f"{output}: derain writes {', '.join(NAMES)}; give another `output`")
    if format and FORMATS[ending] != FORMATS[NAMES[format]]:
        raise UsageError(f"{output}: is no name for `format` {format}; leave one of them out")
    return True


def _photos(given: str | Path, recursive: bool, target: Target, leave: Leave) -> Iterator[tuple[Path, Path]]:
    """Photos, each with its place below the folder or pattern that named it."""
    if given == "":
        raise UsageError("an empty name is no photo; a full stop names the folder that you are in")
    path = Path(given)
    if os.path.isdir(path):
        home = path.resolve()
        for folder in (path, *(_below(path, target.output) if recursive else [])):
            try:
                photos = find_photos(folder)
            except OSError:
                yield folder.resolve(), Path(folder.resolve().name)
                continue
            beside = results_among(photos, target.marks)
            for clip in clips_in(folder):
                leave(clip, CLIP)
            for photo in photos:
                inside = Path(os.path.realpath(photo)).is_relative_to(home)  # links do not lead out of the tree
                if inside and os.path.exists(photo) and not _is_left(photo, beside, leave):
                    yield photo, photo.relative_to(path)
    elif not os.path.exists(path) and glob.has_magic(str(given)):  # the shell did not expand it
        matched = sorted(map(Path, glob.glob(str(given), recursive=True)))
        beside = results_among([p for folder in {p.parent for p in matched} for p in _readable(folder)], target.marks)
        for clip in filter(is_moving, matched):
            leave(clip, CLIP)
        for photo in matched:
            if photo.suffix.lower() in SUFFIXES and not _is_left(photo, beside, leave):
                yield photo, Path(photo.name)
    else:
        yield path, Path(path.name)


def clips_in(folder: Path) -> list[Path]:
    """Clips directly in a folder, but for hidden ones and results, sorted by name."""
    found = sorted(p for p in folder.iterdir() if is_moving(p) and not p.name.startswith("."))
    return [path for path in found if not path.stem.endswith(DERAINED_MARK) and os.path.isfile(path)]


def _is_left(photo: Path, beside: dict[Path, Path], leave: Leave) -> bool:
    """Whether what lies in a folder is left out: a folder, the result of a photo beside it, or one by its name."""
    if os.path.isdir(photo):
        return True
    if photo in beside:
        leave(photo, f"a result of {beside[photo].name}")
    elif photo.stem.endswith(DERAINED_MARK):
        leave(photo, "a result, by its name")
    return photo in beside or photo.stem.endswith(DERAINED_MARK)


def _readable(folder: Path) -> list[Path]:
    try:
        return find_photos(folder)
    except OSError:
        return []


def _below(path: Path, output: Path | None) -> list[Path]:
    """All folders below ``path`` but the results' own; links to folders are not followed."""
    folders = [Path(at, name) for at, names, _ in os.walk(path) for name in names]
    results = output.resolve() if output else path.resolve()
    inside = path.resolve() in results.parents
    return sorted(p for p in folders if not p.is_symlink() and not (inside and p.resolve().is_relative_to(results)))


def _job(photo: Path, place: Path, target: Target, ending: str, as_file: bool) -> Job:
    if target.in_place:
        background = photo
    elif target.output is None:
        background = photo.with_name(f"{photo.stem}{target.suffix}{ending}")
    else:
        background = target.output if as_file else (target.output / place).with_suffix(ending)
    stem = background.stem.removesuffix(target.suffix)
    return Job(
        photo,
        background,
        background.with_name(f"{stem}.rain.png") if target.rain else None,
        background.with_name(f"{stem}.compare.png") if target.compare else None,
        target.output,
    )


def _refuse_collisions(jobs: list[Job], in_place: bool) -> None:
    taken = {place: job.source for job in jobs for place in (Path(os.path.realpath(job.source)), _place(job.source))}
    for job in jobs:
        for path in job.outputs:
            if in_place and path == job.background:
                continue
            if (place := _place(path)) in taken:
                raise UsageError(f"{path}: would be written for {job.source}, but is also {taken[place]}'s")
            taken[place] = job.source


def _place(path: Path) -> Path:
    """Where a file is that is written here: a link of its name is not followed."""
    return Path(os.path.realpath(path.parent), path.name)


def pending(jobs: list[Job]) -> list[Job]:
    """Jobs of which some output is missing."""
    return [job for job in jobs if not all(os.path.exists(path) for path in job.outputs)]


def read_list(path: Path) -> list[str]:
    """Paths from a text file, one a line or ended by zeros as ``find -print0`` has them; ``-`` is stdin.

    Names from stdin need not be valid UTF-8.

    Raises:
        UsageError: the file cannot be read.
    """
    if str(path) == "-" and sys.stdin is None:
        raise UsageError("-: there is no stdin to read a list from")
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else read_option(path)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # of PowerShell
            text = content.decode("utf-16")
        else:
            text = content.decode("utf-8-sig", "surrogateescape" if str(path) == "-" else "strict")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of photos ({reason(error)})") from None
    return [
        line for line in (text.split("\0") if "\0" in text else text.replace("\r\n", "\n").split("\n")) if line.strip()
    ]
