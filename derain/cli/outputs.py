"""Files that `derain eval` writes: refused before any work, then written whole or not at all; ``-`` is stdout."""

import os
from pathlib import Path

from derain.cli.terminal import tell_text
from derain.errors import PhotoError, UsageError
from derain.files.writing import is_special, write_named
from derain.text import encoded


def refuse_existing(files: list[Path], overwrite: bool) -> None:
    """Before any work.

    Raises:
        UsageError: a file is there already and may not be replaced, its folder is missing, or two go to one place.
    """
    places = [path if is_stdout(path) else path.resolve() for path in files]
    for path in (path for path, place in zip(files, places) if places.count(place) > 1 and str(path) != os.devnull):
        raise UsageError(f"{path}: cannot hold two outputs; give each its own file")
    for path in (path for path in files if not (is_stdout(path) or is_special(path))):
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path}: already exists; give another name or --overwrite")
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent}: no such folder")


def is_stdout(path: Path) -> bool:
    return str(path) in ("-", "/dev/stdout")


def write(path: Path, text: str) -> None:
    """To a file, whole or not at all, or with ``-`` to stdout.

    Raises:
        UsageError: the file cannot be written.
    """
    content = encoded(text)
    if is_stdout(path):
        tell_text(content.decode().removesuffix("\n"))
        return
    try:
        write_named(path, content)
    except PhotoError as error:
        raise UsageError(str(error)) from None
