"""What a run comes to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from derain.batch.outcome import Outcome


@dataclass
class Tally:
    """Totals of a run so far. It keeps no outcomes, because there may be a million of them."""

    photos: int = 0
    failed: int = 0
    untouched: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0  # in the network

    def add(self, outcome: "Outcome") -> None:
        self.photos += 1
        self.failed += outcome.error is not None
        self.untouched += outcome.untouched
        self.megapixels += outcome.megapixels
        self.seconds += outcome.seconds

    @property
    def pace(self) -> str:
        """Megapixels per second in the network, as the end of a phrase; empty while nothing was done."""
        return f" at {self.megapixels / self.seconds:.1f} MP/s" if self.seconds else ""

    def __str__(self) -> str:
        """The end of a run in a sentence."""
        if self.photos == self.failed:
            return f"{self.failed} of {self.photos} photos failed"
        done = f"{self.photos - self.failed} of {self.photos} photos done{self.pace}"
        copied = f", {self.untouched} copied unchanged"
        failed = f"; {self.failed} failed"
        return done + copied * bool(self.untouched) + failed * bool(self.failed)
