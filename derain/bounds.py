"""Settings that carry their bounds in their fields: how far each may go, and whether a value does."""

from collections.abc import Collection, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """What a setting may be: a number from ``least`` to ``most``, both included, or one of ``choices``.

    Of a tuple, each part. ``lengths`` are the least and the most parts of a tuple that may differ in length.
    """

    least: float = 0.0
    most: float = 1.0
    lengths: tuple[int, int] | None = None
    choices: Collection[str] = ()

    def allow(self, value: Any) -> bool:
        if isinstance(value, list | tuple):
            long_enough = self.lengths is None or self.lengths[0] <= len(value) <= self.lengths[1]
            return long_enough and all(self.allow(part) for part in value)
        return value in self.choices if self.choices else bool(self.least <= value <= self.most)  # never NaN

    def __str__(self) -> str:
        between = f"from {self.least:.10g} to {self.most:.10g}"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"{self.lengths[0]} to {self.lengths[1]} whole numbers {between}" if self.lengths else between


def bounded(default: Any, least: float, most: float, lengths: tuple[int, int] | None = None) -> Any:
    """A setting with its bounds; see :class:`Bounds`."""
    return field(default=default, metadata={"bounds": Bounds(least, most, lengths)})


def share(default: float) -> Any:
    """A setting from 0 to 1."""
    return bounded(default, 0, 1)


def choice(default: str, choices: Collection[str]) -> Any:
    return field(default=default, metadata={"bounds": Bounds(choices=choices)})


def bounds_of(setting: Field[Any]) -> Bounds | None:
    return setting.metadata.get("bounds")


def out_of_bounds(settings: Any) -> Iterator[tuple[Field[Any], Any]]:
    """Each field of a dataclass with its value, where that is out of its bounds; ``None`` is unset, never out."""
    for setting in fields(settings):
        value, bounds = getattr(settings, setting.name), bounds_of(setting)
        if bounds and value is not None and not bounds.allow(value):
            yield setting, value


def is_like(value: Any, default: Any, any_length: bool = False) -> bool:
    """Whether a value may stand where this default stands, by its type; whole numbers do for a fraction.

    Args:
        any_length: whether a tuple may be longer or shorter than its default; for an empty one, of whole numbers.
    """
    if type(default) is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple):
            return False
        if any_length:
            return all(is_like(part, default[0] if default else 0) for part in value)
        return len(value) == len(default) and all(is_like(v, d) for v, d in zip(value, default))
    return type(value) is type(default)
