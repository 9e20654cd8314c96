"""Options that several commands share."""

from typing import Annotated, Optional

import typer

Weights = Annotated[str, typer.Option(help="Bundled name, file, or hf:OWNER/REPO@REVISION/FILE.")]
Strength = Annotated[float, typer.Option(min=0, max=1, help="Share of the rain to take away.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Threads = Annotated[Optional[int], typer.Option(min=1, help="CPU threads for the network; default: all.")]
MaxMemory = Annotated[
    Optional[float],
    typer.Option(min=0.1, help="GB that derain should take at the most; default: two fifths of what is free."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
WeightsArgument = Annotated[str, typer.Argument(help="Bundled name, file, or hf:OWNER/REPO@REVISION/FILE.")]
