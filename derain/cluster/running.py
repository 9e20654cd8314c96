"""Photos on a cluster: batches go to whoever is free, and what a worker dies of is done elsewhere."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from derain.batch import Job, Outcome, Treatment
from derain.cluster.connecting import connected
from derain.cluster.crew import Crew
from derain.cluster.seats import living, share_of
from derain.models.contract import Derainer
from derain.restoring.devices import half_precision

AS_USUAL = Treatment()


def run(
    jobs: Iterable[Job],
    model: Derainer,
    treatment: Treatment = AS_USUAL,
    address: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Iterator[Outcome]:
    """Do the jobs on a Ray cluster; as :func:`derain.batch.run`, in the order in which they are done.

    Args:
        model: sent to each worker; the module of its class must be there, too.
        address: as :func:`derain.cluster.connected` takes it.
        device: auto, cpu or cuda: a GPU each where there are some.
        threads: CPUs for each worker without a GPU.

    Raises:
        UsageError: Ray isn't installed, nothing answers, the device is not there, or no node can load derain.
    """
    with connected(address) as ray:
        share = share_of(living(ray.nodes()), device, threads)
        yield from Crew(ray, share, ray.put(model), _settled(treatment, share.device)).outcomes(jobs)


def _settled(treatment: Treatment, device: str) -> Treatment:
    """The treatment with one precision for all workers: each would measure for itself, and they might differ."""
    if device == "cuda" or treatment.precision != "auto":
        return treatment
    half = half_precision("auto", torch.device("cpu"))
    return replace(treatment, precision="bfloat16" if half else "float32")
