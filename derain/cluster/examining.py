"""What each node of a cluster has, for a bug report."""

from collections import Counter
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import derain
from derain.cluster.connecting import connected
from derain.cluster.crew import cause_of
from derain.cluster.seats import living
from derain.cluster.worker import name_of

LONGEST_LOOK = 60.0  # seconds, after which a node is said not to answer


@dataclass(frozen=True)
class Found:
    """What derain finds on a node; of one that cannot be looked at, why not."""

    node: str
    address: str
    cpus: int  # that Ray gives away
    gpus: int
    devices: list[str] | None = None
    memory: str = ""
    derain: str = ""
    torch: str = ""
    weights: str = ""  # digest of the default ones
    trouble: str = ""


def examine(address: str | None = None) -> list[Found]:
    """Look at each node of a cluster that lives.

    Raises:
        UsageError: Ray isn't installed, or nothing answers.
    """
    with connected(address) as ray:
        nodes = living(ray.nodes())
        looks = [_look_at(ray, node) for node in nodes]
        done, _ = ray.wait(looks, num_returns=len(looks), timeout=LONGEST_LOOK)
        return [_found(ray, node, look if look in done else None) for node, look in zip(nodes, looks)]


def differences(found: list[Found]) -> list[str]:
    """Sentences about nodes that would give other results than the rest, or none."""
    said = [f"node {each.node}: {each.trouble}" for each in found if each.trouble]
    well = [each for each in found if not each.trouble]
    for each in well:
        if each.derain != derain.__version__:
            said.append(f"node {each.node}: has derain {each.derain}, not {derain.__version__}; install the same")
    for what in ("torch", "weights"):
        counts = Counter(getattr(each, what) for each in well)
        usual = counts.most_common(1)[0][0] if counts else ""
        others = [each for each in well if getattr(each, what) != usual]
        said += [f"node {each.node}: has other {what} than most nodes; results may differ" for each in others]
    return said


def _look_at(ray: ModuleType, node: dict[str, Any]) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(look).options(num_cpus=0, max_retries=1, scheduling_strategy=there).remote()


def _found(ray: ModuleType, node: dict[str, Any], look: Any) -> Found:
    has = node["Resources"]
    known = (name_of(node), str(node["NodeManagerAddress"]), int(has.get("CPU", 0)), int(has.get("GPU", 0)))
    if look is None:
        return Found(*known, trouble=f"does not answer within {LONGEST_LOOK:.0f} s")
    try:
        return Found(*known, **ray.get(look))
    except ray.exceptions.RayError as error:
        return Found(*known, trouble=f"cannot load derain ({cause_of(error)}); install it there")


def look() -> dict[str, Any]:
    """What there is where this runs, by the fields of :class:`Found`."""
    import torch

    from derain import doctor
    from derain.errors import DerainError
    from derain.restoring.devices import free_memory, name_of
    from derain.weights import verified

    free = free_memory(torch.device("cpu")) / 1e9
    try:
        digest = verified("derain").sha256
    except DerainError as error:
        digest = f"damaged: {error}"
    return {
        "devices": [f"{device}: {name_of(device)}" for device in doctor.devices()],
        "memory": f"{free:.1f} GB free",
        "derain": derain.__version__,
        "torch": torch.__version__,
        "weights": digest,
    }
