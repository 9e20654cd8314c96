"""What the system must give a command that loads torch, and what is said where it does not."""

import os
import re

from derain.errors import DerainError, UsageError

LEAST_ADDRESSES = 900_000_000  # bytes, without which loading torch ends the process without a word
UNMAPPED = re.compile(r"(/.+?|\S+): (?:failed to map segment|cannot allocate memory)")  # said of a library


def check_surroundings() -> None:
    """
    Raises:
        UsageError: the current folder is gone, or the process may not have enough memory.
    """
    try:  # without it some of torch's libraries end the process
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
    if isinstance(error, ImportError) and (library := UNMAPPED.search(said)):  # the words are the same for both
        why = "there is not enough memory, or its file system allows no programs (noexec)"
        remedy = "close other programs, raise the limit of `ulimit -v`, or install derain elsewhere"
        return DerainError(f"{library[1]}: cannot be loaded, as {why}; {remedy}")
    if isinstance(error, MemoryError):
        return DerainError("there is not enough memory; close other programs, or raise the limit of `ulimit -v`")
    if isinstance(error, RuntimeError) and "can't start new thread" in said:
        return DerainError("the system starts no more threads; raise the limits of `ulimit -u` and `ulimit -v`")
    return None
