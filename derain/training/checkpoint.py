"""Checkpoints that survive a kill at any moment."""

from pathlib import Path
from typing import Any

import torch

from derain.errors import TrainingError
from derain.files.writing import atomic

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``folder/checkpoint.pt`` whole or not at all."""
    with atomic(folder / NAME) as part:
        torch.save(state, part)


def exists(folder: Path) -> bool:
    return (folder / NAME).is_file()


def load_checkpoint(folder: Path, preset: str) -> dict[str, Any]:
    """Read it back, without executing code: config, learner, step, seconds and perhaps onlooker.

    Raises:
        TrainingError: there is none, it is damaged, or it belongs to another preset.
    """
    path = folder / NAME
    if not path.is_file():
        raise TrainingError(f"{path}: no checkpoint to resume; leave out `resume` to start anew")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["config"]["preset"]
        state["learner"]
        state["step"], state["seconds"] = int(state["step"]), float(state["seconds"])
        state["trained"] = float(state.get("trained", state["seconds"]))  # older checkpoints count the loop alone
    except Exception as error:  # torch.load raises many kinds, all of which mean a damaged file
        raise TrainingError(f"{path}: damaged or not a checkpoint of derain ({type(error).__name__})") from None
    if saved != preset:
        raise TrainingError(f"{path}: is of preset {saved!r}, not {preset!r}; give `preset` {saved} or another `out`")
    return state
