"""`derain finetune`."""

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from derain.cli.inputs import check_pictures, check_weights
from derain.cli.options import Device, Workers, to_file
from derain.cli.terminal import say, tell, training_bar
from derain.errors import UsageError
from derain.finetuning.change import check_change
from derain.finetuning.places import LEAST_PHOTOS, check_result, work_folder
from derain.signals import INTERRUPTED
from derain.weights.places import check_push


def finetune(
    photos: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Rainy photos or clips from one camera.", show_default=False),
    ],
    out: Annotated[
        Optional[Path],
        typer.Option(
            "-o", "--output", metavar="FILE", parser=to_file, help="The new weights; default: FOLDER.safetensors."
        ),
    ] = None,
    clean: Annotated[
        Optional[Path],
        typer.Option(metavar="FOLDER", help="Your own photos without rain, instead of the bundled ones."),
    ] = None,
    minutes: Annotated[
        Optional[float],
        typer.Option(min=0.01, metavar="N", help="Time limit for the whole run; default: 15 on a CPU, 3 on a GPU."),
    ] = None,
    steps: Annotated[
        Optional[int],
        typer.Option(
            min=1,
            metavar="N",
            help="Train for this many steps instead, however long they take. Looking and judging take minutes besides.",
        ),
    ] = None,
    change: Annotated[
        str,
        typer.Option(
            "--strength-of-change", metavar="LEVEL", help="How far the weights may move: low, medium or high."
        ),
    ] = "medium",
    start: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="Weights to start from, a bundled name or a file.")
    ] = "derain",
    device: Device = "auto",
    workers: Workers = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")] = False,
    push: Annotated[
        Optional[str],
        typer.Option(metavar="OWNER/REPO", help="Upload the weights to the Hub if they are better."),
    ] = None,
) -> None:
    """Adapt the network to your own camera, from rainy photos alone.

    Some of your photos are held out to judge the result. If they do not come out better, you get the starting weights
    back. A folder beside the weights holds previews and a summary. Ctrl-C keeps the best weights so far.

    Files that cannot be used are passed over with a message, which leaves the exit code 0.
    """
    began = time.monotonic()
    check_pictures(photos, "rainy photos or clips", clips=True, least=LEAST_PHOTOS)
    if clean:
        check_pictures(clean, "photos without rain")
    check_weights(start)
    check_change(change)
    if push:
        check_push(push)
    weights = out or Path(f"{photos.resolve().name}.safetensors")
    if resume and not (work_folder(weights).exists() or weights.exists()):
        raise UsageError(f"{work_folder(weights)}: no such folder, so there is nothing to resume; leave out --resume")
    check_result(weights, (photos, *([clean] if clean else []), Path(start)), resume, overwrite)
    from derain.finetuning.finetune import finetune as run_finetuning
    from derain.finetuning.verdict import in_words
    from derain.weights.publish import push as upload

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
    if found.better:
        say(found.verdict)
        for line in in_words(found.before, found.after):
            say(f"  {line}")
    say(f"before and after: {found.summary}")
    tell(str(found.weights))
    if push and found.better and not found.interrupted:
        say(f"uploaded to {upload(push, found.weights)}")
    elif push:
        say(
            "not uploaded: the run was interrupted"
            if found.interrupted
            else "not uploaded: the new weights are no better"
        )
    if found.interrupted:
        kept = "; the best weights so far are kept" if found.better else ""
        say(f"interrupted{kept}{'; --resume continues' if found.can_go_on else ''}")
        raise typer.Exit(INTERRUPTED)
