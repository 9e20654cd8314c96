"""Why files are left out of a batch."""

import glob
import os
import shlex
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from derain.photos.raw import is_named_raw
from derain.photos.unread import format_named, what_is


class Kind(Enum):
    """What is left out."""

    CLIP = "a clip"
    RAW = "a camera's raw file"
    UNREAD = "a picture that is not read"
    RESULT = "a result"
    LINK = "a link"  # that leads nowhere
    LINK_OUT = "a link out of the folder"
    LINKED_FOLDER = "a link to a folder"
    FOLDER = "a folder"


class Reason(str):
    """What a file is that is left out, in words, and of which kind it is."""

    kind: Kind

    def __new__(cls, kind: Kind, words: str = "") -> "Reason":
        found = super().__new__(cls, words or kind.value)
        found.kind = kind
        return found


CLIP = Reason(Kind.CLIP)
RAW = Reason(Kind.RAW)
WORK = Reason(Kind.FOLDER, "a folder of `derain finetune`, which is left out")
BY_NAME = Reason(Kind.RESULT, "a result, by its name")
Leave = Callable[[Path, Reason], None]


def unread(name: str) -> Reason:
    """Of a picture that is not read, by its name."""
    return RAW if is_named_raw(name) else Reason(Kind.UNREAD, f"a picture in {format_named(name)} format")


def result_of(photo: str | Path) -> Reason:
    return Reason(Kind.RESULT, f"a result of {os.path.basename(photo)}")


def for_video(clips: list[Path]) -> str:
    """A sentence that names the command for clips."""
    first = shlex.quote(str(clips[0]))
    if len(clips) == 1:
        return f"{clips[0]}: is a clip; `derain video {first}` removes its rain"
    return f"{clips[0]} and {len(clips) - 1} more are clips; `derain video` removes their rain"


def how_to_follow(link: Path, kind: Kind, doing: str, by_pattern: bool) -> str:
    """How links are taken that are left out in folders, as the end of a sentence; empty if they lead nowhere.

    Args:
        link: the first of them.
        by_pattern: whether a pattern is told, too, which must match all of them.
    """
    if kind is Kind.LINK_OUT:
        pattern = shlex.quote(os.path.join(glob.escape(str(link.parent)), f"*{link.suffix}"))
        return f"; to {doing} such links, name them" + (f", or give {pattern}" if by_pattern else "")
    return f"; to {doing} what is there, name the link" if kind is Kind.LINKED_FOLDER else ""


def nothing_found(left: dict[Path, Reason], what: str = "photos", doing: str = "derain") -> str:
    """A sentence where all is left out that was found."""
    others = {path: why for path, why in left.items() if why.kind is not Kind.CLIP}
    if left and not others and what == "photos":
        return f"no photos found, but clips: {for_video(list(left))}"
    if result := next((path for path, why in left.items() if why.kind is Kind.RESULT), None):
        return f"found only results of earlier runs, such as {result}; name one explicitly to {doing} it again"
    if picture := next((path for path, why in left.items() if why.kind in (Kind.RAW, Kind.UNREAD)), None):
        return f"no {what} found; {picture} {what_is(picture.name)}"
    if others:
        path, why = next(iter(others.items()))
        places = {(other.parent, other.suffix) for other, its in others.items() if its.kind is why.kind}
        if way := how_to_follow(path, why.kind, doing, by_pattern=len(places) == 1):
            return f"no {what} found: {path} is {why}{way}"
        return f"no {what} found: {path} is {why}; give {what}, or folders that contain some"
    return f"no {what} found; give {what}, or folders that contain some"
