"""The workers of a run: who is free, what each of them has, and what becomes of it when one dies."""

import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from types import ModuleType
from typing import Any

from derain.batch import Job, Outcome, Treatment
from derain.cluster.seats import Share, living, neighbours
from derain.cluster.shared import Glance, glance_at, versions
from derain.cluster.worker import BatchResult, Seat, Worker
from derain.errors import PhotoError, UsageError, reason
from derain.files.parts import remove_parts

BATCH_SECONDS = 2.0  # of work at a time: enough that handing out costs nothing, and little to do again
MOST_IN_BATCH = 64
MOST_BATCHES = 2  # a worker has at a time: one that it does, one that waits for it
LOOK_EVERY = 2.0  # seconds, at the nodes
WAITING_SECONDS = 30.0  # without a worker, after which that is said
KILLS = "crashes the process that works on it, even alone; most likely there is not enough memory for it"


@dataclass(frozen=True)
class Batch:
    """Photos that a worker gets at once."""

    jobs: list[Job]
    alone: bool = False  # whether the worker is to have nothing else meanwhile
    before: dict[Job, int] = field(default_factory=dict)  # which file each photo was that is to be replaced


@dataclass(eq=False)
class Hand:
    """A worker, and where it is; without a seat it is about to be, or to come back."""

    actor: Any
    seat: Seat | None = None
    given_up: bool = False  # as it cannot be started
    busy: dict[Any, Batch] = field(default_factory=dict)  # by Ray's reference to what will be the result

    def can_take(self, batch: Batch | None) -> bool:
        if self.seat is None or any(each.alone for each in self.busy.values()):
            return False
        return not self.busy if batch and batch.alone else len(self.busy) < MOST_BATCHES


@dataclass(frozen=True)
class Suspect:
    """A photo on its own whose worker died; it is to blame unless the node died as well."""

    batch: Batch
    hand: Hand
    seat: Seat


