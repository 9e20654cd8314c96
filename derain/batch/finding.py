"""Which photos and clips are named, matched by a pattern, or found in folders."""

import glob
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePath

from derain.batch.jobs import BESIDE, Target
from derain.batch.listing import Folder, folders, is_own_clip, is_shown_unread, is_work
from derain.batch.reasons import BY_NAME, CLIP, WORK, Kind, Leave, Reason, nothing_found, result_of, unread
from derain.errors import UsageError, reason
from derain.files.marks import DERAINED
from derain.files.missing import broken
from derain.files.places import is_folder, is_remote, matching, place
from derain.photos import SUFFIXES, find_photos
from derain.photos.names import made_of, results_among
from derain.video.naming import is_clip


def photos_named(given: str | Path, recursive: bool, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    """Photos, each with its place below the folder or pattern that named it; a pattern itself that matches none."""
    if given == "":
        raise UsageError("a name is empty; use . for the current folder")
    path = place(given, "inputs")
    if is_folder(path) and not (is_remote(path) and glob.has_magic(path.name)):
        yield from _photos_in(path, recursive, target, leave)
    elif (is_remote(path) or not os.path.exists(path)) and glob.has_magic(str(given)):  # the shell did not expand it
        yield from _matched(path, str(given), target, leave)
    else:
        yield path, PurePath(path.name)


def _photos_in(path: Path, recursive: bool, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    """Photos of a folder that is named; it is left out itself if there is nothing in it."""
    is_empty, has_folders = True, False

    def leave_out(inner: Path, why: Reason) -> None:
        nonlocal is_empty
        is_empty = False
        leave(inner, why)

    for folder in folders(path, recursive, _results_below(path, target.output)):
        has_folders = has_folders or bool(folder.listing and folder.listing.folders)
        for found in _photos_of(folder, path, target, leave_out):
            is_empty = False
            yield found
        for name in folder.listing.linked_folders if folder.listing and recursive else ():
            leave_out(folder.path / name, Reason(Kind.LINKED_FOLDER))
        for name in filter(is_work, folder.listing.folders if folder.listing and recursive else ()):
            leave_out(folder.path / name, WORK)
    if is_empty:
        below = " of its own (`recursive` includes subfolders)" if has_folders and not recursive else ""
        leave(path, Reason(Kind.FOLDER, f"a folder without photos{below}"))


def _results_below(path: Path, output: Path | None) -> Path | None:
    """The folder of results, if it lies below ``path``."""
    if output is None or is_remote(path) or is_remote(output):
        return output
    return output if path.resolve() in output.resolve().parents else None


def _photos_of(folder: Folder, named: Path, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    if folder.listing is None:
        at = folder.path if is_remote(folder.path) else folder.path.resolve()
        yield at, PurePath(at.name)
        return
    home = None if is_remote(named) else named.resolve()
    for name in folder.listing.photos:
        photo = folder.path / name
        if name in folder.listing.links and (why := _leads_astray(photo, home)):
            leave(photo, why)
            continue
        if made_of := folder.listing.made_of(name, target.marks):
            leave(photo, result_of(made_of))
        elif os.path.splitext(name)[0].endswith(DERAINED):
            leave(photo, BY_NAME)
        else:
            yield photo, folder.below / name
    for clip in folder.listing.clips:
        leave(folder.path / clip, CLIP)
    for picture in folder.listing.unread:
        leave(folder.path / picture, unread(picture))


def _leads_astray(link: Path, home: Path | None) -> Reason | None:
    """Why a link leads to no photo in the tree; ``None`` if it does."""
    if not os.path.exists(link):
        return Reason(Kind.LINK, broken(link))
    if os.path.isdir(link):
        return Reason(Kind.LINKED_FOLDER)
    inside = home is not None and Path(os.path.realpath(link)).is_relative_to(home)
    return None if inside else Reason(Kind.LINK_OUT)


def _matched(path: Path, pattern: str, target: Target, leave: Leave) -> Iterator[tuple[Path, PurePath]]:
    """Photos that a pattern matches."""
    if is_remote(path):
        matched = [found for found in _listed(path) if not found.name.startswith(".")]
        beside = results_among(matched, target.marks)
    else:
        matched = sorted(map(Path, glob.glob(pattern, recursive=True)))
        beside = results_among([p for folder in {p.parent for p in matched} for p in _readable(folder)], target.marks)
    photos = {path for path in matched if path.suffix.lower() in SUFFIXES and not is_folder(path)}
    for found in matched:
        if is_own_clip(found.name) and not is_folder(found):
            leave(found, CLIP)
        elif is_shown_unread(found.name) and not is_folder(found):
            leave(found, unread(found.name))
        elif found in photos and not _is_left(found, beside, leave):
            yield found, PurePath(found.name)
    if not photos and not any(is_clip(found) or is_shown_unread(found.name) for found in matched):
        yield path, PurePath(path.name)


def _listed(pattern: Path) -> list[Path]:
    try:
        return matching(pattern)
    except OSError as error:
        raise UsageError(f"{pattern}: cannot be listed ({reason(error)})") from None


def _is_left(photo: Path, beside: dict[Path, Path], leave: Leave) -> bool:
    """Whether what a pattern matches is left out: the result of a photo beside it, or one by its name."""
    if photo in beside:
        leave(photo, result_of(beside[photo]))
    elif photo.stem.endswith(DERAINED):
        leave(photo, BY_NAME)
    return photo in beside or photo.stem.endswith(DERAINED)


def _readable(folder: Path) -> list[Path]:
    try:
        return find_photos(folder)
    except OSError:
        return []


class NamedTogether:
    """Files that are named, among them results of others, as where a shell expands ``*.jpg``."""

    def __init__(self, inputs: Sequence[str | Path], marks: tuple[str, ...]) -> None:
        self._inputs, self._marks = inputs, marks

    def made_of(self, given: str | Path) -> str | None:
        """The photo, named as well, that one is a result of by its name; ``None`` if of none."""
        if not any(mark in str(given) for mark in self._marks):
            return None
        return made_of(str(given), self._marks, self._names, self._endings)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(map(str, self._inputs))

    @cached_property
    def _endings(self) -> list[str]:
        return sorted({os.path.splitext(given)[1] for given in self._inputs})


def found_to_look_at(
    inputs: Sequence[str | Path], recursive: bool = False, leave: Leave = lambda path, why: None
) -> list[list[Path]]:
    """The photos and clips that each input names, matches or has in its folders; each of them once.

    Args:
        leave: called with each file that is left out, and the reason: a result of another file, or a clip elsewhere.

    Raises:
        UsageError: there are none.
    """
    found: list[dict[Path, None]] = []
    left: dict[Path, Reason] = {}

    def leave_out(path: Path, why: Reason) -> None:
        if why.kind is Kind.CLIP and not is_remote(path):
            found[-1][path] = None
            return
        left[path] = why
        leave(path, why)

    for given in inputs:
        found.append({})
        for picture, _ in photos_named(given, recursive, BESIDE, leave_out):
            found[-1][picture] = None
    results = results_among([path for paths in found for path in paths if not is_clip(path)])
    for path, photo in results.items():
        leave_out(path, result_of(photo))
    seen = set(results)
    for paths in found:
        again = seen & paths.keys()
        seen |= paths.keys()
        for path in again:
            del paths[path]
    if not seen - results.keys():
        raise UsageError(nothing_found(left, "photos or clips", "score"))
    return [list(paths) for paths in found]
