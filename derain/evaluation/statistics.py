"""Means with intervals: how far a score would move had other pictures been in the set."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` pictures and its 95% interval."""

    mean: float
    low: float
    high: float
    n: int

    def within(self, least: float, most: float) -> "Estimate":
        """The estimate with its interval cut to values from ``least`` to ``most``, which a score can have."""
        return replace(self, low=min(max(self.low, least), self.mean), high=max(min(self.high, most), self.mean))

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds zero: of a difference, that it may be none."""
        return not (self.low > 0 or self.high < 0)


def estimated(scores: list[float]) -> Estimate:
    """Mean and Student's interval, which is honest for a handful of pictures where a bootstrap's is too narrow.

    Scores that are not defined (NaN) are left out. Of one picture there is no interval: its bounds are infinite.
    """
    return _estimated(tuple(s for s in scores if not np.isnan(s)))


@cache  # table, JSON and report ask for the same
def _estimated(scores: tuple[float, ...]) -> Estimate:
    known = np.array(scores)
    if len(known) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, float("-inf"), float("inf"), 1)
    from scipy.stats import t

    reach = float(t.ppf((1 + CONFIDENCE_LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Estimate(mean, mean - reach, mean + reach, len(known))
