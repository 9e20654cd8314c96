"""What callers give: values, paths and fields of settings, checked before anything is done, without torch."""

import math
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as shortened
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from derain.bounds import Bounds, bounds_of
from derain.errors import UsageError

ANY_NUMBER = Bounds(-math.inf, math.inf)
NUMBERS = {float: "a number", int: "a whole number"}
WORDS: dict[Any, str] = {dict[str, str]: "a dict of texts", bool: "True or False", str: "a text", **NUMBERS}


def to_path(name: str, value: str | Path) -> Path:
    """
    Args:
        name: of the argument.

    Raises:
        UsageError: it is no path, or empty.
    """
    check_path(name, value)
    if value == "":
        raise UsageError(f"`{name}`: is empty; give a path")
    return Path(value)


def check_path(name: str, value: object) -> None:
    """
    Raises:
        UsageError: it is neither a path nor a name.
    """
    if not isinstance(value, str | Path):
        raise UsageError(f"`{name}`: give a path, as str or Path, not {type(value).__name__}")


def check_fields(given: Any) -> None:
    """Each field of a dataclass against its type and the bounds that it carries.

    Raises:
        UsageError: the first that cannot be, by its name.
    """
    kinds = get_type_hints(type(given))
    for each in fields(given):
        check(each.name, getattr(given, each.name), kinds[each.name], bounds_of(each))


def check(name: str, value: Any, kind: Any, bounds: Bounds | None = None) -> None:
    """A value against its type, of which more than that of one class is known only of built-in ones, and its bounds.

    Raises:
        UsageError: it cannot be, by its ``name``.
    """
    if not is_of(value, kind) or not (value is None or _within(value, bounds)):
        raise UsageError(f"`{name}` {_shown(value, bounds)}: {_wanted(kind, bounds)}")


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; whole numbers are numbers, too, whoever's they are, but no booleans."""
    if len(others := _alternatives(kind)) > 1:
        return any(is_of(value, each) for each in others)
    kind, parts = get_origin(kind) or kind, get_args(kind)
    if kind in NUMBERS:
        return isinstance(value, Real if kind is float else Integral) and not isinstance(value, bool)
    if not isinstance(kind, type) or hasattr(kind, "__set__"):  # nothing to compare with, or it checks by itself
        return True
    if kind is dict and isinstance(value, dict) and parts:
        return all(is_of(key, parts[0]) and is_of(each, parts[1]) for key, each in value.items())
    if kind is tuple and isinstance(value, tuple) and parts:
        return all(is_of(each, parts[0]) for each in value)
    return isinstance(value, kind)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _within(value: Any, bounds: Bounds | None) -> bool:
    return bounds.allow(value) if bounds else not isinstance(value, Real) or ANY_NUMBER.allow(value)


def _shown(value: Any, bounds: Bounds | None) -> str:
    """Names of a choice as they are, as they stand in the message; anything else so that its type is seen."""
    is_name = bounds is not None and bool(bounds.choices) and isinstance(value, str) and value.isidentifier()
    return str(value) if is_name else shortened(value)


def _wanted(kind: Any, bounds: Bounds | None) -> str:
    """What to do instead."""
    if bounds and bounds.choices:
        *others, last = bounds.choices
        return f"choose {', '.join(others)} or {last}"
    first = next(each for each in _alternatives(kind) if each is not NoneType)
    wanted = WORDS.get(first) or f"a {first.__name__ if get_origin(first) is None else first}"
    if bounds is None:
        return f"give {wanted}"
    if math.isinf(bounds.most):
        return f"give {wanted}, {bounds.least:.10g} or more"
    return f"give {wanted} from {bounds.least:.10g} to {bounds.most:.10g}"
