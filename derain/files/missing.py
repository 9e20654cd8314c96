"""What is wrong with a name that leads to no file."""

import errno
import glob
import os
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from derain.errors import reason
from derain.files.places import is_remote


def absence(path: Path) -> str:
    """Why nothing is found under a name, as the rest of a sentence."""
    if not is_remote(path) and os.path.islink(path):
        return f"is {broken(path)}"
    if not glob.has_magic(str(path)):
        return f"no such file{near(path)}"
    return "matches no file of the right kind" if not is_remote(path) and glob.glob(str(path)) else "matches no file"


def is_unmatched(path: Path) -> bool:
    """Whether a name is a pattern, and no file's name."""
    return not is_remote(path) and glob.has_magic(str(path)) and not os.path.lexists(path)


def broken(link: Path) -> str:
    """What a link is that leads nowhere."""
    try:
        os.stat(link)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads back to itself"
        if not isinstance(error, FileNotFoundError):
            return f"a link that cannot be followed ({reason(error)})"
    return f"a link to {os.readlink(link)}, which is missing"


def near(path: Path) -> str:
    """The file beside a missing one whose name is most like its, as the end of a sentence."""
    if is_remote(path):
        return ""
    with suppress(OSError):
        others = [name for name in os.listdir(path.parent) if len(path.stem) > 3 or Path(name).stem == path.stem]
        if found := get_close_matches(path.name, [name for name in others if name != path.name], 1, 0.8):
            return f"; did you mean {path.with_name(found[0])}?"
    return ""
