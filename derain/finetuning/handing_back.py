"""What a run hands back: its best weights if they are surely better, otherwise those that it began with."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from derain.finetuning.judge import Scores
from derain.finetuning.recipe import configured
from derain.finetuning.run import Run
from derain.finetuning.verdict import verdict
from derain.models.contract import Derainer, device_of
from derain.text import counted
from derain.training.config import TrainConfig
from derain.weights import load, save

FEWEST_STEPS = 20  # from which a run can have learned something


@dataclass(frozen=True)
class HandedBack:
    """The weights that a run hands back, and how they were judged."""

    tensors: dict[str, torch.Tensor] | None  # of the starting weights if None
    before: Scores
    after: Scores
    step: int
    judged: bool
    verdict: str = ""  # what the difference is worth, in a sentence
    tried: list[Scores] = field(default_factory=list)  # of all weights that were judged

    @property
    def better(self) -> bool:
        return self.tensors is not None


def handed_back(run: Run) -> HandedBack:
    """The best weights of the run, or of the sessions before it, if they are surely better; else a sentence says why
    not.
    """
    found = best_of(run)
    if found.tensors is None:
        said = why_none(run, found)
        run.say(said)
        return replace(found, verdict=said)
    worth = replace(verdict(found.before, found.after, found.tried), lack=run.lack)
    if worth.better:
        return replace(found, verdict=str(worth))
    said = f"{worth}; you get the starting weights back"
    run.say(said)
    return HandedBack(None, found.before, found.before, 0, found.judged, said)


def best_of(run: Run) -> HandedBack:
    """What was judged to be best, however little better."""
    memory = run.memory
    if best := run.best:
        return HandedBack(best.tensors, best.judge.start, best.scores, best.step, best.looked, tried=best.tried)
    if "begun" in memory:
        before, after = Scores.noted(memory["begun"]), Scores.noted(memory["scores"])
        tried = [Scores.noted(scores) for scores in memory.get("tried", ())]
        return HandedBack(memory["tensors"], before, after, memory["step"], judged=True, tried=tried)
    return HandedBack(None, Scores.unknown(), Scores.unknown(), 0, judged=False)


def why_none(run: Run, found: HandedBack) -> str:
    """Why no weights are better than those at the start."""
    back = "you get the starting weights back"
    if run.interrupted and not found.judged:
        return f"interrupted before anything was judged: {back}"
    if not found.judged:
        return f"too little time to learn anything: {back}; give more minutes"
    if run.best and run.best.judge.clock.limited and run.best.reached < FEWEST_STEPS:
        steps = counted(run.best.reached, "step")
        return f"only {steps} fitted into the time, too few to learn anything: {back}; give more minutes"
    return f"no better than the starting weights on the held-out photos: {back}"


def save_best(run: Run, found: HandedBack, out: Path) -> Derainer:
    """Write the weights that are handed back, and give their network.

    Raises:
        PhotoError: they cannot be written.
    """
    tuned = load(run.recipe["start"], device_of(run.network))
    if found.tensors is not None:
        tuned.load_state_dict(found.tensors)
    save(tuned, out, training=noted(run, found))
    return tuned


def noted(run: Run, found: HandedBack) -> dict[str, Any]:
    """What the weights say of their training."""
    start = run.recipe["start"]
    jpeg = run.material.jpeg if run.material else (0.0, TrainConfig.jpeg_quality)
    return asdict(replace(configured(jpeg, run.recipe), device="", workers=None)) | {
        "start": Path(start).name if Path(start).is_file() else start,
        "steps": found.step,
        "finetuned": {
            "photos": len(run.material.sources) if run.material else 0,
            "before": found.before.as_dict(),
            "after": found.after.as_dict(),
        },
    }
