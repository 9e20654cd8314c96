"""Weights as files: self-describing safetensors, the bundled ones by name, and the public NLCL ``.pth`` files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as as_bytes

from derain.errors import WeightsError
from derain.files.writing import write_bytes
from derain.given import check_path, to_path
from derain.models import describe, network_of
from derain.models.contract import LARGEST_NUMBER, Derainer, check_model
from derain.restoring.devices import choose_device, moved_to
from derain.text import listed
from derain.weights import public
from derain.weights.bundled import digests
from derain.weights.checksums import sha256
from derain.weights.header import FORMAT_VERSION, contents_digest, naming, opened, read_header, without_paths
from derain.weights.hub import known_digest
from derain.weights.kinds import ANEW
from derain.weights.places import locate


def load(weights: str | Path = "derain", device: str | torch.device = "cpu") -> Derainer:
    """A model ready to use: ``background, rain = load()(image)``.

    Args:
        weights: the name of bundled weights, a ``.safetensors`` file that derain wrote, a public NLCL ``.pth`` file, or
            ``hf:OWNER/REPO[@REVISION][/FILE]`` on the Hugging Face Hub.
        device: where to put the model: auto, cpu, cuda, cuda:1, mps, or one of torch's.

    Raises:
        UsageError: a device that is unknown or not there, or no name of weights.
        WeightsError: there are no such weights, derain cannot use them, or they have another SHA-256 digest than is
            noted in the file, or beside bundled ones.
    """
    check_path("weights", weights)
    device = choose_device(device)
    path = locate(weights)
    model = moved_to(_read(path), device).eval().requires_grad_(False)
    model.name = f"the network of {weights}"
    return model


def about(weights: str | Path) -> dict[str, Any]:
    """What weights say about themselves: preset, architecture, training, file, bytes and SHA-256.

    Raises:
        WeightsError: as :func:`load`.
    """
    path = locate(weights)
    if public.is_public(path):
        _read(path)
        header = {"preset": "nlcl", "config": public.PUBLIC_CONFIG, "training": "not known"}
    else:
        header = read_header(path)
    return {**header, "file": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)}


@dataclass(frozen=True)
class Verified:
    """Weights that can be used."""

    sha256: str  # of the file
    compared: bool  # with a digest that was noted before; otherwise damage to single numbers cannot be told


def verified(weights: str | Path) -> Verified:
    """Weights compared with the digests in the file, in a ``SHA256SUMS`` beside it, and of the Hub.

    Raises:
        WeightsError: as :func:`load`, or the file is not that of ``SHA256SUMS``.
    """
    path = locate(weights)
    _read(path)
    found = sha256(path)
    noted = digests(path.parent).get(path.name) if (path.parent / "SHA256SUMS").is_file() else None
    if noted not in (None, found):
        raise WeightsError(f"{path}: is not the file that SHA256SUMS beside it names; download or copy it again")
    of_hub = str(weights).startswith("hf:") and known_digest(path)
    return Verified(found, bool(noted or of_hub or (not public.is_public(path) and "digest" in read_header(path))))


def save(model: Derainer, path: str | Path, training: dict[str, Any] | None = None) -> None:
    """Write a self-describing checkpoint with a digest of its contents.

    float32 is stored as float16, of paths in ``training`` only the last part.

    Raises:
        PhotoError: the file cannot be written.
        UsageError: no network, or no path.
        WeightsError: the network has numbers that float16 cannot hold.
    """
    check_model(model)
    path = to_path("path", path)
    preset, config = describe(model)
    header = {"format": FORMAT_VERSION, "preset": preset, "config": config, "training": without_paths(training or {})}
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in model.state_dict().items()}
    with naming(path):
        refuse_not_finite(tensors)
    header["digest"] = contents_digest(header, tensors)
    write_bytes(path, as_bytes(tensors, metadata={"derain": json.dumps(header)}))


def refuse_not_finite(tensors: dict[str, torch.Tensor]) -> None:
    """
    Raises:
        WeightsError: some of their numbers are not finite, or larger than float16 holds.
    """
    if bad := [name for name, tensor in tensors.items() if not tensor.abs().max() <= LARGEST_NUMBER]:
        raise WeightsError(f"holds numbers that are not finite or too large, in {listed(bad)}")


def _read(path: Path) -> Derainer:
    """The network in a file; its header, shapes and numbers are checked, and its digest where it has one."""
    if public.is_public(path):
        preset, config, tensors = "nlcl", public.PUBLIC_CONFIG, public.read_tensors(path)
    else:
        header = read_header(path)
        preset, config = header["preset"], header["config"]
        with opened(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if "digest" in header and header["digest"] != contents_digest(header, tensors):
            raise WeightsError(f"{path}: {ANEW}")
    with naming(path):
        refuse_not_finite(tensors)
    model = network_of(preset, config)  # whose shapes are those of the tensors
    model.load_state_dict(tensors)
    return model
