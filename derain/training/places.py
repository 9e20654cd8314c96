"""Files of a run, by name, and whether it can begin: known without torch, which takes seconds to load."""

import os
from pathlib import Path

from derain.errors import TrainingError
from derain.files.writing import hindrance

CHECKPOINT = "checkpoint.pt"
PREVIEWS = "previews"


def has_checkpoint(folder: Path) -> bool:
    return (folder / CHECKPOINT).is_file()


def weights_in(out: Path, preset: str) -> Path:
    return out / f"{preset}.safetensors"


def check_run(out: Path, preset: str, resume: bool, photos: tuple[Path, ...]) -> None:
    """A run that is there already is only continued, never overwritten, and none is put among the ``photos``.

    Raises:
        PhotoError: nothing can be written there.
        TrainingError: ``out`` is no folder or one of photos, holds a run or weights already, or none to resume.
    """
    for written in (out, out / PREVIEWS):
        if written.resolve() in {folder.resolve() for folder in photos}:
            raise TrainingError(f"{written}: is the folder of the photos; give another `out`")
    if os.path.lexists(out) and not out.is_dir():
        raise TrainingError(f"{out}: is not a folder; give another `out`")
    if resume and not has_checkpoint(out):
        raise TrainingError(f"{out / CHECKPOINT}: no checkpoint to resume; leave out `resume` to start over")
    if not resume and has_checkpoint(out):
        raise TrainingError(f"{out}: already holds a run; give `resume` to continue it, or another `out`")
    if not resume and os.path.lexists(weights := weights_in(out, preset)):
        raise TrainingError(f"{weights}: exists and would be replaced; give another `out`")
    if error := hindrance(out / CHECKPOINT, "give another `out`"):
        raise error


def of_one_folder(rainy: Path, clean: Path) -> list[str]:
    """A sentence if the photos without rain are the rainy ones."""
    if rainy.resolve() != clean.resolve():
        return []
    return [f"{clean}: also holds the rainy photos, from which the network learns to keep rain; give others as `clean`"]
