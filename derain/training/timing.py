"""When the training loop has to end, so that what follows ends in time too."""

import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from derain.training.clock import Clock
from derain.training.learner import Onlooker
from derain.training.torchrun import shared_maximum

KEEPING = 4.0  # seconds that writing a checkpoint takes at the most, as long as none was written


class Timing:
    """The training loop on the clock of its run.

    Args:
        clock: of the whole run.
        onlooker: whose last look follows the loop.
        trained: seconds in the loop before this session.
    """

    def __init__(self, clock: Clock, onlooker: Onlooker | None, trained: float) -> None:
        self.clock, self.onlooker = clock, onlooker
        self.kept = min(KEEPING, 0.05 * clock.seconds)
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
