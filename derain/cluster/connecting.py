"""A Ray cluster to work on: joined where one runs, or started on this machine for as long as the work takes."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import ModuleType
from typing import Any

from derain.cluster.seats import living
from derain.errors import UsageError, reason
from derain.extras import check_extra
from derain.signals import heard, restored
from derain.text import counted

OBJECT_STORE_BYTES = 2**29  # of a Ray that is started here: it holds the weights and names of photos
ANSWER_SECONDS = 5.0  # within which a head listens, and answers
HTTP2_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # a frame: three bytes of length, type, flags, and the stream
SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_METRICS_COLLECTION": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what it would print to stdout of each node that dies
}


def load_ray() -> ModuleType:
    """Ray itself, told to keep silent.

    Raises:
        UsageError: it isn't installed, or cannot be loaded.
    """
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    check_extra("ray", "`ray`")
    import ray

    return ray


@contextmanager
def connected(address: str | None = None, say: Callable[[str], None] = lambda _: None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster; a connection that the caller has already is used, and stays.

    Args:
        address: ``host:port`` of its head, or ``auto`` for the one that runs on this machine. Without, the one that
            the variable ``RAY_ADDRESS`` names or that runs on this machine, else one is started here.
        say: told which it is, and what it has.

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
        with _sigterm_as_it_was():
            is_own = _initialise(ray, address or None, start)
    except SystemExit:  # Ray's own answer to SIGTERM, as long as it has taken that
        raise KeyboardInterrupt from None
    except Exception as error:  # Ray raises anything where it cannot start
        raise UsageError(_refusal(address, reason(error))) from None
    try:
        say(_sentence(ray, is_own))
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """
    Raises:
        OSError: nobody listens at ``host:port``, or what does speaks no gRPC; Ray itself would find out after minutes.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS) as there:
        if os.environ.get("RAY_USE_TLS", "0") == "0" and not _speaks_grpc(there):
            raise OSError("what listens there is not Ray")


def _speaks_grpc(there: socket.socket) -> bool:
    """Whether a greeting in HTTP/2 is answered in HTTP/2, with the settings that come first."""
    greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HTTP2_SETTINGS
    answer, until = b"", time.monotonic() + ANSWER_SECONDS
    with suppress(OSError):
        there.sendall(greeting)
        while len(answer) < len(HTTP2_SETTINGS) and (left := until - time.monotonic()) > 0:
            there.settimeout(left)
            if not (more := there.recv(len(HTTP2_SETTINGS))):
                break
            answer += more
    return answer[3:4] == HTTP2_SETTINGS[3:4] and answer[5:9] == HTTP2_SETTINGS[5:9]


def _initialise(ray: ModuleType, address: str | None, start: dict[str, Any]) -> bool:
    """Join a cluster, or start one where no address is given and none runs; whether it was started."""
    try:
        ray.init(address or "auto", **start)
        return address == "local"
    except ConnectionError:
        if address or os.environ.get("RAY_ADDRESS"):
            raise
        ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **start)
        return True


def _sigterm_as_it_was() -> AbstractContextManager[None]:
    """Afterwards SIGTERM does what the caller wants it to, not what Ray puts in its place: to end without a word."""
    return restored(*heard(signal.SIGTERM))


def _sentence(ray: ModuleType, is_own: bool) -> str:
    """Which cluster this is, and what it has."""
    nodes = living(ray.nodes())
    cpus, gpus = (int(sum(node["Resources"].get(what, 0) for node in nodes)) for what in ("CPU", "GPU"))
    where = (
        "Ray: started on this machine"
        if is_own
        else f"Ray: joined the cluster at {ray.get_runtime_context().gcs_address}"
    )
    return f"{where} with {counted(len(nodes), 'node')}, {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')}"


def _refusal(address: str | None, why: str) -> str:
    first = why.split(". ")[0].rstrip(".")
    if address or os.environ.get("RAY_ADDRESS"):
        where = address or os.environ["RAY_ADDRESS"]
        return f"`ray` {where}: no cluster answers ({first}); start one with: ray start --head"
    return f"`ray` cannot start on this machine ({first})"
