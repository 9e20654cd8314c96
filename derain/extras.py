"""Optional features: what each needs besides derain, and the line that installs it."""

from importlib import import_module
from importlib.util import find_spec

from derain.errors import UsageError, reason

MODULES = {
    "heic": ("pillow_heif",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "serve": ("starlette", "uvicorn", "python_multipart", "prometheus_client"),
    "ray": ("ray",),
    "cloud": ("upath", "fsspec", "s3fs", "gcsfs", "aiohttp"),
}


def missing(extra: str) -> str:
    """What an optional feature lacks, and what to do, as a part of a sentence; empty if all is installed.

    Nothing is imported, so a library that is there and broken is not noticed.
    """
    there = all(map(find_spec, MODULES[extra]))
    return "" if there else f"needs an extra; install it with: pip install 'derain[{extra}]'"


def check_extra(extra: str, what: str) -> None:
    """
    Args:
        what: needs it, for the message.

    Raises:
        UsageError: it is not installed, or cannot be loaded.
    """
    if lack := missing(extra):
        raise UsageError(f"{what} {lack}")
    for name in MODULES[extra]:
        try:
            import_module(name)
        except ImportError as error:
            raise UsageError(f"{what} cannot load {name} ({reason(error)}); reinstall it") from None
