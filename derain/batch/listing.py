"""Photos of a folder and of those below it, a folder at a time; names only, as there may be a million of them."""

import os
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

from derain.files.marks import DERAINED
from derain.files.places import entries, is_remote
from derain.finetuning.places import WORK_SUFFIX
from derain.photos.names import SUFFIXES, made_of
from derain.photos.unread import is_unread
from derain.video.naming import is_clip

TOP = PurePath()


@dataclass(frozen=True)
class Listing:
    """What is of interest in one folder."""

    photos: list[str]  # names, sorted
    folders: list[str] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)  # but for results
    links: frozenset[str] = frozenset()  # of the photos' names
    linked_folders: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # cameras' raw files, and pictures in other formats

    def made_of(self, name: str, marks: tuple[str, ...]) -> str | None:
        """The photo that a file is, by its name, a result of; ``None`` if of none that is here."""
        return made_of(name, marks, self, self.endings)

    def __contains__(self, name: object) -> bool:
        place = bisect_left(self.photos, str(name))
        return place < len(self.photos) and self.photos[place] == name

    @cached_property
    def endings(self) -> list[str]:
        return sorted({os.path.splitext(name)[1] for name in self.photos})


def scan(folder: Path) -> Listing:
    """
    Raises:
        OSError: the folder cannot be read.
    """
    if is_remote(folder):
        files, folders = entries(folder)
        photos, clips, unread = (sorted(filter(chosen, files)) for chosen in (is_photo, is_own_clip, is_shown_unread))
        return Listing(photos, sorted(folders), clips, unread=unread)
    photos, folders, clips, links, linked_folders, unread = [], [], [], set(), [], []
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif is_photo(entry.name):
                photos.append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
            elif entry.is_symlink() and os.path.isdir(entry.path):  # which a link to itself is not
                linked_folders.append(entry.name)
            elif is_own_clip(entry.name) and os.path.isfile(entry.path):
                clips.append(entry.name)
            elif is_shown_unread(entry.name):
                unread.append(entry.name)
    return Listing(
        sorted(photos), sorted(folders), sorted(clips), frozenset(links), sorted(linked_folders), sorted(unread)
    )


def is_photo(name: str) -> bool:
    """Whether a file is a photo by its name, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def is_own_clip(name: str) -> bool:
    """Whether a file is a clip or a GIF by its name, not hidden, and no result."""
    return is_clip(name) and not (name.startswith(".") or os.path.splitext(name)[0].endswith(DERAINED))


def is_shown_unread(name: str) -> bool:
    """Whether a file is a picture that is not read by its name, and not hidden."""
    return is_unread(name) and not name.startswith(".")


def is_work(folder: str) -> bool:
    """Whether a folder is, by its name, the one in which a finetuning has its previews."""
    return folder.endswith(WORK_SUFFIX)


@dataclass(frozen=True)
class Folder:
    """A folder, its place below the one that was named, and what is in it; ``None`` if it cannot be read."""

    path: Path
    below: PurePath
    listing: Listing | None


def folders(path: Path, recursive: bool, spared: Path | None = None, below: PurePath = TOP) -> Iterator[Folder]:
    """A folder and, with ``recursive``, those below it, sorted; links to folders are not followed.

    Args:
        spared: a folder that is not looked into, as it holds the results.
    """
    try:
        listing = scan(path)
    except OSError:
        yield Folder(path, below, None)
        return
    yield Folder(path, below, listing)
    for name in listing.folders if recursive else ():
        inner = path / name
        if not (is_work(name) or _is_spared(inner, spared)):
            yield from folders(inner, recursive, spared, below / name)


def _is_spared(folder: Path, spared: Path | None) -> bool:
    if spared is None or is_remote(folder) != is_remote(spared):
        return False
    return folder == spared if is_remote(folder) else folder.resolve() == spared.resolve()
