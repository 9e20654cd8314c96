"""What Ray runs on each device: a network that is loaded once, and photos that come in batches."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from derain import batch
from derain.cluster.shared import Glance
from derain.files.parts import machine
from derain.models.contract import Derainer
from derain.restoring.devices import (
    FREE_MEMORY_SHARE,
    choose_device,
    free_memory,
    moved_to,
    used_memory,
)


@dataclass(frozen=True)
class Seat:
    """Where a worker is."""

    node: str  # Ray's name of the node, by default its address
    node_id: str
    machine: str  # as the names of temporary files have it
    process: int
    device: str
    trouble: str = ""  # why nothing can be done there


@dataclass(frozen=True)
class BatchResult:
    """What became of a batch."""

    outcomes: list[batch.Outcome]
    seconds: float


class Worker:
    """A network on its device.

    Args:
        device: cpu or cuda.
        threads: of the network on a CPU.
        neighbours: workers that share the machine's memory, this one included.
        folder: that relative paths start from.
    """

    def __init__(
        self,
        model: Derainer,
        treatment: batch.Treatment,
        device: str,
        threads: int = 1,
        neighbours: int = 1,
        folder: str = ".",
    ) -> None:
        with suppress(OSError):  # where all paths are absolute it need not be there
            os.chdir(folder)
        torch.set_num_threads(threads_of(device, threads, neighbours))
        self.model = moved_to(model, choose_device(device))
        if neighbours > 1 and treatment.max_memory is None and device == "cpu":
            treatment = replace(treatment, max_memory=share_of_memory(neighbours))
        self.treatment = treatment
        self.seat = find_seat(str(device))

    def where(self, glance: Glance | None = None) -> Seat:
        """Where this is, and what is wrong there; it answers as soon as the network is loaded."""
        return replace(self.seat, trouble=glance.trouble() if glance else "")

    def work(self, jobs: list[batch.Job]) -> BatchResult:
        """Do a batch."""
        started = time.perf_counter()
        outcomes = [replace(each, node=self.seat.node) for each in batch.run(jobs, self.model, self.treatment)]
        return BatchResult(outcomes, time.perf_counter() - started)


def threads_of(device: str, threads: int, neighbours: int) -> int:
    """How many threads compute on the processor: beside a GPU its share of them, where Ray would have just one."""
    return threads if device == "cpu" else max((os.cpu_count() or 1) // neighbours, 1)


def share_of_memory(neighbours: int) -> float:
    """Bytes that this process may take of what is free on its machine, of which others take as much."""
    here = torch.device("cpu")
    return used_memory(here) + FREE_MEMORY_SHARE * free_memory(here) / neighbours


def find_seat(device: str) -> Seat:
    """Where this process is."""
    import ray

    node_id = ray.get_runtime_context().get_node_id()
    node = next(each for each in ray.nodes() if each["NodeID"] == node_id)
    return Seat(name_of(node), node_id, machine(), os.getpid(), device)


def name_of(node: dict[str, object]) -> str:
    """A name that people know a node by: the one that it was given, or that of its machine."""
    name = node.get("NodeName")
    return str(node["NodeManagerHostname"] if not name or name == node["NodeManagerAddress"] else name)
