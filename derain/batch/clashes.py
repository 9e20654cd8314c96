"""Photos whose results would have one place."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from derain.batch.jobs import Job
from derain.errors import UsageError
from derain.files.places import is_remote
from derain.text import listed

Clash = Callable[["Job", str], None]
Read = Mapping[str, Iterable[Path]]  # files that are read beside the photos, by the argument that names them


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


def apart(jobs: list[Job], in_place: bool, read: Read, clash: Clash) -> list[Job]:
    """The jobs without those one of whose results would be a photo, or that of an earlier job; each photo's once.

    Args:
        clash: called with each of those, and with the photo that has the place.

    Raises:
        UsageError: a result would be in the place of what is read.
    """
    arguments = {place: name for name, files in read.items() for path in files for place in (_real(path), _place(path))}
    photos = {place: job.source for job in jobs for place in (_real(job.source), _place(job.source))}
    results: dict[Path, Path] = {}  # each with its photo
    once: dict[Path, Job] = {}  # by the place of the photo, which may have two names
    for job in jobs:
        once.setdefault(_place(job.source), job)
    left = []
    for job in once.values():
        replaced = job.source if in_place else None
        places = {(_real if path == replaced else _place)(path): path for path in job.outputs}
        for place, path in places.items():
            if place in arguments and path != replaced:
                name = arguments[place]
                raise UsageError(f"{path}: would replace what is read as `{name}`; give another `output`")
        others = (results.get(at) or (photos.get(at) if path != replaced else None) for at, path in places.items())
        if other := next(filter(None, others), None):
            clash(job, str(other))
            continue
        results |= dict.fromkeys(places, job.source)
        left.append(job)
    return left


def why_clash(job: Job, other: str) -> str:
    """A sentence on a job that is left out, as ``other``, a photo, or one of its results has a place of its results."""
    if other == str(job.source):
        return f"{job.background}: is the photo itself; give another `output`, or only `in_place`"
    way_out = "rename one of the two" + ("" if job.in_place else ", or derain it by itself with another `output`")
    if len(job.outputs) == 1:
        return f"{job.source}: its result would be {job.background}, which belongs to {other}; {way_out}"
    return f"{job.source}: one of its results, {listed(map(str, job.outputs))}, belongs to {other}; {way_out}"


def _place(path: Path) -> Path:
    """Where a file is that is written here: a link of its name is not followed."""
    return path if is_remote(path) else Path(os.path.realpath(path.parent), path.name)


def _real(path: Path) -> Path:
    return path if is_remote(path) else Path(os.path.realpath(path))
