"""One training step: losses, gradients and optimisers; on a GPU recorded once and replayed."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import fields, replace
from typing import Any, Generic

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from derain.errors import BrokenOffError, first_line
from derain.restoring.devices import repeatable_precision
from derain.training.config import TrainConfig
from derain.training.learner import Batch, Learner
from derain.training.torchrun import average

LONGEST_GRADIENT = 5.0
WARM_UP = 3  # steps of each kind before it is recorded, in which libraries choose their kernels
Losses = dict[str, Tensor]


class Steps(Generic[Batch]):
    """The steps of a training. On a GPU they run behind this process, and losses are read only when they are shown.

    Args:
        say: called with a sentence where the steps of a GPU cannot be recorded.
    """

    def __init__(
        self, learner: Learner[Batch], config: TrainConfig, device: torch.device, say: Callable[[str], None]
    ) -> None:
        self.learner, self.config, self.device = learner, config, device
        on_gpu = device.type == "cuda"
        self.rate: Tensor | float = torch.zeros((), device=device) if on_gpu else 0.0
        self.lost: Tensor | None = torch.zeros((), device=device) if on_gpu else None
        self.losses: Losses = {}
        self.step: Callable[[Batch], Losses] = self._plain
        if on_gpu and not dist.is_initialized():  # several processes talk to each other within a step
            self.step = Recorded(self._compute, self._on_device, record_on_gpu, say)

    def __call__(self, batch: Batch, step: int, progress: float) -> None:
        """
        Raises:
            BrokenOffError: a loss or a gradient is no longer a number; the weights are those of before.
        """
        rate = self.config.lr * self.learner.learning_rate(progress)
        self.rate = self.rate.fill_(rate) if isinstance(self.rate, Tensor) else rate
        self.learner.begin_step(step)
        self.losses = self.step(batch)

    def read(self) -> dict[str, float]:
        """The losses of the last step.

        Raises:
            TrainingError: one since they were read last, or a gradient, was no number; the weights are those of before.
        """
        losses = read(self.losses)
        if self.lost is not None and float(self.lost):
            raise diverged(losses)
        return losses

    def _plain(self, batch: Batch) -> Losses:
        return self._compute(self._on_device(batch))

    def _compute(self, batch: Batch) -> Losses:
        with warnings.catch_warnings():  # an optimiser that can be recorded warns before it is
            warnings.filterwarnings("ignore", message=".*capturable=True")
            losses = descend(self.learner, batch, self.config, self.device, self.rate, self.lost)
        self.learner.end_step()
        return losses

    def _on_device(self, batch: Batch) -> Batch:
        return on_device(batch, self.device)


def descend(
    learner: Learner[Batch],
    batch: Batch,
    config: TrainConfig,
    device: torch.device,
    rate: Tensor | float,
    lost: Tensor | None = None,
) -> Losses:
    """One step of every optimiser of the learner; gives the losses by name.

    Args:
        rate: at which it learns.
        lost: where to note, on a GPU, that something is no number: no step is made from then on, and nothing is read
            back.

    Raises:
        BrokenOffError: without ``lost``, if a loss or a gradient is no longer a number; the weights are those before.
    """
    values: Losses = {}
    half, wanted = repeatable_precision(config.precision, device) == "bfloat16", learner.losses(batch)
    while True:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):  # of the forward pass alone
            found = next(wanted, None)
        if found is None:
            return values
        optimiser, losses = found
        for group in optimiser.param_groups:
            group["lr"] = rate
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        total: Tensor = sum(losses.values())  # type: ignore[assignment]
        gradients = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
        for parameter, gradient in zip(parameters, average(gradients)):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
        values |= {name: loss.detach() for name, loss in losses.items()}
        if lost is not None:
            lost.copy_(torch.maximum(lost, (~(norm + total.detach()).isfinite()).float()))
            optimiser.found_inf = lost  # type: ignore[attr-defined]  # fused optimisers make no step then
        elif not all(map(math.isfinite, (float(norm), *read(values).values()))):  # before they reach the weights
            raise diverged(read(values))
        optimiser.step()
        optimiser.zero_grad()


def read(losses: Losses) -> dict[str, float]:
    return dict(zip(losses, torch.stack([loss.float() for loss in losses.values()]).tolist())) if losses else {}


def diverged(losses: dict[str, float]) -> BrokenOffError:
    lost = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
    return BrokenOffError(f"training diverged ({lost}); give a lower `lr`")


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with tensors for its arrays; to a GPU they travel while it computes."""
    return _changed(batch, lambda array: _sendable(array, device).to(device, non_blocking=True))


def _sendable(array: "np.ndarray[Any, Any]", device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _arrays(batch: Any) -> dict[str, Any]:
    """What a batch holds by name, but for its plain values."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray | Tensor)}


def _changed(batch: Any, change: Callable[[Any], Tensor]) -> Any:
    return replace(batch, **{name: change(array) for name, array in _arrays(batch).items()})


def kind_of(batch: Any) -> Hashable:
    """What two batches have in common if the same operations are a step for both: shapes, and all but their arrays."""
    arrays = _arrays(batch)
    plain = tuple((f.name, getattr(batch, f.name)) for f in fields(batch) if f.name not in arrays)
    return plain, tuple((name, tuple(array.shape)) for name, array in arrays.items())


class Recorded(Generic[Batch]):
    """A step that is recorded for each kind of batch and then replayed, which spares starting each of its kernels.

    Args:
        step: of a batch on the device, whose operations depend on the batch's kind alone.
        place: puts a batch on the device.
        record: gives a function that repeats what its argument did, without doing it.
        say: called with a sentence if that fails; the steps are then made without.
    """

    def __init__(
        self,
        step: Callable[[Batch], Losses],
        place: Callable[[Batch], Batch],
        record: Callable[[Callable[[], Losses]], Callable[[], Losses]],
        say: Callable[[str], None],
    ) -> None:
        self.step, self.place, self.record, self.say = step, place, record, say
        self.seen: Counter[Hashable] = Counter()
        self.inputs: dict[Hashable, Batch] = {}
        self.replays: dict[Hashable, Callable[[], Losses]] = {}
        self.fails = False

    def __call__(self, batch: Batch) -> Losses:
        kind = kind_of(batch)
        self.seen[kind] += 1
        placed = self.place(batch)
        if self.fails or self.seen[kind] <= WARM_UP:
            return self.step(placed)
        if kind not in self.replays and not self._recorded(kind, placed):
            return self.step(placed)
        inputs, given = _arrays(self.inputs[kind]), _arrays(placed)
        for name, array in inputs.items():
            array.copy_(given[name], non_blocking=True)
        return self.replays[kind]()

    def _recorded(self, kind: Hashable, placed: Batch) -> bool:
        inputs = _changed(placed, torch.clone)
        try:
            replay = self.record(lambda: self.step(inputs))
        except Exception as error:  # of many kinds, by what cannot be recorded
            self.fails, why = True, first_line(error)
            self.say(f"the step cannot be recorded ({why}); training goes on, slower")
            return False
        self.inputs[kind], self.replays[kind] = inputs, replay
        return True


def record_on_gpu(step: Callable[[], Losses]) -> Callable[[], Losses]:
    """The step as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = step()

    def replay() -> Losses:
        graph.replay()
        return losses

    return replay
