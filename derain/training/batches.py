"""The batches of a run, one a step, prepared in its own process or ahead in worker processes.

What a batch holds is a function of seed, rank and step alone, so neither the number of workers nor their pace matters.
"""

import multiprocessing
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic

import cv2
import numpy as np
import torch

from derain.errors import BrokenOffError
from derain.restoring.devices import FREE_MEMORY_SHARE, free_memory
from derain.training.config import TrainConfig
from derain.training.crops import Crops, cores
from derain.training.interrupts import uninterrupted
from derain.training.learner import Batch, Learner, Recipe

MOST_WORKERS = 16  # by default: what they prepare in a second is more than a GPU learns
AHEAD = 2  # batches that each worker holds: one that is used or waits, one in the making
SPARE = 1.25, 1 << 20  # times and bytes that a batch may be larger than the first; a larger one is sent piecemeal
LIBRARIES = ["derain.training.pairs", "derain.training.crops"]  # that workers need


def default_workers(device: torch.device) -> int:
    """As many as there are cores to spare: a network on the processor leaves none, and prepares batches in between."""
    return min(cores() - 1, MOST_WORKERS) if device.type == "cuda" and cores() > 2 else 0


class Batches(Generic[Batch]):
    """The batches of a learner, in order from any step on.

    Args:
        photos: the rainy ones, and unrelated ones without rain.
        rank: of this process among several.
        workers: processes beside this one; 0: batches are prepared when they are asked for.
        say: called with a sentence where the memory is too small for so many.
    """

    def __init__(
        self,
        learner: Learner[Batch],
        config: TrainConfig,
        photos: tuple[Crops, Crops],
        rank: int,
        workers: int,
        say: Callable[[str], None],
    ) -> None:
        self.learner, self.config, self.rank, self.workers, self.say = learner, config, rank, workers, say
        self.rainy, self.clean = photos
        self.recipe = learner.recipe(*photos)
        self.pool: Pool | None = None
        self.next = 0  # step whose batch no worker has begun

    def of(self, step: int, progress: float) -> Batch:
        """The batch of a step; it holds until the next is asked for. What torch draws at random follows from the step.

        Raises:
            TrainingError: a worker process ended.
        """
        rng, seed = self._random(step)
        torch.manual_seed(seed)
        if self.learner.due(progress):
            self.close()
            self.learner.renew(rng, progress, self.rainy, self.say)
            self.recipe = self.learner.recipe(self.rainy, self.clean)
        if self.pool and self.next > step:
            batch: Batch = self.pool.take()
        else:
            batch = self.recipe(rng, step, progress)
            self.next = step + 1
        if self.workers and self.pool is None:
            self.pool = self._pool(batch)
        self._order(progress)
        return batch

    def _order(self, progress: float) -> None:
        """Have the batches of further steps prepared, but none of a step that begins with a discovery."""
        while self.pool and self.pool.has_room and self.next < self.config.steps:
            then = max(progress, self.next / self.config.steps)
            if self.learner.due(then):
                break
            self.pool.order(self._random(self.next)[0], self.next, then)
            self.next += 1

    def _random(self, step: int) -> tuple[np.random.Generator, int]:
        rng = np.random.default_rng((self.config.seed, self.rank, step))
        return rng, int(rng.integers(2**62))

    def _pool(self, batch: Batch) -> "Pool | None":
        size = int(sum(len(part) for part in Packed.of(batch).buffers) * SPARE[0]) + SPARE[1]
        most = int(FREE_MEMORY_SHARE * free_memory(torch.device("cpu")) / (AHEAD * size)) if self.workers else 0
        if most < self.workers:
            self.say(f"{most} workers instead of {self.workers}: there is no memory for more batches")
            self.workers = most
        return Pool(self.recipe, self.workers, size) if self.workers else None

    def close(self) -> None:
        if self.pool:
            self.pool.close()
        self.pool = None


