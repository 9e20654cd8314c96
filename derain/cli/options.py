"""Options that several commands share, and how they are spoken of."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand, TyperOption

from derain.cli.examples import epilog
from derain.cli.surroundings import check_surroundings
from derain.cli.terminal import say, speak_of
from derain.errors import UsageError

WEIGHTS = "A bundled name, a file, or hf:OWNER/REPO on the Hub."
Weights = Annotated[str, typer.Option(metavar="WEIGHTS", help=WEIGHTS)]
Strength = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="How much of the rain to remove.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="Where to compute: auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option(metavar="PRECISION", help="Arithmetic: auto, float32, bfloat16 or int8.")]
Threads = Annotated[
    Optional[int], typer.Option(min=1, metavar="N", help="CPU threads for the network; default: all cores.")
]
Workers = Annotated[
    Optional[int],
    typer.Option(min=0, max=256, metavar="N", help="Processes that prepare batches; default: depends on the device."),
]


LEAST_MEMORY = 0.4e9  # bytes that derain takes on a processor in any case
MEMORY_A_PIXEL = 25  # and for a photo


def to_bytes(gigabytes: float | None) -> float | None:
    return gigabytes and gigabytes * 1e9


MaxMemory = Annotated[
    Optional[float],
    typer.Option(
        min=0.1,
        metavar="GB",
        callback=to_bytes,
        help="Use at most this much memory, but some 0.4 GB and the picture itself in any case; little makes it "
        "slower. Default: 40% of what is free.",
    ),
]
OnlyIfRainy = Annotated[
    bool, typer.Option("--only-if-rainy", help="Copy photos unchanged unless `derain score` calls them rainy.")
]
RainyFrom = Annotated[
    Optional[float],
    typer.Option(min=0, max=1, metavar="SCORE", help="Score from which a picture counts as rainy; default: 0.02."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only report errors.")]
Ray = Annotated[
    Optional[str],
    typer.Option(
        metavar="[ADDRESS]",
        show_default=False,
        help="Use the Ray cluster at host:port or auto; without a value, one that runs here or all of this machine.",
    ),
]
SLASHES = tuple(filter(None, (os.sep, os.altsep)))  # with one at its end, a name is a folder's, there or not
RAY_ADDRESS = re.compile(r"auto|local|(ray://)?[^/\s]+:\d+")
WeightsArgument = Annotated[str, typer.Argument(metavar="WEIGHTS", help=WEIGHTS)]


@dataclass(frozen=True)
class Computing:
    """What a command computes with, and where."""

    weights: str
    device: str
    threads: int | None
    ray: str | None


def use_threads(count: int | None) -> None:
    """Compute with so many threads; if nobody says how many, with as many as there are cores."""
    if count:
        import torch

        torch.set_num_threads(count)


def in_words(help: str) -> str:
    """A help text whose bounds are words: ``[0<=x<=1]`` as "[0 to 1]", ``[x>=1]`` as "[at least 1]"."""
    return re.sub(r"x>=(?=[\d.])", "at least ", help.replace("<=x<=", " to "))


WITHOUT_TORCH = "list", "path"  # names of commands that do not load it


class Command(TyperCommand):
    """A command; what the library says of its arguments is said of the options of the same name.

    Its help ends with examples.
    """

    def __init__(self, name: str | None, **settings: Any) -> None:
        settings["epilog"] = settings.get("epilog") or epilog(name or "")
        super().__init__(name, **settings)
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and not parameter.is_flag and parameter.metavar is None:
                parameter.metavar = "VALUE"  # instead of Python's name of its type

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """As Typer does it, without Python's names of types, and with bounds in words."""
        for heading, kind in (("Arguments", "argument"), ("Options", "option")):
            records = [p.get_help_record(ctx) for p in self.get_params(ctx) if p.param_type_name == kind]
            if rows := [(record[0].partition(" <")[0], in_words(record[1])) for record in records if record]:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence, whole however long it is: the table of commands wraps it."""
        return (self.help or "").split("\n\n")[0].replace("\n", " ")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, with_address(args))
        except typer.BadParameter as error:
            error.message = number_wanted(error) or error.message
            raise

    def invoke(self, ctx: Any) -> Any:
        if self.name not in WITHOUT_TORCH:
            check_surroundings()
        speak_of({str(option.name): option.opts[0] for option in self.params if option.param_type_name == "option"})
        check_names(ctx.params)
        if (said := beyond_memory(ctx.params)) and not ctx.params.get("quiet"):
            say(said)
        return super().invoke(ctx)


def number_wanted(error: typer.BadParameter) -> str:
    """What to give instead of what is no number, or one out of bounds; empty of any other error."""
    from derain.bounds import Bounds
    from derain.given import Problem

    option: Any = error.param
    kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
    if type(error) is not typer.BadParameter or kind not in (int, float):
        return ""
    bounds = None if option.min is None else Bounds(option.min, math.inf if option.max is None else option.max)
    return Problem(option.name, None, kind, bounds, True).remedy


def check_names(given: Mapping[str, Any]) -> None:
    """Options of several commands, before any loads torch, which takes seconds.

    Raises:
        UsageError: an unknown device or precision, a device that a cluster has not, or no Ray for one.
    """
    from derain.extras import missing
    from derain.restoring.names import check_device_name, check_device_of_cluster, check_precision

    if device := given.get("device"):
        check_device_name(device)
        if given.get("ray") is not None:
            check_device_of_cluster(device)
    if given.get("ray") is not None and (lack := missing("ray")):
        raise UsageError(f"`ray` {lack}")
    if precision := given.get("precision"):
        check_precision(precision)


def beyond_memory(given: Mapping[str, Any], pixels: int = 0) -> str:
    """A sentence if derain, or a photo of so many pixels, takes more memory than it is to; empty if not."""
    most, least = given.get("max_memory"), LEAST_MEMORY + MEMORY_A_PIXEL * pixels
    if most is None or most >= least or str(given.get("device")).startswith(("cuda", "mps")):
        return ""
    beside = "" if pixels else ", beside the picture itself"
    return f"`max_memory` {most / 1e9:g}: cannot be kept on a processor, where {least / 1e9:.1f} GB are needed{beside}"


def with_address(words: list[str]) -> list[str]:
    """The words of a command with ``--ray`` joined to the address that follows it, or to an empty one: what follows
    may as well be a photo.
    """
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--ray=" and RAY_ADDRESS.fullmatch(word):
            joined[-1] += word
        else:
            joined.append("--ray=" if word == "--ray" and "--" not in joined else word)
    return joined


def to_output(name: str) -> Any:
    """Where a word says that results go: a path, or a place elsewhere."""
    from derain.files.places import place  # which help needs not

    return Output(place(name), name.endswith(SLASHES))


@dataclass(frozen=True)
class Output:
    """Where results go."""

    place: Path
    is_folder: bool  # whether the name says so


def to_file(name: str | Path) -> Any:
    """The path that a word, or a default, names, of a file that is to be written.

    Raises:
        UsageError: it is the name of a folder, or an address.
    """
    from derain.files.places import ADDRESS  # which help needs not

    if str(name).endswith(SLASHES):
        raise UsageError(f"{name}: ends as a folder's name does; give the name of a file")
    if ADDRESS.match(str(name)):
        raise UsageError(f"{name}: is written only on this machine; give the name of a file here")
    return Path(name)
