"""Where finetuning writes, and whether it may: told without torch, which takes seconds to load."""

import os
from pathlib import Path

from derain.errors import UsageError
from derain.files.writing import hindrance
from derain.training.places import CHECKPOINT, has_checkpoint

SUMMARY = "summary.html"
WORK_SUFFIX = ".finetune"  # of a folder whose previews are no photos of the user's
LEAST_PHOTOS = 4
INTERRUPTED = "interrupted"  # an empty file: the weights that were handed back are not the end


def work_folder(out: Path) -> Path:
    """Where the run that makes ``out`` has its checkpoint, log, previews and summary."""
    return out.with_suffix(WORK_SUFFIX)


def check_result(out: Path, given: tuple[Path, ...], resume: bool, overwrite: bool) -> None:
    """
    Raises:
        PhotoError: nothing can be written there.
        UsageError: not a name of weights, results that exist, or in the place of what is ``given``.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the result is a weights file; give a name that ends in .safetensors")
    work = work_folder(out)
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; give the name of a file")
    if os.path.lexists(work) and not work.is_dir():
        raise UsageError(f"{work}: is not a folder, but the run needs one of that name; give another `out`")
    for path in given:
        if {out.resolve(), work.resolve()} & {path.resolve(), *path.resolve().parents}:
            raise UsageError(f"{out}: with {work.name} beside it, it would replace {path}; give another `out`")
    for written in (out, work / SUMMARY):
        if error := hindrance(written, "give another `out`"):
            raise error
    if resume:
        if out.exists() and not has_checkpoint(work) and not (work / INTERRUPTED).exists():
            raise UsageError(f"{out}: is finished; there is nothing to resume; give `overwrite` to start over")
        return
    for path in (out, work / CHECKPOINT, work / SUMMARY):
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path}: exists; give `resume` to continue, `overwrite` to replace it, or another `out`")
