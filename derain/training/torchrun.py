"""Several processes that ``torchrun`` started, in step."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from derain.errors import BrokenOffError, DerainError, TrainingError, first_line, reason
from derain.restoring.devices import choose_device
from derain.signals import ending, handled
from derain.training.ranks import TORCHRUN, number_of, under_torchrun

Shared = TypeVar("Shared")
PLACE_IN_CODE = re.compile(r"\[[^]]*\]:?(\d+)?")  # and ports, which messages of gloo and NCCL begin and end with


@contextmanager
def processes(named: str) -> Iterator[tuple[int, torch.device]]:
    """Join the processes that ``torchrun`` started, if it did; gives this one's rank and device.

    Raises:
        TrainingError: there are fewer GPUs than processes, or they cannot be joined.
        UsageError: a device that is not there.
    """
    if not under_torchrun():
        yield 0, choose_device(named)
        return
    if named in ("auto", "cuda") and torch.cuda.is_available():
        local = number_of("LOCAL_RANK")
        if local >= torch.cuda.device_count():
            raise TrainingError(f"torchrun: {torch.cuda.device_count()} GPUs are too few; start no more processes")
        torch.cuda.set_device(local)
    device = choose_device(named)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"torchrun: the processes cannot be joined ({first_line(error)}); unset {', '.join(TORCHRUN)} "
            "to train with one"
        ) from None
    try:
        with interrupts_together():
            yield dist.get_rank(), device
            with together():
                dist.barrier()  # a process that leaves while another still talks to it brings both down
    finally:
        dist.destroy_process_group()


@contextmanager
def together() -> Iterator[None]:
    """For what all processes have to do at once.

    Raises:
        BrokenOffError: one of them is gone.
    """
    try:
        yield
    except RuntimeError as error:
        why = PLACE_IN_CODE.sub("", reason(error)).split(". ")[0].strip()
        raise BrokenOffError(f"torchrun: another process of this run ended or is out of reach ({why})") from None


_interrupted = threading.Event()  # whether this process was asked to end


@contextmanager
def interrupts_together() -> Iterator[None]:
    """Ctrl-C, or torchrun's order to end, reaches all processes between the same two steps; again, it comes at once.

    A process that left alone would take from the others what they have learned since the last checkpoint.
    """
    _interrupted.clear()

    def note(number: int, frame: FrameType | None) -> None:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        _interrupted.set()

    with handled(note, *ending()):
        yield


def shared_maximum(number: float) -> float:
    """The greatest of every process's numbers, so that all stop at the same step.

    Raises:
        KeyboardInterrupt: one of them was asked to end; in all of them.
        BrokenOffError: one of them is gone.
    """
    if not dist.is_initialized():
        return number
    shared = torch.tensor([number, float(_interrupted.is_set())], dtype=torch.float64)
    with together():
        dist.all_reduce(shared, dist.ReduceOp.MAX)
    if shared[1]:
        raise KeyboardInterrupt
    return float(shared[0])


def from_first(make: Callable[[], Shared]) -> Shared:
    """What the first process makes, for all of them; what it raises of :class:`DerainError` is raised in all."""
    if not dist.is_initialized():
        return make()
    found: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            found[0] = make()
        except DerainError as error:
            found[1] = error
    with together():
        dist.broadcast_object_list(found, device=torch.device("cpu"))
    if found[1]:
        raise found[1]
    made: Shared = found[0]
    return made


def average(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Mean of each gradient over the processes (data parallelism)."""
    if dist.is_initialized():
        flat = torch.cat([g.flatten() for g in gradients])
        shared = flat.cpu() if flat.device.type == "mps" else flat  # which gloo does not know
        with together():
            dist.all_reduce(shared)
        flat = shared.to(flat.device) / dist.get_world_size()
        pieces = flat.split([g.numel() for g in gradients])
        return tuple(p.view_as(g) for p, g in zip(pieces, gradients))
    return gradients
