"""`derain eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from derain.cli.inputs import check_there, check_weights
from derain.cli.options import Device, to_file
from derain.cli.terminal import console_of_results, progress_bar, say, with_options
from derain.errors import UsageError
from derain.text import counted

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from derain.evaluation.evaluate import Evaluation
    from derain.evaluation.report import Gallery
    from derain.evaluation.samples import Samples
    from derain.models.contract import Derainer


def evaluate(
    rainy: Annotated[
        Optional[Path], typer.Option(metavar="PATH", help="Rainy pictures: a folder, a photo or a clip.")
    ] = None,
    clean: Annotated[
        Optional[Path],
        typer.Option(metavar="PATH", help="The same pictures without rain. Optional; some scores need none."),
    ] = None,
    weights: Annotated[
        Optional[list[str]],
        typer.Option(metavar="WEIGHTS", help="Weights to score, or none; repeatable; default: derain."),
    ] = None,
    restored: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="PATH", help="Results of another tool or of `derain video`: PATH or NAME=PATH; repeatable."
        ),
    ] = None,
    report: Annotated[
        Optional[Path], typer.Option(metavar="FILE", parser=to_file, help="Write an HTML report.")
    ] = None,
    json: Annotated[
        Optional[Path], typer.Option(metavar="FILE", parser=to_file, help="Write all scores as JSON; - for stdout.")
    ] = None,
    csv: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", parser=to_file, help="Write the scores of each picture as CSV; - for stdout."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing reports and tables.")] = False,
    frames: Annotated[
        Optional[int], typer.Option(min=1, metavar="N", help="Use only the first N frames of a clip.")
    ] = None,
    self_test: Annotated[bool, typer.Option("--self-test", help="Score on drawn pictures with rendered rain.")] = False,
    benchmark: Annotated[bool, typer.Option("--benchmark", help="Measure speed and memory instead.")] = False,
    device: Device = "auto",
    workers: Annotated[
        Optional[int], typer.Option(min=1, metavar="N", help="Threads that compute scores; default: all cores.")
    ] = None,
) -> None:
    """Measure how well rain is removed: PSNR, SSIM and more.

    Each score comes with a 95% interval and the score of the rainy input beside it. Pictures in --rainy and --clean are
    matched by name. All --weights and --restored are compared in one table.

    A clip is scored frame by frame, without the fusion of `derain video`. To score what that makes of the clip, give it
    with --restored.
    """
    if sum((rainy is not None, self_test, benchmark)) != 1:
        raise UsageError("give one of --rainy, --self-test or --benchmark")
    if rainy is None and (clean or restored or frames):
        raise UsageError("--clean, --restored and --frames belong to --rainy; leave them out")
    if benchmark and (report or csv or workers):
        raise UsageError("--benchmark scores no pictures; leave out --report, --csv and --workers")
    if weights and "none" in weights and (benchmark or {*weights} != {"none"}):
        raise UsageError("--weights none: goes with neither other weights nor --benchmark; leave it out")
    check_there(*(path for path in (rainy, clean) if path))
    check_weights(*(name for name in weights or () if name != "none"))
    from derain.cli.methods import method_names, roles
    from derain.cli.outputs import files_of, is_stdout, pictures_at, refuse_unwritable, write_all
    from derain.evaluation.samples import open_samples
    from derain.files.writing import permissions_common_to

    ours, theirs = method_names([w for w in weights or ["derain"] if w != "none"], restored or [])
    check_there(*theirs.values())
    outputs = [path for path in (report, json, csv) if path]
    if overwrite and all(map(is_stdout, outputs)):
        raise UsageError("--overwrite: no file is written that could replace another; leave it out")
    read = {"rainy": [rainy] if rainy else [], "clean": [clean] if clean else [], "restored": [*theirs.values()]}
    pictures = {option: [file for path in paths for file in pictures_at(path)] for option, paths in read.items()}
    refuse_unwritable(outputs, overwrite, pictures | {"weights": files_of(ours.values())})
    opened = open_samples(rainy, clean, theirs, frames) if rainy else None
    from derain.evaluation.report import as_html  # torch takes seconds: what is wrong with the pictures is told before
    from derain.evaluation.results import as_csv, as_json
    from derain.evaluation.self_test import rendered_samples
    from derain.restoring.devices import choose_device
    from derain.weights import load

    chosen = choose_device(device)
    shown = console_of_results(any(map(is_stdout, outputs)))
    if benchmark:
        _measure(list(ours.values()), chosen, json, shown)
        return
    given = opened or rendered_samples()
    for left in given.left_out:
        say(left)
    if given.in_sequence and ours:
        way_out = "" if theirs else "; to score what `derain video` makes, give --restored"
        say(f"weights are scored frame by frame, without fusion{way_out}")
    found, gallery = _score(given, {name: load(file, chosen) for name, file in ours.items()}, workers, shown)
    title = "/".join(rainy.resolve().parts[-2:]) if rainy else "Self-test"
    all_written = write_all({json: lambda: as_json(found), csv: lambda: as_csv(found)})
    mode = permissions_common_to(file for files in pictures.values() for file in files)  # which the report shows
    all_written &= write_all({report: lambda: as_html(found, gallery, title, roles(rainy, clean, ours, theirs))}, mode)
    if found.problems:
        say(f"{counted(len(found.problems), 'problem')}, {counted(found.scored, 'picture')} scored")
    if found.problems or not all_written:
        raise typer.Exit(1)


def _measure(weights: list[str], device: "torch.device", json: Path | None, shown: "Console") -> None:
    """Speed and memory, as a table and perhaps as JSON."""
    from derain.cli.outputs import write
    from derain.cli.tables import speed_table
    from derain.evaluation.benchmark import as_markdown, benchmark
    from derain.evaluation.results import speeds_as_json

    speeds = benchmark(weights, device, say=lambda line: say(line, "dim"))
    shown.print(speed_table(speeds))
    say("For a README; photo and video are extrapolated from a smaller photo and three frames, without fusion:")
    shown.print(as_markdown(speeds), markup=False, highlight=False, soft_wrap=True)
    if json:
        write(json, speeds_as_json(speeds))


def _score(
    given: "Samples", models: "dict[str, Derainer]", workers: int | None, shown: "Console"
) -> "tuple[Evaluation, Gallery]":
    """Scores as a table, and what could not be scored."""
    from derain.cli.tables import scores_tables
    from derain.evaluation import evaluate as evaluation
    from derain.evaluation.report import Gallery

    gallery = Gallery()
    with progress_bar() as bar:
        task = bar.add_task("pictures", total=given.total)

        def tell_part(part: str) -> None:
            bar.update(task, doing=part)

        def watch(*seen: Any) -> None:
            gallery.watch(*seen)
            bar.advance(task)

        found = evaluation.evaluate(given, models, workers, watch, tell_part)
    found.problems = [with_options(problem) for problem in found.problems]
    for table in scores_tables(found, shown.width):
        shown.print(table)
    for problem in found.problems:
        say(f"not scored: {problem}", "yellow")
    return found, gallery
