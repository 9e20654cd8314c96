"""Weights as files: self-describing safetensors, the bundled ones by name, and the public NLCL ``.pth`` files."""

import hashlib
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from derain.devices import place
from derain.errors import WeightsError
from derain.files import atomic
from derain.hub import Reference, fetch
from derain.models import build, describe
from derain.models.contract import Derainer

FORMAT = "1"


def load(weights: str | Path = "derain", device: str | torch.device = "cpu") -> Derainer:
    """A model ready to use: ``background, rain = load()(image)``.

    Args:
        weights: name of bundled weights, a ``.safetensors`` file that derain wrote, a public NLCL ``.pth`` file, or
            ``hf:OWNER/REPO[@REVISION][/FILE]`` on the Hugging Face Hub.
        device: where the model is put.

    Raises:
        WeightsError: no such weights, a file that derain cannot use, or bundled weights with a wrong SHA-256 digest.
    """
    path = locate(weights)
    model = _load_public_nlcl(path) if path.suffix == ".pth" else _load_safetensors(path)
    return place(model, device).eval().requires_grad_(False)


def locate(weights: str | Path) -> Path:
    """The file behind a name, path or place on the Hub; bundled names are checked against their digest.

    Raises:
        WeightsError: there is none, it cannot be fetched, or bundled weights are damaged.
    """
    if str(weights).startswith("hf:"):
        return fetch(Reference.parse(str(weights)))
    path = Path(weights)
    if path.suffix in {".safetensors", ".pth"} or path.parent != Path("."):
        if not os.path.isfile(path):
            raise WeightsError(f"{path}: no such weights file")
        return path
    folder = bundled_folder()
    found = folder / f"{weights}.safetensors"
    if not found.is_file():
        names = ", ".join(bundled())
        raise WeightsError(f"{weights}: no bundled weights of that name; choose one of {names}, or give a file")
    refuse_damaged(found, folder)
    return found


def refuse_damaged(file: Path, folder: Path) -> None:
    """
    Raises:
        WeightsError: a bundled file whose SHA-256 digest is not the one noted in its ``folder``.
    """
    expected = digests(folder).get(file.relative_to(folder).as_posix())
    if sha256(file) != expected:
        raise WeightsError(f"{file}: SHA-256 is not the expected {expected}; install derain again")


def bundled() -> dict[str, Path]:
    """The weights that come with derain, by name."""
    return {path.stem: path for path in sorted(bundled_folder().glob("*.safetensors"))}


def about(weights: str | Path) -> dict[str, Any]:
    """What weights say of themselves: preset, architecture, training, file, bytes and SHA-256.

    Raises:
        WeightsError: as :func:`load`.
    """
    path = locate(weights)
    header = {"preset": "nlcl", "training": "not known"} if path.suffix == ".pth" else read_header(path)
    return {**header, "file": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)}


def bundled_folder() -> Path:
    """``weights/`` inside an installed wheel, or of the repository in an editable install."""
    package = Path(str(resources.files("derain")))
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def digests(folder: Path) -> dict[str, str]:
    """File name to SHA-256, from ``SHA256SUMS`` in ``sha256sum``'s own format."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(model: Derainer) -> str:
    """A digest of all of the network's numbers."""
    found = hashlib.sha256()
    for tensor in model.state_dict().values():
        found.update(tensor.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def save(model: Derainer, path: Path, training: dict[str, Any] | None = None) -> None:
    """Write a checkpoint that describes itself; float32 is stored as float16.

    Raises:
        WeightsError: the file cannot be written.
    """
    preset, config = describe(model)
    header = {"format": FORMAT, "preset": preset, "config": config, "training": training or {}}
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in model.state_dict().items()}
    try:
        with atomic(path) as part:
            save_file(tensors, part, metadata={"derain": json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written ({error})") from None


def read_header(path: Path) -> dict[str, Any]:
    """Format version, preset, architecture config and training summary of a checkpoint.

    Raises:
        WeightsError: no checkpoint that derain wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["derain"])
        if header["format"] == FORMAT and (missing := {"preset", "config", "training"} - header.keys()):
            raise KeyError(*missing)
        return header
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: not a checkpoint that derain wrote ({error})") from None


def _load_safetensors(path: Path) -> Derainer:
    header = read_header(path)
    if header["format"] != FORMAT:
        raise WeightsError(f"{path}: format {header['format']} is not {FORMAT}; update derain")
    model = build(header["preset"], header["config"])
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    return _fill(model, tensors, path)


def _load_public_nlcl(path: Path) -> Derainer:
    """The background generator of the public implementation; the rain generator beside it is not needed to run."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        renamed = {_from_public(name): tensor for name, tensor in tensors.items()}
    except Exception as error:  # torch.load raises many kinds, all of which mean that the file is no such thing
        raise WeightsError(f"{path}: not the public NLCL weights ({type(error).__name__})") from None
    model = build("nlcl", {"keep_colours": False})
    return _fill(model, {f"{g}.{name}": t for name, t in renamed.items() for g in dict(model.named_children())}, path)


def _from_public(name: str) -> str:
    """``gen.1.model.0.conv.weight`` to ``levels.1.first.weight``."""
    name = re.sub(r"model\.0\.conv|conv\.0", "first", name)
    name = re.sub(r"model\.1\.conv|conv\.3", "second", name)
    return name.replace("gen.", "levels.", 1)


def _fill(model: Derainer, tensors: dict[str, Any], path: Path) -> Derainer:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path}: does not fit its preset ({str(error).splitlines()[-1].strip()})") from None
    return model
