"""The ``.pth`` files of the public NLCL implementation."""

import re
import warnings
import zipfile
from pathlib import Path

import torch

from derain.weights.header import FLOAT_DTYPES, Described, naming, refuse_misfit
from derain.weights.kinds import not_weights

PUBLIC_CONFIG = {"keep_colours": False}  # of the public network
LARGEST_FILE = 2**23  # bytes, unpacked; the public ones have 1.3 MB


def is_public(path: Path) -> bool:
    return path.suffix.lower() == ".pth"


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of the public implementation's background generator; the rain generator is not needed to run."""
    try:
        _refuse_large(path)
        with warnings.catch_warnings(action="ignore"):
            stored = torch.load(path, map_location="cpu", weights_only=True)
        renamed = {_from_public(name): tensor for name, tensor in stored.items()}
        found = {name: Described(_kind(tensor), tuple(tensor.shape)) for name, tensor in renamed.items()}
    except Exception:  # torch.load raises many kinds, all of which mean that the file is no such thing
        raise not_weights(path, "the public NLCL weights") from None
    both = ("background_generator", "rain_generator")
    with naming(path):
        refuse_misfit({f"{g}.{name}": each for g in both for name, each in found.items()}, "nlcl", PUBLIC_CONFIG)
    return {f"{g}.{name}": tensor.float() for g in both for name, tensor in renamed.items()}


def _refuse_large(path: Path) -> None:
    """
    Raises:
        ValueError: a file that holds, or unpacks to, more than the public weights could.
    """
    size = path.stat().st_size
    if size <= LARGEST_FILE and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            size = sum(each.file_size for each in packed.infolist())
    if size > LARGEST_FILE:
        raise ValueError(f"{size} bytes")


def _kind(tensor: torch.Tensor) -> str:
    """As :class:`Described` has it; empty for what is no plain tensor of numbers."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return ""
    return next((name for name, dtype in FLOAT_DTYPES.items() if dtype is tensor.dtype), "")


def _from_public(name: str) -> str:
    """``gen.1.model.0.conv.weight`` to ``levels.1.first.weight``."""
    name = re.sub(r"model\.0\.conv|conv\.0", "first", name)
    name = re.sub(r"model\.1\.conv|conv\.3", "second", name)
    return name.replace("gen.", "levels.", 1)
