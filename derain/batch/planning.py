"""Which photos there are to do, and where each result goes."""

import glob
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path, PurePath

from PIL import Image

from derain.batch.listing import DERAINED_MARK, MOVING_SUFFIXES, Folder, folders, is_clip
from derain.errors import PhotoError, UsageError, reason
from derain.files.missing import absence, broken, is_unmatched
from derain.files.places import Existing, is_folder, is_remote, matching, place
from derain.files.writing import hindrance
from derain.photos import SUFFIXES, find_photos
from derain.photos.names import FORMATS, MARKS, results_among

NAMES = {"jpg": ".jpg", "jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "avif": ".avif", "bmp": ".bmp"}
MANY = 5000  # photos, from which on work begins before all are found
Clash = Callable[["Job", str], None]


class Kind(Enum):
    """What is left out."""

    CLIP = "a clip"
    RESULT = "a result"
    LINK = "a link"
    FOLDER = "a folder"


class Reason(str):
    """What a file is that is left out, in words, and of which kind it is."""

    kind: Kind

    def __new__(cls, kind: Kind, words: str = "") -> "Reason":
        found = super().__new__(cls, words or kind.value)
        found.kind = kind
        return found


CLIP = Reason(Kind.CLIP)
BY_NAME = Reason(Kind.RESULT, "a result, by its name")
Leave = Callable[[Path, Reason], None]


def result_of(photo: str | Path) -> Reason:
    return Reason(Kind.RESULT, f"a result of {os.path.basename(photo)}")


@dataclass(frozen=True)
class Target:
    """Where results go and what is written."""

    output: Path | None = None  # file or folder; default: beside the photo
    suffix: str = ".derained"  # goes before the photo's own, beside the photo
    format: str | None = None  # jpg, png, webp, tiff, avif, bmp; default: the photo's own
    in_place: bool = False  # replace the photo itself
    rain: bool = False
    compare: bool = False
    is_folder: bool = False  # whether `output` is a folder, be it called as a file; default: as its name says

    @property
    def as_file(self) -> bool:
        """Whether results are to go into one file, not into a folder.

        Raises:
            UsageError: as :func:`is_file_name`.
        """
        return self.output is not None and not self.is_folder and is_file_name(self.output, self.format)

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
    inputs: str | Path | Iterable[str | Path],
    target: Target = Target(),
    recursive: bool = False,
    leave: Leave = lambda path, why: None,
) -> list[Job]:
    """One job for each photo named, matched by a pattern, or found in a folder; results of earlier runs are left out.

    A folder that cannot be read becomes a job, too, and so does anything that is not a file: each fails and says why.

    Args:
        leave: called with each file that is left out, and the reason.

    Raises:
        UsageError: nothing to do, options that contradict each other, or two results in one place.
    """
    _check(target)
    left: dict[Path, Reason] = {}

    def leave_out(path: Path, why: Reason) -> None:
        left[path] = why
        leave(path, why)

    inputs = [inputs] if isinstance(inputs, (str, Path)) else inputs
    named = dict(pair for given in inputs for pair in _photos(given, recursive, target, leave_out))
    # the shell expands *.jpg to photos and to what an earlier run made of them
    results = results_among(list(named), target.marks)
    for path, photo in results.items():
        leave_out(path, result_of(photo))
    found = {photo: place for photo, place in named.items() if photo not in results}
    if found and all(is_moving(photo) and not is_unmatched(photo) for photo in found):
        raise UsageError(for_video(sorted(found)))
    if not found:
        raise UsageError(_nothing_found(left))
    as_file = target.as_file
    if as_file and len(found) > 1:
        raise UsageError(f"{target.output}: one file cannot hold {len(found)} photos; give a folder")
    ending = ending_of(target.format)
    if target.in_place and (remote := next(filter(is_remote, found), None)):
        raise UsageError(f"{remote}: `in_place` works only on local files; give an `output` instead")
    jobs = [_job(photo, place, target, ending or photo.suffix, as_file) for photo, place in found.items()]
    _refuse_collisions(jobs, target.in_place)
    return jobs


