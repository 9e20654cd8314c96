"""Whether finetuned weights are better, or only seem so on the few pictures that judge."""

import math
from dataclasses import dataclass

import numpy as np

from derain.evaluation.statistics import CONFIDENCE_LEVEL, Estimate
from derain.finetuning.judge import WEIGHTS, Scores, gain
from derain.finetuning.material import LEAST_JUDGING, PHOTO_SHARE
from derain.text import counted

MORE_PHOTOS = f"give {LEAST_JUDGING * PHOTO_SHARE} photos or more, and more minutes if time was short"
GROUPS = (("repasted", "rain_left", "photos"), ("matched", "rendered", "pictures"), ("timed",))  # judged by one picture


@dataclass(frozen=True)
class Verdict:
    """What a difference between two networks is worth: about dB, over ``n`` held-out photos and moments of clips."""

    gain: Estimate

    @property
    def better(self) -> bool:
        return self.gain.n >= LEAST_JUDGING and self.gain.low > 0

    def __str__(self) -> str:
        found = self.gain
        if found.n < LEAST_JUDGING:
            judged = f"only {counted(found.n, 'photo')} judged, and {LEAST_JUDGING} are needed"
            return f"not certainly better: {judged}; {MORE_PHOTOS}"
        interval = f"{found.mean:+.2f} dB, 95% interval {found.low:+.2f} to {found.high:+.2f}, judged by {found.n}"
        if self.better:
            return f"better than the starting weights: {interval}"
        return f"no better than the starting weights: the difference may be chance ({interval})"


def verdict(start: Scores, scores: Scores) -> Verdict:
    """What ``scores`` are worth against those of the ``start``, from picture to picture."""
    mean, judging = gain(start, scores), sum(len(scores.each.get(name, ())) for name in ("rain_left", "timed"))
    units = [unit for group in GROUPS if len(unit := gains_of(group, start, scores))]
    if not units or min(map(len, units)) < 2:
        return Verdict(Estimate(mean, -math.inf, math.inf, judging))
    parts = [unit.var(ddof=1) / len(unit) for unit in units]
    if not sum(parts):
        return Verdict(Estimate(mean, mean, mean, judging))
    from scipy.stats import t

    freedom = sum(parts) ** 2 / sum(part**2 / (len(unit) - 1) for part, unit in zip(parts, units))  # Welch's
    reach = float(t.ppf((1 + CONFIDENCE_LEVEL) / 2, freedom) * sum(parts) ** 0.5)
    return Verdict(Estimate(mean, mean - reach, mean + reach, judging))


def gains_of(group: tuple[str, ...], start: Scores, scores: Scores) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Weighted gain of each picture of a group; a score that one lacks is as in the mean."""
    size = max((len(scores.each.get(name, ())) for name in group), default=0)
    total = np.zeros(size)
    unchanged = sum(len(scores.each.get(name, ())) for name in ("photos", "pictures"))
    for name in group:
        after, before = (np.array(s.each.get(name, ())) for s in (scores, start))
        if not len(after) or len(after) != len(before) or np.isnan(after - before).all():
            continue
        difference = after - before
        share = len(after) / unchanged if name in ("photos", "pictures") else 1.0
        known = np.nan_to_num(difference - np.nanmean(difference))
        total[: len(known)] += share * WEIGHTS.get(name, WEIGHTS["unchanged"]) * known
    return total


def in_words(before: Scores, after: Scores) -> list[str]:
    """What became better or worse, a line each, for whoever takes photos."""
    lines = [
        ("streaks left in your photos", before.rain_left, after.rain_left, ".0%", "", "lower is better"),
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
