"""`derain eval`."""

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from derain.cli.options import Device
from derain.cli.terminal import progress_bar, say, talk, with_options
from derain.errors import UsageError


def evaluate(
    rainy: Annotated[Optional[Path], typer.Option(help="Rainy photos: a folder, a photo or a clip.")] = None,
    clean: Annotated[Optional[Path], typer.Option(help="Their truths; without them: scores that need none.")] = None,
    weights: Annotated[
        Optional[list[str]], typer.Option(help="Weights to score, several times if you like; none for none.")
    ] = None,
    restored: Annotated[
        Optional[list[str]], typer.Option(help="Results of another tool: DIR or NAME=DIR, several times if you like.")
    ] = None,
    report: Annotated[Optional[Path], typer.Option(help="Write the report to this HTML file.")] = None,
    json: Annotated[Optional[Path], typer.Option(help="Write everything to this JSON file; - for stdout.")] = None,
    csv: Annotated[Optional[Path], typer.Option(help="Write each picture's scores to this file; - for stdout.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier evaluation.")] = False,
    frames: Annotated[Optional[int], typer.Option(min=1, help="Take only so many frames of a clip.")] = None,
    self_test: Annotated[bool, typer.Option("--self-test", help="Score pairs that derain renders itself.")] = False,
    benchmark: Annotated[bool, typer.Option("--benchmark", help="Measure speed and memory instead.")] = False,
    device: Device = "auto",
    workers: Annotated[Optional[int], typer.Option(min=1, help="Threads for the metrics; default: all cores.")] = None,
) -> None:
    """Score the removal of rain: PSNR, SSIM and more, with intervals, beside the input's own score.

    With --clean, pictures are matched by name. Several --weights and --restored are compared in one table.
    """
    from derain.evaluation import evaluate as evaluation
    from derain.evaluation import results
    from derain.evaluation.report import Gallery, as_html
    from derain.evaluation.samples import open_samples
    from derain.evaluation.self_test import rendered_samples
    from derain.restoring.devices import choose_device
    from derain.weights import load

    if sum((rainy is not None, self_test, benchmark)) != 1:
        raise UsageError("give one of --rainy, --self-test and --benchmark")
    ours, theirs = results.method_names([w for w in weights or ["derain"] if w != "none"], restored or [])
    if benchmark and (report or csv):
        raise UsageError("--benchmark writes --json; leave out --report and --csv")
    results.refuse_existing([path for path in (report, json, csv) if path], overwrite)
    chosen = choose_device(device)
    if benchmark:
        from derain.evaluation.benchmark import benchmark as measure

        speeds = measure(list(ours.values()), chosen, report=lambda line: say(line, "dim"))
        talk.print(results.speed_table(speeds))
        if json:
            results.write(json, results.speeds_as_json(speeds))
        return
    given = open_samples(rainy, clean, theirs, frames) if rainy else rendered_samples()
    for left in given.left_out:
        say(left)
    models = {name: load(file, chosen) for name, file in ours.items()}
    gallery = Gallery()
    with progress_bar() as bar:
        task = bar.add_task("pictures", total=given.total)

        def watch(*seen: Any) -> None:
            gallery.watch(*seen)
            bar.advance(task)

        found = evaluation.evaluate(given, models, workers, watch)
    found.problems = [with_options(problem) for problem in found.problems]
    talk.print(results.table(found))
    for problem in found.problems:
        say(f"not scored: {problem}", "yellow")
    if json:
        results.write(json, results.as_json(found))
    if csv:
        results.write(csv, results.as_csv(found))
    if report:
        title = "/".join(rainy.resolve().parts[-2:]) if rainy else "Self-test"
        results.write(report, as_html(found, gallery, title, results.roles(rainy, clean, ours, theirs)))
    if found.problems:
        say(f"{len(found.problems)} problems, {len(found.rows)} pictures scored")
        raise typer.Exit(1)