def plan_as_found(
    inputs: Sequence[str | Path],
    target: Target = Target(),
    recursive: bool = False,
    leave: Leave = lambda path, why: None,
    clash: Clash = lambda job, other: None,
) -> Iterator[Job]:
    """The jobs of :func:`plan`, as the photos are found in folders, for more of them than one waits for.

    Files that are there already must not be replaced then, as they might be photos that are found later.

    Args:
        clash: called with a job that is left out, as one of its results would be that of another photo, which it is
            called with, too.

    Raises:
        UsageError: as :func:`plan`, but of no collisions.
    """
    _check(target)
    if target.as_file:
        raise UsageError(f"{target.output}: one file cannot hold many photos; give a folder")
    ending, taken, beside = ending_of(target.format), Taken(), NamedTogether(inputs, target.marks)
    for given in inputs:
        for photo, below in _photos(given, recursive, target, leave):
            if (made_of := beside.made_of(given)) and photo.name == os.path.basename(given):
                leave(photo, result_of(made_of))
                continue
            job = _job(photo, below, target, ending or photo.suffix, False)
            if (other := taken.other(job)) is None:
                yield job
            elif other != encoded_name(str(photo)):  # the same photo is done once
                clash(job, other)


def is_long(inputs: Sequence[str | Path], target: Target, recursive: bool, overwrite: bool = False) -> bool:
    """Whether there are many photos, so that work is better begun before all are found.

    Not so if results that replace files might replace photos that are found later.
    """
    if overwrite and not _is_apart(inputs, target):
        return False
    if len(inputs) >= MANY:
        return True
    if not all(is_folder(place(given)) for given in inputs if given != ""):
        return False
    found = (pair for given in inputs for pair in _photos(given, recursive, target, lambda path, why: None))
    return len(list(islice(found, MANY))) == MANY


def _is_apart(inputs: Sequence[str | Path], target: Target) -> bool:
    """Whether no result has the place of a photo: by its name, or as all results are elsewhere."""
    if target.in_place or target.output is None:
        return target.in_place or bool(target.suffix)
    if is_remote(target.output):
        return not any(is_remote(place(given)) for given in inputs)
    output = os.path.realpath(target.output)
    for folder in {str(given) if os.path.isdir(given) else os.path.dirname(given) for given in inputs}:
        found = os.path.realpath(folder or ".")
        with suppress(ValueError):  # of another drive
            if os.path.commonpath([output, found]) in (output, found):
                return False
    return True


def _nothing_found(left: dict[Path, Reason], what: str = "photos", doing: str = "derain") -> str:
    """A sentence where all is left out that was found."""
    others = {path: why for path, why in left.items() if why.kind is not Kind.CLIP}
    if left and not others and what == "photos":
        return f"no photos found, but clips: {for_video(list(left))}"
    if result := next((path for path, why in left.items() if why.kind is Kind.RESULT), None):
        return f"found only results of earlier runs, such as {result}; name one explicitly to {doing} it again"
    if others:
        path, why = next(iter(others.items()))
        return f"no {what} found: {path} is {why}; give {what}, or folders that contain some"
    return f"no {what} found; give {what}, or folders that contain some"


def _check(target: Target) -> None:
    """
    Raises:
        UsageError: options that contradict each other.
    """
    if target.in_place and (target.output or target.format):
        raise UsageError("`in_place` cannot be combined with `output` or `format`")
    if Path(target.suffix).name != target.suffix:
        raise UsageError(f"`suffix` {target.suffix}: must be part of a file name; use `output` to name a folder")
    ending_of(target.format)


