"""`derain train`."""

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from derain.cli.terminal import say, tell, training_bar


def train(
    rainy: Annotated[Path, typer.Option(help="Folder of rainy photos.", show_default=False)],
    clean: Annotated[Path, typer.Option(help="Folder of unrelated photos without rain.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log, previews and weights.", show_default=False)],
    preset: Annotated[Optional[str], typer.Option(help="derain (default) or nlcl.")] = None,
    start: Annotated[Optional[str], typer.Option(help="Go on from these weights, a name or a file.")] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Stop after this many steps.")] = None,
    minutes: Annotated[
        Optional[float], typer.Option(min=0.01, help="Stop after this many minutes; steps are then only a limit.")
    ] = None,
    batch: Annotated[Optional[int], typer.Option(min=1, help="Crops in each step.")] = None,
    crop: Annotated[Optional[int], typer.Option(help="Side of a crop in px, a multiple of 16.")] = None,
    lr: Annotated[Optional[float], typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[Optional[int], typer.Option(min=0, help="The same seed gives the same run on a CPU.")] = None,
    device: Annotated[Optional[str], typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    workers: Annotated[
        Optional[int],
        typer.Option(min=0, max=256, help="Processes that prepare the batches; default: by device."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    config: Annotated[Optional[Path], typer.Option(help="TOML file of settings; options override it.")] = None,
) -> None:
    """Train on unpaired photos: rainy ones, and unrelated ones without rain.

    Prints the path of the self-describing weights, which `derain run --weights` takes.
    """
    began = time.monotonic()
    from derain.training.clock import Clock
    from derain.training.config import load_config
    from derain.training.loop import train as run_training

    given = {"preset": preset, "start": start, "steps": steps, "minutes": minutes, "batch": batch, "crop": crop}
    settings = load_config(config, **given, lr=lr, seed=seed, device=device, workers=workers)
    with training_bar() as (report, watch):
        clock = Clock(settings.minutes, began, watch)
        result = run_training(settings, rainy, clean, out, resume, report, say, clock=clock)
    tell(str(result))
