"""Files that `derain eval` writes: refused before any work, then written whole or not at all; ``-`` is stdout."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from derain.cli.terminal import say_error, tell_text
from derain.errors import PhotoError, UsageError, unreadable
from derain.files.sparing import check_file
from derain.files.writing import NEW_FILE, is_special, make_folder, write_named
from derain.photos import SUFFIXES
from derain.text import encoded
from derain.video.naming import is_clip
from derain.weights import bundled_folder


def refuse_unwritable(files: list[Path], overwrite: bool, read: Mapping[str, Iterable[Path]]) -> None:
    """Before any work.

    Args:
        read: what is read, by the argument that names it.

    Raises:
        PhotoError: a file cannot be written where it is to be.
        UsageError: it is a folder, is there already and may not be replaced, or is read; or two go to one place.
    """
    places = [path if is_stdout(path) else path.resolve() for path in files]
    for path in (path for path, place in zip(files, places) if places.count(place) > 1 and str(path) != os.devnull):
        raise UsageError(f"{path}: cannot hold two outputs; give each its own file")
    for path in (path for path in files if not (is_stdout(path) or is_special(path))):
        check_file(path, read)
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path}: already exists; give another name or --overwrite")


def pictures_at(path: Path) -> list[Path]:
    """A photo or a clip, or those in a folder.

    Raises:
        UsageError: the folder cannot be read.
    """
    if not path.is_dir():
        return [path]
    try:
        return [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES or is_clip(file)]
    except OSError as error:
        raise UsageError(f"{path}: {unreadable(error)}") from None


def files_of(weights: Iterable[str]) -> list[Path]:
    """Where weights are, by path or as bundled ones."""
    return [path for name in weights for path in (Path(name), bundled_folder() / f"{name}.safetensors")]


def is_stdout(path: Path) -> bool:
    return str(path) in ("-", "/dev/stdout")


def write_all(outputs: Mapping[Path | None, Callable[[], str]], mode: int = NEW_FILE) -> bool:
    """Write each file that is wanted; whether none failed, which is said.

    Args:
        mode: as :func:`~derain.files.writing.write_bytes` has it.
    """
    failed = False
    for path, text in outputs.items():
        try:
            if path:
                write(path, text(), mode)
        except PhotoError as error:
            say_error(error)
            failed = True
    return not failed


def write(path: Path, text: str, mode: int = NEW_FILE) -> None:
    """To a file, whole or not at all, or with ``-`` to stdout.

    Raises:
        PhotoError: the file cannot be written.
    """
    content = encoded(text)
    if is_stdout(path):
        tell_text(content.decode().removesuffix("\n"))
    else:
        make_folder(path.parent)
        write_named(path, content, mode)
