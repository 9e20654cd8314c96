"""Files that are read only if they are files, and written whole or not at all; folders."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from derain.errors import PhotoError, UsageError, reason, unwritable
from derain.files.attributes import keep
from derain.files.parts import create, kind
from derain.files.places import exists, is_remote, make_place, read_place, write_place

UNFINISHED_SUFFIX = ".unfinished"  # of the folder in which a run makes a result
SUBSTITUTED_PATHS = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")  # that a shell puts in the place of <(...)
LOCK_NAME = "lock"  # in the folder of a run
CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # errors of file systems that do not sync
NEW_FILE = 0o666  # permissions, less what the umask takes
NAME_TOO_LONG = (errno.ENAMETOOLONG, 123, 206)  # POSIX; Windows: no such name, too long a name


def read_file(path: Path, limit: int = -1) -> bytes:
    """What is in a file. A pipe, a device or a socket of its name is not opened: it might never end.

    Args:
        limit: bytes that are read at most.

    Raises:
        OSError: there is no such file, it is no regular one, or it cannot be read.
    """
    check_regular(path, os.stat(path))
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        check_regular(path, os.fstat(file.fileno()))
        return file.read(limit)


def read_option(path: Path, limit: int = -1) -> bytes:
    """As :func:`read_file`, of a file that an option names; what a shell puts in its place, ``<(...)``, is read too.

    Raises:
        OSError: as :func:`read_file`.
    """
    if not str(path).startswith(SUBSTITUTED_PATHS):
        return read_file(path, limit)
    with path.open("rb") as file:
        return file.read(limit)


def check_regular(path: Path, found: os.stat_result) -> None:
    """
    Raises:
        OSError: what was found is no regular file; of a folder that may not be read, that.
    """
    if stat.S_ISDIR(found.st_mode):
        with os.scandir(path):
            pass
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, f"is {kind(found.st_mode)}; derain reads only regular files", str(path))


def refuse_special(path: Path) -> None:
    """
    Raises:
        PhotoError: something is there that is neither a file nor a folder.
    """
    if os.path.exists(path) and not os.path.isdir(path):
        try:
            check_regular(path, os.stat(path))
        except OSError as error:
            raise PhotoError(f"{path}: {reason(error)}") from None


def make_folder(path: Path, below: Path | None = None) -> None:
    """Make a folder and those above it, if they are not there.

    Args:
        below: a folder under which links to folders are not followed.

    Raises:
        PhotoError: it cannot be made, or one below ``below`` is a link.
    """
    if is_remote(path):
        make_place(path)
        return
    for folder in (path, *path.parents):
        if below is not None and below in folder.parents:
            refuse_link(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(f"{path}: {unwritable(error, 'created')}") from None


def permissions_of(source: Path) -> int:
    """The permissions of a file that something is made of; of what is no file here, those of any new one."""
    with suppress(OSError):
        if os.name == "posix" and not is_remote(source) and stat.S_ISREG(found := os.stat(source).st_mode):
            return stat.S_IMODE(found) & 0o777
    return NEW_FILE


def permissions_common_to(sources: Iterable[Path]) -> int:
    """The permissions of a file that something is made of all of these for; its owner may write it."""
    mode = NEW_FILE
    for source in sources:
        mode &= permissions_of(source)
    return mode | stat.S_IRUSR | stat.S_IWUSR


def write_bytes(path: Path, content: bytes, mode: int = NEW_FILE) -> None:
    """Write a file whole or not at all; a link of its name is replaced, not followed.

    Args:
        mode: permissions of a new file, less what the umask takes; one that is replaced has its own.

    Raises:
        PhotoError: the folder cannot be written, the disk is full, or ``path`` is a pipe, device or socket.
    """
    if is_remote(path):
        write_place(path, content)
        return
    try:
        with atomic(path, mode=mode) as part:
            part.write_bytes(content)
    except OSError as error:
        raise PhotoError(f"{path}: {unwritable(error)}") from None


def write_new(path: Path, content: bytes, mode: int = NEW_FILE, argument: str = "output") -> None:
    """As :func:`write_bytes`, but never in the place of something else, be it there since a moment ago.

    Args:
        argument: which names the path.

    Raises:
        PhotoError: as :func:`write_bytes`, or something else is there.
    """
    try:
        if is_remote(path):
            if exists(path):
                raise FileExistsError
            write_place(path, content)
            return
        with atomic(path, new=True, mode=mode) as part:
            part.write_bytes(content)
    except FileExistsError:
        if not _holds(path, content):
            what = "exists and holds something else" if exists(path) else "is a broken link"
            advice = f"give another `{argument}`; `overwrite` would replace what is there"
            raise PhotoError(f"{path}: {what}; {advice}") from None
    except OSError as error:
        raise PhotoError(f"{path}: {unwritable(error)}") from None


def _holds(path: Path, content: bytes) -> bool:
    try:
        return (read_place(path) if is_remote(path) else read_file(path, len(content) + 1)) == content
    except OSError:
        return False


def replace_bytes(path: Path, content: bytes) -> list[str]:
    """Give a file, or the one that a link leads to, another content and nothing else; names what could not be kept.

    Raises:
        PhotoError: as :func:`write_bytes`.
    """
    whole = atomic(Path(os.path.realpath(path)), times=True)
    try:
        with whole as part:
            part.write_bytes(content)
    except OSError as error:
        raise PhotoError(f"{path}: {unwritable(error)}") from None
    return whole.lost


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, made if missing; a link or a pipe of its name is not opened.

    Raises:
        OSError: the file cannot be written.
    """
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | careful, 0o666)) as file:
        file.write(f"{line}\n")


