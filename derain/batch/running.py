"""Photos one after the other: one failure does not stop the rest."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from derain.batch.before_after import comparison
from derain.batch.jobs import Job, checked, ending_of, obstacle, refuse_irreplaceable
from derain.batch.journal import Journal
from derain.batch.outcome import Outcome
from derain.bounds import Bounds, bounded, share
from derain.errors import PhotoError, UsageError, reason, unreadable, unwritable
from derain.files.attributes import HARD_LINKS
from derain.files.places import exists, is_folder
from derain.files.writing import is_protected, make_folder, permissions_of, replace_bytes, write_bytes, write_new
from derain.given import check, check_fields
from derain.models.contract import Derainer
from derain.photos import (
    MAX_MEGAPIXELS,
    Encoded,
    Original,
    decode,
    encode_with_notes,
    format_of,
    read_original,
    to_8_bit,
    write_photo,
)
from derain.photos.extent import SparseError
from derain.photos.formats import BY_NAME, FORMATS
from derain.rain.amount import DRY_COVERAGE, RAINY_SCORE, coverage
from derain.rain.remaining import rain_left
from derain.restoring.ahead import ahead
from derain.restoring.devices import FREE_MEMORY_SHARE, free_memory, used_memory
from derain.restoring.layers import Layers
from derain.restoring.names import check_precision, check_tile
from derain.restoring.restorer import Restorer
from derain.restoring.strength import at_strength

PIPED = Job(Path("stdin"), Path("stdout"))
MOST_FILE_THREADS = 8  # that read at once, and as many that write
MOST_PHOTO_THREADS = 6  # that take photos apart at once: the GPU waits while the processor judges what it found
Watch = Callable[[Job, str], None]  # told what is being done to a photo
DERAINED_BEFORE = "was derained in place by another run, and is left as it is"
BYTES_WHILE_UNDER_WAY = 4  # of memory for each of a photo's until it is written: decoder, layers, encoder


@dataclass(frozen=True)
class Treatment:
    """How photos are restored and written."""

    tile: int | None = None  # px; None: by the free memory
    precision: str = "auto"  # auto | float32 | bfloat16 | int8
    strength: float = share(1.0)  # share of the rain that is taken away
    quality: int | None = bounded(None, 1, 100)  # of lossy formats; default: the photo's own
    max_megapixels: float = bounded(MAX_MEGAPIXELS, 0, math.inf)
    # bytes that the process should take; None: a share of what is free
    max_memory: float | None = bounded(None, 0, math.inf)
    # share of pixels with rain that can be seen, under which a photo stays as it is
    rainy_from: float = share(DRY_COVERAGE)
    look_for_rest: bool = False  # tell where rain was found and some of it is evidently left
    overwrite: bool = False  # replace files that exist, instead of leaving them; in place the photo goes either way
    journal: Journal | None = None  # of photos that are replaced; without one nothing is noted

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a value that cannot be.
        """
        check_tile(self.tile)
        check_precision(self.precision)
        check_fields(self)

    def restorer(self, model: Derainer) -> Restorer:
        return Restorer(model, self.precision, self.tile, self.max_memory)


def run(
    jobs: Iterable[Job], model: Derainer, treatment: Treatment = Treatment(), watch: Watch | None = None
) -> Iterator[Outcome]:
    """Do the jobs in order. While the network works, the next photo is read and the previous one written.

    Results that exist are kept, where others of the same photo are missing. A job that lacks none is done all the same,
    and fails if they hold something else: :func:`derain.batch.pending` gives those that lack any.

    On a CPU ``watch`` is told what is being done to each photo. Ctrl-C ends the run after the outcomes of photos that
    are being written.

    A file that declares a photo much larger than its bytes suggest waits until all others are done.

    Raises:
        UsageError: the model or the treatment is none, or what is no job is among the jobs.
    """
    check("treatment", treatment, Treatment)
    check("watch", watch, Callable | None)
    return _run_patiently(checked(jobs), treatment.restorer(model), treatment, watch)


