"""Means with intervals: how far a score would move had other pictures been in the set."""

from dataclasses import dataclass
from functools import cache

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` pictures and its 95% bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds zero: of a difference, that it may be none."""
        return not (self.low > 0 or self.high < 0)


def bootstrap(scores: list[float]) -> Estimate:
    """Mean and percentile interval; always the same resamples, so the same scores give the same interval.

    Scores that are not defined (NaN) are left out. Of one picture there is no interval: its bounds are infinite.
    """
    return _bootstrap(tuple(s for s in scores if not np.isnan(s)))


@cache  # table, JSON and report ask for the same
def _bootstrap(scores: tuple[float, ...]) -> Estimate:
    known = np.array(scores)
    if len(known) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, float("-inf"), float("inf"), 1)
    rng = np.random.default_rng(0)
    means = [known[rng.integers(0, len(known), len(known))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(mean, float(low), float(high), len(known))
