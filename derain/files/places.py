"""Where files are: on this machine, or wherever fsspec opens them, such as ``s3://bucket/a.jpg``.

A place elsewhere is a ``UPath``, which answers to all that is asked of a path here but the system's own calls.
"""

import os
import re
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, cast, overload

from derain.errors import PhotoError, UsageError, reason, unwritable
from derain.extras import missing
from derain.files.parts import new_name
from derain.given import to_path

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: one is a drive
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci"}  # an object is there when all of it is
BY_FFMPEG = {"http", "https", "ftp", "file"}  # streams as well, where both are read


def place(name: str | Path, argument: str = "path") -> Path:
    """The place that a name or an address stands for.

    Raises:
        UsageError: nothing opens such addresses, or what does isn't installed; or neither a name nor a place.
    """
    if not isinstance(name, str) or not ADDRESS.match(name):
        return cast(Path, name) if hasattr(name, "fs") else to_path(argument, name)
    try:
        from upath import UPath

        found = UPath(name, use_listings_cache=False)  # what others write meanwhile is seen
        _ = found.fs
    except (ImportError, ValueError) as error:
        lack = missing("cloud") if isinstance(error, ImportError) else ""
        raise UsageError(f"{name}: {lack or f'cannot be opened ({reason(error)})'}") from None
    return cast(Path, found)


def is_elsewhere(name: str) -> bool:
    """Whether an address leads to files in a bucket, or wherever only fsspec opens them, and to no stream."""
    scheme = name.partition("://")[0].lower() if ADDRESS.match(name) else ""
    if scheme in OBJECT_STORES or not scheme:
        return bool(scheme)
    try:
        from fsspec import available_protocols
    except ImportError:
        return False
    return scheme in set(available_protocols()) - BY_FFMPEG


class Place:
    """A field of a dataclass that takes a name, too, and holds the place that it stands for; ``None`` by default."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, given: None, owner: type) -> None: ...
    @overload
    def __get__(self, given: object, owner: type) -> Path | None: ...
    def __get__(self, given: object, owner: type) -> Path | None:
        return None if given is None else cast(Path | None, vars(given)[self.name])

    def __set__(self, given: object, value: str | Path | None) -> None:
        vars(given)[self.name] = None if value is None else place(value, self.name)


def is_remote(path: PurePath) -> bool:
    """Whether a place is not on this machine's own file systems."""
    return not isinstance(path, PurePath)


def exists(path: Path) -> bool:
    """
    Raises:
        OSError: that cannot be known of a place elsewhere.
    """
    if not is_remote(path):
        return os.path.exists(path)
    return bool(_asked(path, "exists"))


def is_folder(path: Path) -> bool:
    """Whether a folder is there; elsewhere a name decides that is no file's."""
    return not path.suffix if is_remote(path) else os.path.isdir(path)


def read_place(path: Path) -> bytes:
    """
    Raises:
        OSError: it is not there, or cannot be read.
    """
    return bytes(_asked(path, "cat_file"))


def write_place(path: Path, content: bytes) -> None:
    """Write a file elsewhere whole or not at all.

    Raises:
        PhotoError: it cannot be written.
    """
    system, target = path.fs, path.path  # type: ignore[attr-defined]
    try:
        if path.protocol in OBJECT_STORES:  # type: ignore[attr-defined]
            system.pipe_file(target, content)
            return
        part = (path.parent / new_name()).path  # type: ignore[attr-defined]
        try:
            system.pipe_file(part, content)
            system.mv(part, target)
        except BaseException:
            if system.exists(part):
                system.rm_file(part)
            raise
    except Exception as error:  # each file system has its own
        raise PhotoError(f"{path}: {unwritable(error)}") from None


def make_place(folder: Path) -> None:
    """Make a folder elsewhere, where there are any.

    Raises:
        PhotoError: it cannot be made.
    """
    if folder.protocol in OBJECT_STORES:  # type: ignore[attr-defined]
        return
    try:
        folder.fs.makedirs(folder.path, exist_ok=True)  # type: ignore[attr-defined]
    except Exception as error:
        raise PhotoError(f"{folder}: {unwritable(error, 'created')}") from None


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of files, and of folders, in one elsewhere.

    Raises:
        OSError: it cannot be listed.
    """
    files, folders = list[str](), list[str]()
    for entry in _asked(folder, "ls", detail=True):
        name = entry["name"].rstrip("/").rpartition("/")[2]
        if entry["name"].rstrip("/") != folder.path.rstrip("/"):  # type: ignore[attr-defined]
            (folders if entry["type"] == "directory" else files).append(name)
    return files, folders


def matching(pattern: Path) -> list[Path]:
    """Files elsewhere that a pattern matches.

    Raises:
        OSError: they cannot be listed.
    """
    found = _asked(pattern, "glob")
    return [place(f"{pattern.protocol}://{name}") for name in sorted(found)]  # type: ignore[attr-defined]


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(entries(folder)[0])
    except FileNotFoundError:
        return frozenset()


class Existing:
    """Which files exist, no folders; a folder elsewhere is listed once instead of asking for each."""

    def __init__(self) -> None:
        self._names = lru_cache(maxsize=8)(_names_in)

    def __contains__(self, path: Path) -> bool:
        if is_remote(path):
            return path.name in self._names(path.parent)
        return os.path.exists(path) and not os.path.isdir(path)


def _asked(path: Path, what: str, **how: Any) -> Any:
    """
    Raises:
        OSError: whatever the file system elsewhere raised.
    """
    try:
        return getattr(path.fs, what)(path.path, **how)  # type: ignore[attr-defined]
    except OSError:
        raise
    except Exception as error:
        raise OSError(reason(error)) from None
