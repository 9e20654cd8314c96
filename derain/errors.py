"""What a user can cause, as exceptions; each message names the file and what to do.

Arguments stand in backticks, as `overwrite`; the command line says the option instead that gives it.

DerainError
├── UsageError      wrong options or paths that collide: exit code 2
├── PhotoError      a photo, a clip or any result that cannot be read or written: exit code 1
├── WeightsError    weights that are missing, damaged or of another kind: exit code 2
│   └── HubError        the Hub cannot be reached: exit code 1
└── TrainingError   folders or checkpoints that cannot be trained on: exit code 2
    └── BrokenOffError  training that began well and cannot go on: exit code 1
"""

import errno


class DerainError(Exception):
    """Base of everything that derain raises on purpose."""

    exit_code = 1


class UsageError(DerainError):
    """Options or paths that do not fit together."""

    exit_code = 2


class PhotoError(DerainError):
    """A photo, a clip or any result that cannot be read or written."""


class WeightsError(DerainError):
    """Weights that are missing, damaged or of another kind."""

    exit_code = 2


class HubError(WeightsError):
    """The Hub cannot be reached now, or does not take what it is given."""

    exit_code = 1


class TrainingError(DerainError):
    """Folders or checkpoints that training cannot use."""

    exit_code = 2


class BrokenOffError(TrainingError):
    """Training that began well and cannot go on."""

    exit_code = 1


def reason(error: BaseException) -> str:
    """What went wrong: the error's own words, or else its type."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def first_line(said: object) -> str:
    """The first line of an error's words, or of a text, without its full stop; or else its type."""
    return (str(said).strip().splitlines() or [type(said).__name__])[0].rstrip(".")


def unreadable(error: BaseException, kind: str = "") -> str:
    """That something cannot be read, why, and if rights are missing what to do.

    Args:
        kind: what it cannot be read as, such as " as video".
    """
    remedy = "; change its permissions or its folder's" if isinstance(error, PermissionError) else ""
    return f"cannot be read{kind} ({reason(error)}){remedy}"


def unwritable(error: BaseException, done: str = "written") -> str:
    """That something cannot be written, why, and if the disk is full or rights are missing what to do.

    Args:
        done: what else it cannot be, such as "written as mp4".
    """
    number, why, remedy = getattr(error, "errno", None), reason(error), ""
    if number in (errno.ENOSPC, errno.EDQUOT):
        remedy = "; make room, then give the same command again"
    elif number == errno.EFBIG:
        why, remedy = "beyond the largest size of a file", "; raise it with `ulimit`, or write elsewhere"
    elif isinstance(error, PermissionError):
        remedy = "; change its permissions or its folder's, or write elsewhere"
    return f"cannot be {done} ({why}){remedy}"
