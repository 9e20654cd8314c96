"""Scores and speeds as tables for people."""

from rich.markup import escape
from rich.table import Table

from derain.evaluation.benchmark import Speed
from derain.evaluation.evaluate import Evaluation
from derain.evaluation.results import comparisons, formatted, interval, verdict
from derain.evaluation.scores import SCORES
from derain.text import printable


def scores_table(evaluation: Evaluation) -> Table:
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


def speed_table(speeds: list[Speed]) -> Table:
    drawn = Table()
    for heading in (
        "weights",
        "device",
        "precision",
        "s a megapixel",
        "megapixels a second",
        "of a photo",
        "peak memory MB",
    ):
        drawn.add_column(heading)
    for s in speeds:
        rates = (f"{speed:.2f}" for speed in (s.megapixels_per_second, s.photo_megapixels_per_second))
        times = (f"{s.seconds_per_megapixel:.3f}", *rates, f"{s.peak_memory_mb:.0f}")
        drawn.add_row(escape(printable(s.weights)), s.device, s.precision, *times)
        drawn.caption = escape(printable(s.machine))
    return drawn
