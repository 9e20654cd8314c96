"""The wall-clock time that a run may take, how its stages share it, and when the training loop has to end."""

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from derain.training.torchrun import shared_maximum

if TYPE_CHECKING:
    from derain.training.learner import Onlooker

Item = TypeVar("Item")
KEEPING_SECONDS = 4.0  # seconds that writing a checkpoint takes at the most, as long as none was written
Watch = Callable[[str, float], None]  # what is being done, and what share of the run is over


class OutOfTime(Exception):
    """A stage could not end in its time; whoever gave it that time knows what to do without."""


class Clock:
    """Seconds of a run, counted from its begin in all of its sessions together.

    Args:
        minutes: that the whole run may take; ``None``: as many as it needs.
        began: as ``time.monotonic`` has it; default: now.
        watch: is shown each stage's progress.
    """

    def __init__(self, minutes: float | None = None, began: float | None = None, watch: Watch | None = None) -> None:
        self.seconds = math.inf if minutes is None else 60 * minutes
        self.began = monotonic() if began is None else began
        self.earlier = 0.0  # seconds that the sessions before took
        self.watch = watch
        self.after = 0.0  # seconds kept for what follows the training loop
        self.stage = ""  # shown last

    @property
    def limited(self) -> bool:
        return self.seconds < math.inf

    @property
    def spent(self) -> float:
        return monotonic() - self.began + self.earlier

    @property
    def left(self) -> float:
        """Seconds; less than 0 when the time is over."""
        return self.seconds - self.spent

    def check(self, until: float) -> None:
        """
        Raises:
            OutOfTime: this second of the run is over.
        """
        if self.spent >= until:
            raise OutOfTime

    def share(self, part: float) -> float:
        """The second of the run at which a stage ends that begins now and may take this part of the whole."""
        return min(self.spent + part * self.seconds, self.seconds) if self.limited else math.inf

    def show(self, stage: str, done: float, spent: float | None = None) -> None:
        """Tell who watches of a stage of which the share ``done`` is done, after so many seconds; default: now."""
        self.stage = stage
        if self.watch:
            seconds = self.spent if spent is None else spent
            self.watch(stage, min(seconds / self.seconds, 1.0) if self.limited else done)

    def affordable(self, items: list[Item], until: float, stage: str) -> Iterator[Item]:
        """The items in order; where there is not time enough for all, every so many-th, from the first to the last.

        The caller stops when ``until`` is over, or goes on as long as it has to.
        """
        left, at = list(items), 0
        began = now = self.spent
        while left:
            self.show(stage, 1 - len(left) / len(items), now)
            yield left.pop(at)
            now = self.spent
            if self.limited and left:
                each = (now - began) / (len(items) - len(left))
                in_time = max((until - now) / each, 1.0) if each > 0 else math.inf
                at += math.ceil(len(left) / in_time) - 1
            at = at if at < len(left) else 0


class Timing:
    """The training loop on the clock of its run.

    Args:
        clock: of the whole run.
        onlooker: whose last look follows the loop.
        trained: seconds in the loop before this session.
    """

    def __init__(self, clock: Clock, onlooker: "Onlooker | None", trained: float) -> None:
        self.clock, self.onlooker = clock, onlooker
        self.kept = min(KEEPING_SECONDS, 0.05 * clock.seconds)
        self.steps: deque[float] = deque(maxlen=5)  # seconds of the last ones
        self._began = clock.spent - trained

    @property
    def trained(self) -> float:
        """Seconds in the loop, those of earlier sessions included."""
        return self.clock.spent - self._began

    def progress(self, step: int, steps: int) -> float:
        """Share of the training that is done, by steps or by the clock; 1 as soon as no further step ends in time."""
        progress = step / steps if steps else 1.0
        if self.clock.limited:
            left = self.clock.left - self.clock.after - self.kept - (self.onlooker.seconds if self.onlooker else 0.0)
            pace = statistics.median(self.steps) if self.steps else 0.0
            progress = max(progress, self.trained / (self.trained + left) if left > pace else 1.0)
        return shared_maximum(progress)

    @contextmanager
    def step(self) -> Iterator[None]:
        began = self.clock.spent
        yield
        self.steps.append(self.clock.spent - began)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Measure what writing a checkpoint takes."""
        began = self.clock.spent
        yield
        self.kept = 1.2 * (self.clock.spent - began)