@dataclass(frozen=True)
class Packed:
    """An object as bytes, with its arrays apart."""

    frame: bytes
    buffers: list[memoryview]

    @classmethod
    def of(cls, thing: object) -> "Packed":
        buffers: list[pickle.PickleBuffer] = []
        frame = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
        return cls(frame, [buffer.raw() for buffer in buffers])

    def put(self, memory: Any) -> "Put | None":
        """Copy the arrays into shared memory; ``None`` if they do not fit."""
        sizes, at, to = [len(part) for part in self.buffers], 0, memoryview(memory).cast("B")
        if sum(map(_aligned, sizes)) > len(to):
            return None
        for part in self.buffers:
            to[at : at + len(part)] = part
            at += _aligned(len(part))
        return Put(self.frame, sizes)


@dataclass(frozen=True)
class Put:
    """An object whose arrays lie in shared memory."""

    frame: bytes
    sizes: list[int]

    def get(self, memory: Any) -> Any:
        """The object; its arrays are views of the memory."""
        views, at, whole = [], 0, memoryview(memory).cast("B")
        for size in self.sizes:
            views.append(whole[at : at + size])
            at += _aligned(size)
        return pickle.loads(self.frame, buffers=views)


def _aligned(size: int) -> int:
    return -(-size // 64) * 64


class Pool:
    """Worker processes that make batches in turn. They end with this process, however it ends.

    Args:
        recipe: that makes the batches; what it holds is copied once, to memory that all workers share.
        size: bytes of a batch.
    """

    def __init__(self, recipe: Recipe[Any], workers: int, size: int) -> None:
        context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        packed = Packed.of(recipe)
        memory = context.RawArray("B", sum(_aligned(len(part)) for part in packed.buffers) or 1)
        put = packed.put(memory)
        self.places = [[context.RawArray("B", size) for _ in range(AHEAD)] for _ in range(workers)]
        self.ends: list[Connection] = []
        self.processes = []
        self.ordered = self.taken = 0
        with _unseen_main(), _no_interrupts(), uninterrupted():
            if sys.platform == "linux":
                context.set_forkserver_preload(LIBRARIES)
            for places in self.places:
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(put, memory, places, theirs), daemon=True)
                process.start()
                theirs.close()
                self.ends.append(ours)
                self.processes.append(process)

    @property
    def has_room(self) -> bool:
        """Whether a further batch may be ordered; the one that was taken last is still in its place."""
        return self.ordered - max(self.taken - 1, 0) < AHEAD * len(self.ends)

    def order(self, rng: np.random.Generator, step: int, progress: float) -> None:
        turn, worker = divmod(self.ordered, len(self.ends))
        with suppress(OSError):  # of a worker that ended, which is told when its batch is wanted
            self.ends[worker].send((turn % AHEAD, rng, step, progress))
        self.ordered += 1

    def take(self) -> Any:
        """The next of the batches that were ordered.

        Raises:
            BrokenOffError: the process that makes it ended.
            Exception: whatever kept it from making it.
        """
        turn, worker = divmod(self.taken, len(self.ends))
        self.taken += 1
        try:
            found = self.ends[worker].recv()
        except (EOFError, OSError):
            raise BrokenOffError("a worker process died, perhaps for lack of memory; give fewer `workers`") from None
        if isinstance(found, Exception):
            raise found
        return found.get(self.places[worker][turn % AHEAD]) if isinstance(found, Put) else found

    def close(self) -> None:
        for end in self.ends:
            end.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()


def work(put: Put, memory: Any, places: list[Any], orders: Connection) -> None:
    """What a worker process does until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe = put.get(memory)
    with suppress(EOFError, OSError):
        while True:
            place, rng, step, progress = orders.recv()
            try:
                batch = recipe(rng, step, progress)
            except Exception as error:
                orders.send(error)
            else:
                orders.send(Packed.of(batch).put(places[place]) or batch)


@contextmanager
def _unseen_main() -> Iterator[None]:
    """Processes that start now do not run the caller's script again."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {n: main.__dict__.pop(n) for n in ("__file__", "__spec__") if n in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C, of which processes that start now never hear, waits until they are started."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
