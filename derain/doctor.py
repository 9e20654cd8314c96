"""What derain finds on this machine, for a bug report."""

import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch
from PIL import features

import derain
from derain.errors import DerainError, PhotoError, UsageError
from derain.evaluation.benchmark import PICTURE_SIDE, seconds_for
from derain.photos.coded import heif_library
from derain.restoring.devices import choose_device, name_of, trouble
from derain.restoring.restorer import Restorer, precisions_of
from derain.weights import about, bundled_weights, load

LIBRARIES = ("torch", "pillow", "opencv-python-headless", "av", "numpy", "safetensors", "huggingface-hub", "typer")
CODECS = {"JPEG": "jpg", "PNG": "zlib", "WebP": "webp", "TIFF": "libtiff", "AVIF": "avif"}


def examine() -> Iterator[tuple[str, str]]:
    """What was looked at and what was found: versions, devices with a measured speed, codecs, weights.

    Problems are findings too: nothing is raised.
    """
    yield "derain", derain.__version__
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    yield "libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    if not torch.cuda.device_count():
        yield "device cuda", f"no; {trouble('cuda')}"
    for device in devices():
        yield f"device {device}", f"{name_of(device)}, {_speed(device)}"
    found = {name: features.check(codec) for name, codec in CODECS.items()} | {"BMP": True}  # which needs no library
    yield "codecs", ", ".join(f"{name} {'yes' if known else 'no'}" for name, known in found.items())
    yield "HEIC", _heic()
    for name in bundled_weights():
        yield f"weights {name}", _weights(name)


def devices() -> list[torch.device]:
    """The CPU and every accelerator that torch can use here."""
    found = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    for name in ("mps", "cpu"):
        with suppress(UsageError):
            found.append(choose_device(name))
    return found


def _speed(device: torch.device) -> str:
    """The second of two pictures counts: the first warms up."""
    try:
        model = load("derain", device)
        restorers = {precision: Restorer(model, precision) for precision in precisions_of(model)}
        spent = {name: [seconds_for(restorer) for _ in range(2)][1] for name, restorer in restorers.items()}
    except (DerainError, RuntimeError) as error:
        return f"fails: {error}"
    speeds = (f"{PICTURE_SIDE * PICTURE_SIDE / 1e6 / seconds:.1f} in {name}" for name, seconds in spent.items())
    return f"megapixels/s: {', '.join(speeds)}"


def _weights(name: str) -> str:
    try:
        load(name)
        found = about(name)
    except DerainError as error:
        return f"unusable: {error}"
    return f"{found['bytes'] / 1e6:.1f} MB, intact, SHA-256 {found['sha256']}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _heic() -> str:
    try:
        heif_library()
    except PhotoError as error:
        return f"no; {error}"
    return "yes"
