"""Weights as files: self-describing safetensors, the bundled ones by name, and the public NLCL ``.pth`` files."""

import hashlib
import json
import os
import re
import warnings
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as as_bytes

from derain.errors import PhotoError, WeightsError, reason
from derain.files.writing import refuse_special, write_bytes
from derain.models import build, describe
from derain.models.contract import LARGEST, Derainer
from derain.restoring.devices import place
from derain.weights.header import (
    FLOATS,
    FORMAT,
    Described,
    listed,
    naming,
    opened,
    read_header,
    refuse_misfit,
    without_paths,
)
from derain.weights.hub import Reference, fetch

PUBLIC = {"keep_colours": False}  # the public network's config
MOST_PUBLIC_BYTES = 2**23  # of a .pth file, unpacked; the public ones have 1.3 MB


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
    model = place(_read(path), device).eval().requires_grad_(False)
    model.name = f"the network of {weights}"
    return model


def locate(weights: str | Path) -> Path:
    """The file behind a name, path or place on the Hub; bundled names are checked against their digest.

    Raises:
        WeightsError: there is none, it cannot be fetched, or bundled weights are damaged.
    """
    if str(weights).startswith("hf:"):
        return fetch(Reference.parse(str(weights)))
    path = Path(weights)
    if path.suffix.lower() in {".safetensors", ".pth"} or path.parent != Path("."):
        try:
            refuse_special(path)
        except PhotoError as error:
            raise WeightsError(str(error)) from None
        if not os.path.isfile(path):
            raise WeightsError(f"{path}: no such weights file")
        return path
    folder = bundled_folder()
    found = folder / f"{weights}.safetensors"
    if not os.path.isfile(found):
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
        wrong = f"is not the expected {expected}" if expected else "is not known"
        raise WeightsError(f"{file}: its SHA-256 {wrong}; install derain again")


def bundled() -> dict[str, Path]:
    """The weights that come with derain, by name."""
    return {path.stem: path for path in sorted(bundled_folder().glob("*.safetensors"))}


def about(weights: str | Path) -> dict[str, Any]:
    """What weights say of themselves: preset, architecture, training, file, bytes and SHA-256.

    Raises:
        WeightsError: as :func:`load`.
    """
    path = locate(weights)
    if _is_public(path):
        _read(path)
        header = {"preset": "nlcl", "config": PUBLIC, "training": "not known"}
    else:
        header = read_header(path)
    return {**header, "file": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)}


def verify(weights: str | Path) -> str:
    """The SHA-256 digest of weights that are whole.

    Raises:
        WeightsError: as :func:`load`.
    """
    path = locate(weights)
    _read(path)
    return sha256(path)


def bundled_folder() -> Path:
    """``weights/`` inside an installed wheel, or of the repository in an editable install."""
    package = Path(str(resources.files("derain")))
    inside = package / "weights"
    return inside if (inside / "SHA256SUMS").is_file() else package.parent / "weights"


def digests(folder: Path) -> dict[str, str]:
    """File name to SHA-256, from ``SHA256SUMS`` in ``sha256sum``'s own format.

    Raises:
        WeightsError: that file is missing or damaged.
    """
    sums = folder / "SHA256SUMS"
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
        return {name: digest for digest, name in (line.split() for line in lines)}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{sums}: cannot be read ({reason(error)}); install derain again") from None


def sha256(path: Path) -> str:
    """
    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)})") from None


def fingerprint(model: Derainer) -> str:
    """A digest of all of the network's numbers."""
    found = hashlib.sha256()
    for tensor in model.state_dict().values():
        found.update(tensor.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def save(model: Derainer, path: Path, training: dict[str, Any] | None = None) -> None:
    """Write a checkpoint that describes itself; float32 is stored as float16, of paths in ``training`` the last part.

    Raises:
        WeightsError: the file cannot be written, or the network has numbers that float16 cannot hold.
    """
    preset, config = describe(model)
    header = {"format": FORMAT, "preset": preset, "config": config, "training": without_paths(training or {})}
    tensors = {name: t.detach().cpu().half().contiguous() for name, t in model.state_dict().items()}
    with naming(path):
        refuse_not_finite(tensors)
    try:
        write_bytes(path, as_bytes(tensors, metadata={"derain": json.dumps(header)}))
    except PhotoError as error:
        raise WeightsError(str(error)) from None


def refuse_not_finite(tensors: dict[str, torch.Tensor]) -> None:
    """
    Raises:
        WeightsError: some of their numbers are not finite, or larger than float16 holds.
    """
    if bad := [name for name, tensor in tensors.items() if not tensor.abs().max() <= LARGEST]:
        raise WeightsError(f"holds numbers that are not finite or too large, in {listed(bad)}")


def _is_public(path: Path) -> bool:
    return path.suffix.lower() == ".pth"


def _read(path: Path) -> Derainer:
    """The network in a file; its header, shapes and numbers are checked."""
    if _is_public(path):
        preset, config, tensors = "nlcl", PUBLIC, _public_tensors(path)
    else:
        header = read_header(path)
        preset, config = header["preset"], header["config"]
        with opened(path) as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    with naming(path):
        refuse_not_finite(tensors)
    model = build(preset, config)
    model.load_state_dict(tensors)
    return model


def _public_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Those of the public implementation's background generator; the rain generator is not needed to run."""
    try:
        _refuse_large(path)
        with warnings.catch_warnings(action="ignore"):
            stored = torch.load(path, map_location="cpu", weights_only=True)
        renamed = {_from_public(name): tensor for name, tensor in stored.items()}
        found = {name: Described(_kind(tensor), tuple(tensor.shape)) for name, tensor in renamed.items()}
    except Exception as error:  # torch.load raises many kinds, all of which mean that the file is no such thing
        raise WeightsError(f"{path}: not the public NLCL weights ({type(error).__name__})") from None
    both = ("background_generator", "rain_generator")
    with naming(path):
        refuse_misfit({f"{g}.{name}": each for g in both for name, each in found.items()}, "nlcl", PUBLIC)
    return {f"{g}.{name}": tensor.float() for g in both for name, tensor in renamed.items()}


def _refuse_large(path: Path) -> None:
    """
    Raises:
        ValueError: a file that holds, or unpacks to, more than the public weights could.
    """
    size = path.stat().st_size
    if size <= MOST_PUBLIC_BYTES and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            size = sum(each.file_size for each in packed.infolist())
    if size > MOST_PUBLIC_BYTES:
        raise ValueError(f"{size} bytes")


def _kind(tensor: torch.Tensor) -> str:
    """As :class:`Described` has it; empty for what is no plain tensor of numbers."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return ""
    return next((name for name, dtype in FLOATS.items() if dtype is tensor.dtype), "")


def _from_public(name: str) -> str:
    """``gen.1.model.0.conv.weight`` to ``levels.1.first.weight``."""
    name = re.sub(r"model\.0\.conv|conv\.0", "first", name)
    name = re.sub(r"model\.1\.conv|conv\.3", "second", name)
    return name.replace("gen.", "levels.", 1)
