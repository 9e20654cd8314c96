"""Whose turn it is: clients take turns, however many requests each of them has."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from derain.serve.limits import Limits
from derain.serve.refusals import Refusal
from derain.text import counted

AT_ONCE = 3  # photos under way: one is read, one is in the network, one is written
SHUTTING_DOWN = "the server is shutting down; try again later"


class Turns:
    """Requests that are present, and those of them that wait. To be used from one event loop."""

    def __init__(self, limits: Limits, at_once: int = AT_ONCE) -> None:
        self.limits = limits
        self._free = at_once
        self._at_once = at_once
        self._present = Counter[str]()  # by client
        self._bytes = 0  # of uploads that are present
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by client, the one whose turn is next first
        self._closing = asyncio.Event()
        self.connections: Collection[object] = ()  # that are open, where the server tells

    @property
    def waiting(self) -> int:
        """Requests that have been uploaded and wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @property
    def present(self) -> int:
        return self._present.total()

    @property
    def busy(self) -> bool:
        return self._free < self._at_once

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def refuse_crowd(self) -> None:
        """
        Raises:
            Refusal: too many connections are open.
        """
        if len(self.connections) > self.limits.connections:
            raise Refusal(503, f"{len(self.connections)} connections are open; try again later")

    @asynccontextmanager
    async def presence(self, client: str) -> AsyncIterator[None]:
        """A request from its first byte on.

        Raises:
            Refusal: there are too many of this client, or of all.
        """
        if self.closed:
            raise Refusal(503, SHUTTING_DOWN)
        if self._present[client] >= self.limits.waiting_per_client:
            most = self.limits.waiting_per_client
            raise Refusal(429, f"{counted(most, 'photo')} of yours already waiting; send more when some are done")
        if self.present >= self.limits.waiting:
            raise Refusal(503, f"{counted(self.present, 'photo')} already waiting; try again later")
        self._present[client] += 1
        try:
            yield
        finally:
            self._present[client] -= 1
            self._present += Counter()  # without those at zero

    def take_room(self, count: int) -> None:
        """For bytes of an upload, to be given back.

        Raises:
            Refusal: there is no more room.
        """
        if self._bytes + count > self.limits.waiting_bytes:
            raise Refusal(503, "waiting uploads fill the memory; try again later")
        self._bytes += count

    def give_room(self, count: int) -> None:
        self._bytes -= count

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """The turn of one of the client's requests, when it comes.

        Raises:
            Refusal: the server is shut down before.
        """
        await self._wait(client)
        try:
            yield
        finally:
            self._next()

    async def _wait(self, client: str) -> None:
        if self.closed:
            raise Refusal(503, SHUTTING_DOWN)
        if self._free:
            self._free -= 1
            return
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.cancelled():
                self._forget(client, ticket)
            else:  # the turn came as the client left
                self._next()
            raise

    def _forget(self, client: str, ticket: "asyncio.Future[None]") -> None:
        tickets = self._waiting.get(client, deque())
        if ticket in tickets:
            tickets.remove(ticket)
        if not tickets:
            self._waiting.pop(client, None)

    def _next(self) -> None:
        """Give the turn to the client who has waited for one longest."""
        while self._waiting:
            client = next(iter(self._waiting))
            tickets = self._waiting.pop(client)
            ticket = tickets.popleft()
            if tickets:
                self._waiting[client] = tickets  # at the end
            if not ticket.done():
                ticket.set_result(None)
                return
        self._free += 1

    async def until_closing(self) -> None:
        await self._closing.wait()
        raise Refusal(503, SHUTTING_DOWN)

    def close(self) -> None:
        """Refuse whatever has not begun; what has goes on."""
        self._closing.set()
        for ticket in (ticket for tickets in self._waiting.values() for ticket in tickets):
            if not ticket.done():
                ticket.set_exception(Refusal(503, SHUTTING_DOWN))
        self._waiting.clear()
