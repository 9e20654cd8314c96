"""What weights are called in requests."""

from collections.abc import Sequence
from pathlib import Path

from derain.errors import UsageError


def by_name(weights: Sequence[str | Path]) -> dict[str, str | Path]:
    """Weights by the names that requests choose by.

    Raises:
        UsageError: two have one name, or there are none.
    """
    names = [Path(given).stem for given in weights]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"`weights` {min(twice)}: two files have this name; rename a file")
    if not names:
        raise UsageError("`weights`: give at least one")
    return dict(zip(names, weights))
