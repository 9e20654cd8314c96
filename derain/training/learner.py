"""What the training loop asks of a preset, and of who looks on."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from derain.training.crops import Crops


class Learner(Protocol):
    """What a preset brings to the loop."""

    @property
    def result(self) -> Any:
        """The model that is saved."""

    @property
    def photos(self) -> list[Crops]:
        """Photos of its own, beside the rainy and the clean ones."""

    def prepare(self, rng: np.random.Generator, step: int, progress: float, rainy: Crops, clean: Crops) -> Any:
        """The batch of a step."""

    def losses(self, batch: Any) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """Optimisers with the losses each is to lower, in order; each is stepped before the next is asked for."""

    def learning_rate(self, progress: float) -> float:
        """Share of the peak rate at ``progress`` in [0, 1]."""

    def after_step(self, step: int) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


class Onlooker(Protocol):
    """Looks at the result whenever a checkpoint is written, and may end the run; its memory is in the checkpoint."""

    @property
    def seconds(self) -> float:
        """That the last look will take."""

    def look(self, step: int, progress: float, model: Any) -> bool:
        """True to end the run."""

    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...
