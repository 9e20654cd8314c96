"""`derain models`."""

import re

import typer

from derain.cli.examples import epilog
from derain.cli.inputs import check_weights
from derain.cli.options import Command, WeightsArgument
from derain.cli.terminal import tell, tell_row, tell_text
from derain.text import as_json

models = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, download and check weights.", epilog=epilog("models")
)

LIST = re.compile(r"\[\s+([^][{}]*?)\s+\]")  # of numbers and texts: it goes on one line


@models.command("list", cls=Command)
def list_models() -> None:
    """List the bundled weights."""
    from derain.weights import bundled_weights
    from derain.weights.bundled import PURPOSES

    for name, path in bundled_weights().items():
        tell_row(name, f"{path.stat().st_size / 1e6:.1f} MB", path, PURPOSES.get(name, ""))


@models.command(cls=Command)
def download(weights: WeightsArgument) -> None:
    """Download weights from the Hugging Face Hub and print where they are.

    Name them as hf:OWNER/REPO, hf:OWNER/REPO@REVISION or hf:OWNER/REPO/FILE.
    """
    from derain.weights import locate

    tell(str(locate(weights)))


@models.command(cls=Command)
def path(weights: WeightsArgument = "derain") -> None:
    """Print where weights are, and download them first if need be."""
    from derain.weights import locate

    tell(str(locate(weights)))


@models.command(cls=Command)
def info(weights: WeightsArgument = "derain") -> None:
    """Print what weights say about themselves, as JSON."""
    check_weights(weights)
    from derain.weights import about

    tell_text(LIST.sub(lambda found: f"[{' '.join(found[1].split())}]", as_json(about(weights), indent=1)))


@models.command(cls=Command)
def verify(weights: WeightsArgument = "derain") -> None:
    """Check that weights are complete and undamaged.

    Older weights and public ones hold no digest of their numbers. Of those, a wrong number is not found.
    """
    check_weights(weights)
    from derain.weights import verified

    found = verified(weights)
    said = "intact" if found.compared else "can be read, but there is no digest to compare it with"
    tell_row(found.sha256, f"{weights}: {said}", between="  ")
