"""What a run reads is never replaced by what it writes: told before any work."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from derain.errors import UsageError
from derain.files.writing import check_name, hindrance, irreplaceable


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two names are one file's: by their places, through links or as hard links."""
    return bool(_names(one) & _names(other))


def refuse_replacing(out: Path, read: Mapping[str, Iterable[Path]]) -> None:
    """
    Args:
        read: files that are read, by the argument that names them.

    Raises:
        UsageError: ``out`` is one of them, a link to one, or a hard link.
    """
    names = _names(out)
    for argument, files in read.items():
        if any(names & _names(path) for path in files):
            raise UsageError(f"{out}: would replace what is read as `{argument}`; give another name")


def check_file(out: Path, read: Mapping[str, Iterable[Path]], advice: str = "write it elsewhere") -> None:
    """
    Args:
        read: as of :func:`refuse_replacing`.
        advice: what to do where it cannot be written.

    Raises:
        PhotoError: ``out`` cannot be written where it is to be.
        UsageError: it is a folder or what is read, or its name too long.
    """
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; give the name of a file")
    refuse_replacing(out, read)
    check_name(out)
    if error := hindrance(out, advice) or irreplaceable(out, advice):
        raise error


def _names(path: Path) -> set[object]:
    """What tells whether two names are one file's."""
    found: set[object] = {os.path.join(os.path.realpath(path.parent), path.name), os.path.realpath(path)}
    with suppress(OSError):
        there = os.stat(path)
        if there.st_ino:  # which not every file system has
            found.add((there.st_dev, there.st_ino))
    return found