def write_named(path: Path, content: bytes, mode: int = NEW_FILE) -> None:
    """As :func:`write_bytes`, to a path that the user named: a device or pipe is written into.

    Raises:
        PhotoError: it cannot be written.
    """
    if not is_special(path):
        write_bytes(path, content, mode)
        return
    try:
        with open(os.open(path, os.O_WRONLY), "wb") as file:
            file.write(content)
    except OSError as error:
        raise PhotoError(f"{path}: {unwritable(error)}") from None


def is_special(path: Path) -> bool:
    """Whether a path is a pipe, a device or a socket; a link to one only where the system keeps such links."""
    try:
        system = str(path.absolute()).startswith(("/dev/", "/proc/"))
        mode = (os.stat if system else os.lstat)(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def is_protected(path: Path) -> bool:
    """Whether a file is write-protected, be it that root could write it all the same."""
    try:
        return not (os.stat(path).st_mode & 0o222 and os.access(path, os.W_OK))
    except OSError:
        return False


def refuse_link(folder: Path) -> None:
    """
    Raises:
        PhotoError: the folder is a link.
    """
    if folder.is_symlink():
        raise PhotoError(f"{folder}: is a link, and results are not written through links; remove it")


@contextmanager
def alone(
    folder: Path, result: Path, advice: str = "wait until that ends, or give another `out`", mode: int = 0o777
) -> Iterator[None]:
    """Keep ``folder``, made if missing, to this run; the system lets go of it when the process dies.

    Of it and the folders above it that were made, those that are empty in the end are removed. Where nothing can be
    written, or the file system knows no locks, the run goes on without.

    Args:
        advice: what to do while another run has it.
        mode: permissions of the folder if it is made, less what the umask takes.

    Raises:
        PhotoError: another run is making ``result``, or the folder is a link.
    """
    refuse_link(folder)
    path = folder / LOCK_NAME
    lock = FileLock(path, timeout=0)
    made = [above for above in folder.parents if not os.path.lexists(above)]
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise PhotoError(f"{result}: another run is writing it; {advice}") from None
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
            for emptied in (folder, *made):
                emptied.rmdir()  # if nothing is left in it


def check_name(path: Path, *endings: str) -> None:
    """
    Raises:
        UsageError: the file system takes no name as long as that of ``path``, or with one of the endings.
    """
    above = next((folder for folder in path.absolute().parents if os.path.isdir(folder)), Path())
    for ending in ("", *endings):
        if not takes_name(above, path.name + ending):
            added = f" with {ending}, which it has until it is whole" if ending else ""
            remedy = " with `out`" if ending else ""
            raise UsageError(f"{path}: the name is too long for this file system{added}; give a shorter one{remedy}")


def hindrance(path: Path, advice: str) -> PhotoError | None:
    """Why no file can be made at ``path``, as far as its folders tell, and what to do."""
    at = next(folder for folder in (path.parent, *path.parent.parents) if os.path.lexists(folder))
    if not os.path.isdir(at):
        return PhotoError(f"{path}: cannot be written because {at} is not a folder; {advice}")
    if not takes_name(at, path.name):
        return PhotoError(f"{path}: its name is too long for this file system; {advice}")
    if not os.access(at, os.W_OK | os.X_OK):
        return PhotoError(f"{path}: cannot be written because you may not write in {at}; {advice}")
    return None


def takes_name(folder: Path, name: str) -> bool:
    """Whether the file system of a folder takes a name as long as that."""
    try:
        os.lstat(folder / name)
    except OSError as error:
        return not is_too_long(error)
    return True


def irreplaceable(path: Path, advice: str) -> PhotoError | None:
    """Why what is at ``path`` cannot be replaced, as far as names and owners tell, and what to do."""
    try:
        there, above = os.lstat(path), os.stat(path.parent)
    except OSError:
        return None
    if stat.S_ISDIR(there.st_mode):
        return PhotoError(f"{path}: is a folder; {advice}")
    if os.name == "posix" and above.st_mode & stat.S_ISVTX and os.geteuid() not in (0, above.st_uid, there.st_uid):
        return PhotoError(f"{path}: belongs to another user, and in {path.parent} only owners replace files; {advice}")
    return None


def is_too_long(error: OSError) -> bool:
    """Whether a name was more than the file system takes."""
    return (getattr(error, "winerror", None) or error.errno) in NAME_TOO_LONG


class atomic:
    """A path beside ``target`` to write to; it takes the name ``target`` only if the block ends well.

    What it replaces keeps its owner, permissions and extended attributes, as far as may be, and with ``times`` its
    times; a link is replaced, not followed. ``lost`` then names what could not be kept. With ``new`` nothing is
    replaced. What replaces no file gets the permissions ``mode``, less what the umask takes.

    Raises:
        FileExistsError: with ``new``, if something of its name is there in the end.
        OSError: the folder cannot be written, the disk is full, or the target is a pipe, device or socket.
    """

    def __init__(self, target: Path, times: bool = False, new: bool = False, mode: int = NEW_FILE) -> None:
        self.target, self.times, self.new = Path(os.path.realpath(target.parent), target.name), times, new
        self.mode = mode
        self.lost: list[str] = []

    def __enter__(self) -> Path:
        mode, self.protected = self.mode, not self.mode & stat.S_IWUSR
        with suppress(FileNotFoundError):
            found = os.lstat(self.target).st_mode
            if not (stat.S_ISREG(found) or stat.S_ISLNK(found) or stat.S_ISDIR(found)):
                raise OSError(errno.EINVAL, f"is {kind(found)}, which derain does not replace", str(self.target))
            if stat.S_ISREG(found):
                mode, self.protected = stat.S_IMODE(found) & 0o777, False
        self.part = create(self.target.parent, mode | stat.S_IWUSR)
        self.mode = stat.S_IMODE(os.lstat(self.part).st_mode)
        return self.part

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                if stat.S_IMODE(os.lstat(self.part).st_mode) != self.mode:  # a library put another file in its place
                    with suppress(OSError):
                        self.part.chmod(self.mode)
                self.lost = put(self.part, self.target, self.times, self.new, self.protected)
        finally:
            with suppress(OSError):
                self.part.unlink(missing_ok=True)


def put(part: Path, target: Path, times: bool = False, new: bool = False, protected: bool = False) -> list[str]:
    """Give a file that is written its name: on the disk before it replaces another; as :class:`atomic`.

    Args:
        protected: whether its owner may not write it from now on.

    Raises:
        FileExistsError: with ``new``, if something is there.
        OSError: the disk is full, or the target cannot be replaced.
    """
    sync(part)
    if protected:
        with suppress(OSError):
            part.chmod(stat.S_IMODE(os.lstat(part).st_mode) & ~stat.S_IWUSR)
    lost = [] if new else keep(target, part, times)
    if new:
        _name_new(part, target)
    else:
        part.replace(target)
    if os.name == "posix":
        with suppress(OSError):  # which not every file system does for folders
            sync(target.parent, os.O_RDONLY)
    return lost


def _name_new(part: Path, target: Path) -> None:
    """Rename a file that replaces nothing, as one step, be there other processes that want the name.

    Raises:
        FileExistsError: something of that name is there.
    """
    if os.name == "nt":
        part.rename(target)  # which Windows refuses by itself
        return
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: an empty file keeps the name meanwhile
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        part.replace(target)
    else:
        with suppress(OSError):  # as where files may only be added; the result is there
            part.unlink()


def sync(path: Path, flags: int = os.O_RDWR) -> None:
    """Have on the disk what was written.

    Raises:
        OSError: the disk is full or broken.
    """
    handle = os.open(path, flags)
    try:
        sync_open(handle)
    finally:
        os.close(handle)


def sync_open(handle: int) -> None:
    """As :func:`sync`, of a file that is open."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
