"""The best weights of a finetuning so far, by its judge."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from derain.models.contract import Derainer
from derain.training.judge import Judge, Scores
from derain.weights import fingerprint

NOTICED = 0.02  # dB by which a judgement has to be better to count as improvement
PATIENCE = 12  # judgements without improvement that end the run


class Best:
    """The best weights so far by the judge; see :class:`derain.training.learner.Onlooker`."""

    def __init__(self, judge: Judge, shares: list[float], say: Callable[[str], None]) -> None:
        self.judge, self.shares, self.say = judge, shares, say
        self.tensors: dict[str, torch.Tensor] | None = None
        self.scores, self.step, self.gain, self.waited = judge.start, 0, 0.0, 0
        self.looked = False
        self.start = fingerprint(judge.network)

    def look(self, step: int, progress: float, model: Derainer) -> bool:
        """Judge weights on the way from the start to those so far."""
        before, self.looked = self.gain, True
        start = {name: tensor.float() for name, tensor in self.judge.network.state_dict().items()}
        probe = copy.deepcopy(self.judge.network)
        for share in self.shares:
            tensors = {n: start[n].lerp(t.float(), share) for n, t in model.state_dict().items()}
            probe.load_state_dict(tensors)
            scores = self.judge.scores(probe)
            if (gain := self.judge.gain(scores)) > self.gain:
                kept = {name: tensor.cpu().clone() for name, tensor in tensors.items()}
                self.tensors, self.scores, self.step, self.gain = kept, scores, step, gain
        self.waited = 0 if self.gain > before + NOTICED else self.waited + 1
        self.say(f"step {step}: {described(self.judge.start, self.scores)}")
        return self.waited >= PATIENCE

    def state(self) -> dict[str, Any]:
        return {
            "tensors": self.tensors,
            "scores": asdict(self.scores),
            "step": self.step,
            "gain": self.gain,
            "waited": self.waited,
            "start": self.start,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.looked = True
        self.tensors, self.step, self.gain = state["tensors"], state["step"], state["gain"]
        self.scores, self.waited = Scores(**state["scores"]), state["waited"]


def described(before: Scores, after: Scores) -> str:
    """Scores for people, those of the start first."""
    return (
        f"re-pasted rain {before.repasted:.2f} -> {after.repasted:.2f} dB, "
        f"rain like it on clean pictures {before.matched:.2f} -> {after.matched:.2f} dB, "
        f"rain left {before.rain_left:.2f} -> {after.rain_left:.2f}, "
        f"unchanged elsewhere {before.unchanged:.1f} -> {after.unchanged:.1f} dB, "
        f"rendered rain {before.rendered:.2f} -> {after.rendered:.2f} dB"
    )
