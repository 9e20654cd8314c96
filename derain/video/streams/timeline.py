"""One clock for the pictures and the sound of a stream, which goes on where a connection begins anew."""

import time
from collections.abc import Callable
from fractions import Fraction

from derain.video.seeking import LEAST_LEAP_BACK

LONGEST_LEAP = 10  # seconds that a stream's own clock may go on by beyond the time that passed


class Timeline:
    """How far each time of a stream is to be moved, so that there is no way back; the same for all its parts.

    Args:
        step: seconds between two pictures.
        now: seconds by the machine's clock.
    """

    def __init__(self, step: Fraction, now: Callable[[], float] = time.monotonic) -> None:
        self.step, self.now = step, now
        self.shift = Fraction(0)
        self.latest: Fraction | None = None  # of the times that were moved
        self.seen = 0.0  # when that was, by the machine's clock
        self.is_new = False  # nothing has come yet of this connection

    def connected_again(self) -> None:
        """What comes from now on may have another clock."""
        self.is_new = True

    def shift_at(self, at: Fraction) -> Fraction:
        """What to add to this time of the stream, in seconds; called for all of its parts as they come."""
        now = self.now()
        if self.latest is not None:
            passed = Fraction(max(now - self.seen, 0.0)).limit_denominator(1000)
            least = self.latest - (0 if self.is_new else LEAST_LEAP_BACK)
            if not least < at + self.shift <= self.latest + passed + LONGEST_LEAP:
                self.shift = self.latest + max(passed, self.step) - at
        self.is_new = False
        moved = at + self.shift
        if self.latest is None or moved > self.latest:
            self.latest, self.seen = moved, now
        return self.shift
