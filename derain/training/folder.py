"""What a training run leaves in its folder: the checkpoint, a log, previews, and the weights so far."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from derain.arrays import to_bytes
from derain.errors import PhotoError, TrainingError, WeightsError, unreadable, unwritable
from derain.files.writing import append_line, atomic, make_folder
from derain.models.contract import device_of
from derain.photos import write_photo
from derain.restoring.devices import is_out_of_memory
from derain.training.clock import Timing
from derain.training.config import TrainConfig
from derain.training.crops import Crops, to_tensor
from derain.training.learner import Learner, Onlooker
from derain.training.places import CHECKPOINT, PREVIEWS, check_run, weights_in
from derain.weights import save

LOG = "log.jsonl"
NO_MEMORY = "there is not enough memory to go on from it; close other programs"


@contextmanager
def run_folder(out: Path, preset: str, resume: bool, photos: tuple[Path, ...]) -> Iterator[None]:
    """``out`` made ready; what it holds in vain in the end, as of a run that is refused, is gone.

    Raises:
        PhotoError: as :func:`prepare_folder`.
        TrainingError: as :func:`check_run`.
    """
    try:
        prepare_folder(out, preset, resume, photos)
        yield
    finally:
        with suppress(OSError):
            (out / PREVIEWS).rmdir()


def prepare_folder(out: Path, preset: str, resume: bool, photos: tuple[Path, ...]) -> None:
    """Make ``out``; a run that is there already is only continued, never overwritten.

    Raises:
        PhotoError: it cannot be written.
        TrainingError: as :func:`check_run`.
    """
    check_run(out, preset, resume, photos)
    try:
        out.mkdir(parents=True, exist_ok=True)
        make_folder(out / PREVIEWS, below=out)
    except OSError as error:
        raise PhotoError(f"{out}: {unwritable(error)}") from None


def forget(out: Path, preset: str) -> None:
    """Remove what a run left, and nothing else."""
    previews = (out / PREVIEWS).glob("[0-9]*.jpg")
    for path in (*previews, out / CHECKPOINT, out / LOG, weights_in(out, preset)):
        path.unlink(missing_ok=True)


def keep(
    out: Path,
    config: TrainConfig,
    learner: Learner[Any],
    step: int,
    timing: Timing,
    rainy: Crops,
    onlooker: Onlooker | None = None,
) -> None:
    """Write the checkpoint, the weights so far and a preview of them.

    Raises:
        PhotoError: they cannot be written.
    """
    spent, trained = timing.clock.spent, timing.trained
    state = {
        "config": asdict(config),
        "learner": learner.state(),
        "step": step,
        "seconds": spent,  # of the whole run
        "trained": trained,  # of the loop
    }
    if onlooker:
        state["onlooker"] = onlooker.state()
    summary = asdict(replace(config, device="", workers=None)) | {"steps": step, "minutes": round(spent / 60, 1)}
    try:
        save_checkpoint(out, state)
        save(learner.result, weights_in(out, config.preset), training=summary)
        write_photo(out / PREVIEWS / f"{step:07d}.jpg", preview(learner.result, rainy))
    except OSError as error:
        raise PhotoError(f"{out / CHECKPOINT}: {unwritable(error)}") from None
    except WeightsError as error:
        raise PhotoError(str(error)) from None


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write ``folder/checkpoint.pt`` whole or not at all.

    Raises:
        OSError: the disk is full.
    """
    with atomic(folder / CHECKPOINT) as part, part.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # in torch's words, where it could not write
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load_checkpoint(folder: Path, preset: str) -> dict[str, Any]:
    """Read it back, without executing code: config, learner, step, seconds and perhaps onlooker.

    Raises:
        TrainingError: it is damaged, or it belongs to another preset.
    """
    path = folder / CHECKPOINT
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["config"]["preset"]
        state["learner"]
        state["step"], state["seconds"] = int(state["step"]), float(state["seconds"])
        state["trained"] = float(state.get("trained", state["seconds"]))  # older checkpoints count the loop alone
    except OSError as error:
        raise TrainingError(f"{path}: {unreadable(error)}") from None
    except Exception as error:  # torch.load raises many kinds, nearly all of which mean a damaged file
        damaged = "damaged or not a checkpoint of derain; give another `out` to start over"
        raise TrainingError(f"{path}: {NO_MEMORY if is_out_of_memory(error) else damaged}") from None
    if saved != preset:
        raise TrainingError(f"{path}: is of preset {saved!r}, not {preset!r}; give `preset` {saved} or another `out`")
    return state


@torch.no_grad()
def preview(model: nn.Module, rainy: Crops, count: int = 4) -> Any:
    """Rows of rainy crop, background and twice the rain layer; always the same crops."""
    rng = np.random.default_rng(0)
    crops = np.stack([np.asarray(cv2.resize(rainy.sample(rng), (256, 256)), np.float32) for _ in range(count)])
    inputs = to_tensor(crops, device_of(model))
    background, rain = model(inputs)
    strip = torch.cat([inputs, background, (rain * 2).clamp(0, 1)], dim=3)
    picture = torch.cat(list(strip), dim=1).permute(1, 2, 0).float().cpu().numpy()
    return to_bytes(picture)


class Log:
    """``log.jsonl``: one object every so many steps, after one that names what was skipped.

    A resumed run repeats the steps since its checkpoint, so what the log has of them is dropped.
    """

    def __init__(self, path: Path, rank: int, step: int, left_out: list[str]) -> None:
        self.path = path if rank == 0 else None
        if self.path and self.path.exists():
            try:
                lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
                with atomic(self.path) as partial:
                    partial.write_text("".join(line for line in lines if _step_of(line) <= step), encoding="utf-8")
            except OSError as error:
                raise PhotoError(f"{self.path}: {unwritable(error)}") from None
        if left_out:
            self._append({"skipped": left_out})

    def write(self, step: int, seconds: float, losses: dict[str, float]) -> None:
        self._append({"step": step, "seconds": round(seconds, 1), **losses})

    def tell(self, sentence: str) -> None:
        self._append({"said": sentence})

    def _append(self, entry: dict[str, Any]) -> None:
        if self.path:
            try:
                append_line(self.path, json.dumps(entry))
            except OSError as error:
                raise PhotoError(f"{self.path}: {unwritable(error)}") from None


def _step_of(line: str) -> float:
    """Of a line of the log; infinite of one that was cut as it was written, or that is no line of a log."""
    try:
        return float(json.loads(line).get("step", 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return float("inf")
