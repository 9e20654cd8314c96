"""derain over HTTP: a picture in, a picture out, and a page for those who would rather drop photos than type.

    app = derain.serve.app()  # an ASGI application, to be run by uvicorn or mounted in another

What a request may take is in ``limits``, what it may ask for in ``options``, who is served when in ``turns``.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from derain.extras import check_extra
from derain.given import check
from derain.serve.limits import Limits

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["Limits", "app"]


def app(
    weights: str | Path | Sequence[str | Path] = "derain",
    *,
    device: str = "auto",
    precision: str = "auto",
    max_memory: float | None = None,
    limits: Limits | None = None,
    hosts: Collection[str] | None = None,
) -> "Starlette":
    """The service as an ASGI application.

    Args:
        weights: as in :func:`derain.load`. Requests choose among several by name; the first is the default.
        device: as in :func:`derain.restoring.devices.choose_device`.
        precision: auto, float32, bfloat16 or int8.
        max_memory: bytes that the process should take on the device at the most; default: by what is free.
        limits: what requests may take; default: ``Limits()``.
        hosts: names to which it answers, besides IP addresses; ``None`` leaves that to whoever mounts it.

    Raises:
        UsageError: a library is missing, two weights have one name, or an argument that cannot be.
        WeightsError: weights that cannot be loaded.
    """
    check_extra("serve", "serve")
    from derain.serve.application import application
    from derain.serve.clients import check_are_names
    from derain.serve.service import Service

    check("limits", limits, Limits | None)
    check_are_names(hosts or ())
    named = list(weights) if isinstance(weights, Iterable) and not isinstance(weights, str) else [weights]
    return application(Service.of(named, device, precision, max_memory, limits or Limits()), hosts)
