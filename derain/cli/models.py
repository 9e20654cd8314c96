"""`derain models`."""

import typer

from derain.cli.options import Command, WeightsArgument
from derain.cli.terminal import tell, tell_text
from derain.text import as_json

models = typer.Typer(no_args_is_help=True, help="Weights: what there is, where it is, whether it is whole.")


@models.command("list", cls=Command)
def list_models() -> None:
    """Names of the bundled weights, and what each is for."""
    from derain.weights import bundled_weights
    from derain.weights.bundled import PURPOSES

    for name, path in bundled_weights().items():
        tell(f"{name}\t{path.stat().st_size / 1e6:.1f} MB\t{path}\t{PURPOSES.get(name, '')}")


@models.command(cls=Command)
def download(weights: WeightsArgument) -> None:
    """Fetch weights from the Hub into its cache and print where they are."""
    from derain.weights import locate

    tell(str(locate(weights)))


@models.command(cls=Command)
def path(weights: WeightsArgument = "derain") -> None:
    """Print where weights are, fetched first if they are on the Hub and not here."""
    from derain.weights import locate

    tell(str(locate(weights)))


@models.command(cls=Command)
def info(weights: WeightsArgument = "derain") -> None:
    """What weights say of themselves, as JSON."""
    from derain.weights import about

    tell_text(as_json(about(weights), indent=1))


@models.command(cls=Command)
def verify(weights: WeightsArgument = "derain") -> None:
    """Check digest and content."""
    from derain.weights import verify

    tell(f"{verify(weights)}  {weights}: whole")
