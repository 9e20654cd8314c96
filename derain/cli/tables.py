"""Scores and speeds as tables for people."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from derain.evaluation.benchmark import Speed
from derain.evaluation.evaluate import Evaluation
from derain.evaluation.results import comparisons, formatted, interval, verdict
from derain.evaluation.scores import SCORES
from derain.text import counted, printable

LONGEST_NAME = 24  # characters of a method's name in a line
NO_TRUTH = (
    "Without --clean, compare only results of one kind: fine lines of the scene count as streaks left, too, "
    "and a change may be for the better."
)


def scores_tables(evaluation: Evaluation, width: int) -> Iterator[Table]:
    """The scores in as many tables, one below the other, as it takes for none to be wider than ``width`` characters."""
    left = evaluation.known_scores
    while left:
        count = len(left)
        while count > 1 and widest(scores_table(evaluation, left[:count])) > width:
            count -= 1
        table, left = scores_table(evaluation, left[:count]), left[count:]
        if not left and not any(SCORES[score].needs_truth for score in evaluation.known_scores):
            table.caption, table.caption_justify = NO_TRUTH, "left"
        yield table


def widest(table: Table) -> int:
    """Characters that a table needs to break nothing."""
    console = Console(width=1000)
    return Measurement.get(console, console.options, table).maximum


def scores_table(evaluation: Evaluation, scores: Sequence[str]) -> Table:
    """Means with their intervals, a method a row, and below them what the differences are worth."""
    drawn = Table(title=counted(evaluation.scored, "picture"), title_justify="left")
    drawn.add_column("", overflow="fold", max_width=LONGEST_NAME)
    for score in scores:
        drawn.add_column("\n".join([*SCORES[score].heading.rsplit(" ", 1), SCORES[score].unit]).strip())
    for method in evaluation.methods:
        summary = {score: evaluation.summary(method)[score] for score in scores}
        intervals = [interval(estimate, score).replace(" to ", " to\n") for score, estimate in summary.items()]
        means = [formatted(estimate.mean, score) for score, estimate in summary.items()]
        cells = [f"{mean}\n[dim]{bounds}[/dim]" for mean, bounds in zip(means, intervals)]
        drawn.add_row(escape(printable(method)), *cells)
    drawn.add_section()
    for method, other in comparisons(evaluation):
        cells = []
        for score in scores:
            difference = evaluation.difference(method, other, score)
            cells.append(f"{formatted(difference.mean, score, True)}\n[dim]{verdict(difference, score, other)}[/dim]")
        drawn.add_row(escape(printable(f"{method} – {other}")), *cells)
    return drawn


def speed_table(speeds: list[Speed]) -> Table:
    drawn = Table()
    drawn.add_column("weights", overflow="fold", max_width=LONGEST_NAME)
    rates = "MP per\nsecond", "in the\nrain", "dry\nphoto"
    for heading in ("device", "precision", "seconds\nper MP", *rates, "memory\nin MB"):
        drawn.add_column(heading, no_wrap=True)
    for s in speeds:
        speeds_of = s.megapixels_per_second, s.photo_megapixels_per_second, s.dry_photo_megapixels_per_second
        times = (f"{s.seconds_per_megapixel:.3f}", *(f"{speed:.2f}" for speed in speeds_of), f"{s.peak_memory_mb:.0f}")
        drawn.add_row(escape(printable(s.weights)), s.device, s.precision, *times)
        drawn.caption = escape(printable(s.machine))
    return drawn
