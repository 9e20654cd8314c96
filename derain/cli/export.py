"""`derain export`."""

from pathlib import Path
from typing import Annotated

import typer

from derain.cli.examples import epilog
from derain.cli.inputs import check_weights
from derain.cli.options import Command, Weights, to_file
from derain.cli.terminal import say, tell
from derain.extras import check_extra
from derain.onnx_file import check_onnx_file

export = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Convert the network for other software.",
    epilog=epilog("export"),
)


@export.callback()
def formats() -> None:
    pass


@export.command(cls=Command)
def onnx(
    weights: Weights = "derain",
    out: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", parser=to_file, help="The ONNX file.")] = Path(
        "derain.onnx"
    ),
    half: Annotated[bool, typer.Option("--half", help="Compute in float16, for half the size.")] = False,
    with_rain: Annotated[bool, typer.Option("--with-rain", help="Output the rain layer as well.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write the network as ONNX, for ONNX Runtime, OpenVINO or OpenCV 5, and check it."""
    check_onnx_file(out, overwrite, weights)
    check_extra("onnx", "export")
    check_weights(weights)
    from derain.export import export_onnx

    difference = export_onnx(weights, out, half=half, with_rain=with_rain, overwrite=overwrite)
    say(f"checked: ONNX Runtime and torch differ by {difference:.2f} grey levels at most")
    tell(str(out))
