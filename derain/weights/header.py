"""What a checkpoint says of itself before its numbers, checked before anything is built or read."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from derain.errors import WeightsError, unreadable
from derain.given import deeper, to_path
from derain.models import blank
from derain.text import listed, shown
from derain.weights.kinds import ANEW, INSTEAD, is_safetensors, not_weights

FORMAT_VERSION = "1"
CHECKPOINT = "a checkpoint that derain wrote"
LARGEST_HEADER = 2**20  # bytes; derain's own have some 20 kB
DEEPEST_NESTING = 10  # of objects and lists in each other
FLOAT_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


class Described(NamedTuple):
    """A tensor as a file's header has it."""

    dtype: str  # as in :data:`FLOAT_DTYPES`, if it is one of those
    shape: tuple[int, ...]


class HeaderError(ValueError):
    """What is wrong with a header, as a part of a sentence."""


def read_header(path: str | Path) -> dict[str, Any]:
    """Format version, preset, architecture config and training summary of a checkpoint whose tensors fit them.

    Older files lack the ``digest`` of their contents.

    Raises:
        WeightsError: no checkpoint that derain wrote, one of a later version, or one that is damaged.
    """
    path = to_path("path", path)
    with opened(path) as file:
        header = parsed((file.metadata() or {}).get("derain"))
        slices = {name: file.get_slice(name) for name in file.keys()}
        found = {name: Described(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    with naming(path):
        if header["format"] != FORMAT_VERSION:
            raise WeightsError(f"format {shown(header['format'])} is not {FORMAT_VERSION}; update derain")
        refuse_misfit(found, header["preset"], header["config"])
    return header


def contents_digest(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of all that a checkpoint holds: what it says of itself, but for this digest, and its numbers."""
    said = {name: value for name, value in header.items() if name != "digest"}
    found = hashlib.sha256(json.dumps(said).encode())
    for _, tensor in sorted(tensors.items()):
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open to read.

    Raises:
        WeightsError: it is none, or what is read of it in the block is not there.
    """
    beginning = b""
    try:
        with path.open("rb") as file:
            beginning = file.read(9)
            length = int.from_bytes(beginning[:8], "little")
            if LARGEST_HEADER < length < file.seek(0, os.SEEK_END):
                raise HeaderError("its header is longer than any of derain's")
        with safe_open(path, framework="pt") as found:
            yield found
    except HeaderError as error:
        raise WeightsError(f"{path}: not {CHECKPOINT}; {error}; {INSTEAD}") from None
    except OSError as error:
        raise WeightsError(f"{path}: {unreadable(error)}") from None
    except (SafetensorError, TypeError, ValueError):
        if is_safetensors(beginning):
            raise WeightsError(f"{path}: {ANEW}") from None
        raise not_weights(path, CHECKPOINT) from None


def parsed(text: str | None) -> dict[str, Any]:
    """The JSON of a header.

    Raises:
        HeaderError: another kind of JSON, or none.
    """
    if text is None:
        raise HeaderError("its header says nothing of derain")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise HeaderError("its header is no JSON") from None
    if not isinstance(header, dict) or "format" not in header:
        raise HeaderError("its header names no format")
    if deeper(header, DEEPEST_NESTING):
        raise HeaderError("its header is nested too deep")
    if header["format"] == FORMAT_VERSION and (
        missing := [k for k in ("preset", "config", "training") if k not in header]
    ):
        raise HeaderError(f"its header has no {missing[0]}")
    return header


def refuse_misfit(found: Mapping[str, Described], preset: Any, config: Any) -> None:
    """
    Raises:
        WeightsError: a preset or config that cannot be, or tensors that are not those of its network.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in blank(preset, config).state_dict().items()}
    problems = {
        "it lacks": [name for name in wanted if name not in found],
        "its preset has no": [name for name in found if name not in wanted],
        "of another shape is": [n for n in wanted if n in found and found[n].shape != wanted[n]],
        "of another kind of number is": [n for n in wanted if n in found and found[n].dtype not in FLOAT_DTYPES],
    }
    for problem, names in problems.items():
        if names:
            raise WeightsError(f"does not fit its preset: {problem} {listed(names)}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors about weights in the block name the file."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def without_paths(value: Any) -> Any:
    """Settings with paths shortened to their last part: published weights tell nothing of a machine."""
    if isinstance(value, dict):
        return {name: without_paths(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each) for each in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, str) and not value.startswith("hf:"):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value
