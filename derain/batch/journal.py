"""What a run has done, kept until all is done, so that the same command goes on where it was cut off.

It is for what the results themselves cannot tell: a photo that was replaced looks like any other, and so does a result
that is to be replaced. It lies in a hidden folder beside the photos or results, where each process adds a record for
each photo to a file of its own. A record that is cut short counts for nothing.
"""

import errno
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from derain.errors import PhotoError, reason
from derain.files.parts import is_alive, machine
from derain.files.places import ADDRESS, is_remote
from derain.files.writing import alone, refuse_link, sync_open
from derain.photos.names import SUFFIXES

if TYPE_CHECKING:
    from derain.batch.jobs import Target

FOLDER = ".derain-unfinished"
KEY_BYTES = 16
NO_KEY = bytes(KEY_BYTES)
RECORD_BYTES = 2 * KEY_BYTES  # of what tells a photo before it is read, and of what tells it by its content
REPLACED, OVERWRITTEN = "replaced", "overwritten"


class Treated(Protocol):
    """What a run treats: a photo or clip, and what it leaves."""

    @property
    def source(self) -> Path: ...

    @property
    def outputs(self) -> list[Path]: ...


@dataclass(frozen=True)
class NothingLeft:
    """A source that leaves nothing, such as a clip in which it does not rain."""

    source: Path
    outputs: list[Path] = field(default_factory=list)


class Keys:
    """A set of keys, of which there may be a million."""

    def __init__(self, content: bytes = b"") -> None:
        import numpy as np

        halves = np.frombuffer(content, np.uint64).reshape(-1, 2)
        halves = halves[halves.any(axis=1)]  # without those that stand for none
        halves = halves[np.argsort(halves[:, 0], kind="stable")]
        self._first, self._second = halves[:, 0].copy(), halves[:, 1].copy()

    def __contains__(self, key: bytes) -> bool:
        first, second = (int.from_bytes(key[at : at + 8], sys.byteorder) for at in (0, 8))
        at = int(self._first.searchsorted(self._first.dtype.type(first)))
        while at < len(self._first) and self._first[at] == first:
            if self._second[at] == second:
                return True
            at += 1
        return False

    def __len__(self) -> int:
        return len(self._first)


@dataclass(frozen=True)
class Known:
    """What other runs noted at a place, when their files had this size."""

    size: int  # bytes
    places: Keys
    contents: Keys


