"""How far finetuning may move the weights: told without torch, which takes seconds to load."""

from dataclasses import dataclass

from derain.errors import UsageError


@dataclass(frozen=True)
class Change:
    """How far the weights may move."""

    lr: float  # at its peak
    furthest: float  # of the way from the starting weights to the trained ones


CHANGES = {"low": Change(1e-4, 0.35), "medium": Change(4e-4, 0.65), "high": Change(8e-4, 1.0)}


def check_change(change: str) -> None:
    """
    Raises:
        UsageError: an unknown strength of change.
    """
    if change not in CHANGES:
        raise UsageError(f"`change` {change}: choose one of {', '.join(CHANGES)}")
