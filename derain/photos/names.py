"""Photos by the names of their files."""

import os
from collections.abc import Container, Iterable
from pathlib import Path

from derain.errors import PhotoError
from derain.files.marks import MARKS
from derain.files.places import place
from derain.given import check_several, to_path
from derain.photos.formats import FORMATS

SUFFIXES = frozenset(FORMATS)


def find_photos(folder: str | Path) -> list[Path]:
    """Photos directly in ``folder``, by suffix, sorted by name; hidden files are left out."""
    found = to_path("folder", folder).iterdir()
    return sorted(p for p in found if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def without_results(files: Iterable[str | Path], marks: tuple[str, ...] = MARKS) -> list[Path]:
    """The files without those that, by their names, derain made from another of them."""
    check_several("files", files)
    paths = [to_path("files", file) for file in files]
    results = results_among(paths, marks)
    return [file for file in paths if file not in results]


def left_out(results: dict[Path, Path]) -> list[str]:
    """A sentence for each of the results that :func:`results_among` found."""
    return [f"{path}: left out because it is a result of {photo.name}" for path, photo in results.items()]


def results_among(files: list[Path], marks: tuple[str, ...] = MARKS) -> dict[Path, Path]:
    """Those files that, by their names, derain made of another of them, each with that one, beside which it lies.

    Where there are several of a name, it is the one that ends as the result does.
    """
    made = {(file.parent, file.stem + mark): file for file in reversed(files) for mark in marks}
    there, found = set(files), dict[Path, Path]()
    for file in files:
        if photo := made.get((file.parent, file.stem)):
            alike = photo.with_suffix(file.suffix)
            found[file] = alike if alike in there else photo
    return found


def made_of(name: str, marks: tuple[str, ...], names: Container[str], endings: Iterable[str]) -> str | None:
    """As :func:`results_among` of one file among ``names`` that end so; ``None`` if it is a result of none of them."""
    stem, end = os.path.splitext(name)
    bases = (stem.removesuffix(mark) for mark in marks if stem.endswith(mark))
    found = (base + e for base in bases if os.path.basename(base) for e in (end, *endings))
    return next((other for other in found if other in names), None)


def format_of(path: str | Path) -> str:
    """Pillow's name of the format that the suffix names.

    Raises:
        PhotoError: the suffix is not that of a photo.
    """
    path = place(path)
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise PhotoError(f"{path}: the output must end in one of {' '.join(sorted(SUFFIXES))}") from None