def found_to_look_at(
    inputs: Sequence[str | Path], recursive: bool = False, leave: Leave = lambda path, why: None
) -> list[list[Path]]:
    """The photos and clips that each input names, matches or has in its folders; each of them once.

    Args:
        leave: called with each file that is left out, and the reason: a result of another file, or a clip elsewhere.

    Raises:
        UsageError: there are none.
    """
    found: list[dict[Path, None]] = []
    left: dict[Path, Reason] = {}

    def leave_out(path: Path, why: Reason) -> None:
        if why.kind is Kind.CLIP and not is_remote(path):
            found[-1][path] = None
            return
        left[path] = why
        leave(path, why)

    for given in inputs:
        found.append({})
        for picture, _ in _photos(given, recursive, Target(), leave_out):
            found[-1][picture] = None
    results = results_among([path for paths in found for path in paths if not is_moving(path)])
    for path, photo in results.items():
        leave_out(path, result_of(photo))
    seen = set(results)
    for paths in found:
        again = seen & paths.keys()
        seen |= paths.keys()
        for path in again:
            del paths[path]
    if not seen - results.keys():
        raise UsageError(_nothing_found(left, "photos or clips", "score"))
    return [list(paths) for paths in found]


class NamedTogether:
    """Files that are named, among them results of others, as where a shell expands ``*.jpg``."""

    def __init__(self, inputs: Sequence[str | Path], marks: tuple[str, ...]) -> None:
        self._inputs, self._marks = inputs, marks

    def made_of(self, given: str | Path) -> str | None:
        """The photo, named as well, that one is a result of by its name; ``None`` if of none."""
        if not any(mark in str(given) for mark in self._marks):
            return None
        stem = os.path.splitext(given)[0]
        bases = [stem.removesuffix(mark) for mark in self._marks if stem.endswith(mark)]
        return next((base + end for base in bases for end in self._endings if base + end in self._names), None)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(map(str, self._inputs))

    @cached_property
    def _endings(self) -> list[str]:
        return sorted({os.path.splitext(given)[1] for given in self._inputs})


class Taken:
    """Where results go, in a temporary database, as there may be a million of them."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")  # a file that vanishes
        self._rows.execute("CREATE TABLE taken (place TEXT PRIMARY KEY, source TEXT) WITHOUT ROWID")
        self._real_folder = lru_cache(maxsize=64)(os.path.realpath)

    def other(self, job: Job) -> str | None:
        """The photo that has one of a job's places, none of which it takes then; else ``None``."""
        photo = encoded_name(str(job.source))
        places = [self._real(job.source), *job.outputs[1:]] if job.in_place else job.outputs
        rows = [(encoded_name(str(path)), photo) for path in places]
        if len(rows) == 1:
            if self._rows.execute("INSERT OR IGNORE INTO taken VALUES (?, ?)", rows[0]).rowcount:
                return None
        elif not any(self._source(place) for place, _ in rows):
            self._rows.executemany("INSERT INTO taken VALUES (?, ?)", rows)
            return None
        return next(source for place, _ in rows if (source := self._source(place)))

    def _real(self, photo: Path) -> str:
        """Where a photo is that is to be replaced: two names may lead to it."""
        folder, name = os.path.split(photo)
        return os.path.realpath(photo) if os.path.islink(photo) else os.path.join(self._real_folder(folder), name)

    def _source(self, place: str) -> str | None:
        row = self._rows.execute("SELECT source FROM taken WHERE place = ?", (place,)).fetchone()
        return row and row[0]


