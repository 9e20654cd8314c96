"""What an evaluation found, as CSV and JSON for scripts, and how scores and differences are told."""

import csv
import io
import math
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import derain
from derain.evaluation.benchmark import Speed
from derain.evaluation.evaluate import Evaluation
from derain.evaluation.samples import INPUT
from derain.evaluation.scores import SCORES, explanations
from derain.evaluation.statistics import Estimate
from derain.text import as_json as dumped
from derain.text import cell, printable

COMPARISONS_EXPLAINED = {
    "intervals": "95%, Student's t over pictures taken as independent, which frames of one clip are not",
    "differences": "picture by picture; called noise where the interval holds zero, equal where none is to be seen, "
    "and nothing where the input's own score is 0 by definition",
}


def conditions(evaluation: Evaluation) -> dict[str, str]:
    """What was measured and how, and with which versions."""
    versions = {
        "derain": derain.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
    by_truth, by_input = (explanations(evaluation.scores, with_truth) for with_truth in (True, False))
    return (by_truth or by_input) | COMPARISONS_EXPLAINED | by_input | versions


def formatted(value: float, score: str, sign: bool = False) -> str:
    """A score with its digits; a dash where it is not defined."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}z.{SCORES[score].digits}f}"


def interval(estimate: Estimate, score: str, sign: bool = False) -> str:
    if not math.isfinite(estimate.low):
        return ""
    return f"{formatted(estimate.low, score, sign)} to {formatted(estimate.high, score, sign)}"


def verdict(difference: Estimate, score: str, against: str) -> str:
    """In a word, what a difference from a method is worth; empty where it could not be but one thing."""
    if difference.n == 0 or (against == INPUT and SCORES[score].of_change):
        return ""
    if difference.n == 1:
        return "one picture"
    mean, low, high = (
        round(value, SCORES[score].digits) for value in (difference.mean, difference.low, difference.high)
    )
    if low == high == 0:
        return "equal"
    if difference.is_noise:
        return "noise"
    if mean == 0:
        return "equal"
    return "better" if (difference.mean > 0) == SCORES[score].higher_is_better else "worse"


def comparisons(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Methods to compare: each with the input, and each with the first that is not the input."""
    _, *others = evaluation.methods
    return [(m, INPUT) for m in others] + [(first, other) for first in others[:1] for other in others[1:]]


def as_json(evaluation: Evaluation) -> str:
    """Everything: settings, means with intervals, differences, each picture's scores, problems. NaN becomes null."""

    def plain(estimate: Estimate) -> dict[str, Any]:
        return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}

    content = {
        "settings": conditions(evaluation),
        "methods": {m: {s: plain(e) for s, e in evaluation.summary(m).items()} for m in evaluation.methods},
        "differences": [
            {"method": m, "against": o, "score": s, "verdict": verdict(d, s, o), **plain(d)}
            for m, o in comparisons(evaluation)
            for s in evaluation.scores
            for d in [evaluation.difference(m, o, s)]
        ],
        "pictures": evaluation.rows,
        "problems": evaluation.problems,
        "left_out": evaluation.left_out,
    }
    return dumped(content, indent=1)


def as_csv(evaluation: Evaluation) -> str:
    """A line for each picture and method."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "method", *evaluation.scores])
    for picture, methods in evaluation.rows.items():
        for method, scores in methods.items():
            writer.writerow(
                [
                    cell(printable(picture)),
                    cell(printable(method)),
                    *(scores.get(score, "") for score in evaluation.scores),
                ]
            )
    return text.getvalue()


def speeds_as_json(speeds: list[Speed]) -> str:
    return dumped([asdict(speed) for speed in speeds], indent=1)
