"""Photos by the names of their files."""

from pathlib import Path

from derain.errors import PhotoError
from derain.photos.formats import FORMATS

SUFFIXES = frozenset(FORMATS)
MARKS = (".derained", ".rain", ".compare")  # ends of the stems of results


def find_photos(folder: Path) -> list[Path]:
    """Photos directly in ``folder``, by suffix, sorted by name; hidden files are left out."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def without_results(files: list[Path], marks: tuple[str, ...] = MARKS) -> list[Path]:
    """The files without those that, by their names, derain made from another of them."""
    results = results_among(files, marks)
    return [file for file in files if file not in results]


def left_out(results: dict[Path, Path]) -> list[str]:
    """A sentence for each of the results that :func:`results_among` found."""
    return [f"{path}: left out because it is a result of {photo.name}" for path, photo in results.items()]


def results_among(files: list[Path], marks: tuple[str, ...] = MARKS) -> dict[Path, Path]:
    """Those files that, by their names, derain made of another of them, each with that one, beside which it lies."""
    made = {(file.parent, file.stem + mark): file for file in files for mark in marks}
    return {file: made[file.parent, file.stem] for file in files if (file.parent, file.stem) in made}


def format_of(path: Path) -> str:
    """Pillow's name of the format that the suffix names.

    Raises:
        PhotoError: the suffix is not that of a photo.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise PhotoError(f"{path}: the output must end in one of {' '.join(sorted(SUFFIXES))}") from None
