"""What callers and files give: values, paths and fields of settings, checked before anything is done, without torch."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from derain.bounds import Bounds, bounds_of
from derain.errors import UsageError
from derain.text import shown

ANY_NUMBER = Bounds(-math.inf, math.inf)
NUMBERS: dict[Any, Any] = {float: Real, int: Integral}
PLAIN_NUMBERS: dict[Any, Any] = {float: int | float, int: int}
WORDS: dict[Any, str] = {
    dict[str, str]: "a dict of texts",
    bool: "True or False",
    str: "a text",
    bytes: "bytes",
    Callable: "a function",
    float: "a number",
    int: "a whole number",
}


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


def check_several(name: str, values: object) -> None:
    """
    Raises:
        UsageError: nothing of which there are several; a text is one.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"`{name}`: give several, as in a list, not {type(values).__name__}")


class Problem(NamedTuple):
    """A value that cannot be."""

    name: str
    value: Any
    kind: Any  # what it is to be
    bounds: Bounds | None
    misfits: bool  # whether it is not even of that kind

    @property
    def remedy(self) -> str:
        """What to do instead."""
        bounds = self.bounds
        if bounds and bounds.choices:
            *others, last = bounds.choices
            return f"choose {', '.join(others)} or {last}"
        first = next(each for each in _alternatives(self.kind) if each is not NoneType)
        named = first.__name__ if isinstance(first, type) and get_origin(first) is None else str(first)
        wanted = WORDS.get(first) or f"{'an' if named[0] in 'AEIOU' else 'a'} {named}"
        if bounds is None:
            return f"give {wanted}"
        if math.isinf(bounds.most):
            return f"give {wanted}, {bounds.least:.10g} or more"
        return f"give {wanted} from {bounds.least:.10g} to {bounds.most:.10g}"


def problems(given: Any, plain: bool = False) -> Iterator[Problem]:
    """What is wrong with the fields of a dataclass, by their types and the bounds that they carry.

    Args:
        plain: whether only such numbers do as files hold, not those of NumPy.
    """
    kinds = get_type_hints(type(given))
    for each in fields(given):
        yield from _problems(each.name, getattr(given, each.name), kinds[each.name], bounds_of(each), plain)


def _problems(name: str, value: Any, kind: Any, bounds: Bounds | None, plain: bool = False) -> Iterator[Problem]:
    misfits = not is_of(value, kind, plain)
    if misfits or not (value is None or _within(value, bounds)):
        yield Problem(name, value, kind, bounds, misfits)


def check_fields(given: Any) -> None:
    """Each field of a dataclass against its type and the bounds that it carries.

    Raises:
        UsageError: the first that cannot be, by its name.
    """
    _refuse(problems(given))


def check(name: str, value: Any, kind: Any, bounds: Bounds | None = None) -> None:
    """A value against its type, of which more than that of one class is known only of built-in ones, and its bounds.

    Raises:
        UsageError: it cannot be, by its ``name``.
    """
    _refuse(_problems(name, value, kind, bounds))


def _refuse(found: Iterator[Problem]) -> None:
    for problem in found:  # names of a choice stand as they do in the remedy; of others their type is to be seen
        said = shown(problem.value, quoted=not (problem.bounds and problem.bounds.choices))
        raise UsageError(f"`{problem.name}` {said}: {problem.remedy}")


def is_of(value: Any, kind: Any, plain: bool = False) -> bool:
    """Whether a value is of a type; whole numbers are numbers, too, but no booleans; ``plain`` as :func:`problems`."""
    if len(others := _alternatives(kind)) > 1:
        return any(is_of(value, each, plain) for each in others)
    kind, parts = get_origin(kind) or kind, get_args(kind)
    if kind in NUMBERS:
        return isinstance(value, (PLAIN_NUMBERS if plain else NUMBERS)[kind]) and not isinstance(value, bool)
    if kind is Any or not isinstance(kind, type) or hasattr(kind, "__set__"):  # nothing to tell, or it checks by itself
        return True
    if kind is dict and isinstance(value, dict) and parts:
        return all(is_of(key, parts[0], plain) and is_of(each, parts[1], plain) for key, each in value.items())
    if kind is tuple and isinstance(value, tuple) and parts:
        kinds = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(kinds) and all(is_of(each, its, plain) for each, its in zip(value, kinds))
    return isinstance(value, kind)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _within(value: Any, bounds: Bounds | None) -> bool:
    return bounds.allow(value) if bounds else not isinstance(value, Real) or ANY_NUMBER.allow(value)


def with_tuples(read: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a file holds them, whose lists are tuples in a dataclass."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in read.items()}


def deeper(value: Any, levels: int) -> bool:
    """Whether tables and lists of a file lie deeper in each other than so many levels."""
    if not isinstance(value, dict | list):
        return False
    return levels == 0 or any(deeper(v, levels - 1) for v in (value.values() if isinstance(value, dict) else value))
