"""What a gain measured on few pictures is worth, when the weights that gained most of many are chosen.

Student's interval takes gains to be normal. Those of finetuning are not: one picture gains 15 dB, most gain half a dB,
and all are on the same side. That is told by how often random signs of the gains would give as much, however skewed
they are. The signs are drawn once for all weights that were tried, so that the choice among them counts as well.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derain.evaluation.statistics import CONFIDENCE_LEVEL

MOST_EXACT = 12  # pictures up to which all signs are tried
DRAWN_SIGNS = 1 << MOST_EXACT
HALVINGS = 40  # of the range in which a bound lies
Gains = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    low: float
    high: float

    def both(self, other: "Bounds") -> "Bounds":
        return Bounds(max(self.low, other.low), min(self.high, other.high))


def interval(groups: Sequence[Gains], rivals: Sequence[Sequence[Gains]], few: bool) -> Bounds:
    """The 95% interval of the sum of the groups' mean gains.

    Args:
        groups: gains, independent of each other; two of each group at least.
        rivals: of other weights among which these were chosen, on the same pictures.
        few: whether they may be too few to tell by signs alone: then it is what Student's and that by signs, both of
            97.5%, have in common.
    """
    error = (1 - CONFIDENCE_LEVEL) / 2
    if not few:
        return by_signs(groups, rivals, error)
    return by_student(groups, error / 2).both(by_signs(groups, rivals, error / 2))


def by_student(groups: Sequence[Gains], error: float) -> Bounds:
    """Welch's."""
    mean = sum(float(unit.mean()) for unit in groups)
    parts = [float(unit.var(ddof=1)) / len(unit) for unit in groups]
    if not sum(parts):
        return Bounds(mean, mean)
    from scipy.stats import t

    freedom = sum(parts) ** 2 / sum(part**2 / (len(unit) - 1) for part, unit in zip(parts, groups))
    reach = float(t.ppf(1 - error, freedom) * sum(parts) ** 0.5)
    return Bounds(mean - reach, mean + reach)


def by_signs(groups: Sequence[Gains], rivals: Sequence[Sequence[Gains]], error: float) -> Bounds:
    """By a sign-flip test for each sum that there may be in truth; infinite where the pictures are too few to tell."""
    chosen, *others = (parts_of_sum(one) for one in (groups, *rivals))
    total, shares, flips = float(chosen.sum()), shares_of_shift(groups), signs(len(chosen))
    tried = np.stack([chosen, *others], axis=1)

    def too_high(truth: float) -> bool:
        flipped = flips @ (tried - truth * shares[:, None])
        return bool((flipped.max(axis=1) >= total - truth - 1e-9).mean() > error)

    def too_low(truth: float) -> bool:
        return bool((flips @ (chosen - truth * shares) <= total - truth + 1e-9).mean() > error)

    reach = 20 * float(np.abs(tried).sum()) + 1e-6
    return Bounds(edge(too_high, total, total - reach), edge(too_low, total, total + reach))


def edge(possible: Callable[[float], bool], inside: float, outside: float) -> float:
    """How far from ``inside`` a value is possible; infinitely far if it is at ``outside``."""
    if possible(outside):
        return math.copysign(math.inf, outside - inside)
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if possible(middle) else (inside, middle)
    return inside


def parts_of_sum(groups: Sequence[Gains]) -> Gains:
    """What each picture adds to the sum of the groups' means."""
    return np.asarray(np.concatenate([unit / len(unit) for unit in groups]), np.float64)


def shares_of_shift(groups: Sequence[Gains]) -> Gains:
    """What each picture would have of a gain of 1, shared out as the gains are, but for groups that lost."""
    gained = np.array([max(float(unit.mean()), 0.0) for unit in groups])
    each = gained / gained.sum() if gained.any() else np.full(len(groups), 1 / len(groups))
    return np.concatenate([np.full(len(unit), share / len(unit)) for unit, share in zip(groups, each)])


def signs(count: int) -> NDArray[np.float64]:
    """``(N, count)`` of 1 and -1, all 1 first: every combination of few, or as many at random."""
    if count <= MOST_EXACT:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, (DRAWN_SIGNS, count))
        bits[0] = 0
    return np.asarray(1 - 2 * bits, np.float64)
