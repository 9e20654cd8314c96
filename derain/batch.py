"""Many photos in one go: which ones, where each result goes, and doing them without one failure stopping the rest."""

import codecs
import glob
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from derain.errors import PhotoError, UsageError, reason
from derain.models.contract import Derainer
from derain.photos import (
    SUFFIXES,
    Original,
    Photo,
    decode,
    encode,
    find_photos,
    format_of,
    read_original,
    to_8_bit,
    without_results,
    write_bytes,
    write_photo,
)
from derain.photos.files import FORMATS, MARKS, make_folder
from derain.photos.original import MAX_MEGAPIXELS, Pixels
from derain.scales import restore

NAMES = {"jpg": ".jpg", "jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "avif": ".avif", "bmp": ".bmp"}
SEEN = 2 / 255  # height from which rain can be seen
DRY = 0.003  # share of pixels with rain that can be seen, under which a photo counts as dry


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

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.background, self.rain, self.compare) if path]


@dataclass(frozen=True)
class Treatment:
    """How photos are restored and written."""

    tile: int | None = None  # px; None: by the free memory
    precision: str = "auto"  # auto | float32 | bfloat16
    strength: float = 1.0  # share of the rain that is taken away, 0 to 1
    quality: int | None = None  # of lossy formats; default: the photo's own
    max_megapixels: float = MAX_MEGAPIXELS
    overwrite: bool = False  # replace files that exist, instead of leaving them; in place the photo goes either way


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    error: PhotoError | None = None
    width: int = 0
    height: int = 0
    seconds: float = 0.0  # in the network
    rain_coverage: float = 0.0  # share of pixels with rain that can be seen
    untouched: bool = False  # no rain: the result is the photo's own file, bit for bit

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6


def plan(inputs: Iterable[str | Path], target: Target = Target(), recursive: bool = False) -> list[Job]:
    """One job for each photo named, matched by a pattern, or found in a folder; results of earlier runs are left out.

    A folder that cannot be read becomes a job too, which fails and says why.

    Raises:
        UsageError: nothing to do, options that contradict each other, or two results in one place.
    """
    if target.in_place and (target.output or target.format):
        raise UsageError("--in-place goes without --output and --format")
    if Path(target.suffix).name != target.suffix:
        raise UsageError(f"--suffix {target.suffix}: is part of a file's name; -o names a folder for the results")
    ending = ending_of(target.format)
    named = dict(pair for given in inputs for pair in _photos(given, recursive, target))
    # the shell expands *.jpg to photos and to what an earlier run made of them
    found = {photo: named[photo] for photo in without_results(list(named), target.marks)}
    if not found:
        raise UsageError("no photos found; name photos or folders that hold some")
    as_file = target.output is not None and is_file_name(target.output, target.format)
    if as_file and len(found) > 1:
        raise UsageError(f"{target.output}: is one file for {len(found)} photos; give a folder instead")
    jobs = [_job(photo, place, target, ending or photo.suffix, as_file) for photo, place in found.items()]
    _refuse_collisions(jobs, target.in_place)
    return jobs


def ending_of(form: str | None) -> str | None:
    """The suffix of a format's name; ``None`` of none.

    Raises:
        UsageError: an unknown format.
    """
    if form and form not in NAMES:
        raise UsageError(f"--format {form}: choose one of {', '.join(NAMES)}")
    return NAMES[form] if form else None


def is_file_name(output: Path, form: str | None) -> bool:
    """Whether results are to go into one file of this name, not into a folder.

    Raises:
        UsageError: the name is that of another format than ``form``, or of one that derain does not write.
    """
    ending = output.suffix.lower()
    if ending not in {*SUFFIXES, *Image.registered_extensions()} or os.path.isdir(output):
        return False
    if ending not in SUFFIXES:
        raise UsageError(f"{output}: derain writes {', '.join(NAMES)}; give another -o")
    if form and FORMATS[ending] != FORMATS[NAMES[form]]:
        raise UsageError(f"{output}: is no name for --format {form}; leave one of them out")
    return True


def _photos(given: str | Path, recursive: bool, target: Target) -> Iterator[tuple[Path, Path]]:
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
            for photo in photos:
                inside = Path(os.path.realpath(photo)).is_relative_to(home)  # links do not lead out of the tree
                if inside and os.path.isfile(photo) and not photo.stem.endswith(MARKS):
                    yield photo, photo.relative_to(path)
    elif not os.path.exists(path) and glob.has_magic(str(given)):  # the shell did not expand it
        for name in sorted(glob.glob(str(given), recursive=True)):
            if Path(name).suffix.lower() in SUFFIXES and not Path(name).stem.endswith(MARKS):
                yield Path(name), Path(Path(name).name)
    else:
        yield path, Path(path.name)


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
    )


