"""Whether a node can do what it is to do: it sees the photos, writes beside the results, and has the same derain."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

import derain
from derain.batch import Job
from derain.errors import PhotoError, reason
from derain.files import parts
from derain.files.places import is_remote
from derain.files.writing import make_folder

ADVICE = "use storage that all nodes share, or a bucket"


@dataclass(frozen=True)
class Glance:
    """What a node is to look for; paths are absolute."""

    versions: str
    photo: Path | None = None
    folder: Path | None = None  # of a result
    token: Path | None = None  # a file that was just made there

    def trouble(self) -> str:
        """What is wrong here, if anything."""
        if self.versions != versions():
            return f"has {versions()}, not {self.versions} as here; install the same on each node"
        if self.photo and not os.path.lexists(self.photo):
            return f"cannot see {self.photo}; {ADVICE}"
        if self.token and not self.token.exists():
            return f"cannot see what is written in {self.folder}; {ADVICE}"
        if self.folder and self.folder.is_dir():
            try:
                parts.create(self.folder, 0o600).unlink()
            except OSError as error:
                return f"cannot write in {self.folder} ({reason(error)}); {ADVICE}"
        return ""


def versions() -> str:
    """Of what decides on the results."""
    return f"derain {derain.__version__} with torch {torch.__version__.partition('+')[0]}"


@contextmanager
def glance_at(job: Job) -> Iterator[Glance]:
    """What nodes are to look for on behalf of a job; places elsewhere they all see."""
    photo = None if is_remote(job.source) or not os.path.lexists(job.source) else Path(os.path.abspath(job.source))
    folder, token = None, None
    if not is_remote(job.background):
        with suppress(PhotoError, OSError):  # the job itself will fail and say why
            make_folder(job.background.parent, job.below)
            folder = Path(os.path.abspath(job.background.parent))
            token = parts.create(folder, 0o644)
    try:
        yield Glance(versions(), photo, folder, token)
    finally:
        if token:
            with suppress(OSError):
                token.unlink()
