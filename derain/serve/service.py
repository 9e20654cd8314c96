"""The service itself: networks in one thread, files in others, clients in turn."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from derain.allocation import give_back_freed_memory
from derain.batch.running import Separated, separate
from derain.errors import PhotoError
from derain.photos import Original, decode
from derain.photos.reading import examine
from derain.rain.amount import Amount, amount, threshold
from derain.restoring.devices import choose_device
from derain.restoring.restorer import Restorer
from derain.serve.answers import Answer, answer
from derain.serve.limits import Limits
from derain.serve.metrics import Metrics
from derain.serve.names import by_name
from derain.serve.options import Wanted
from derain.serve.refusals import Refusal, of_photo
from derain.serve.turns import AT_ONCE, SHUTTING_DOWN, Turns
from derain.serve.uploads import Upload
from derain.weights import load

Result = TypeVar("Result")


@dataclass
class Service:
    """Networks by name, the first of which is the default, and who waits for them."""

    restorers: dict[str, Restorer]
    limits: Limits = Limits()
    turns: Turns = field(init=False)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.turns = Turns(self.limits)
        self.metrics = Metrics(self.turns)
        self._network = ThreadPoolExecutor(1, "derain-network")
        self._files = ThreadPoolExecutor(AT_ONCE, "derain-files")

    @classmethod
    def of(
        cls, weights: Sequence[str | Path], device: str, precision: str, max_memory: float | None, limits: Limits
    ) -> "Service":
        """
        Raises:
            UsageError: two weights have one name, or an unknown device or precision.
            WeightsError: weights that cannot be loaded.
        """
        named, chosen = by_name(weights), choose_device(device)
        return cls(
            {name: Restorer(load(given, chosen), precision, max_memory=max_memory) for name, given in named.items()},
            limits,
        )

    @property
    def default(self) -> str:
        return next(iter(self.restorers))

    @property
    def device(self) -> torch.device:
        return self.restorers[self.default].device

    async def check(self, upload: Upload) -> None:
        """
        Raises:
            Refusal: no photo, too many megapixels, or impossible ones; told before anything is decoded.
        """
        await self._in_files(examine, upload.content, upload.called, self.limits.megapixels, False)

    async def derain(self, client: str, upload: Upload, wanted: Wanted) -> Answer:
        """The picture, or the parts, that are asked for.

        Raises:
            Refusal: a photo that cannot be read, derained or written as asked for.
        """
        async with self._turn(client):
            original = await self._decoded(upload)
            layers = await self._in_network(original, self._separate, original, wanted)
            return await self._in_files(answer, original, layers, wanted, upload.name)

    async def score(self, client: str, upload: Upload, wanted: Wanted) -> Amount:
        """How much rain a photo shows.

        Raises:
            Refusal: as :meth:`derain`.
        """
        async with self._turn(client):
            original = await self._decoded(upload)
            return await self._in_network(original, self._amount, original, wanted)

    @asynccontextmanager
    async def _turn(self, client: str) -> AsyncIterator[None]:
        """A turn, after which the system gets back what no other photo takes."""
        try:
            async with self.turns.turn(client):
                yield
        finally:
            if not self.turns.busy:
                give_back_freed_memory()

    def _separate(self, original: Original, wanted: Wanted) -> Separated:
        rainy_from = threshold(wanted.only_if_rainy, wanted.rainy_from)
        return separate(original, self.restorers[wanted.weights], wanted.strength, rainy_from)

    def _amount(self, original: Original, wanted: Wanted) -> Amount:
        return amount(self.restorers[wanted.weights].bright_layers(original.pixels).rain)

    async def _decoded(self, upload: Upload) -> Original:
        return await self._in_files(decode, upload.content, upload.called, self.limits.megapixels, False)

    async def _in_network(self, original: Original, work: Callable[..., Result], *given: object) -> Result:
        def timed() -> Result:
            if self.turns.closed:
                raise Refusal(503, SHUTTING_DOWN)
            began = time.perf_counter()
            try:
                return work(*given)
            finally:
                self.metrics.computed(time.perf_counter() - began, original.pixels.size / 3e6)

        return await self._in(self._network, timed)

    async def _in_files(self, work: Callable[..., Result], *given: object) -> Result:
        return await self._in(self._files, lambda: work(*given))

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        """Work in a thread; if its client leaves, what has begun is waited for, so that the turn lasts as long."""
        begun = pool.submit(work)
        done = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not begun.cancel():
                await asyncio.wait([done])
                done.cancelled() or done.exception()  # noqa: B018  # nobody asks for it
            raise
        except PhotoError as error:
            raise of_photo(error, self.limits.megapixels) from None
