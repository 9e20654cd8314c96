"""One photo, where its results go, and whether they can go there."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from PIL import Image

from derain.batch.reasons import for_video
from derain.errors import PhotoError, UsageError, unreadable
from derain.files.marks import COMPARE, DERAINED, MARKS, RAIN
from derain.files.missing import absence
from derain.files.places import Existing, Place, is_folder, is_remote, place
from derain.files.writing import hindrance, irreplaceable
from derain.given import check, check_fields, check_several
from derain.photos import SUFFIXES
from derain.photos.formats import CHOICES, FORMATS, format_asked_for
from derain.video.naming import is_clip


@dataclass(frozen=True)
class Target:
    """Where results go and what is written."""

    output: Place = Place()  # file or folder; default: beside the photo
    suffix: str = DERAINED  # goes before the photo's own, beside the photo
    format: str | None = None  # jpg, png, webp, tiff, bmp, avif, heic; default: the photo's own
    in_place: bool = False  # replace the photo itself
    rain: bool = False
    compare: bool = False
    is_folder: bool = False  # whether `output` is a folder, be it called as a file; default: as its name says

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a value of another type.
        """
        check_fields(self)

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


BESIDE = Target()  # each result beside its photo


def check_target(target: Target) -> None:
    """
    Raises:
        UsageError: options that contradict each other.
    """
    check("target", target, Target)
    if target.in_place and (target.output or target.format or target.suffix != BESIDE.suffix):
        raise UsageError("`in_place` cannot be combined with `output`, `format` or `suffix`")
    if Path(target.suffix).name != target.suffix:
        raise UsageError(f"`suffix` {target.suffix}: must be part of a file name; use `output` to name a folder")
    if (target.rain and target.suffix == RAIN) or (target.compare and target.suffix == COMPARE):
        raise UsageError(f"`suffix` {target.suffix}: is also that of `{target.suffix[1:]}`; give another")
    ending_of(target.format)


def ending_of(format: str | None) -> str | None:
    """The suffix of a format's name; ``None`` of none.

    Raises:
        UsageError: as :func:`format_asked_for`.
    """
    return format_asked_for(format).suffix if format else None


def is_file_name(output: Path, format: str | None) -> bool:
    """Whether results are to go into one file of this name, not into a folder.

    Raises:
        UsageError: the name is that of another format than ``format``, or of one that derain does not write.
    """
    ending = output.suffix.lower()
    if ending not in {*SUFFIXES, *Image.registered_extensions()} or is_folder(output):
        return False
    if ending not in SUFFIXES:
        raise UsageError(f"{output}: derain writes {', '.join(CHOICES)}; give another `output`")
    if format and FORMATS[ending] != format_asked_for(format).name:
        raise UsageError(f"{output}: does not match `format` {format}; leave one of them out")
    return True


# of a job, and whether it may lack it
PLACES = {"source": False, "background": False, "rain": True, "compare": True, "below": True}


@dataclass(frozen=True)
class Job:
    """One photo and where its results go; ``rain`` and ``compare`` are ``None`` if not asked for."""

    source: Path
    background: Path
    rain: Path | None = None
    compare: Path | None = None
    below: Path | None = None  # a folder under which links are not followed to where results go

    def __post_init__(self) -> None:
        """Names become places.

        Raises:
            UsageError: neither a name nor a place.
        """
        for name, may_lack in PLACES.items():
            found = getattr(self, name)
            if not (isinstance(found, Path) or may_lack and found is None):
                object.__setattr__(self, name, place(found, name))

    @property
    def in_place(self) -> bool:
        return self.background == self.source

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.background, self.rain, self.compare) if path]


def job_for(photo: Path, place: PurePath, target: Target, ending: str, as_file: bool) -> Job:
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
        background.with_name(f"{stem}{RAIN}.png") if target.rain else None,
        background.with_name(f"{stem}{COMPARE}.png") if target.compare else None,
        target.output,
    )


def check_job(job: object) -> Job:
    """
    Raises:
        UsageError: it is none.
    """
    if not isinstance(job, Job):
        raise UsageError(f"`jobs`: give jobs, as batch.plan() makes them of photos, not {type(job).__name__}")
    return job


def checked(jobs: Iterable[Job]) -> Iterable[Job]:
    """The jobs, looked at at once if they are all there, or else as they come.

    Raises:
        UsageError: something else is among them, or there are not several.
    """
    check_several("jobs", jobs)
    if not isinstance(jobs, Sequence):
        return map(check_job, jobs)
    for job in jobs:
        check_job(job)
    return jobs


def obstacle(job: Job) -> PhotoError | None:
    """Why a job cannot be done, as far as that can be known without opening the photo."""
    check_job(job)
    try:
        if not is_remote(job.source):
            os.stat(job.source)
    except FileNotFoundError:
        return PhotoError(f"{job.source}: {absence(job.source)}")
    except OSError as error:
        return PhotoError(f"{job.source}: {unreadable(error)}")
    if is_clip(job.source):
        return PhotoError(for_video([job.source]))
    hindrances = (hindrance(path, _way_out(job)) for path in job.outputs if not is_remote(path))
    return next(filter(None, hindrances), None)


def refuse_irreplaceable(job: Job, due: Iterable[Path]) -> None:
    """
    Raises:
        PhotoError: what is there in the place of a result that is ``due`` cannot be replaced.
    """
    for path in due:
        if not is_remote(path) and (error := irreplaceable(path, _way_out(job))):
            raise error


def _way_out(job: Job) -> str:
    elsewhere = "write elsewhere with `output`"
    return f"leave out `in_place` and {elsewhere}" if job.in_place else elsewhere


def pending(jobs: list[Job]) -> list[Job]:
    """The jobs that lack an output."""
    existing = Existing()
    return [job for job in checked(jobs) if not is_done(job, existing)]


def is_done(job: Job, existing: Existing) -> bool:
    """Whether all outputs of a job are there."""
    return all(path in existing for path in check_job(job).outputs)
