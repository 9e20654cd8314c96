"""What the system must give a command before anything else, and what is said where it does not."""

import os

from derain.errors import DerainError, UsageError

LEAST_ADDRESSES = 900_000_000  # bytes, without which loading torch ends the process without a word
UNMAPPED = "failed to map segment", "cannot allocate memory"  # said of a library that there is no room for


def check_surroundings() -> None:
    """
    Raises:
        UsageError: the current folder is gone, or the process may not have enough memory.
    """
    try:
        os.getcwd()
    except OSError:
        raise UsageError("the current folder does not exist any more; change to another") from None
    if os.name == "posix":
        import resource

        allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
        if allowed != resource.RLIM_INFINITY and allowed < LEAST_ADDRESSES:
            megabytes = allowed // 10**6
            raise UsageError(f"torch does not fit into the {megabytes} MB that `ulimit -v` allows; allow at least 1 GB")


def what_was_missing(error: BaseException) -> DerainError | None:
    """What a system had too little of where something failed in the middle; ``None`` if it is something else."""
    said = str(error)
    if isinstance(error, MemoryError) or isinstance(error, ImportError) and any(word in said for word in UNMAPPED):
        return DerainError("there is not enough memory; close other programs, or raise the limit of `ulimit -v`")
    if isinstance(error, RuntimeError) and "can't start new thread" in said:
        return DerainError("the system starts no more threads; raise the limits of `ulimit -u` and `ulimit -v`")
    return None
