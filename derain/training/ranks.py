"""What ``torchrun`` tells the processes that it starts: read without torch, which takes seconds to load."""

import os

from derain.errors import TrainingError

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def under_torchrun() -> bool:
    """Whether ``torchrun`` started this process; schedulers set some of its variables, it sets all."""
    return all(os.environ.get(name) for name in TORCHRUN)


def number_of(variable: str) -> int:
    """The whole number in one of torchrun's variables.

    Raises:
        TrainingError: it is none.
    """
    try:
        return int(os.environ[variable])
    except ValueError:
        raise TrainingError(f"torchrun: {variable} is {os.environ[variable]!r}, which is not a number") from None


def is_first() -> bool:
    """Whether this process speaks for all of them."""
    return not under_torchrun() or number_of("RANK") == 0


def processes_here() -> int:
    """Processes of this run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1) if under_torchrun() else 1
