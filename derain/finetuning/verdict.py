"""Whether finetuned weights are better, or only seem so on the few pictures that judge."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derain.evaluation.statistics import Estimate
from derain.finetuning.chance import Gains, interval
from derain.finetuning.judge import WEIGHTS, Scores, gain
from derain.finetuning.material import LEAST_JUDGING, PHOTO_SHARE
from derain.text import counted

MORE_PHOTOS = f"{LEAST_JUDGING * PHOTO_SHARE} photos or more, or longer clips"
ENOUGH_SIGNS = 7  # photos and moments from which the signs of their gains alone tell what is chance
# judged by one picture
GROUPS = (("repasted", "streaks_left", "photos"), ("matched", "rendered", "pictures"), ("timed",))


@dataclass(frozen=True)
class Verdict:
    """What a difference between two networks is worth: about dB, over ``n`` held-out photos and moments of clips."""

    gain: Estimate
    lack: str = MORE_PHOTOS  # of what, if too few judge

    @property
    def better(self) -> bool:
        return self.gain.n >= LEAST_JUDGING and self.gain.low > 0

    def __str__(self) -> str:
        found = self.gain
        if found.n < LEAST_JUDGING:
            judged = f"only {counted(found.n, 'photo')} judged, and {LEAST_JUDGING} are needed"
            return f"not certainly better: {judged}; give {self.lack}"
        truth = f"without the luck of the best look, 95% interval {found.low:+.2f} to {found.high:+.2f} dB"
        worth = f"{found.mean:+.2f} dB measured by {found.n}; {truth}"
        if self.better:
            return f"better than the starting weights: {worth}"
        return f"no better than the starting weights: the difference may be chance ({worth})"


def verdict(start: Scores, scores: Scores, rivals: Sequence[Scores] = ()) -> Verdict:
    """What ``scores``, the best among ``rivals``, are worth against those of the ``start``, from picture to picture."""
    mean, judging = gain(start, scores), sum(len(scores.each.get(name, ())) for name in ("streaks_left", "timed"))
    groups = gains_by_group(start, scores)
    if not groups or min(map(len, groups)) < 2:
        return Verdict(Estimate(mean, -math.inf, math.inf, judging))
    tried = [found for rival in rivals if same_size(found := gains_by_group(start, rival), groups)]
    bounds, measured = interval(groups, tried, judging < ENOUGH_SIGNS), sum(float(unit.mean()) for unit in groups)
    beside = mean - measured  # what counts against all pictures together
    low, high = min(bounds.low + beside, mean), max(bounds.high + beside, mean)
    return Verdict(Estimate(mean, low, high, judging))


def gains_by_group(start: Scores, scores: Scores) -> list[Gains]:
    return [unit for group in GROUPS if len(unit := gains_of(group, start, scores))]


def same_size(one: list[Gains], other: list[Gains]) -> bool:
    return [len(unit) for unit in one] == [len(unit) for unit in other]


def gains_of(group: tuple[str, ...], start: Scores, scores: Scores) -> Gains:
    """Weighted gain of each picture of a group, whose mean is what the group adds to the whole gain."""
    size = max((len(scores.each.get(name, ())) for name in group), default=0)
    total = np.zeros(size)
    unchanged = sum(len(scores.each.get(name, ())) for name in ("photos", "pictures"))
    for name in group:
        after, before = (np.array(s.each.get(name, ())) for s in (scores, start))
        if not len(after) or len(after) != len(before) or np.isnan(after - before).all():
            continue
        known = ~np.isnan(after - before)
        share = len(after) / unchanged if name in ("photos", "pictures") else 1.0
        weight = share * WEIGHTS.get(name, WEIGHTS["unchanged"]) * size / known.sum()
        total[: len(after)] += weight * np.where(known, after - before, 0)
    return total


def in_words(before: Scores, after: Scores) -> list[str]:
    """What became better or worse, a line each, for whoever takes photos."""
    lines = [
        ("streaks left in your photos", before.streaks_left, after.streaks_left, ".0%", "", "lower is better"),
        ("your rain put on other photos of yours", before.repasted, after.repasted, ".1f", " dB", "higher is better"),
        ("your rain put on clean pictures", before.matched, after.matched, ".1f", " dB", "higher is better"),
        ("the rain in your clips", before.timed, after.timed, ".1f", " dB", "higher is better"),
        ("parts without rain, kept as they are", before.unchanged, after.unchanged, ".1f", " dB", "higher is better"),
        ("rain of other kinds", before.rendered, after.rendered, ".1f", " dB", "higher is better"),
    ]
    return [
        f"{what}: {one:{form}} -> {other:{form}}{unit} ({better})"
        for what, one, other, form, unit, better in lines
        if not (math.isnan(one) or math.isnan(other))
    ]
