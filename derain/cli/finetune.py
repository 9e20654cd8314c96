"""`derain finetune`."""

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from derain.cli.options import Device
from derain.cli.terminal import say, tell, training_bar


def finetune(
    photos: Annotated[Path, typer.Argument(help="Folder of rainy photos or clips of one camera.", show_default=False)],
    out: Annotated[
        Optional[Path], typer.Option("-o", "--output", help="The weights; default: the folder's name.safetensors.")
    ] = None,
    clean: Annotated[
        Optional[Path], typer.Option(help="Folder of photos without rain, instead of the bundled ones.")
    ] = None,
    minutes: Annotated[
        Optional[float],
        typer.Option(min=0.01, help="For the whole run; default: 15 on a CPU, 3 on a GPU. Less if nothing improves."),
    ] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Train so many steps, instead of minutes.")] = None,
    change: Annotated[str, typer.Option("--strength-of-change", help="low, medium or high.")] = "medium",
    start: Annotated[str, typer.Option(help="Weights to begin with, a name or a file.")] = "derain",
    device: Device = "auto",
    workers: Annotated[
        Optional[int],
        typer.Option(min=0, max=256, help="Processes that prepare the batches; default: by device."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")] = False,
    push: Annotated[
        Optional[str],
        typer.Option(help="Upload weights, if they are better, and a model card to OWNER/REPO on the Hub."),
    ] = None,
) -> None:
    """Adapt the network to your own camera, from rainy photos alone.

    A part of the photos is held out and judges; if nothing gets better, the starting weights are handed back. Beside
    the weights stands a folder with previews and a summary. Ctrl-C keeps the best so far.
    """
    began = time.monotonic()
    from derain.finetuning.best import described
    from derain.finetuning.finetune import finetune as run_finetuning
    from derain.weights.publish import check_repo
    from derain.weights.publish import push as upload

    if push:
        check_repo(push)
    weights = out or Path(f"{photos.resolve().name}.safetensors")

    with training_bar() as (report, watch):
        found = run_finetuning(
            photos,
            weights,
            clean,
            minutes=minutes,
            steps=steps,
            change=change,
            start=start,
            device=device,
            resume=resume,
            overwrite=overwrite,
            report=report,
            say=say,
            watch=watch,
            began=began,
            workers=workers,
        )
    if found.judged:
        say(described(found.before, found.after))
    verdict = "better" if found.better else "no better" if found.judged else "not judged"
    say(f"{verdict}; before and after: {found.summary}")
    tell(str(found.weights))
    if push and found.better and not found.interrupted:
        say(f"uploaded to {upload(push, found.weights)}")
    elif push:
        say("not uploaded: the run was interrupted" if found.interrupted else "not uploaded: it is no better")
    if found.interrupted:
        say("interrupted: the best so far is kept" + ("; --resume goes on" if found.can_go_on else ""))
        raise typer.Exit(130)