def _refuse_collisions(jobs: list[Job], in_place: bool) -> None:
    taken = {Path(os.path.realpath(job.source)): job.source for job in jobs}
    for job in jobs:
        for path in job.outputs:
            if in_place and path == job.background:
                continue
            if (place := Path(os.path.realpath(path))) in taken:
                raise UsageError(f"{path}: would be written for {job.source}, but is also {taken[place]}'s")
            taken[place] = job.source


def pending(jobs: list[Job]) -> list[Job]:
    """Jobs of which some output is missing."""
    return [job for job in jobs if not all(os.path.exists(path) for path in job.outputs)]


def run(jobs: Iterable[Job], model: Derainer, treatment: Treatment = Treatment()) -> Iterator[Outcome]:
    """Do the jobs in order; the next photo is read, and the last one written, while the network works."""
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = _read_ahead(jobs, reader, treatment)
        written: deque[Future[Outcome]] = deque()
        for job, original in ahead:
            try:
                photo = original.result()
                written.append(writer.submit(_write, job, photo, _separate(job, photo, model, treatment), treatment))
            except PhotoError as error:
                written.append(writer.submit(Outcome, job, error))
            if len(written) > 1:
                yield written.popleft().result()
        while written:
            yield written.popleft().result()


def _read_ahead(
    jobs: Iterable[Job], reader: ThreadPoolExecutor, treatment: Treatment
) -> Iterator[tuple[Job, Future[Original]]]:
    before: tuple[Job, Future[Original]] | None = None
    for job in jobs:
        now = job, reader.submit(read_original, job.source, treatment.max_megapixels)
        if before:
            yield before
        before = now
    if before:
        yield before


@dataclass(frozen=True)
class Layers:
    """A photo taken apart, at its own depth."""

    background: Pixels
    rain: Pixels
    seconds: float
    coverage: float
    dry: bool = False


def separate(original: Original, model: Derainer, treatment: Treatment = Treatment()) -> Layers:
    """Background and rain layer of a photo; of a dry one the background is the photo itself.

    Raises:
        PhotoError: not even a small tile fits into the memory.
    """
    started = time.perf_counter()
    background, rain = restore(model, original.pixels, treatment.tile, treatment.precision)
    seconds = time.perf_counter() - started
    white = np.iinfo(rain.dtype).max
    coverage = float((rain.max(axis=2) > SEEN * white).mean())
    if coverage < DRY:
        return Layers(original.pixels, np.zeros_like(rain), seconds, coverage, dry=True)
    if treatment.strength < 1:
        rain = (rain * treatment.strength + 0.5).astype(rain.dtype)
        background = original.pixels - rain
    return Layers(background, rain, seconds, coverage)


def _separate(job: Job, photo: Original, model: Derainer, treatment: Treatment) -> Layers:
    try:
        return separate(photo, model, treatment)
    except Exception as error:  # whatever it is, the other photos go on
        said = str(error) if isinstance(error, PhotoError) else f"cannot be derained ({reason(error)})"
        raise PhotoError(f"{job.source}: {said}") from None


def finished_file(original: Original, layers: Layers, to: str, quality: int | None = None) -> bytes:
    """The result's file in Pillow's format ``to``: the photo's own file if that is what it comes to.

    Raises:
        PhotoError: the format cannot hold the photo.
    """
    if layers.dry and to == original.format and quality is None:
        return original.content
    return encode(original, layers.background, to, quality)


def _write(job: Job, original: Original, layers: Layers, treatment: Treatment) -> Outcome:
    height, width = original.pixels.shape[:2]
    try:
        to = format_of(job.background)
        if to == FORMATS.get(job.source.suffix.lower()):
            to = original.format  # a mislabelled photo stays what it is
        make_folder(job.background.parent)
        due = {path for path in job.outputs if treatment.overwrite or path == job.source or not os.path.exists(path)}
        if job.rain in due:
            write_photo(job.rain, to_8_bit(layers.rain))
        if job.compare in due:
            write_photo(job.compare, comparison(to_8_bit(original.pixels), to_8_bit(layers.background)))
        if job.background in due:
            try:
                content = finished_file(original, layers, to, treatment.quality)
            except PhotoError as error:
                raise PhotoError(f"{job.background}: {error}") from None
            write_bytes(job.background, content)
    except PhotoError as error:
        return Outcome(job, error, width, height, layers.seconds, layers.coverage)
    except Exception as error:  # whatever it is, the other photos go on
        unwritten = PhotoError(f"{job.background}: cannot be written ({reason(error)})")
        return Outcome(job, unwritten, width, height, layers.seconds, layers.coverage)
    return Outcome(job, None, width, height, layers.seconds, layers.coverage, layers.dry)


