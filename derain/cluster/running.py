"""Photos on a cluster: batches go to whoever is free, and what a worker dies of is done elsewhere."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain

import torch

from derain.batch import Job, Outcome, Treatment
from derain.batch.jobs import checked
from derain.cluster.connecting import connected
from derain.cluster.crew import Crew
from derain.cluster.seats import living, share_of
from derain.given import check
from derain.models.contract import Derainer, check_model
from derain.restoring.restorer import settled_precision

AS_USUAL = Treatment()


def run(
    jobs: Iterable[Job],
    model: Derainer,
    treatment: Treatment = AS_USUAL,
    address: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Do the jobs on a Ray cluster, as :func:`derain.batch.run` does, but in the order in which they finish.

    Args:
        model: sent to each worker; the module of its class must be there, too.
        address: as :func:`derain.cluster.connected` takes it.
        device: auto, cpu or cuda: a GPU each where there are some.
        threads: CPUs for each worker without a GPU.
        say: told which cluster it is, and what it has.

    Raises:
        UsageError: Ray isn't installed, nothing answers, the device is not there, or no node can load derain.
    """
    check("treatment", treatment, Treatment)
    check_model(model)
    source = iter(checked(jobs))
    if (first := next(source, None)) is None:
        return
    with connected(address, say) as ray:
        share = share_of(living(ray.nodes()), device, threads, say)
        treatment = replace(treatment, precision=settled_precision(treatment.precision, torch.device(share.device)))
        yield from Crew(ray, share, ray.put(model), treatment).outcomes(chain([first], source))
