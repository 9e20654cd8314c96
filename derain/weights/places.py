"""Where weights are: bundled, a file, or on the Hub."""

import os
import re
from pathlib import Path

from derain.errors import HubError, PhotoError, WeightsError
from derain.files.writing import refuse_special
from derain.given import check_path
from derain.weights.bundled import bundled_weights, find_bundled, locate_bundled
from derain.weights.hub import REPO_FORM, Reference, fetch


def locate(weights: str | Path) -> Path:
    """The file behind a name, path or place on the Hub; bundled names are checked against their digest.

    Raises:
        UsageError: neither a name nor a path.
        WeightsError: there is none, it cannot be fetched, or bundled weights are damaged.
    """
    check_path("weights", weights)
    if str(weights).startswith("hf:"):
        return fetch(Reference.parse(str(weights)))
    return _named_file(weights) or locate_bundled(str(weights))


def refuse_unknown(weights: str | Path) -> None:
    """
    Raises:
        WeightsError: there are none of that name, as far as can be known without reading or fetching them.
    """
    if str(weights).startswith("hf:"):
        Reference.parse(str(weights))
    elif not _named_file(weights):
        find_bundled(str(weights))


def _named_file(weights: str | Path) -> Path | None:
    """The file that a path leads to; ``None`` of what is a bundled name.

    Raises:
        WeightsError: there is no file.
    """
    if not str(weights):
        raise WeightsError("the name of the weights is empty; give a bundled name or a file")
    path = Path(weights)
    if not (is_file_name(path) or (os.path.lexists(path) and str(weights) not in bundled_weights())):
        return None
    try:
        refuse_special(path)
    except PhotoError as error:
        raise WeightsError(str(error)) from None
    if os.path.isdir(path):
        raise WeightsError(f"{path}: is a folder; give the weights file in it")
    if not os.path.isfile(path):
        raise WeightsError(f"{path}: no such weights file")
    return path


def is_file_name(path: Path) -> bool:
    """Whether it can be nothing else."""
    return path.suffix.lower() in {".safetensors", ".pth"} or path.parent != Path(".")


def check_repo(repo: str) -> None:
    """
    Raises:
        WeightsError: not of the form ``OWNER/REPO``.
    """
    if not (isinstance(repo, str) and re.fullmatch(REPO_FORM, repo)):
        raise WeightsError(f"{repo}: give a repository on the Hub as OWNER/REPO")


def check_push(repo: str) -> None:
    """
    Raises:
        HubError: nothing can be uploaded, as far as can be known without asking the Hub.
        WeightsError: as :func:`check_repo`.
    """
    check_repo(repo)
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise HubError(f"hf:{repo}: cannot be written because HF_HUB_OFFLINE is set; unset that, or leave out `push`")
    if not get_token():
        raise HubError(f"hf:{repo}: cannot be written without a token; set HF_TOKEN, or log in with `hf auth login`")
