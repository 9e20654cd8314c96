"""The service on a port, until it is told to end."""

import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from derain.errors import UsageError
from derain.serve.protocol import Protocol
from derain.serve.turns import Turns
from derain.signals import HANGUP, INTERRUPTED, ending, handled

SECONDS_TO_SEND = 10  # that finished answers have to reach their clients once the server is to end
SECONDS_TO_ASK = 30  # that a new connection has for its first request
BACKLOG = 128  # connections that the system keeps for us


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    socket: socket.socket
    host: str  # as it was given

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.socket.getsockname()[0].partition("%")[0]).is_loopback

    @property
    def url(self) -> str:
        """For browsers on this machine."""
        address, port = self.socket.getsockname()[:2]
        if ipaddress.ip_address(address.partition("%")[0]).is_unspecified:
            address = "127.0.0.1" if self.socket.family == socket.AF_INET else "::1"
        return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"

    @property
    def names(self) -> set[str]:
        """Names of this machine, besides its addresses."""
        names = {"localhost", self.host}
        if not self.loopback:
            own = socket.gethostname()
            names |= {own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}
        return names - {""}


def listen(host: str, port: int) -> Address:
    """
    Raises:
        UsageError: the host is none of this machine's, or the port is taken.
    """
    if not host:
        raise UsageError("`host` is empty; give an address of this machine, such as 127.0.0.1")
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"`host` {host}: no such name; give an address of this machine, such as 127.0.0.1") from None
    try:
        return Address(socket.create_server(place[:2], family=family, backlog=BACKLOG), host)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"`host` {host}: not an address of this machine; give one that is") from None
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({os.strerror(error.errno or 0)})"
        raise UsageError(f"`port` {port}: {why} on {host}; give another `port`") from None


def serve(app: Starlette, address: Address, proxy: str | None = None) -> None:
    """Serve until SIGINT or SIGHUP, which raise KeyboardInterrupt, or SIGTERM; the photos under way are finished first.

    A second SIGINT ends the process at once.

    Args:
        proxy: address whose ``X-Forwarded-For`` is believed.
    """
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what clients do wrong is their affair
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
    )
    server = Server(config, app.state.service.turns)
    unknown = [number for number in ending() if number == HANGUP]  # to uvicorn; SIGTERM it raises again
    with handled(lambda number, frame: None, signal.SIGTERM), handled(server.handle_exit, *unknown):
        server.run([address.socket])
    if server.interrupted:  # which uvicorn mostly raises, but not if the signal comes as it ends
        raise KeyboardInterrupt


class Server(uvicorn.Server):
    """Ends in the order: no more requests, those under way, their connections. Closes connections that never ask."""

    def __init__(self, config: uvicorn.Config, turns: Turns, to_ask: float = SECONDS_TO_ASK) -> None:
        super().__init__(config)
        self.turns, self.to_ask = turns, to_ask
        turns.connections = self.server_state.connections
        self.interrupted = False  # by SIGINT or SIGHUP
        self._silent: dict[Any, float] = {}  # connections that have not asked yet, and since when

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.interrupted and sig == signal.SIGINT:
            os._exit(INTERRUPTED)  # who asks twice waits for no photo, and nothing else cuts one that is in the network
        self.interrupted = self.interrupted or sig != signal.SIGTERM
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        silent = [each for each in self.server_state.connections if getattr(each, "cycle", None) is None]
        self._silent = {each: self._silent.get(each, now) for each in silent}
        for each, since in self._silent.items():
            if now - since > self.to_ask:
                each.transport.close()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.turns.close()
        while self.turns.busy and not self.force_exit:
            await asyncio.sleep(0.05)
        self.config.timeout_graceful_shutdown = SECONDS_TO_SEND
        await super().shutdown(sockets)
