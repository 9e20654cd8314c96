"""A Ray cluster to work on: joined where one runs, or started on this machine for as long as the work takes."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from derain.errors import UsageError, reason

MISSING = "`ray` needs an extra; install it with: pip install 'derain[ray]'"
OBJECT_STORE_BYTES = 2**29  # of a Ray that is started here: it holds the weights and names of photos
ANSWER_SECONDS = 10.0  # within which a head listens
SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_METRICS_COLLECTION": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what it would print to stdout of each node that dies
}


def load_ray() -> ModuleType:
    """Ray itself, told to keep silent.

    Raises:
        UsageError: it isn't installed.
    """
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UsageError(MISSING) from None
    return ray


@contextmanager
def connected(address: str | None = None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster; a connection that the caller has already is used, and stays.

    Args:
        address: ``host:port`` of its head, or ``auto`` for the one that runs on this machine. Without, the one that
            the variable ``RAY_ADDRESS`` names or that runs on this machine, else one is started here.

    Raises:
        UsageError: Ray isn't installed, or nothing answers at the address.
    """
    ray = load_ray()
    if ray.is_initialized():
        yield ray
        return
    start: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        _reach(address or os.environ.get("RAY_ADDRESS", ""))
        _initialise(ray, address or None, start)
    except Exception as error:  # Ray raises anything where it cannot start
        raise UsageError(_refusal(address, reason(error))) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """
    Raises:
        OSError: nobody listens at ``host:port``, which Ray itself would find out after minutes.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()


def _initialise(ray: ModuleType, address: str | None, start: dict[str, Any]) -> None:
    """Join a cluster, or start one where no address is given and none runs."""
    try:
        ray.init(address or "auto", **start)
    except ConnectionError:
        if address or os.environ.get("RAY_ADDRESS"):
            raise
        ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **start)


def _refusal(address: str | None, why: str) -> str:
    first = why.split(". ")[0].rstrip(".")
    if address or os.environ.get("RAY_ADDRESS"):
        where = address or os.environ["RAY_ADDRESS"]
        return f"`ray` {where}: no cluster answers ({first}); start one with: ray start --head"
    return f"`ray` cannot start on this machine ({first})"
