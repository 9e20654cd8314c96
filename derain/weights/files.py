"""Weights as files: self-describing safetensors, the bundled ones by name, and the public NLCL ``.pth`` files."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as as_bytes

from derain.errors import WeightsError
from derain.files.writing import write_bytes
from derain.models import describe, network_of
from derain.models.contract import LARGEST_NUMBER, Derainer
from derain.restoring.devices import choose_device, place
from derain.text import listed
from derain.weights import public
from derain.weights.checksums import sha256
from derain.weights.header import FORMAT_VERSION, naming, opened, read_header, without_paths
from derain.weights.places import locate


def load(weights: str | Path = "derain", device: str | torch.device = "cpu") -> Derainer:
    """A model ready to use: ``background, rain = load()(image)``.

    Args:
        weights: the name of bundled weights, a ``.safetensors`` file that derain wrote, a public NLCL ``.pth`` file, or
            ``hf:OWNER/REPO[@REVISION][/FILE]`` on the Hugging Face Hub.
        device: where to put the model: auto, cpu, cuda, cuda:1, mps, or one of torch's.

    Raises:
        UsageError: a device that is unknown or not there.
        WeightsError: there are no such weights, derain cannot use them, or bundled ones have a wrong SHA-256 digest.
    """
    device = choose_device(device) if isinstance(device, str) else device
    path = locate(weights)
    model = place(_read(path), device).eval().requires_grad_(False)
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


def verify(weights: str | Path) -> str:
    """The SHA-256 digest of weights, once they are known to be intact.

    Raises:
        WeightsError: as :func:`load`.
    """
    path = locate(weights)
    _read(path)
    return sha256(path)


def save(model: Derainer, path: Path, training: dict[str, Any] | None = None) -> None:
    """Write a self-describing checkpoint; float32 is stored as float16, of paths in ``training`` only the last part.

    Raises:
        PhotoError: the file cannot be written.
        WeightsError: the network has numbers that float16 cannot hold.
    """
    preset, config = describe(model)
    header = {"format": FORMAT_VERSION, "preset": preset, "config": config, "training": without_paths(training or {})}
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in model.state_dict().items()}
    with naming(path):
        refuse_not_finite(tensors)
    write_bytes(path, as_bytes(tensors, metadata={"derain": json.dumps(header)}))


def refuse_not_finite(tensors: dict[str, torch.Tensor]) -> None:
    """
    Raises:
        WeightsError: some of their numbers are not finite, or larger than float16 holds.
    """
    if bad := [name for name, tensor in tensors.items() if not tensor.abs().max() <= LARGEST_NUMBER]:
        raise WeightsError(f"holds numbers that are not finite or too large, in {listed(bad)}")


def _read(path: Path) -> Derainer:
    """The network in a file; its header, shapes and numbers are checked."""
    if public.is_public(path):
        preset, config, tensors = "nlcl", public.PUBLIC_CONFIG, public.read_tensors(path)
    else:
        header = read_header(path)
        preset, config = header["preset"], header["config"]
        with opened(path) as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    with naming(path):
        refuse_not_finite(tensors)
    model = network_of(preset, config)  # whose shapes are those of the tensors
    model.load_state_dict(tensors)
    return model
