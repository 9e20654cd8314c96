"""How far a config may go: each of its fields carries its own bounds, and no config outside them can be made."""

from dataclasses import Field, dataclass, field, fields
from reprlib import repr as shortened
from typing import Any

from derain.errors import WeightsError


@dataclass(frozen=True)
class Bounds:
    """Least and most of a number, or of each of a list's numbers."""

    least: float
    most: float
    length: tuple[int, int] | None = None  # least and most of a list's

    def __str__(self) -> str:
        between = f"from {self.least:g} to {self.most:g}"
        return f"{self.length[0]} to {self.length[1]} whole numbers {between}" if self.length else between


def bounded(default: Any, least: float, most: float, length: tuple[int, int] | None = None) -> Any:
    """A field of a config, with its bounds in its metadata; a field that is true or false needs none."""
    return field(default=default, metadata={"bounds": Bounds(least, most, length)})


class Config:
    """Base of the architectures' dataclasses: checks what it is made of.

    Raises:
        WeightsError: a value of another type than its default's, or outside its field's bounds.
    """

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if not _fits(value, each):
                wanted = "true or false" if type(each.default) is bool else each.metadata["bounds"]
                raise WeightsError(f"{each.name} = {shortened(value)} must be {wanted}")


def _fits(value: Any, described: Field[Any]) -> bool:
    if type(described.default) is bool:
        return type(value) is bool
    bounds: Bounds = described.metadata["bounds"]
    if bounds.length:
        long_enough = isinstance(value, tuple) and bounds.length[0] <= len(value) <= bounds.length[1]
        return long_enough and all(type(each) is int and bounds.least <= each <= bounds.most for each in value)
    kinds = (int,) if type(described.default) is int else (int, float)
    return type(value) in kinds and bounds.least <= value <= bounds.most
