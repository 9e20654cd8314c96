"""Several processes that ``torchrun`` started, in step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from derain.errors import TrainingError, reason
from derain.restoring.devices import choose_device

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def under_torchrun() -> bool:
    """Whether ``torchrun`` started this process; schedulers set some of its variables, it sets all."""
    return all(os.environ.get(name) for name in TORCHRUN)


def number_of(variable: str) -> int:
    """The whole number in one of torchrun's variables.

    Raises:
        TrainingError: it is none.
    """
    try:
        return int(os.environ[variable])
    except ValueError:
        raise TrainingError(f"torchrun: {variable} is {os.environ[variable]!r}, which is no number") from None


def processes_here() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1) if under_torchrun() else 1


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
            raise TrainingError(f"torchrun: {torch.cuda.device_count()} GPUs are too few; start as many processes")
        torch.cuda.set_device(local)
    device = choose_device(named)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"torchrun: the processes cannot be joined ({reason(error).splitlines()[0]}); unset {', '.join(TORCHRUN)} "
            "to train with one"
        ) from None
    try:
        yield dist.get_rank(), device
        dist.barrier()  # a process that leaves while another still talks to it brings both down
    finally:
        dist.destroy_process_group()


def shared_maximum(number: float) -> float:
    """The greatest of every process's numbers, so that all stop at the same step."""
    if not dist.is_initialized():
        return number
    shared = torch.tensor(number, dtype=torch.float64)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return float(shared)


def average(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Mean of each gradient over the processes (data parallelism)."""
    if dist.is_initialized():
        flat = torch.cat([g.flatten() for g in gradients])
        shared = flat.cpu() if flat.device.type == "mps" else flat  # which gloo does not know
        dist.all_reduce(shared)
        flat = shared.to(flat.device) / dist.get_world_size()
        pieces = flat.split([g.numel() for g in gradients])
        return tuple(p.view_as(g) for p, g in zip(pieces, gradients))
    return gradients
