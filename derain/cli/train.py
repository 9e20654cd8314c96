"""`derain train`."""

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from derain.cli.inputs import check_here, check_pictures, check_weights
from derain.cli.options import Workers
from derain.cli.terminal import say, tell, training_bar


def train(
    rainy: Annotated[Path, typer.Option(metavar="FOLDER", help="Rainy photos.", show_default=False)],
    clean: Annotated[Path, typer.Option(metavar="FOLDER", help="Other photos, without rain.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Where to write weights, checkpoint, log and previews.", show_default=False
        ),
    ],
    preset: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Network to train: derain (default) or nlcl.")
    ] = None,
    start: Annotated[
        Optional[str], typer.Option(metavar="WEIGHTS", help="Start from these weights, a bundled name or a file.")
    ] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, metavar="N", help="Stop after this many steps.")] = None,
    minutes: Annotated[
        Optional[float],
        typer.Option(min=0.01, metavar="N", help="Stop after this many minutes, or after --steps if that comes first."),
    ] = None,
    batch: Annotated[Optional[int], typer.Option(min=1, metavar="N", help="Batch size, in crops.")] = None,
    crop: Annotated[Optional[int], typer.Option(metavar="SIDE", help="Crop size in px, a multiple of 16.")] = None,
    lr: Annotated[Optional[float], typer.Option(metavar="RATE", help="Peak learning rate.")] = None,
    seed: Annotated[
        Optional[int], typer.Option(min=0, metavar="N", help="The same seed gives the same run on a CPU.")
    ] = None,
    device: Annotated[
        Optional[str], typer.Option(metavar="DEVICE", help="Where to compute: auto, cpu, cuda, cuda:1 or mps.")
    ] = None,
    workers: Workers = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint in --out.")] = False,
    config: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="Settings from a TOML file; options override them.")
    ] = None,
) -> None:
    """Train a network on unpaired photos: some rainy, some not.

    The two folders need not show the same scenes. Give the path that is printed to `derain run --weights`. Files that
    cannot be used are passed over with a message, which leaves the exit code 0.
    """
    began = time.monotonic()
    check_here(out)
    check_pictures(rainy, "rainy photos", clips=True)
    check_pictures(clean, "photos without rain", clips=True)
    from derain.training.config import named, read_config
    from derain.training.places import check_run
    from derain.training.ranks import is_first

    given = {"preset": preset, "start": start, "steps": steps, "minutes": minutes, "batch": batch, "crop": crop}
    settings = read_config(config, **given, lr=lr, seed=seed, device=device, workers=workers)
    check_weights(*filter(None, (settings.start, settings.teacher)))
    if is_first():
        check_run(out, settings.preset, resume, (rainy, clean))
    from derain.training.clock import Clock
    from derain.training.loop import train as run_training

    with training_bar() as (report, watch):
        clock = Clock(settings.minutes, began, watch)
        result = run_training(settings, rainy, clean, out, resume, report, say, clock=clock, where=named(config))
    if is_first():
        tell(str(result))
