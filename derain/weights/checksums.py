"""Digests of files, and of a network's numbers."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from derain.errors import WeightsError, unreadable
from derain.given import to_path

if TYPE_CHECKING:
    from derain.models.contract import Derainer


def sha256(path: str | Path) -> str:
    """
    Raises:
        WeightsError: the file cannot be read.
    """
    return digest(to_path("path", path), "sha256")


def digest(path: Path, kind: str, before: bytes = b"") -> str:
    """Of a file's bytes, as if others stood before them.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(kind, before, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: {unreadable(error)}") from None


def fingerprint(model: "Derainer") -> str:
    """A digest of all numbers in the network.

    Raises:
        UsageError: it is none.
    """
    from derain.models.contract import check_model  # which brings torch

    check_model(model)
    found = hashlib.sha256()
    for tensor in model.state_dict().values():
        found.update(tensor.detach().cpu().numpy().tobytes())
    return found.hexdigest()