@dataclass
class Crew:
    """Workers on all nodes of a cluster; Ray starts those again that die, where there is room.

    Args:
        model: Ray's reference to the network.
    """

    ray: ModuleType
    share: Share
    model: Any
    treatment: Treatment
    hands: list[Hand] = field(default_factory=list)
    coming: dict[Any, Hand] = field(default_factory=dict)  # by Ray's reference to their seats
    again: deque[Batch] = field(default_factory=deque)
    suspects: list[Suspect] = field(default_factory=list)
    seconds_a_photo: float = BATCH_SECONDS
    looked: float = -LOOK_EVERY
    last_seen: float = field(default_factory=time.monotonic)
    glance: Glance = field(default_factory=lambda: Glance(versions()))
    has_begun: bool = False

    def outcomes(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """What became of each job, in the order in which they are done; jobs are drawn as there are hands for them.

        Raises:
            UsageError: no worker can be started on any node.
        """
        source = iter(jobs)
        if (first := next(source, None)) is None:
            return
        with glance_at(first) as self.glance:
            self._begin()
        yield from self._do(chain([first], source))
        for hand in self.hands:
            self.ray.kill(hand.actor)

    def _begin(self) -> None:
        """Hire, and wait until all workers for which there is room have looked around.

        Raises:
            UsageError: one of them does not see the photos, or cannot write results.
        """
        until = time.monotonic() + WAITING_SECONDS
        self._look_at_nodes()
        while self.coming and time.monotonic() < until:
            ready, _ = self.ray.wait(list(self.coming), timeout=LOOK_EVERY)
            for ref in ready:
                self._welcome(ref)
        self.has_begun = True

    def _do(self, source: Iterator[Job]) -> Iterator[Outcome]:
        while True:
            self._look_at_nodes()
            drawn_all = self._hand_out(source)
            busy = {ref: hand for hand in self.hands for ref in hand.busy}
            if drawn_all and not busy and not self.again and not self.suspects:
                break
            ready, _ = self.ray.wait([*busy, *self.coming], timeout=LOOK_EVERY)
            for ref in ready:
                if ref in busy:
                    yield from self._take(ref, busy[ref])
                else:
                    self._welcome(ref)
            yield from self._judge()

    def _look_at_nodes(self) -> None:
        """Hire for what seats there are; nodes may join while the work goes on."""
        now = time.monotonic()
        if now - self.looked < LOOK_EVERY:
            return
        self.looked = now
        if any(hand.seat for hand in self.hands):
            self.last_seen = now
        elif now - self.last_seen > WAITING_SECONDS:
            logging.getLogger("derain").warning("no node has room for a worker yet; waiting")
            self.last_seen = float("inf")
        nodes = living(self.ray.nodes())
        seats = sum(map(self.share.seats, nodes))
        for _ in range(seats - len(self.hands)):
            self._hire(neighbours(len(nodes), seats))

    def _hire(self, neighbours: int) -> None:
        options = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "max_restarts": -1}
        actor = self.ray.remote(Worker).options(**options)
        threads = self.share.cpus or 1
        hand = Hand(
            actor.remote(self.model, self.treatment, self.share.device, threads, neighbours, os.path.abspath("."))
        )
        self.hands.append(hand)
        self._await(hand, replace(self.glance, token=None) if self.has_begun else self.glance)

    def _await(self, hand: Hand, glance: Glance | None = None) -> None:
        hand.seat = None
        self.coming[hand.actor.where.options(max_task_retries=-1).remote(glance)] = hand

    def _welcome(self, ref: Any) -> None:
        """A worker is there, or cannot be.

        Raises:
            UsageError: it was the last, or the work has not begun and its node lacks something.
        """
        hand = self.coming.pop(ref)
        try:
            seat: Seat = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            said = f"a worker cannot be started ({cause_of(error)}); install derain on each node"
        else:
            if not seat.trouble:
                hand.seat = seat
                return
            said = f"node {seat.node} {seat.trouble}"
            if not self.has_begun:
                raise UsageError(said)
        hand.given_up = True
        if all(each.given_up for each in self.hands):
            raise UsageError(said)
        logging.getLogger("derain").warning(f"{said}; the others go on")

    def _hand_out(self, source: Iterator[Job]) -> bool:
        """Give each worker what it can take; whether all jobs are drawn."""
        while True:
            batch = self.again[0] if self.again else None
            hand = min((h for h in self.hands if h.can_take(batch)), key=lambda h: len(h.busy), default=None)
            if hand is None:
                return False
            if batch:
                self.again.popleft()
            else:
                size = int(min(max(BATCH_SECONDS / max(self.seconds_a_photo, 1e-6), 1), MOST_IN_BATCH))
                jobs = list(islice(source, size))
                batch = Batch(jobs, before={job: _file(job) for job in jobs if job.in_place})
            if not batch.jobs:
                return True
            hand.busy[hand.actor.work.remote(batch.jobs)] = batch

    def _take(self, ref: Any, hand: Hand) -> Iterator[Outcome]:
        batch = hand.busy.pop(ref)
        try:
            done: BatchResult = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:  # whatever it is, the other photos go on
            yield from (_failed(job, f"cannot be derained ({cause_of(error)})") for job in batch.jobs)
            return
        except self.ray.exceptions.RayError:
            yield from self._lost(batch, hand)
            return
        each = done.seconds / len(batch.jobs)
        self.seconds_a_photo = each if self.seconds_a_photo == BATCH_SECONDS else (self.seconds_a_photo + each) / 2
        yield from done.outcomes

    def _lost(self, batch: Batch, hand: Hand) -> Iterator[Outcome]:
        """A worker died: its photos are done by others, each on its own, as one of them may be the cause."""
        seat = hand.seat
        if seat is None:  # which is known already, by another batch of it
            yield from self._do_alone(batch)
            return
        self._await(hand)
        remove_parts((path.parent for job in batch.jobs for path in job.outputs), seat.machine, seat.process)
        if batch.alone:
            self.suspects.append(Suspect(batch, hand, seat))
        else:
            yield from self._do_alone(batch)

    def _do_alone(self, batch: Batch) -> Iterator[Outcome]:
        for job in batch.jobs:
            if job.in_place and _file(job) != batch.before[job]:  # twice would take away more
                yield Outcome(job, notes=("was replaced before its worker died",))
            else:
                self.again.append(Batch([job], alone=True, before=batch.before))

    def _judge(self) -> Iterator[Outcome]:
        """Of photos on their own whose worker died: the photo is to blame where the node lives.

        That is known when the worker is back, or when others have every seat that there is: then it never comes back.
        """
        if not self.suspects:
            return
        nodes = living(self.ray.nodes())
        alive = {node["NodeID"] for node in nodes}
        are_seats_taken = sum(hand.seat is not None for hand in self.hands) >= sum(map(self.share.seats, nodes))
        for suspect in list(self.suspects):
            if suspect.seat.node_id not in alive:
                self.suspects.remove(suspect)
                yield from self._do_alone(suspect.batch)
            elif suspect.hand.seat is not None or suspect.hand.given_up or are_seats_taken:
                self.suspects.remove(suspect)
                yield from (_failed(job, KILLS, suspect.seat.node) for job in suspect.batch.jobs)


def _file(job: Job) -> int:
    """What tells one file of a name from the next one; 0 if there is none."""
    try:
        return os.stat(job.source).st_ino
    except OSError:
        return 0


def _failed(job: Job, why: str, node: str = "") -> Outcome:
    return Outcome(job, PhotoError(f"{job.source}: {why}"), node=node)


def cause_of(error: BaseException) -> str:
    """The last line of what Ray says, in which the error itself stands."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return reason(cause)
    with suppress(IndexError):
        return str(error).strip().splitlines()[-1].strip()
    return type(error).__name__
