"""An evaluation as a table for people, and as CSV and JSON for scripts."""

import csv
import io
import math
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

import derain
from derain.cli.terminal import tell_text
from derain.errors import PhotoError, UsageError
from derain.evaluation.benchmark import Speed
from derain.evaluation.evaluate import Evaluation
from derain.evaluation.samples import INPUT
from derain.evaluation.scores import SCORES, explanations
from derain.evaluation.statistics import Estimate
from derain.files.writing import is_special, write_named
from derain.text import as_json as dumped
from derain.text import cell, encoded, printable
from derain.weights import locate, sha256

COMPARED = {
    "intervals": "95%, Student's t over pictures taken as independent, which frames of one clip are not",
    "differences": "picture by picture; called noise where the interval holds zero",
}
TAKEN = (INPUT, "clean", "truth", "rain")  # names of what is not a method in tables, reports and clips


def settings(evaluation: Evaluation) -> dict[str, str]:
    """What was measured and how, and with which versions."""
    versions = {
        "derain": derain.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
    by_truth, by_input = (explanations(evaluation.scores, with_truth) for with_truth in (True, False))
    return (by_truth or by_input) | COMPARED | by_input | versions


def formatted(value: float, score: str, sign: bool = False) -> str:
    """A score with its digits; a dash where it is not defined."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{SCORES[score].digits}f}"


def interval(estimate: Estimate, score: str, sign: bool = False) -> str:
    if not math.isfinite(estimate.low):
        return ""
    return f"{formatted(estimate.low, score, sign)}…{formatted(estimate.high, score, sign)}"


def verdict(difference: Estimate, score: str) -> str:
    """In a word, what a difference is worth."""
    if difference.n == 0:
        return ""
    if difference.n == 1:
        return "one picture"
    if difference.low == difference.high == 0:
        return "equal"
    if difference.is_noise:
        return "noise"
    return "better" if (difference.mean > 0) == SCORES[score].higher_is_better else "worse"


def comparisons(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Methods to compare: each with the input, and each with the first that is not the input."""
    _, *others = evaluation.methods
    return [(m, INPUT) for m in others] + [(first, other) for first in others[:1] for other in others[1:]]


def table(evaluation: Evaluation) -> Table:
    """Means with their intervals, a method a row, and below them what the differences are worth."""
    drawn = Table(title=f"{len(evaluation.rows)} pictures", title_justify="left")
    drawn.add_column("")
    for score in evaluation.scores:
        drawn.add_column(SCORES[score].heading + (f"\n{SCORES[score].unit}" if SCORES[score].unit else ""))
    for method in evaluation.methods:
        summary = evaluation.summary(method)
        intervals = [interval(estimate, score).replace("…", "…\n") for score, estimate in summary.items()]
        means = [formatted(estimate.mean, score) for score, estimate in summary.items()]
        cells = [f"{mean}\n[dim]{bounds}[/dim]" for mean, bounds in zip(means, intervals)]
        drawn.add_row(escape(printable(method)), *cells)
    drawn.add_section()
    for method, other in comparisons(evaluation):
        cells = []
        for score in evaluation.scores:
            difference = evaluation.difference(method, other, score)
            cells.append(f"{formatted(difference.mean, score, True)}\n[dim]{verdict(difference, score)}[/dim]")
        drawn.add_row(escape(printable(f"{method} – {other}")), *cells)
    return drawn


def as_json(evaluation: Evaluation) -> str:
    """Everything: settings, means with intervals, differences, each picture's scores, problems. NaN becomes null."""

    def plain(estimate: Estimate) -> dict[str, Any]:
        return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}

    content = {
        "settings": settings(evaluation),
        "methods": {m: {s: plain(e) for s, e in evaluation.summary(m).items()} for m in evaluation.methods},
        "differences": [
            {"method": m, "against": o, "score": s, "verdict": verdict(d, s), **plain(d)}
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


def refuse_existing(files: list[Path], overwrite: bool) -> None:
    """Before any work; ``-`` is stdout.

    Raises:
        UsageError: a file is there already and may not be replaced, its folder is missing, or two go to one place.
    """
    places = [path if is_stdout(path) else path.resolve() for path in files]
    for path in (path for path, place in zip(files, places) if places.count(place) > 1 and str(path) != os.devnull):
        raise UsageError(f"{path}: is to hold two things; give each a place of its own")
    for path in (path for path in files if not (is_stdout(path) or is_special(path))):
        if os.path.lexists(path) and not overwrite:
            raise UsageError(f"{path}: exists already; give another name or `overwrite`")
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent}: no such folder")


def is_stdout(path: Path) -> bool:
    return str(path) in ("-", "/dev/stdout")


def write(path: Path, text: str) -> None:
    """To a file, whole or not at all, or with ``-`` to stdout.

    Raises:
        UsageError: the file cannot be written.
    """
    content = encoded(text)
    if is_stdout(path):
        tell_text(content.decode().removesuffix("\n"))
        return
    try:
        write_named(path, content)
    except PhotoError as error:
        raise UsageError(str(error)) from None


def method_names(weights: list[str], restored: list[str]) -> tuple[dict[str, str], dict[str, Path]]:
    """What weights and results of tools are called in tables: weights by name, results by name.

    Weights go by their file's stem, or as given if two share it or it means something else; results by ``NAME=PATH``
    or the path's last part.

    Raises:
        UsageError: two methods have one name.
    """
    stems = [Path(name).stem for name in weights]
    plain = [stem for stem in stems if stems.count(stem) == 1 and stem not in TAKEN]
    ours = {stem if stem in plain else name: name for stem, name in zip(stems, weights)}
    theirs: dict[str, Path] = {}
    for given in restored:
        name, sign, path = given.partition("=")
        name, path = (name, path) if sign else (Path(given).name or given, given)
        if name in ours or name in theirs or name in TAKEN:
            raise UsageError(f"two methods are called {name}; write `restored` OTHER_NAME={path}")
        theirs[name] = Path(path)
    return ours, theirs


def roles(rainy: Path | None, clean: Path | None, weights: dict[str, str], restored: dict[str, Path]) -> dict[str, str]:
    """What was compared, for the report's settings."""
    found = {"rainy": str(rainy) if rainy else "rendered by derain eval --self-test"}
    if clean:
        found["clean"] = str(clean)
    found |= {f"weights {name}": f"{file}, SHA-256 {sha256(locate(file))}" for name, file in weights.items()}
    return found | {f"results of {name}": str(path) for name, path in restored.items()}


def speed_table(speeds: list[Speed]) -> Table:
    drawn = Table()
    for heading in ("weights", "device", "precision", "s a megapixel", "megapixels a second", "peak memory MB"):
        drawn.add_column(heading)
    for s in speeds:
        times = (f"{s.seconds_per_megapixel:.3f}", f"{s.megapixels_per_second:.2f}", f"{s.peak_memory_mb:.0f}")
        drawn.add_row(escape(printable(s.weights)), s.device, s.precision, *times)
    return drawn


def speeds_as_json(speeds: list[Speed]) -> str:
    return dumped([asdict(speed) for speed in speeds], indent=1)
