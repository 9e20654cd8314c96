"""Temporary files. Their names tell which process writes them, so those of one that was killed can be swept away."""

import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import getnode

PART_NAME = re.compile(r"\.derain-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.part")
ABANDONED_AFTER = 24 * 3600  # seconds after which nobody is still writing
_swept: set[Path] = set()


def create(folder: Path, mode: int) -> Path:
    """An empty file of this process; with the first one in a folder, what killed processes left there goes.

    Raises:
        OSError: the folder cannot be written.
    """
    while True:
        path = folder / new_name()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        except FileExistsError:
            continue
        if folder not in _swept:
            _swept.add(folder)
            sweep(folder, path.stat().st_mtime)
        return path


def new_name() -> str:
    """A name for a temporary file of this process."""
    return f".derain-{machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def sweep(folder: Path, now: float | None = None) -> None:
    """Remove temporary files of processes of this machine that are no more, and of others' those that are old.

    Args:
        now: by the clock of the file system, which may be another machine's.
    """
    now = time.time() if now is None else now
    for entry, of, process in _parts_in(folder):
        with suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                age = now - entry.stat(follow_symlinks=False).st_mtime
                if age > ABANDONED_AFTER or (of == machine() and not is_alive(process)):
                    os.unlink(entry.path)


def remove_parts(folders: Iterable[Path], machine: str, process: int) -> None:
    """Remove the temporary files of a process that is known to be no more, whatever machine it was on."""
    for folder in set(folders):
        for entry, *owner in _parts_in(folder):
            if owner == [machine, process]:
                with suppress(OSError):
                    os.unlink(entry.path)


def _parts_in(folder: Path) -> Iterator[tuple[os.DirEntry[str], str, int]]:
    """Temporary files in a folder, each with the machine and the process that wrote it; none if it cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if found := PART_NAME.fullmatch(entry.name):
                yield entry, found["machine"], int(found["process"])


@cache
def machine() -> str:
    """Of this machine since it was started, and of the container: where a process is known by its number."""
    known = [platform.node(), str(getnode())]
    with suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        known.append(os.readlink("/proc/self/ns/pid"))
    return sha256("\0".join(known).encode(errors="surrogateescape")).hexdigest()[:8]


def is_alive(process: int) -> bool:
    """Whether there is a process of this number; where that cannot be known, there is."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def kind(mode: int) -> str:
    """What a file is that is not regular."""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link"}
    return kinds.get(stat.S_IFMT(mode), "a device")