def encoded_name(name: str) -> str:
    """A name whose bytes that are no UTF-8 stand as ``\\udc80``, for a database that takes none."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_moving(path: Path) -> bool:
    """Whether a file is by its name no photo but a clip, or a GIF."""
    return path.suffix.lower() in MOVING_SUFFIXES


def for_video(clips: list[Path]) -> str:
    """A sentence that names the command for clips."""
    first = shlex.quote(str(clips[0]))
    if len(clips) == 1:
        return f"{clips[0]}: is a clip; `derain video {first}` removes its rain"
    return f"{clips[0]} and {len(clips) - 1} more are clips; `derain video` removes their rain"


def obstacle(job: Job) -> PhotoError | None:
    """Why a job cannot be done, as far as that can be known without opening the photo."""
    try:
        if not is_remote(job.source):
            os.stat(job.source)
    except FileNotFoundError:
        return PhotoError(f"{job.source}: {absence(job.source)}")
    except OSError as error:
        return PhotoError(f"{job.source}: cannot be read ({reason(error)})")
    if is_moving(job.source):
        return PhotoError(for_video([job.source]))
    advice = (
        "leave out `in_place` and write elsewhere with `output`" if job.in_place else "write elsewhere with `output`"
    )
    hindrances = (hindrance(path, advice) for path in job.outputs if not is_remote(path))
    return next(filter(None, hindrances), None)


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
    if ending not in {*SUFFIXES, *Image.registered_extensions()} or is_folder(output):
        return False
    if ending not in SUFFIXES:
        raise UsageError(f"{output}: derain writes {', '.join(NAMES)}; give another `output`")
    if format and FORMATS[ending] != FORMATS[NAMES[format]]:
        raise UsageError(f"{output}: does not match `format` {format}; leave one of them out")
    return True


def _photos(given: str | Path, recursive: bool, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    """Photos, each with its place below the folder or pattern that named it; a pattern itself that matches none."""
    if given == "":
        raise UsageError("a name is empty; use . for the current folder")
    path = place(given)
    if is_folder(path) and not (is_remote(path) and glob.has_magic(path.name)):
        yield from _photos_in(path, recursive, target, leave)
    elif (is_remote(path) or not os.path.exists(path)) and glob.has_magic(str(given)):  # the shell did not expand it
        yield from _matched(path, str(given), target, leave)
    else:
        yield path, PurePath(path.name)


def _photos_in(path: Path, recursive: bool, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    """Photos of a folder that is named; it is left out itself if there is nothing in it."""
    is_empty, has_folders = True, False

    def leave_out(inner: Path, why: Reason) -> None:
        nonlocal is_empty
        is_empty = False
        leave(inner, why)

    for folder in folders(path, recursive, _results_below(path, target.output)):
        has_folders = has_folders or bool(folder.listing and folder.listing.folders)
        for found in _photos_of(folder, path, target, leave_out):
            is_empty = False
            yield found
        for name in folder.listing.linked_folders if folder.listing and recursive else ():
            leave_out(folder.path / name, Reason(Kind.LINK, "a link to a folder"))
    if is_empty:
        below = " of its own (`recursive` includes subfolders)" if has_folders and not recursive else ""
        leave(path, Reason(Kind.FOLDER, f"a folder without photos{below}"))


def _results_below(path: Path, output: Path | None) -> Path | None:
    """The folder of results, if it lies below ``path``."""
    if output is None or is_remote(path) or is_remote(output):
        return output
    return output if path.resolve() in output.resolve().parents else None


def _photos_of(folder: Folder, named: Path, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    if folder.listing is None:
        at = folder.path if is_remote(folder.path) else folder.path.resolve()
        yield at, PurePath(at.name)
        return
    home = None if is_remote(named) else named.resolve()
    for name in folder.listing.photos:
        photo = folder.path / name
        if name in folder.listing.links and (why := _leads_astray(photo, home)):
            leave(photo, Reason(Kind.LINK, why))
            continue
        if made_of := folder.listing.made_of(name, target.marks):
            leave(photo, result_of(made_of))
        elif os.path.splitext(name)[0].endswith(DERAINED_MARK):
            leave(photo, BY_NAME)
        else:
            yield photo, folder.below / name
    for clip in folder.listing.clips:
        leave(folder.path / clip, CLIP)


def _leads_astray(link: Path, home: Path | None) -> str:
    """Why a link leads to no photo in the tree; empty if it does."""
    if not os.path.exists(link):
        return broken(link)
    if os.path.isdir(link):
        return "a link to a folder"
    inside = home is not None and Path(os.path.realpath(link)).is_relative_to(home)
    return "" if inside else "a link out of the folder"


def _matched(path: Path, pattern: str, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    """Photos that a pattern matches."""
    if is_remote(path):
        matched = [found for found in _listed(path) if not found.name.startswith(".")]
        beside = results_among(matched, target.marks)
    else:
        matched = sorted(map(Path, glob.glob(pattern, recursive=True)))
        beside = results_among([p for folder in {p.parent for p in matched} for p in _readable(folder)], target.marks)
    photos = {path for path in matched if path.suffix.lower() in SUFFIXES and (is_remote(path) or not path.is_dir())}
    for found in matched:
        if is_clip(found.name) and (is_remote(found) or not found.is_dir()):
            leave(found, CLIP)
        elif found in photos and not _is_left(found, beside, leave):
            yield found, PurePath(found.name)
    if not photos and not any(map(is_moving, matched)):
        yield path, PurePath(path.name)


def _listed(pattern: Path) -> list[Path]:
    try:
        return matching(pattern)
    except OSError as error:
        raise UsageError(f"{pattern}: cannot be listed ({reason(error)})") from None


def _is_left(photo: Path, beside: dict[Path, Path], leave: Leave) -> bool:
    """Whether what a pattern matches is left out: the result of a photo beside it, or one by its name."""
    if photo in beside:
        leave(photo, result_of(beside[photo]))
    elif photo.stem.endswith(DERAINED_MARK):
        leave(photo, BY_NAME)
    return photo in beside or photo.stem.endswith(DERAINED_MARK)


def _readable(folder: Path) -> list[Path]:
    try:
        return find_photos(folder)
    except OSError:
        return []


def _job(photo: Path, place: PurePath, target: Target, ending: str, as_file: bool) -> Job:
    if target.in_place:
        background = photo
    elif target.output is None:
        background = photo.with_name(f"{photo.stem}{target.suffix}{ending}")
    else:
        background = target.output if as_file else target.output / place
        if not as_file and ending != photo.suffix:
            background = background.with_suffix(ending)
    if not (target.rain or target.compare):
        return Job(photo, background, below=target.output)
    stem = background.stem.removesuffix(target.suffix)
    return Job(
        photo,
        background,
        background.with_name(f"{stem}.rain.png") if target.rain else None,
        background.with_name(f"{stem}.compare.png") if target.compare else None,
        target.output,
    )


def _refuse_collisions(jobs: list[Job], in_place: bool) -> None:
    taken = {place: job.source for job in jobs for place in (_real(job.source), _place(job.source))}
    for job in jobs:
        for path in job.outputs:
            if in_place and path == job.background:
                continue
            if (place := _place(path)) in taken:
                if path == job.background and taken[place] == job.source:
                    raise UsageError(f"{path}: is the photo itself; give another `output`, or only `in_place`")
                raise UsageError(
                    f"{path}: would be the result of {job.source}, but also belongs to {taken[place]}; "
                    f"{way_out_of_clash(in_place)}"
                )
            taken[place] = job.source


def way_out_of_clash(in_place: bool) -> str:
    """What to do about two photos with one place for their results."""
    return "rename one of the two" + ("" if in_place else ", or derain it by itself with another `output`")


def _place(path: Path) -> Path:
    """Where a file is that is written here: a link of its name is not followed."""
    return path if is_remote(path) else Path(os.path.realpath(path.parent), path.name)


def _real(path: Path) -> Path:
    return path if is_remote(path) else Path(os.path.realpath(path))


def pending(jobs: list[Job]) -> list[Job]:
    """The jobs that lack an output."""
    existing = Existing()
    return [job for job in jobs if not is_done(job, existing)]


def is_done(job: Job, existing: Existing) -> bool:
    """Whether all outputs of a job are there."""
    return all(path in existing for path in job.outputs)