def _run_patiently(
    jobs: Iterable[Job], restorer: Restorer, treatment: Treatment, watch: Watch | None
) -> Iterator[Outcome]:
    late: dict[Job, str] = {}
    yield from _run(jobs, restorer, treatment, late, watch)
    for outcome in _run(list(late), restorer, treatment, None, watch):
        yield replace(outcome, notes=(f"{late[outcome.job]}, so it was done last", *outcome.notes))


@dataclass(frozen=True)
class Separated(Layers):
    """A photo taken apart, at its own depth."""

    seconds: float
    coverage: float
    dry: bool = False
    rain_left: float | None = None  # as :class:`Outcome` has it


@dataclass(frozen=True)
class JobUnderWay:
    """A job on its way: what was read for it, what came of that, or why it failed."""

    job: Job
    due: frozenset[Path] = frozenset()  # results that are to be written
    original: Original | None = None
    layers: Separated | None = None
    error: PhotoError | None = None
    notes: tuple[str, ...] = ()  # why nothing is to be done

    @property
    def kept(self) -> tuple[Path, ...]:
        """Results that are there."""
        return tuple(path for path in self.job.outputs if path not in self.due)


def _run(
    jobs: Iterable[Job],
    restorer: Restorer,
    treatment: Treatment,
    late: dict[Job, str] | None,
    watch: Watch | None = None,
) -> Iterator[Outcome]:
    """Do the jobs, or put those that are to wait into ``late`` with the reason; ``None`` does them all."""
    pace = Pace.of(restorer)
    opened = ahead(lambda job: _open(job, treatment, patient=late is None), jobs, pace.most_read, pace.files)
    wanted = (pace.seen(work) for work in opened if not _is_put_off(work, late))
    separated = ahead(lambda work: _separate(work, restorer, treatment, watch), wanted, pace.photos, pace.photos)
    yield from ahead(lambda work: _write(work, treatment), separated, pace.files, pace.files, ends=BaseException)


