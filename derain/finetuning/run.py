"""One run: what it is given, how far it came, and its folder beside the weights."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derain.errors import PhotoError, TrainingError, UsageError, unwritable
from derain.files.writing import permissions_common_to
from derain.finetuning.best import Best
from derain.finetuning.judge import Judge
from derain.finetuning.material import LEAST_JUDGING, Material, forget, remove_copies, remove_if_empty, usable_files
from derain.finetuning.places import INTERRUPTED, SUMMARY, check_result, work_folder
from derain.finetuning.verdict import MORE_PHOTOS
from derain.models.contract import Derainer
from derain.training import folder
from derain.training.clock import Clock
from derain.training.loop import Report
from derain.training.places import CHECKPOINT, has_checkpoint, weights_in

PHOTOS = "photos"
MORE_MINUTES = "more minutes"


@dataclass
class Run:
    """What a run is given, and how far it came."""

    network: Derainer  # that it starts from
    rainy: Path
    bank: Path  # photos without rain
    work: Path  # the folder beside the weights
    recipe: dict[str, Any]  # settings of the training
    scales: int  # at which rain is discovered
    blends: list[float]
    clock: Clock
    memory: dict[str, Any]  # of the sessions before; see remembered
    say: Callable[[str], None]
    report: Report | None = None
    material: Material | None = None
    judge: Judge | None = None
    best: Best | None = None
    interrupted: bool = False
    heard: list[str] = field(default_factory=list)  # what the training said

    def hear(self, sentence: str) -> None:
        self.heard.append(sentence)
        self.say(sentence)

    @property
    def lack(self) -> str:
        """What is to be given so that enough pictures judge: photos, or time if there are photos that were left out."""
        if not (self.material and self.judge):
            return MORE_PHOTOS
        held_out = sum(source.held_out for source in self.material.sources)
        if self.material.unseen or held_out >= LEAST_JUDGING > len(self.judge.trials):
            return MORE_MINUTES
        return f"{MORE_PHOTOS}, and {MORE_MINUTES}" if len(self.judge.trials) < held_out else MORE_PHOTOS


@contextmanager
def run_folder(out: Path, photos: tuple[Path, ...], start: Path, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of the run, in the end without copies of the user's pictures, and gone if nothing is left in it.

    Which the pictures were stays known only where an unfinished run can go on.

    Raises:
        PhotoError: the folder cannot be made ready.
        UsageError: results that exist, or in the place of what is given.
    """
    work = begin(out, photos, start, resume, overwrite)
    try:
        yield work
    except Exception:
        if not (resume or has_checkpoint(work)):
            forget(work / PHOTOS)
        raise
    finally:
        remove_copies(work / PHOTOS)
        remove_if_empty(work)


def begin(out: Path, photos: tuple[Path, ...], start: Path, resume: bool, overwrite: bool) -> Path:
    """The folder of the run; nothing of an earlier one is lost unasked, and nothing that the run is given ever.

    Raises:
        PhotoError: the folder cannot be made ready.
        UsageError: results that exist, or in the place of what is given.
    """
    check_result(out, (*photos, start), resume, overwrite)
    work = work_folder(out)
    try:
        if work.is_symlink():
            raise OSError(errno.ELOOP, "is a link, and results are not written through links")
        readable = permissions_common_to(file for folder in photos for file in usable_files(folder)) & 0o044
        work.mkdir(0o700 | readable | readable >> 1 | readable >> 2, parents=True, exist_ok=True)  # it shows the photos
        if not resume:
            folder.forget(work, "derain")
            forget(work / PHOTOS)
            for name in (SUMMARY, INTERRUPTED):
                (work / name).unlink(missing_ok=True)
    except OSError as error:
        raise PhotoError(f"{work}: {unwritable(error, 'prepared')}") from None
    return work


def remembered(work: Path, digest: str, start: str) -> dict[str, Any]:
    """What the checkpoint of an interrupted run knows of its best weights, and the seconds that it took; empty if there
    is none.

    Raises:
        TrainingError: it is damaged, or not of finetuning.
        UsageError: the run began with weights of another ``digest``.
    """
    if not has_checkpoint(work):
        return {}
    state = folder.load_checkpoint(work, "derain")
    memory = state.get("onlooker")
    if not isinstance(memory, dict) or {"tensors", "scores", "step", "gain", "waited"} - memory.keys():
        raise TrainingError(f"{work}: its checkpoint is not one of finetuning; give `overwrite` to start over")
    if memory.get("start", digest) != digest:  # older checkpoints do not say
        raise UsageError(f"{work}: was begun with weights other than {start}; give `resume` with the same `start`")
    return memory | {"seconds": state["seconds"], "start": digest}


def clean_up(work: Path) -> None:
    """A finished run needs neither its checkpoint nor the weights that were not the best, nor to know its photos."""
    for leftover in (work / CHECKPOINT, weights_in(work, "derain"), work / INTERRUPTED):
        leftover.unlink(missing_ok=True)
    forget(work / PHOTOS)
