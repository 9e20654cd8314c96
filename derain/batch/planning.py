"""Which photos there are to do, and where each result goes."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType

from derain.batch.clashes import Clash, Read, Taken, apart, encoded_name, why_clash
from derain.batch.finding import NamedTogether, photos_named
from derain.batch.jobs import BESIDE, Job, Target, check_target, ending_of, job_for
from derain.batch.reasons import Leave, Reason, for_video, nothing_found, result_of
from derain.errors import UsageError
from derain.files.missing import is_unmatched
from derain.files.places import is_folder, is_remote, place
from derain.photos.names import SUFFIXES, results_among
from derain.video.naming import is_clip

MANY = 5000  # photos, from which on work begins before all are found


def plan(
    inputs: str | Path | Iterable[str | Path],
    target: Target = BESIDE,
    recursive: bool = False,
    leave: Leave = lambda path, why: None,
    read: Read = MappingProxyType({}),
    clash: Clash | None = None,
) -> list[Job]:
    """One job for each photo named, matched by a pattern, or found in a folder; results of earlier runs are left out.

    A folder that cannot be read becomes a job, too, and so does anything that is not a file: each fails and says why.

    Args:
        leave: called with each file that is left out, and the reason.
        read: files that are read beside the photos, by the argument that names them.
        clash: as of :func:`plan_as_found`; without it, two results in one place are an error.

    Raises:
        UsageError: nothing to do, options that contradict each other, two results in one place, or one in the place of
            what is read.
    """
    inputs = _checked(target, inputs)
    left: dict[Path, Reason] = {}

    def leave_out(path: Path, why: Reason) -> None:
        left[path] = why
        leave(path, why)

    named = dict(pair for given in inputs for pair in photos_named(given, recursive, target, leave_out))
    # the shell expands *.jpg to photos and to what an earlier run made of them
    results = results_among(list(named), target.marks)
    for path, photo in results.items():
        leave_out(path, result_of(photo))
    found = {photo: place for photo, place in named.items() if photo not in results}
    if found and all(is_clip(photo) and not is_unmatched(photo) for photo in found):
        raise UsageError(for_video(sorted(found)))
    if not found:
        raise UsageError(nothing_found(left))
    as_file = target.as_file
    if as_file and len(found) > 1:
        raise UsageError(f"{target.output}: one file cannot hold {len(found)} photos; give a folder")
    ending = ending_of(target.format)
    jobs = [job_for(photo, place, target, ending or photo.suffix, as_file) for photo, place in found.items()]
    clashes = dict[Job, str]()
    left_over = apart(jobs, target.in_place, read, clashes.__setitem__)
    for job, other in clashes.items():
        if clash is None or not left_over:
            raise UsageError(why_clash(job, other))
        clash(job, other)
    return left_over


def _checked(target: Target, inputs: str | Path | Iterable[str | Path]) -> Sequence[str | Path]:
    """What is named, as :func:`_several` gives it.

    Raises:
        UsageError: options that contradict each other, or what is elsewhere and would be replaced.
    """
    check_target(target)
    named = _several(inputs)
    if target.in_place:
        for given in named:
            if given != "" and is_remote(place(given, "inputs")):
                raise UsageError(f"{given}: `in_place` works only on local files; give an `output` instead")
    return named


def _several(inputs: str | Path | Iterable[str | Path]) -> Sequence[str | Path]:
    """What is named, be it one; each is looked at as its turn comes."""
    if isinstance(inputs, Sequence) and not isinstance(inputs, str):
        return inputs
    return list(inputs) if isinstance(inputs, Iterable) and not isinstance(inputs, str) else [inputs]


def plan_as_found(
    inputs: str | Path | Iterable[str | Path],
    target: Target = BESIDE,
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
    inputs = _checked(target, inputs)
    if target.as_file:
        raise UsageError(f"{target.output}: one file cannot hold many photos; give a folder")
    ending, taken, beside = ending_of(target.format), Taken(), NamedTogether(inputs, target.marks)
    for given in inputs:
        for photo, below in photos_named(given, recursive, target, leave):
            if (made_of := beside.made_of(given)) and photo.name == os.path.basename(given):
                leave(photo, result_of(made_of))
                continue
            job = job_for(photo, below, target, ending or photo.suffix, False)
            if (other := taken.other(job)) is None:
                yield job
            elif other != encoded_name(str(photo)):  # the same photo is done once
                clash(job, other)


def is_long(
    inputs: str | Path | Iterable[str | Path],
    target: Target = BESIDE,
    recursive: bool = False,
    overwrite: bool = False,
    read: Read = MappingProxyType({}),
) -> bool:
    """Whether there are many photos, so that work is better begun before all are found.

    Not so if results that replace files might replace photos that are found later, or what else is read.
    """
    inputs = _checked(target, inputs)
    if overwrite and (not _is_apart(inputs, target) or any(map(_is_named_as_photo, chain(*read.values())))):
        return False
    if len(inputs) >= MANY:
        return True
    if not all(is_folder(place(given, "inputs")) for given in inputs if given != ""):
        return False
    found = (pair for given in inputs for pair in photos_named(given, recursive, target, lambda path, why: None))
    return len(list(islice(found, MANY))) == MANY


def _is_named_as_photo(path: Path) -> bool:
    return any(os.path.splitext(name)[1].lower() in SUFFIXES for name in (path, os.path.realpath(path)))


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
