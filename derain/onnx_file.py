"""Whether an ONNX file can be made: told without torch, which takes seconds to load."""

import os
from pathlib import Path

from derain.errors import UsageError
from derain.files.sparing import check_file


def check_onnx_file(out: Path, overwrite: bool, weights: str | Path) -> None:
    """
    Raises:
        PhotoError: ``out`` cannot be written where it is to be.
        UsageError: it exists, is not the name of an ONNX file, or holds the ``weights``.
    """
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out}: not the name of an ONNX file; give one that ends in .onnx")
    check_file(out, {"weights": [Path(weights)]}, "give another `out`")
    if os.path.lexists(out) and not overwrite:
        raise UsageError(f"{out}: exists; give `overwrite` to replace it")
