"""What the training loop asks of a preset, and of who looks on; the network that a training begins with."""

from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from derain.errors import TrainingError
from derain.models import PRESETS, build, describe
from derain.models.contract import Derainer
from derain.models.deployable import DerainNet
from derain.training.clock import Clock
from derain.training.crops import Crops, Room
from derain.weights import load

if TYPE_CHECKING:
    from derain.training.config import TrainConfig

Batch = TypeVar("Batch")  # a dataclass of the learner's own
Made = TypeVar("Made", covariant=True)


class Recipe(Protocol[Made]):
    """Makes batches, in this process or, as it can be pickled, in others."""

    def __call__(self, rng: np.random.Generator, step: int, progress: float) -> Made:
        """The batch of a step; all that is random in it comes from ``rng``."""


class Learner(Protocol[Batch]):
    """What a preset brings to the loop."""

    def __init__(
        self, config: "TrainConfig", device: torch.device, clock: Clock | None = None, room: Room | None = None
    ) -> None: ...

    @staticmethod
    def problem(config: "TrainConfig") -> str | None:
        """Why it cannot learn with these settings, such as ``crop = 16: must be 32 at least``; ``None`` if it can."""

    @property
    def result(self) -> Derainer:
        """The model that is saved."""

    @property
    def photos(self) -> list[Crops]:
        """Photos of its own, beside the rainy and the clean ones."""

    def due(self, progress: float) -> bool:
        """Whether what batches are made of is to be renewed before the next of them."""

    def renew(self, rng: np.random.Generator, progress: float, rainy: Crops, say: Callable[[str], None]) -> None: ...

    def recipe(self, rainy: Crops, clean: Crops) -> Recipe[Batch]:
        """Of batches, until they are to be made of something else."""

    def losses(self, batch: Batch) -> Iterator[tuple[torch.optim.Optimizer, dict[str, Tensor]]]:
        """Optimisers with the losses each is to lower, in order; each is stepped before the next is asked for."""

    def distances(self, losses: dict[str, float]) -> dict[str, float]:
        """How far losses are above the least that they can be, to be logged beside them: at 0 they teach nothing."""

    def learning_rate(self, progress: float) -> float:
        """Share of the peak rate at ``progress`` in [0, 1]."""

    def begin_step(self, step: int) -> None: ...

    def end_step(self) -> None:
        """What follows the optimisers; on a GPU it is recorded with them, so that numbers of a step are set before."""

    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


def learner_of(preset: str) -> type[Learner[Any]]:
    """The class that teaches the preset's network."""
    learner: type[Learner[Any]] = resolve_name(PRESETS[preset].learner_name)
    return learner


class Onlooker(Protocol):
    """Looks at the result whenever a checkpoint is written, and may end the run; its memory is in the checkpoint."""

    @property
    def seconds(self) -> float:
        """Seconds that the last look will take."""

    def look(self, step: int, progress: float, model: Derainer) -> bool:
        """True to end the run."""

    def state(self) -> dict[str, Any]: ...
    def load_state(self, state: dict[str, Any]) -> None: ...


def first_network(config: "TrainConfig") -> Derainer:
    """A new network of the preset, or the one whose weights ``config.start`` names.

    Raises:
        TrainingError: those weights are of another preset.
        WeightsError: there are no such weights, or no such model.
    """
    if not config.start:
        return build(config.preset, config.model)
    network = load(config.start)
    if isinstance(network, DerainNet):
        network.forget_ranges()
    preset, architecture = describe(network)
    if preset != config.preset:
        raise TrainingError(f"{config.start}: is of preset {preset!r}; give `preset` {preset}")
    if config.model:
        network = grown(network, build(preset, architecture | config.model), config.start)
    return network.train().requires_grad_(True)


def grown(network: Derainer, larger: Derainer, name: str) -> Derainer:
    """``larger`` with the weights of ``network``, which it equals as long as what it adds are residual blocks.

    Raises:
        TrainingError: it is no larger one of the same widths.
    """
    try:
        fits = not larger.load_state_dict(network.state_dict(), strict=False).unexpected_keys
    except RuntimeError:  # of other widths
        fits = False
    if not fits:
        raise TrainingError(f"{name}: does not fit into model; give its widths, and no fewer blocks")
    return larger


def adam_options(device: torch.device) -> dict[str, bool]:
    """How an optimiser of the Adam family is made so that its steps are fast, and on a GPU can be recorded."""
    return {"cuda": {"fused": True, "capturable": True}, "cpu": {"fused": True}}.get(device.type, {})


def load_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Go on with a saved optimiser's moments; its settings are those of this run and of this device."""
    optimiser.load_state_dict({"state": saved["state"], "param_groups": optimiser.state_dict()["param_groups"]})
