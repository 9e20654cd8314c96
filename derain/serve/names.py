"""What weights are called in requests."""

from collections.abc import Sequence
from pathlib import Path

from derain.errors import UsageError
from derain.given import to_path


def by_name(weights: Sequence[str | Path]) -> dict[str, str | Path]:
    """Weights by the names that requests choose by.

    Raises:
        UsageError: two have one name, one is given twice, or there are none.
    """
    found: dict[str, str | Path] = {}
    for given in weights:
        name = to_path("weights", given).stem
        if name not in found:
            found[name] = given
            continue
        other = found[name]
        if str(other) == str(given):
            raise UsageError(f"`weights` {given}: was given twice; give it once")
        raise UsageError(
            f"`weights` {given}: requests would call it {name}, as they call {other}; give a copy with another name"
        )
    if not found:
        raise UsageError("`weights`: give at least one")
    return found
