"""Files and folders that are written whole or not at all."""

import os
import stat
import tempfile
from pathlib import Path

from derain.errors import PhotoError, reason


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there.

    Raises:
        PhotoError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be made ({reason(error)})") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        PhotoError: the folder cannot be written, or the disk is full.
    """
    try:
        with atomic(path) as part, part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise PhotoError(f"{path}: cannot be written ({reason(error)})") from None


class atomic:
    """A path beside ``target`` to write to; it takes the name ``target`` only if the block ends well.

    What it replaces keeps its permissions; of a link, what it leads to is replaced.
    """

    def __init__(self, target: Path) -> None:
        self.target = Path(os.path.realpath(target))

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(prefix=".derain-", suffix=".part", dir=self.target.parent)
        os.close(handle)
        self.part = Path(name)
        return self.part

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if os.name == "posix":
                    self.part.chmod(_permissions(self.target))
                self.part.replace(self.target)
        finally:
            self.part.unlink(missing_ok=True)


def _permissions(file: Path) -> int:
    """Those of a file, or what a new one gets."""
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except OSError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
