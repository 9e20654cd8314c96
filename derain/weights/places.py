"""Where weights are: bundled, a file, or on the Hub."""

import os
import re
from pathlib import Path

from derain.errors import PhotoError, WeightsError
from derain.files.writing import refuse_special
from derain.weights.bundled import bundled_weights, locate_bundled
from derain.weights.hub import Reference, fetch


def locate(weights: str | Path) -> Path:
    """The file behind a name, path or place on the Hub; bundled names are checked against their digest.

    Raises:
        WeightsError: there is none, it cannot be fetched, or bundled weights are damaged.
    """
    if str(weights).startswith("hf:"):
        return fetch(Reference.parse(str(weights)))
    if not str(weights):
        raise WeightsError("the name of the weights is empty; give a bundled name or a file")
    path = Path(weights)
    if is_file_name(path) or (os.path.lexists(path) and str(weights) not in bundled_weights()):
        try:
            refuse_special(path)
        except PhotoError as error:
            raise WeightsError(str(error)) from None
        if os.path.isdir(path):
            raise WeightsError(f"{path}: is a folder; give the weights file in it")
        if not os.path.isfile(path):
            raise WeightsError(f"{path}: no such weights file")
        return path
    return locate_bundled(str(weights))


def is_file_name(path: Path) -> bool:
    """Whether it can be nothing else."""
    return path.suffix.lower() in {".safetensors", ".pth"} or path.parent != Path(".")


def check_repo(repo: str) -> None:
    """
    Raises:
        WeightsError: not of the form ``OWNER/REPO``.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise WeightsError(f"{repo}: give a repository on the Hub as OWNER/REPO")
