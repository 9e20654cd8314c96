"""What a command is given, looked at before torch is loaded, which takes seconds."""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from derain.errors import DerainError, UsageError, unreadable
from derain.text import counted
from derain.weights import locate, sha256
from derain.weights.hub import Reference

NO_FILE = "no such file or folder"
HERE_ONLY = "only files and folders on this machine are read; copy it here first"
SHORTENED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/(?!/)")  # an address, as a path has it


def check_weights(*weights: str) -> None:
    """
    Raises:
        WeightsError: there are none of that name, or it is none of weights on the Hub.
    """
    for name in weights:
        if name.startswith("hf:"):
            Reference.parse(name)  # and fetched when all else is known to be right
        else:
            locate(name)


def known_weights(name: str) -> str:
    """A digest of weights that are on this machine, or else their name."""
    with suppress(DerainError):  # which is told when they are loaded
        return name if name.startswith("hf:") else sha256(locate(name))
    return name


def check_pictures(folder: Path, what: str, clips: bool = False, least: int = 1) -> None:
    """
    Raises:
        UsageError: it is no folder, or holds fewer than ``least`` photos, and if ``clips`` count no clip either.
    """
    from derain.photos import SUFFIXES
    from derain.photos.unread import unread_left_out
    from derain.video.naming import is_clip

    if why := missing(folder):
        raise UsageError(f"{as_given(folder)}: {why}; give a folder of {what}")
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; give a folder of {what}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"{folder}: {unreadable(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))}")
    named = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if clips and any(map(is_clip, named)):
        return
    photos = sum(path.suffix.lower() in SUFFIXES for path in named)
    if not photos:
        otherwise = unread_left_out(sorted(named)) or [f"give a folder of {what}"]
        raise UsageError(f"{folder}: holds no photos{' or clips' if clips else ''}; {otherwise[0]}")
    if photos < least:
        raise UsageError(f"{folder}: holds {counted(photos, 'photo')}; give {least} or more")


def check_there(*paths: Path) -> None:
    """
    Raises:
        UsageError: one of them is missing.
    """
    for path in paths:
        if why := missing(path):
            raise UsageError(f"{as_given(path)}: {why}")


def check_here(out: Path) -> None:
    """
    Raises:
        UsageError: what is to be written has an address, as if it could be elsewhere.
    """
    if is_address(out):
        raise UsageError(f"{as_given(out)}: is written only on this machine; give a folder here")


def absence(source: Path) -> str:
    """What is wrong if a photo or clip is not there; empty if it is."""
    from derain.files import missing as none_there
    from derain.files.places import is_remote

    why = "" if is_remote(source) else missing(source)
    return none_there.absence(source) if why == NO_FILE else why


def is_address(path: Path) -> bool:
    """Whether a path was an address before a slash was taken from it."""
    return bool(SHORTENED.match(str(path)))


def as_given(path: Path) -> str:
    """A path, or the address that it was."""
    return SHORTENED.sub(r"\1//", str(path), count=1) if is_address(path) else str(path)


def missing(path: Path) -> str:
    """Why nothing can be found there; empty if something is."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return HERE_ONLY if is_address(path) else NO_FILE
    except OSError as error:
        return unreadable(error)
    return ""
