"""What a request may ask for, in its address: one row an option, from which OpenAPI is told too."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams

from derain.photos.formats import WRITTEN
from derain.serve.refusals import Refusal
from derain.text import printable

PARTS = ("result", "rain", "before", "after", "report")
TRUTHS = {"true": True, "1": True, "": True, "false": False, "0": False}


@dataclass(frozen=True)
class Wanted:
    """What is to be done with a photo."""

    weights: str
    strength: float = 1.0
    only_if_rainy: bool = False
    rainy_from: float | None = None
    format: str | None = None
    quality: int | None = None
    rain: str | None = None  # layer: the rain layer is the answer
    parts: tuple[str, ...] = ()  # of a form that is the answer, instead of one picture


@dataclass(frozen=True)
class Option:
    """An option: how it is read, and what OpenAPI says of it."""

    name: str
    description: str
    schema: Mapping[str, Any]  # of its value, as in JSON Schema
    read: Callable[[str], Any]  # raises ValueError with what to give instead


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"give a number from {least:g} to {most:g}")
        return value

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
            raise ValueError(f"give a whole number from {least} to {most}")
        return int(text)

    return read


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}" if len(choices) > 1 else f"choose {choices[0]}")
        return text

    return read


def _some_of(choices: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        if not set(found) <= set(choices) or len(set(found)) < len(found):
            raise ValueError(f"choose some of {', '.join(choices)}, with commas between")
        return found

    return read


def _truth(text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise ValueError("give true or false")
    return TRUTHS[text.lower()]


SHARE = {"type": "number", "minimum": 0, "maximum": 1}
FOR_DERAIN = (
    Option("strength", "Share of the rain to remove.", SHARE | {"default": 1}, _number(0, 1)),
    Option(
        "only_if_rainy",
        "Leave a photo unchanged unless /v1/score calls it rainy.",
        {"type": "boolean", "default": False},
        _truth,
    ),
    Option("rainy_from", "The same, with this threshold instead of 0.02.", SHARE, _number(0, 1)),
    Option("format", "Format of the answer; default: the photo's.", {"enum": WRITTEN}, _one_of(WRITTEN)),
    Option(
        "quality",
        "For lossy formats; default: the photo's own tables, else 95.",
        {"type": "integer", "minimum": 1, "maximum": 100},
        _whole(1, 100),
    ),
    Option("rain", "layer: answer with the rain layer, as PNG, instead.", {"enum": ["layer"]}, _one_of(["layer"])),
    Option(
        "parts",
        "Answer with a form (multipart/form-data) of these parts: result, the picture; rain, its rain layer; before "
        "and after, JPEG or WebP for screens; report, JSON.",
        {"type": "array", "items": {"enum": list(PARTS)}, "uniqueItems": True, "minItems": 1},
        _some_of(PARTS),
    ),
)


def options_of_derain(weights: Sequence[str]) -> tuple[Option, ...]:
    return (_weights(weights), *FOR_DERAIN)


def options_of_score(weights: Sequence[str]) -> tuple[Option, ...]:
    return (_weights(weights),)


def _weights(names: Sequence[str]) -> Option:
    schema = {"enum": list(names), "default": names[0]}
    return Option("weights", "Weights that the server was started with.", schema, _one_of(names))


def read_options(query: QueryParams, options: Sequence[Option], weights: str) -> Wanted:
    """What is asked for in an address, with ``weights`` by default.

    Raises:
        Refusal: an option that is unknown, given twice, or out of its bounds.
    """
    by_name = {option.name: option for option in options}
    found: dict[str, Any] = {"weights": weights}
    for name in query.keys():
        if name not in by_name:
            raise Refusal(400, f"`{printable(name)}`: no such option; choose from {', '.join(by_name)}")
        given = query.getlist(name)
        if len(given) > 1:
            raise Refusal(400, f"`{name}`: was given {len(given)} times; give it once")
        try:
            found[name] = by_name[name].read(given[0])
        except ValueError as error:
            raise Refusal(400, f"`{name}` {printable(given[0])}: {error}") from None
    wanted = Wanted(**found)
    if found.get("only_if_rainy") is False and wanted.rainy_from is not None:
        raise Refusal(400, "`only_if_rainy` false: contradicts `rainy_from`; leave one of them out")
    if wanted.rain and (wanted.parts or wanted.format or wanted.quality):
        raise Refusal(400, "`rain`: cannot be combined with `parts`, `format` or `quality`; the layer is always a PNG")
    if wanted.parts and "result" not in wanted.parts and (wanted.format or wanted.quality):
        raise Refusal(400, "`parts`: has no result to which `format` or `quality` could apply; leave them out")
    return wanted
