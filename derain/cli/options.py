"""Options that several commands share, and how they are spoken of."""

from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from derain.cli.terminal import speak_of

Weights = Annotated[str, typer.Option(help="Bundled name, file, or hf:OWNER/REPO@REVISION/FILE.")]
Strength = Annotated[float, typer.Option(min=0, max=1, help="Share of the rain to take away.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Threads = Annotated[Optional[int], typer.Option(min=1, help="CPU threads for the network; default: all.")]
MaxMemory = Annotated[
    Optional[float],
    typer.Option(min=0.1, help="Use at most this many GB; default: two fifths of what is free."),
]
OnlyIfRainy = Annotated[
    bool, typer.Option("--only-if-rainy", help="Leave as it is what `derain score` does not call rainy.")
]
RainyFrom = Annotated[
    Optional[float],
    typer.Option(min=0, max=1, help="The same with another threshold than 0.1."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only report errors.")]
WeightsArgument = Annotated[str, typer.Argument(help="Bundled name, file, or hf:OWNER/REPO@REVISION/FILE.")]


class Command(TyperCommand):
    """A command; what the library says of its arguments is said of the options of the same name."""

    def invoke(self, ctx: Any) -> Any:
        speak_of({str(option.name): option.opts[0] for option in self.params if option.param_type_name == "option"})
        return super().invoke(ctx)
