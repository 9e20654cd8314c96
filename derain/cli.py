"""The command line: parses, calls the Python API, prints. torch is imported only by commands that compute."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import derain
from derain.errors import DerainError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Remove rain from photos, with a network that learned from unpaired photos.",
    epilog="Exit codes: 0 all done, 1 some photo failed, 2 wrong usage, 130 interrupted.",
)
talk = Console(stderr=True, highlight=False, soft_wrap=True)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]


def main() -> None:
    """Entry point: errors that a user can cause end in one sentence and an exit code."""
    try:
        app()
    except DerainError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        talk.print("interrupted")
        sys.exit(130)


def say_error(error: DerainError) -> None:
    talk.print(f"derain: {error}", style="red", markup=False)


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"derain {derain.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def run(
    inputs: Annotated[list[Path], typer.Argument(help="Photos, and folders of photos.", show_default=False)],
    output: Annotated[
        Optional[Path],
        typer.Option("-o", "--output", help="File or folder for the results; default: photo.derained.jpg beside it."),
    ] = None,
    weights: Annotated[str, typer.Option(help="Bundled name, .safetensors file, or NLCL's public .pth.")] = "derain",
    device: Device = "auto",
    tile: Annotated[int, typer.Option(min=0, help="Side of the tiles in px; 0 takes photos whole.")] = 1536,
    overwrite: Annotated[bool, typer.Option(help="Replace results that exist, instead of skipping the photo.")] = False,
    rain: Annotated[bool, typer.Option(help="Write the rain layer too, as photo.rain.png.")] = False,
    compare: Annotated[bool, typer.Option(help="Write before and after side by side, as photo.compare.png.")] = False,
) -> None:
    """Remove the rain from photos.

    Results stand beside their photo as photo.derained.jpg, or where -o says. The photos themselves are never changed.
    """
    from derain import batch
    from derain.devices import choose_device
    from derain.weights import load

    jobs = batch.plan(inputs, output, rain, compare)
    todo = jobs if overwrite else batch.pending(jobs)
    if len(todo) < len(jobs):
        talk.print(f"{len(jobs) - len(todo)} skipped: their results exist (--overwrite replaces them)")
    if not todo:
        return
    chosen = choose_device(device)
    talk.print(f"weights {weights} on {chosen}", markup=False)
    model = load(weights, chosen)

    failed = 0
    with progress_bar() as bar:
        task = bar.add_task("photos", total=len(todo))
        for job, error in batch.run(todo, model, tile or None):
            if error:
                failed += 1
                say_error(error)
            else:
                print(job.background)
            bar.advance(task)
    if failed:
        talk.print(f"{failed} of {len(todo)} photos failed")
        raise typer.Exit(1)


@app.command()
def train(
    rainy: Annotated[Path, typer.Option(help="Folder of rainy photos.", show_default=False)],
    clean: Annotated[Path, typer.Option(help="Folder of unrelated photos without rain.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log, previews and weights.", show_default=False)],
    preset: Annotated[Optional[str], typer.Option(help="derain (default) or nlcl.")] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Stop after this many steps.")] = None,
    minutes: Annotated[Optional[float], typer.Option(help="Stop after this long; steps then only limits.")] = None,
    batch: Annotated[Optional[int], typer.Option(min=1, help="Crops a step.")] = None,
    crop: Annotated[Optional[int], typer.Option(help="Side of a crop in px, a multiple of 16.")] = None,
    lr: Annotated[Optional[float], typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="The same seed gives the same run on a CPU.")] = None,
    device: Annotated[Optional[str], typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    config: Annotated[Optional[Path], typer.Option(help="TOML file of settings; options override it.")] = None,
) -> None:
    """Train on unpaired photos: rainy ones, and unrelated ones without rain.

    Prints the path of the self-describing weights, which `derain run --weights` takes.
    """
    from derain.training.config import load_config
    from derain.training.loop import train as run_training

    if minutes is not None and steps is None:
        steps = 10**9
    settings = load_config(
        config, preset=preset, steps=steps, minutes=minutes, batch=batch, crop=crop, lr=lr, seed=seed, device=device
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=talk, disable=not talk.is_terminal) as bar:
        task = bar.add_task("reading photos", total=1.0)

        def report(step: int, progress: float, losses: dict[str, float]) -> None:
            values = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            if talk.is_terminal:
                bar.update(task, completed=progress, description=f"step {step} {values}")
            else:
                talk.print(f"step {step} {values}", markup=False)

        def skip(reason: str) -> None:
            talk.print(f"skipped {reason}", markup=False)

        result = run_training(settings, rainy, clean, out, resume, report, skip)
    print(result)


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=talk, disable=not talk.is_terminal)
