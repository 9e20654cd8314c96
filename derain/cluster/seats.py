"""How many workers fit on a cluster, and what each of them takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from derain.errors import UsageError
from derain.restoring.names import check_device_of_cluster

MOST_CPUS = 4  # a worker: a network gains little by more threads, and files are read beside it


@dataclass(frozen=True)
class Share:
    """What one worker takes of its node."""

    device: str  # cpu or cuda
    cpus: int
    gpus: int

    def seats(self, node: dict[str, Any]) -> int:
        """How many workers fit on a node."""
        has = node["Resources"]
        return int(has.get("GPU", 0)) // self.gpus if self.gpus else int(has.get("CPU", 0)) // self.cpus


def living(nodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [node for node in nodes if node["Alive"]]


def share_of(
    nodes: list[dict[str, Any]],
    device: str = "auto",
    threads: int | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Share:
    """A GPU each where there are some, else some of a node's CPUs each.

    Args:
        device: auto, cpu or cuda.
        threads: CPUs for each worker; default: four, or as many as the smallest node has.
        say: told if they count for nothing.

    Raises:
        UsageError: the cluster has no such device, or ``device`` is one certain GPU.
    """
    check_device_of_cluster(device)
    gpus = sum(int(node["Resources"].get("GPU", 0)) for node in nodes)
    if device == "cuda" and not gpus:
        raise UsageError("`device` cuda: no node of the cluster has a GPU that Ray knows of; use `device` auto")
    if gpus and device != "cpu":
        if threads:
            say("`threads` counts for nothing because each worker has a GPU; `device` cpu has them use CPUs")
        return Share("cuda", 0, 1)
    cpus = [int(node["Resources"].get("CPU", 0)) for node in nodes]
    least = min((each for each in cpus if each), default=0)
    if not least or (threads and threads > max(cpus)):
        most = max(cpus, default=0)
        raise UsageError(f"`ray` finds {most} CPUs on a node at most; a worker needs {threads or 1}")
    return Share("cpu", threads or min(MOST_CPUS, least), 0)


def neighbours(node_count: int, seats: int) -> int:
    """How many workers share a machine's memory."""
    return max(-(-seats // max(node_count, 1)), 1)