def read_list(path: Path) -> list[str]:
    """Paths from a text file, one a line or ended by zeros as ``find -print0`` has them; ``-`` is stdin.

    Names from stdin need not be valid UTF-8.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # of PowerShell
            text = content.decode("utf-16")
        else:
            text = content.decode("utf-8-sig", "surrogateescape" if str(path) == "-" else "strict")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a list of photos ({reason(error)})") from None
    return [line for line in (text.split("\0") if "\0" in text else text.splitlines()) if line.strip()]


def through_pipe(model: Derainer, treatment: Treatment, form: str | None = None) -> None:
    """One photo from stdin to stdout, in its own format or the one named.

    Raises:
        PhotoError: no photo, or one that cannot be restored or written.
        UsageError: an unknown format.
    """
    ending = ending_of(form)
    original = decode(sys.stdin.buffer.read(), "stdin", treatment.max_megapixels)
    layers = separate(original, model, treatment)
    to = FORMATS[ending] if ending else original.format
    try:
        content = finished_file(original, layers, to, treatment.quality)
    except PhotoError as error:
        raise PhotoError(f"stdin: {error}") from None
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def describe(outcome: Outcome) -> str:
    """What became of a photo, in a few words."""
    if outcome.untouched:
        return "no rain found, copied as it is"
    return f"{outcome.width}x{outcome.height} px, {outcome.seconds:.2f} s, rain on {outcome.rain_coverage:.0%}"


def as_json(outcome: Outcome) -> str:
    """One object on one line."""
    return json.dumps(
        {
            "input": str(outcome.job.source),
            "output": None if outcome.error else str(outcome.job.background),
            "width": outcome.width,
            "height": outcome.height,
            "seconds": round(outcome.seconds, 4),
            "rain_coverage": round(outcome.rain_coverage, 4),
            "untouched": outcome.untouched,
            "error": str(outcome.error) if outcome.error else None,
        },
        ensure_ascii=False,
    )


def pace(outcomes: list[Outcome]) -> str:
    """Megapixels a second in the network so far."""
    seconds = sum(outcome.seconds for outcome in outcomes)
    return f"{sum(outcome.megapixels for outcome in outcomes) / seconds:.1f} MP/s" if seconds else "0 MP/s"


def summary(outcomes: list[Outcome]) -> str:
    """The end of a run in a sentence."""
    failed = sum(outcome.error is not None for outcome in outcomes)
    dry = sum(outcome.untouched for outcome in outcomes)
    done = f"{len(outcomes) - failed} of {len(outcomes)} photos done at {pace(outcomes)}"
    said = done + (f", {dry} without rain" if dry else "")
    return said + (f"; {failed} of {len(outcomes)} photos failed" if failed else "")


def comparison(photo: Photo, background: Photo) -> Photo:
    """Before and after side by side, labelled, and below them, enlarged, the square where most rain was.

    Of a panorama it is a part of that square, no higher than twice the strip.
    """
    strip = side_by_side(photo, background)
    height, width = photo.shape[:2]
    columns = min(max(min(height, width) // 4, 32), height, width)
    rows = min(columns, max(2 * height * columns // width, 1))
    removed = cv2.blur(np.where(photo > background, photo - background, 0).mean(axis=2), (columns, rows))
    row, column = np.unravel_index(int(removed.argmax()), removed.shape)
    top, left = int(np.clip(row - rows // 2, 0, height - rows)), int(np.clip(column - columns // 2, 0, width - columns))
    where = (slice(top, top + rows), slice(left, left + columns))
    enlarged = side_by_side(_enlarge(photo[where], width), _enlarge(background[where], width))
    return np.vstack([strip, np.full((4, strip.shape[1], 3), 255, np.uint8), enlarged])


def _enlarge(crop: Photo, width: int) -> Photo:
    size = width, crop.shape[0] * width // crop.shape[1]
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def side_by_side(photo: Photo, background: Photo) -> Photo:
    """Before and after, labelled, with a thin gap between."""
    gap = np.full((photo.shape[0], 4, 3), 255, np.uint8)
    return np.hstack([_labelled(photo, "before"), gap, _labelled(background, "after")])


def _labelled(photo: Photo, text: str) -> Photo:
    scale = max(photo.shape[0] / 600, 0.4)
    place = (int(12 * scale), int(28 * scale))
    picture = photo.copy()
    for colour, thickness in ((0, 4), (255, 1.5)):
        weight = max(round(thickness * scale), 1)
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (colour,) * 3, weight, cv2.LINE_AA)
    return picture
