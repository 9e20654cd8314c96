"""Settings that carry their bounds in their fields: how far each may go."""

from collections.abc import Collection
from dataclasses import Field, dataclass, field
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
        if isinstance(value, tuple):
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
