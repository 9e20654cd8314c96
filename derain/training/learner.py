"""What the training loop asks of a preset, and of who looks on."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from derain.models import PRESETS
from derain.models.contract import Derainer
from derain.training.clock import Clock
from derain.training.crops import Crops

if TYPE_CHECKING:
    from derain.training.config import TrainConfig

Batch = TypeVar("Batch")  # a dataclass of the learner's own


class Learner(Protocol[Batch]):
    """What a preset brings to the loop."""

    def __init__(self, config: "TrainConfig", device: torch.device, clock: Clock | None = None) -> None: ...

    @staticmethod
    def problem(config: "TrainConfig") -> str | None:
        """Why it cannot learn with these settings, such as ``crop = 16: must be 32 at least``; ``None`` if it can."""

    @property
    def result(self) -> Derainer:
        """The model that is saved."""

    @property
    def photos(self) -> list[Crops]:
        """Photos of its own, beside the rainy and the clean ones."""

    def prepare(self, rng: np.random.Generator, step: int, progress: float, rainy: Crops, clean: Crops) -> Batch:
        """The batch of a step."""

    def losses(self, batch: Batch) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """Optimisers with the losses each is to lower, in order; each is stepped before the next is asked for."""

    def learning_rate(self, progress: float) -> float:
        """Share of the peak rate at ``progress`` in [0, 1]."""

    def after_step(self, step: int) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


def learner_of(preset: str) -> type[Learner[Any]]:
    """The class that teaches the preset's network."""
    learner: type[Learner[Any]] = resolve_name(PRESETS[preset].learner)
    return learner


class Onlooker(Protocol):
    """Looks at the result whenever a checkpoint is written, and may end the run; its memory is in the checkpoint."""

    @property
    def seconds(self) -> float:
        """That the last look will take."""

    def look(self, step: int, progress: float, model: Derainer) -> bool:
        """True to end the run."""

    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...
