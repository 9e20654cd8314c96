"""Whether an ONNX file can be made: told without torch, which takes seconds to load."""

from importlib.util import find_spec
from pathlib import Path

from derain.errors import UsageError

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


def check_onnx_file(out: Path, overwrite: bool) -> None:
    """
    Raises:
        UsageError: ``out`` exists, is not the name of an ONNX file, or its folder is missing.
    """
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out}: not the name of an ONNX file; give one that ends in .onnx")
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists; give `overwrite` to replace it")
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out}: is a folder, or its folder does not exist; give another name, or create the folder")


def refuse_missing_libraries() -> None:
    """
    Raises:
        UsageError: one is not installed.
    """
    if not all(map(find_spec, LIBRARIES)):
        needed = f"{', '.join(LIBRARIES[:-1])} and {LIBRARIES[-1]}"
        raise UsageError(f"export needs {needed}; install them with: pip install 'derain[onnx]'")