@dataclass
class Pace:
    """How many photos are on their way at once: few where the network is slow, more where a GPU waits for them."""

    photos: int = 0  # threads in which photos are taken apart; 0: the caller's own
    files: int = 1  # threads that read, and as many that write
    max_memory: float | None = None
    largest: int = 0  # bytes of memory that a photo took so far

    @classmethod
    def of(cls, restorer: Restorer) -> "Pace":
        if restorer.device.type != "cuda":
            return cls()
        cores = os.cpu_count() or 1
        return cls(
            photos=min(max(cores // 2, 2), MOST_PHOTO_THREADS),
            files=min(cores, MOST_FILE_THREADS),
            max_memory=restorer.max_memory,
        )

    def seen(self, work: JobUnderWay) -> JobUnderWay:
        if work.original is not None:
            self.largest = max(self.largest, BYTES_WHILE_UNDER_WAY * work.original.pixels.nbytes)
        return work

    def most_read(self, job: Job) -> float:
        """How many photos may be read, or wait to be taken apart."""
        here = torch.device("cpu")
        room = FREE_MEMORY_SHARE * free_memory(here)
        if self.max_memory is not None:
            room = min(room, self.max_memory - used_memory(here))
        return float(np.clip(room / self.largest, 2, self.files + 1)) if self.largest else 2


def _is_put_off(work: JobUnderWay, late: dict[Job, str] | None) -> bool:
    if late is None or not isinstance(work.error, SparseError):
        return False
    late[work.job] = work.error.what
    return True


def _open(job: Job, treatment: Treatment, patient: bool) -> JobUnderWay:
    try:
        if in_the_way := obstacle(job):
            raise in_the_way
        original = read_original(job.source, treatment.max_megapixels, patient)
        due = _due(job, treatment)
        refuse_irreplaceable(job, due)
        if job.in_place and not treatment.overwrite and is_protected(job.source):
            raise PhotoError(f"{job.source}: is write-protected; give `overwrite` to replace it anyway")
        if job.in_place and treatment.journal and treatment.journal.is_result(job.source, original.content):
            return JobUnderWay(job, notes=(DERAINED_BEFORE,))
        _check_suffix(job, original)  # before anything is computed
        return JobUnderWay(job, due, original)
    except PhotoError as error:
        return JobUnderWay(job, error=error)
    except Exception as error:  # whatever it is, the other photos go on
        return JobUnderWay(job, error=PhotoError(f"{job.source}: {unreadable(error)}"))


def _check_suffix(job: Job, original: Original) -> None:
    """
    Raises:
        PhotoError: the photo's name has no suffix that the result could have.
    """
    if job.background.suffix.lower() in FORMATS:
        return
    form = BY_NAME[original.format]
    otherwise = "" if job.in_place else f", or give `format` {next(iter(form.choices), 'jpg')}"
    raise PhotoError(
        f"{job.source}: its name does not end as that of a photo; rename it to end in {form.suffix}{otherwise}"
    )


def _due(job: Job, treatment: Treatment) -> frozenset[Path]:
    """Results that are to be written: those missing, or all; if none is missing any more, another run made them."""
    missing = {path for path in job.outputs if path == job.source or not exists(path) or is_folder(path)}
    return frozenset(job.outputs if treatment.overwrite else missing or job.outputs)


def separate(
    original: Original,
    restorer: Restorer,
    strength: float = 1.0,
    rainy_from: float = DRY_COVERAGE,
    watch: Callable[[str], None] | None = None,
) -> Separated:
    """Background and rain layer of a photo. If nothing is taken away it is dry, and the background the photo itself.

    Raises:
        PhotoError: there is not enough memory even for a small tile.
        UsageError: an argument that cannot be.
    """
    check("original", original, Original)
    if isinstance(restorer, Derainer) or not hasattr(restorer, "layers"):
        raise UsageError(f"`restorer`: give Treatment().restorer(model), not {type(restorer).__name__}")
    check("strength", strength, float, Bounds())
    started = time.perf_counter()
    found = restorer.layers(original.pixels, watch)
    seconds = time.perf_counter() - started
    covered = coverage(np.asarray(cv2.absdiff(original.pixels, found.background)))  # dark streaks that were filled, too
    if covered < rainy_from:
        return Separated(original.pixels, np.zeros_like(found.rain), seconds, covered, dry=True)
    if strength < 1:
        background = at_strength(original.pixels, found.background, strength)
        found = Layers(background, np.asarray(cv2.subtract(original.pixels, background)))
    nothing = (strength < 1 or not covered) and np.array_equal(found.background, original.pixels)
    return Separated(found.background, found.rain, seconds, covered, dry=nothing)


def _separate(work: JobUnderWay, restorer: Restorer, treatment: Treatment, watch: Watch | None = None) -> JobUnderWay:
    if work.original is None:
        return work
    told = watch and partial(watch, work.job)
    try:
        return replace(work, layers=_treated(work.original, restorer, treatment, told))
    except Exception as error:  # whatever it is, the other photos go on
        said = str(error) if isinstance(error, PhotoError) else f"cannot be derained ({reason(error)})"
        return JobUnderWay(work.job, error=PhotoError(f"{work.job.source}: {said}"))


def _treated(
    original: Original, restorer: Restorer, treatment: Treatment, watch: Callable[[str], None] | None = None
) -> Separated:
    """The layers of a photo, looked at for rain that is left if that is wanted."""
    layers = separate(original, restorer, treatment.strength, treatment.rainy_from, watch)
    if treatment.look_for_rest and treatment.strength == 1 and layers.coverage >= RAINY_SCORE and not layers.dry:
        return replace(layers, rain_left=rain_left(original.pixels, layers.background))
    return layers


@dataclass(frozen=True)
class Result:
    """What becomes of a photo, as a file in Pillow's format ``to``."""

    original: Original
    layers: Separated
    to: str
    quality: int | None = None

    @property
    def untouched(self) -> bool:
        """Whether it is the photo's own file, bit for bit."""
        is_same = self.layers.dry and self.to == self.original.format
        return is_same and (self.quality is None or BY_NAME[self.to].lossless)

    def file(self) -> Encoded:
        """
        Raises:
            PhotoError: the format cannot hold the photo.
        """
        if self.untouched:
            return Encoded(self.original.content)
        return encode_with_notes(self.original, self.layers.background, self.to, self.quality)


def _write(work: JobUnderWay, treatment: Treatment) -> Outcome:
    job, original, layers = work.job, work.original, work.layers
    if original is None or layers is None:
        return Outcome(job, work.error, notes=work.notes)
    done = _outcome_of(job, original, layers)
    try:
        result = Result(original, layers, _format_of_result(job, original), treatment.quality)
        notes = _write_results(work, result, treatment)
        done = replace(done, rain_left=layers.rain_left, dry=layers.dry, untouched=result.untouched)
        return replace(done, notes=notes, kept=work.kept)
    except Exception as error:  # whatever it is, the other photos go on
        said = str(error) if isinstance(error, PhotoError) else f"{job.background}: {unwritable(error)}"
        return replace(done, error=PhotoError(said))


def _write_results(work: JobUnderWay, result: Result, treatment: Treatment) -> tuple[str, ...]:
    """Write what is due; gives what is to be known of the background's file."""
    job, original, layers = work.job, result.original, result.layers
    write = partial(write_bytes if treatment.overwrite else write_new, mode=permissions_of(job.source))
    make_folder(job.background.parent, job.below)
    if job.rain in work.due:
        write_photo(job.rain, layers.rain, write)
    if job.compare in work.due:
        write_photo(job.compare, comparison(to_8_bit(original.pixels), to_8_bit(layers.background)), write)
    if job.background not in work.due:
        return ()
    try:
        finished = result.file()
    except PhotoError as error:
        raise PhotoError(f"{job.background}: {error}") from None
    if not job.in_place:
        write(job.background, finished.content)
        return finished.notes
    if treatment.journal:
        treatment.journal.note_replacement(job.source, original.content, finished.content)
    return (*finished.notes, *_said_of_lost(replace_bytes(job.source, finished.content)))


def _said_of_lost(lost: list[str]) -> Iterator[str]:
    """What became of a photo's file as it was replaced, beside its picture."""
    if others := [what for what in lost if what != HARD_LINKS]:
        yield f"could not preserve its {', '.join(others)}"
    if HARD_LINKS in lost:
        yield "other hard links to it keep the photo as it was"


def _outcome_of(job: Job, original: Original, layers: Separated) -> Outcome:
    """What is known of a job whose result is still to be written."""
    height, width = original.pixels.shape[:2]
    return Outcome(job, None, width, height, layers.seconds, layers.coverage)


def _format_of_result(job: Job, original: Original) -> str:
    to = format_of(job.background)
    is_the_same = to == FORMATS.get(job.source.suffix.lower())
    return original.format if is_the_same else to  # a mislabelled photo stays what it is


def through_pipe(model: Derainer, treatment: Treatment, format: str | None = None) -> Outcome:
    """One photo from stdin to stdout, in its own format or the one named.

    Raises:
        PhotoError: it is not a photo, or cannot be restored or written.
        UsageError: an unknown format, or no stdin.
    """
    check("treatment", treatment, Treatment)
    ending = ending_of(format)
    if sys.stdin is None:
        raise UsageError("-: there is no stdin to read from")
    try:
        content = sys.stdin.buffer.read()
    except OSError as error:
        raise PhotoError(f"stdin: {unreadable(error)}") from None
    original = decode(content, "stdin", treatment.max_megapixels)
    to = FORMATS[ending] if ending else original.format
    try:
        layers = _treated(original, treatment.restorer(model), treatment)
        result = Result(original, layers, to, treatment.quality)
        finished = result.file()
    except PhotoError as error:
        raise PhotoError(f"stdin: {error}") from None
    sys.stdout.buffer.write(finished.content)
    sys.stdout.buffer.flush()
    return replace(
        _outcome_of(PIPED, original, layers),
        rain_left=layers.rain_left,
        dry=layers.dry,
        untouched=result.untouched,
        notes=finished.notes,
    )