@dataclass(eq=False)
class Journal:
    """Of a command; a copy in another process knows and adds the same.

    Args:
        kind: ``replaced`` or ``overwritten``.
        root: the folder that the hidden one is in; ``None`` is each photo's own.
        command: a digest of what the command was given.
        settings: a digest of what decides on the results.
        covers: whether all that may be replaced below ``root`` is the command's.
        run: of the command, all processes of which know what they do themselves.
    """

    kind: str
    root: Path | None
    command: str
    settings: str
    covers: bool = False
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    homes: set[str] = field(default_factory=set)  # folders that may have a hidden one, if there is no root
    trouble: str = ""  # why nothing is noted any more
    _file: int | None = None
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._above = lru_cache(maxsize=256)(self._find_above)
        self._absolute = lru_cache(maxsize=256)(os.path.abspath)
        self._known: dict[str, Known] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return Journal, (self.kind, self.root, self.command, self.settings, self.covers, self.run)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While photos are replaced: no other run of the same command does that.

        Raises:
            PhotoError: another one does, or something else has the hidden folder's name.
        """
        if self.root is None or self.kind != REPLACED:
            yield
            return
        folder = self.root / FOLDER
        refuse_link(folder)
        if os.path.lexists(folder) and not folder.is_dir():
            raise PhotoError(f"{folder}: is not a folder, and derain keeps its progress there; rename or remove it")
        try:
            with alone(folder / self.command, self.root, "wait until that ends"):
                yield
        finally:
            with suppress(OSError):
                folder.rmdir()  # if nothing is left in it

    def forget(self) -> None:
        """All is done: the next run of the command begins anew."""
        self._close()
        for home in [str(self.root)] if self.root else self.homes:
            folder = Path(home) / FOLDER
            with suppress(OSError):
                for path in folder.glob(f"{self.kind}-*" if self.covers else f"{self.kind}-{self.command}-*"):
                    path.unlink()
                folder.rmdir()  # if nothing is left in it

    def is_done(self, job: Treated) -> bool:
        """Whether an earlier run of the command did it, as far as that can be told without reading the photo."""
        parent, name = self._split(job.source)
        if self.root is None:
            self.homes.add(parent)
        found = [home for home in self._above(parent) if len(self._keys(home)[0])]
        if not found:
            return False
        try:
            if self.kind == OVERWRITTEN:
                return any(self._overwritten_key(job) in self._keys(home)[0] for home in found)
            seen = os.stat(job.source)
        except OSError:
            return False
        for home in found:
            place, keys = _below(home, parent, name), self._keys(home)[0]
            if _replaced_key(place, seen.st_size, seen.st_mtime_ns) in keys:
                return True
            if self._dry_key(place, seen.st_size, seen.st_mtime_ns) in keys:
                return True
        return False

    def is_result(self, photo: Path, content: bytes) -> bool:
        """Whether a photo's file is what another run put in the place of another.

        To be called when the photo has been read, as workers of a run that was cut off may live a little longer.
        """
        homes = self._above(self._split(photo)[0])
        with self._lock:
            for home in homes:
                if home in self._known and self._known[home].size != self._size(home):
                    del self._known[home]
            found = [keys for home in homes if len(keys := self._keys(home)[1])]
        return bool(found) and any(_content_key(content) in keys for keys in found)

    def note_replacement(self, photo: Path, before: bytes, after: bytes) -> None:
        """To be called just before a photo is replaced.

        Raises:
            OSError: it cannot be noted.
        """
        parent, name = self._split(photo)
        home = str(self.root or parent)
        place, key, content_key = _below(home, parent, name), NO_KEY, NO_KEY
        time = os.stat(photo).st_mtime_ns  # which the result will have, too
        if before == after:
            key = self._dry_key(place, len(after), time)
        else:
            content_key = _content_key(after)
            if len(before) != len(after):
                key = _replaced_key(place, len(after), time)
        self._add(home, key + content_key, sync=True)

    def note(self, job: Treated) -> str:
        """To be called when all is there that a source leaves; the first time that it fails, gives the reason."""
        if self.kind == REPLACED or self.trouble:
            return ""
        try:
            home = str(self.root or self._split(job.source)[0])
            self._add(home, self._overwritten_key(job) + NO_KEY)
        except OSError as error:
            self.trouble = reason(error)
        return self.trouble

    @property
    def others(self) -> Path | None:
        """The hidden folder, if another command has noted there what it did."""
        folder = self.root and self.root / FOLDER
        return folder if folder and any(folder.glob(f"{self.kind}-*")) else None

    @property
    def others_are_at_work(self) -> bool:
        """Whether another process still notes there what it does, as far as this machine knows."""
        names = [path.name.split("-") for path in (self.root / FOLDER).glob(f"{self.kind}-*")] if self.root else []
        found = {int(process) for *_, where, process, _ in names if where == machine()}
        return any(is_alive(process) for process in found - {os.getpid()})

    @property
    def how_to_forget(self) -> str:
        return f"remove {self.root / FOLDER}" if self.root else f"remove the folders {FOLDER}"

    def _overwritten_key(self, job: Treated) -> bytes:
        """Of a photo and its results as they are.

        Raises:
            OSError: one of them is not there.
        """
        told = [self.settings]
        for path in (job.source, *job.outputs):
            seen = None if is_remote(path) else os.stat(path)
            told.append(f"{path} {seen.st_size} {seen.st_mtime_ns}" if seen else str(path))
        return _key(*told)

    def _dry_key(self, place: str, size: int, time: int) -> bytes:
        return _key("dry", self.settings, place, str(size), str(time))

    def _split(self, photo: Path) -> tuple[str, str]:
        """The absolute path of its folder, and its name."""
        if is_remote(photo):
            return str(photo.parent), photo.name
        folder, name = os.path.split(photo)
        return self._absolute(folder or os.curdir), name

    def _find_above(self, folder: str) -> tuple[str, ...]:
        """The folders with a hidden one that are or hold ``folder``."""
        if self.kind == OVERWRITTEN and self.root:
            return (str(self.root),)
        outer = os.path.dirname(folder)
        above = self._above(outer) if outer != folder else ()
        return (folder, *above) if os.path.isdir(os.path.join(folder, FOLDER)) else above

    def _keys(self, home: str) -> tuple[Keys, Keys]:
        """What other runs noted there: of photos before they are read, and of contents."""
        if home not in self._known:
            size = self._size(home)
            self._known[home] = Known(size, *_read(self._files(home)))
        return self._known[home].places, self._known[home].contents

    def _files(self, home: str) -> list[Path]:
        """What other runs have written there."""
        pattern = f"{OVERWRITTEN}-{self.command}-*" if self.kind == OVERWRITTEN else f"{REPLACED}-*"
        return [path for path in sorted((Path(home) / FOLDER).glob(pattern)) if path.name.split("-")[2] != self.run]

    def _size(self, home: str) -> int:
        size = 0
        for path in self._files(home):
            with suppress(OSError):
                size += path.stat().st_size
        return size

    @cached_property
    def _name(self) -> str:
        """Of this process's own file. Where another command was cut off, what is done counts as its own."""
        command = self.command
        if self.kind == REPLACED and self.root:
            others = sorted(path.name.split("-")[1] for path in self._files(str(self.root)))
            command = command if command in others or not others else others[0]
        return f"{self.kind}-{command}-{self.run}-{machine()}-{os.getpid()}-{secrets.token_hex(4)}"

    def _add(self, home: str, record: bytes, sync: bool = False) -> None:
        with self._lock:
            file = self._opened(home) if self._file is None else self._file
            if self.root:
                self._file = file
            try:
                if os.write(file, record) < len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if sync:
                    sync_open(file)
            except OSError:
                self._close()
                raise
            finally:
                if not self.root:
                    os.close(file)

    def _opened(self, home: str) -> int:
        folder = os.path.join(home, FOLDER)
        if os.path.islink(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
            raise OSError(errno.ENOTDIR, f"{folder} is in the way; rename or remove it", folder)
        os.makedirs(folder, exist_ok=True)
        return os.open(os.path.join(folder, self._name), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def _close(self) -> None:
        """What is noted from now on goes into a new file, as the last one may end in part of a record."""
        self.__dict__.pop("_name", None)
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _read(files: list[Path]) -> tuple[Keys, Keys]:
    content = bytearray()
    for path in files:
        with suppress(OSError):
            found = path.read_bytes()
            content += found[: len(found) // RECORD_BYTES * RECORD_BYTES]
    import numpy as np

    records = np.frombuffer(bytes(content), np.uint8).reshape(-1, RECORD_BYTES)
    return Keys(records[:, :KEY_BYTES].tobytes()), Keys(records[:, KEY_BYTES:].tobytes())


def _below(home: str, parent: str, name: str) -> str:
    """A photo's place below a folder that holds it, so that the tree may be moved."""
    return os.path.join(parent[len(home) :].lstrip(os.sep), name)


def _replaced_key(place: str, size: int, time: int) -> bytes:
    return _key("replaced", place, str(size), str(time))


def _content_key(content: bytes) -> bytes:
    return blake2b(content, digest_size=KEY_BYTES).digest()


def _key(*told: str) -> bytes:
    return blake2b("\0".join(told).encode(errors="surrogateescape"), digest_size=KEY_BYTES).digest()


def digest(*told: str) -> str:
    """Of what a command is given."""
    return _key(*told).hex()


def journal_of(
    named: Sequence[str | Path], target: "Target", recursive: bool, overwrite: bool, settings: str
) -> Journal | None:
    """The journal of a command that replaces photos or results; ``None`` if it does not, or there is no place for one.

    Args:
        settings: a digest of what decides on the results, beside where they go.
    """
    if not (target.in_place or overwrite):
        return None
    kind, output = REPLACED if target.in_place else OVERWRITTEN, target.output
    local = [given for given in named if not (isinstance(given, str) and ADDRESS.match(given))]
    if kind == OVERWRITTEN and output is not None and not is_remote(output):
        root: Path | None = _home_of_results(Path(os.path.abspath(output)))
    elif len(local) < len(named):
        return None
    else:
        root = folder_of(local)
    wanted = (target.suffix, target.format, target.rain, target.compare)
    remote = output is None or is_remote(output)
    place = str(output) if remote else os.path.abspath(str(output))
    places = [os.path.abspath(given) if given in local else str(given) for given in named]
    command = digest(str(recursive), place, *sorted(places))
    covers = kind == REPLACED and recursive and str(root) in places
    return Journal(kind, root, command, digest(settings, str(wanted)), covers)


def _home_of_results(output: Path) -> Path:
    """The folder that results go to, of which ``output`` may be one."""
    return output.parent if output.suffix.lower() in SUFFIXES and not output.is_dir() else output


def folder_of(named: Iterable[str | Path]) -> Path | None:
    """The folder that holds all that is named, or the outermost one above it in which a run was cut off.

    ``None`` if there is none, or nothing can be written in it.
    """
    folders = set[str]()
    for given in named:
        path = os.path.abspath(given)
        while os.path.dirname(path) not in folders:
            if os.path.isdir(path):
                folders.add(path)
                break
            path = os.path.dirname(path)
    try:
        common = Path(os.path.commonpath(folders))
    except ValueError:  # nothing is named, or there are several drives
        return None
    above = [folder for folder in (common, *common.parents) if (folder / FOLDER).is_dir()]
    found = next((folder for folder in reversed(above) if os.access(folder / FOLDER, os.W_OK | os.X_OK)), common)
    return found if found.parent != found and os.access(found, os.W_OK | os.X_OK) else None
