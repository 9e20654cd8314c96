"""Files and folders that are written whole or not at all."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from derain.errors import PhotoError, UsageError, reason

UNFINISHED = ".unfinished"  # after a result's name: the folder of the run that makes it
LOCK = "lock"  # in the folder of a run
TOO_LONG = (errno.ENAMETOOLONG, 123, 206)  # POSIX; Windows: no such name, too long a name


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


@contextmanager
def alone(folder: Path, result: Path) -> Iterator[None]:
    """Keep ``folder``, made if missing, to this run; the system lets go of it when the process dies.

    Where nothing can be written, or the file system knows no locks, the run goes on without.

    Raises:
        PhotoError: another run is making ``result``.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise PhotoError(f"{result}: another run is at it; wait until it ends, or give another -o") from None
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held, so that nobody takes a file for the lock that is none any more
        lock.release()
        with suppress(OSError):
            if os.name == "nt":  # which removes no file that is open
                path.unlink()
            folder.rmdir()  # if nothing is left in it


def clear(folder: Path) -> None:
    """Remove what is in a folder that a run keeps to itself, but for its lock."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


def check_name(path: Path, *endings: str) -> None:
    """
    Raises:
        UsageError: the file system takes no name as long as that of ``path``, or with one of the endings.
    """
    above = next((folder for folder in path.absolute().parents if os.path.isdir(folder)), Path())
    for ending in ("", *endings):
        try:
            os.lstat(above / (path.name + ending))
        except OSError as error:
            if is_too_long(error):
                raise UsageError(f"{path}: is too long a name for this file system; give a shorter one") from None


def is_too_long(error: OSError) -> bool:
    """Whether a name was more than the file system takes."""
    return (getattr(error, "winerror", None) or error.errno) in TOO_LONG


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
