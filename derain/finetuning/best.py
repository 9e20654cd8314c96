"""The best weights of a finetuning so far, by its judge."""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from derain.finetuning.judge import Judge, Scores
from derain.models.contract import Derainer
from derain.training.clock import OutOfTime
from derain.weights import fingerprint

LEAST_IMPROVEMENT = 0.02  # dB by which a judgement has to be better to count as improvement
JUDGING_SLACK = 1.3  # how many times longer than the last one a judgement may take
LOOKS_TIME_SHARE = 0.25  # share of the time so far that looks before the last one may have taken
PATIENCE = 12  # judgements without improvement that end the run


class Best:
    """The best weights so far by the judge; see :class:`derain.training.learner.Onlooker`."""

    def __init__(self, judge: Judge, shares: list[float], say: Callable[[str], None], start: str | None = None) -> None:
        self.judge, self.shares, self.say = judge, shares, say
        self.tensors: dict[str, torch.Tensor] | None = None
        self.scores, self.step, self.gain, self.waited = judge.start, 0, 0.0, 0
        self.tried: list[Scores] = []  # of all weights that were judged, among which these were chosen
        self.looked = False
        self.reached = 0  # the step of the last look
        self.start = start or fingerprint(judge.network)
        self._judging = 0.0  # seconds that looks have taken
        self._began = judge.clock.spent

    @property
    def seconds(self) -> float:
        """Seconds that the last look will take: of what there is for the whole run a third at the most."""
        one, most = JUDGING_SLACK * self.judge.seconds, self.judge.clock.seconds / 3
        return max(one, min(one * len(self.shares), most)) if self.judge.clock.limited else 0.0

    def look(self, step: int, progress: float, model: Derainer) -> bool:
        """Judge weights on the way from the start to those so far, as many as there is time for."""
        clock, self.reached = self.judge.clock, step
        if progress < 1 and not self._affordable():
            return False
        before, began = self.gain, clock.spent
        start = {name: tensor.float() for name, tensor in self.judge.network.state_dict().items()}
        probe = copy.deepcopy(self.judge.network)
        for share in reversed(self.shares):
            tensors = {n: start[n].lerp(t.float(), share) for n, t in model.state_dict().items()}
            probe.load_state_dict(tensors)
            try:
                if clock.left - clock.after < self.judge.seconds:
                    break
                scores = self.judge.scores(probe, clock.seconds - clock.after)
            except OutOfTime:
                break
            self.looked = True
            self.tried.append(scores)
            if (gain := self.judge.gain(scores)) > self.gain:
                kept = {name: tensor.cpu().clone() for name, tensor in tensors.items()}
                self.tensors, self.scores, self.step, self.gain = kept, scores, step, gain
        self._judging += clock.spent - began
        self.waited = 0 if self.gain > before + LEAST_IMPROVEMENT else self.waited + 1
        self.say(f"step {step}: {described(self.judge.start, self.scores)}")
        return self.waited >= PATIENCE

    def _affordable(self) -> bool:
        """Whether a look on the way leaves the time for training and the last look."""
        clock = self.judge.clock
        cost = JUDGING_SLACK * self.judge.seconds * len(self.shares)
        so_far = self._judging + cost <= LOOKS_TIME_SHARE * (clock.spent - self._began)
        return not clock.limited or (so_far and clock.left - clock.after > cost + self.seconds)

    def state(self) -> dict[str, Any]:
        return {
            "tensors": self.tensors,
            "scores": asdict(self.scores),
            "tried": [asdict(scores) for scores in self.tried],
            "step": self.step,
            "gain": self.gain,
            "waited": self.waited,
            "start": self.start,
            "begun": asdict(self.judge.start),
            "extent": asdict(self.judge.extent),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.looked = True
        self.tensors, self.step, self.gain = state["tensors"], state["step"], state["gain"]
        self.scores, self.waited = Scores.noted(state["scores"]), state["waited"]
        self.tried = [Scores.noted(scores) for scores in state.get("tried", ())]  # older checkpoints have none


def described(before: Scores, after: Scores) -> str:
    """Scores in a line, those of the start first, as far as they were measured."""
    told = (
        ("re-pasted rain", before.repasted, after.repasted, ".2f", " dB"),
        ("rain like it on clean pictures", before.matched, after.matched, ".2f", " dB"),
        ("streaks left", before.streaks_left, after.streaks_left, ".2f", ""),
        ("unchanged elsewhere", before.unchanged, after.unchanged, ".1f", " dB"),
        ("rendered rain", before.rendered, after.rendered, ".2f", " dB"),
        ("rain found by time", before.timed, after.timed, ".2f", " dB"),
    )
    return ", ".join(
        f"{what} {one:{form}} -> {other:{form}}{unit}"
        for what, one, other, form, unit in told
        if not (math.isnan(one) or math.isnan(other))
    )
