"""What a path means to `derain video`, and what a result is called."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derain.errors import PhotoError, UsageError, unreadable
from derain.files.marks import DERAINED
from derain.files.missing import absence
from derain.files.sparing import is_same_file, refuse_replacing
from derain.files.writing import UNFINISHED_SUFFIX, check_name, hindrance, refuse_special
from derain.photos import SUFFIXES, find_photos
from derain.photos.raw import WHAT, is_named_raw
from derain.photos.unread import format_named, unread_left_out, what_is
from derain.text import counted

if TYPE_CHECKING:
    from derain.video.reading import Clip
    from derain.video.settings import VideoSettings

# containers that a result may have, by suffix
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
# of what is taken for a clip among other files; `derain video` reads whatever FFmpeg does
CLIP_SUFFIXES = {*FORMATS, ".gif", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".3gp", ".3g2", ".wmv", ".flv"}
HOLD_MOST = (".mp4", ".mkv", ".mov")  # of which a clip gets one whose own cannot be written
CODEC_LOST, LOST = 1, 100  # by sound that is stored as samples, and by a stream that is left out
COUNTER = re.compile(r"%0?\d*d")
DEEPEST = 2  # folders in folders, in which clips are looked for, as on a camera's card
NUMBERED_NAME = "%05d.png"  # names of a clip's frames in a folder
PICTURES_HAVE = {False: "frames as pictures have", True: "a GIF has"}  # by whether they are those of a GIF


def is_clip(path: str | Path) -> bool:
    """Whether a file is by its name no photo but a clip, or a GIF."""
    return os.path.splitext(str(path))[1].lower() in CLIP_SUFFIXES


def is_pattern(path: Path) -> bool:
    """Whether the name of pictures counts, as ``%05d.png`` does."""
    return path.suffix.lower() in SUFFIXES and COUNTER.search(path.name) is not None


def is_gif(path: Path) -> bool:
    return path.suffix.lower() == ".gif" and not os.path.isdir(path)


def is_sequence(path: Path) -> bool:
    """Whether a path means frames as picture files, or a GIF; one that is not there yet is a folder by its name."""
    if os.path.isfile(path):
        return is_gif(path)
    return os.path.isdir(path) or is_pattern(path) or is_gif(path) or path.suffix.lower() in ("", DERAINED)


def of_number(pattern: Path, number: int) -> Path:
    """The picture of a pattern that has this number."""
    return pattern.with_name(COUNTER.sub(lambda counter: counter.group() % number, pattern.name, count=1))


def is_counted(pattern: Path, name: str) -> bool:
    """Whether a name is one that a pattern gives a picture."""
    before, after = COUNTER.split(pattern.name, maxsplit=1)
    number = name.removeprefix(before).removesuffix(after)
    return number.isdecimal() and of_number(pattern, int(number)).name == name


def named(path: Path) -> Path:
    """The path, or of the folder that one is in, or the one above, its whole path, which has a name."""
    return path if path.name not in ("", "..") else path.resolve()


def unfinished(out: Path) -> Path:
    """The folder of a run that is not finished."""
    out = named(out)
    return out.with_name(out.name + UNFINISHED_SUFFIX)


def default_result(source: Path) -> Path:
    """Where the result goes if nobody says: beside the source, in a container that holds what the clip holds.

    Raises:
        PhotoError: a file that is no clip.
        UsageError: a photo, or a link in the place of a folder of results.
    """
    name = named(source)
    if os.path.isdir(source):
        folder = name.with_name(name.name + DERAINED)
        if folder.is_symlink():
            raise UsageError(f"{folder}: is a link; to write results through it, name it as `out`")
        return folder
    check_source(source)
    return name.with_name(f"{name.stem}{DERAINED}{suffix_of_result(source)}")


def result_in(folder: Path, source: Path) -> Path:
    """Where the result of a clip goes in a folder of results; errors as :func:`default_result`."""
    check_source(source)
    return folder / f"{source.stem}{suffix_of_result(source)}"


def suffix_of_result(source: Path) -> str:
    """The clip's own, or of a container that holds what it holds."""
    if is_sequence(source) or source.suffix.lower() in FORMATS:
        return source.suffix
    from derain.video.reading import Clip  # which brings torch: a name by itself is judged without

    with Clip(source) as clip:
        return best_suffix(clip)


def best_suffix(clip: "Clip") -> str:
    """Of the container like the clip's own that can be written, or else of that which loses least of its streams."""
    family = clip.container.format.name.split(",")
    own = [suffix for suffix, form in FORMATS.items() if form in family]
    others = [stream for stream in clip.container.streams if stream is not clip.stream]

    return min([*own[:1], *HOLD_MOST], key=lambda suffix: sum(lost(FORMATS[suffix], stream) for stream in others))


def what_holds(stream: Any) -> str:
    """The suffix of the container that loses the least of a stream; empty if none holds it."""
    best = min(HOLD_MOST, key=lambda suffix: lost(FORMATS[suffix], stream))
    return best if lost(FORMATS[best], stream) < LOST else ""


def lost(form: str, stream: Any) -> int:
    """How much of a stream a container loses: nothing, its codec, or all."""
    import av

    from derain.video.copies import holds_samples, try_header

    try:
        try_header(form, stream)
    except (av.FFmpegError, ValueError, TypeError):
        return CODEC_LOST if holds_samples(form, stream) else LOST
    return 0


def check_source(source: Path) -> None:
    """
    Raises:
        PhotoError: it is missing, or neither a file nor a folder.
        UsageError: the file is a photo, or animated in a format that is not read.
    """
    try:
        os.stat(source)
    except FileNotFoundError:
        if COUNTER.search(source.name) and format_named(source.name):
            raise UsageError(f"{source}: {what_is(source.name)}") from None
        if not is_pattern(source):
            raise PhotoError(f"{source}: {absence(source)}") from None
    except OSError as error:
        raise PhotoError(f"{source}: {unreadable(error)}") from None
    refuse_special(source)
    if os.path.isfile(source):
        _check_animated(source)


def _check_animated(source: Path) -> None:
    from derain.video.animated import animation

    found = animation(source)
    if is_named_raw(source.name):
        raise UsageError(f"{source}: {WHAT}")
    if found is None and source.suffix.lower() in SUFFIXES:
        raise UsageError(f"{source}: is a photo; use `derain run`, or give its folder or a pattern such as %05d.png")
    if found and not found.is_clip:
        raise UsageError(
            f"{source}: is an animated {found.form}, which derain does not read; "
            "convert it to an animated PNG or a GIF first"
        )


def check_result(out: Path) -> None:
    """
    Raises:
        UsageError: the file system has no room for the result's name, or for that of the folder that it is made in.
    """
    check_name(named(out), UNFINISHED_SUFFIX)


def refuse_clash(source: Path, out: Path, overwrite: bool) -> None:
    """
    Raises:
        UsageError: what cannot be, before any work.
    """
    if out.suffix.lower() not in FORMATS:
        pictures = (
            "; for its frames as pictures, give a name such as %05d.png" if out.suffix.lower() in SUFFIXES else ""
        )
        raise UsageError(f"{out}: the result must end in one of {' '.join(FORMATS)}{pictures}")
    refuse_existing(source, out, overwrite)


def refuse_existing(source: Path, out: Path, overwrite: bool) -> None:
    """
    Raises:
        UsageError: the result is the source itself by whatever name, or exists and is not to be replaced.
    """
    if is_same_file(out, source):
        raise UsageError(f"{out}: is the source itself; give another `out`")
    if os.path.lexists(out) and not overwrite:
        raise UsageError(f"{out}: exists; give another `out`, or `overwrite` to replace it")


def made_before(source: Path, out: Path) -> Path | None:
    """The result that is there already; of a clip as pictures the first of them, unless a run of that is to go on.

    Pictures of pictures are told by ``sequences.all_made_before``.
    """
    if is_sequence(out) and not is_gif(out):
        if not os.path.isfile(source) or unfinished(out).exists():
            return None
        out = of_number(out if is_pattern(out) else out / NUMBERED_NAME, 0)
    return out if os.path.lexists(out) else None


def check_names(source: Path, out: Path | None, overwrite: bool) -> None:
    """What can be told of a clip and its result before the clip is opened.

    Raises:
        PhotoError: the clip is missing, or the result cannot be written.
        UsageError: as :func:`check_source`, :func:`check_result`, :func:`refuse_clash`; or a folder holds no pictures.
    """
    check_source(source)
    files_in(source)
    if out is None and not (os.path.isdir(source) or is_sequence(source) or source.suffix.lower() in FORMATS):
        return  # the clip decides
    out = out or default_result(source)
    check_result(out)
    if error := hindrance(named(out), "write elsewhere with `out`"):
        raise error
    if not (is_sequence(source) or is_sequence(out)):
        refuse_clash(source, out, overwrite)


def refuse_unfit(source: Path, out: Path | None, settings: "VideoSettings", elsewhere: bool) -> None:
    """What works only on clips in one file.

    Raises:
        UsageError: it is asked for, and the clip is a GIF or pictures, or becomes such.
    """
    if settings.rainy_from is not None and is_gif(source):
        raise UsageError(f"{source}: is a GIF, for which `only_if_rainy` and `rainy_from` do not work; leave them out")
    if not (is_sequence(source) or out is not None and is_sequence(out)):
        return
    if elsewhere:
        raise UsageError(f"{source}: is not a clip in one file, and `ray` takes nothing else; leave out `ray`")
    if settings.codec is not None:
        otherwise = ", or give a clip as `out`" if source.is_file() and not is_gif(source) else ""
        raise UsageError(f"{out or source}: {PICTURES_HAVE[is_gif(source)]} no `codec`; leave it out{otherwise}")


def without_effect(source: Path, settings: "VideoSettings") -> list[str]:
    """Sentences about what is asked for of a clip's encoder or decoder where pictures, or those of a GIF, come out."""
    given = {f"`{name}`": value for name, value in (("crf", settings.crf), ("preset", settings.preset))}
    given |= {f"encoder option {name}": value for name, value in settings.options.items()}
    has = PICTURES_HAVE[is_gif(source)]
    said = [f"{has} no {name}, so it counts for nothing" for name, value in given.items() if value is not None]
    if settings.hwaccel and is_sequence(source):
        said.append("pictures are decoded on the CPU, so `hwaccel` counts for nothing")
    return said


def check_preview(preview: Path, sources: Iterable[Path], weights: Iterable[Path] = ()) -> None:
    """
    Raises:
        UsageError: ``preview`` would replace something that is read.
    """
    read = {"source": [path for source in sources for path in files_in(source)], "weights": weights}
    refuse_replacing(preview, read)


def files_in(source: Path) -> list[Path]:
    """A clip, or the pictures of a folder or pattern.

    Raises:
        UsageError: as :func:`list_pictures`.
    """
    return list_pictures(source) if os.path.isdir(source) or is_pattern(source) else [source]


def list_pictures(source: Path) -> list[Path]:
    """The pictures of a folder by name, or those that a pattern such as ``frames/%05d.png`` counts.

    Raises:
        UsageError: there are none.
    """
    if not is_pattern(source):
        found = find_photos(source) if source.is_dir() else []
    else:
        first = next((n for n in range(2) if of_number(source, n).is_file()), None)
        found = []
        while first is not None and (path := of_number(source, first + len(found))).is_file():
            found.append(path)
    if not found:
        if unread := unread_left_out(sorted(source.iterdir())) if source.is_dir() else []:
            raise UsageError(f"{source}: holds no pictures that derain reads; {unread[0]}")
        if inside := folders_of_clips(source):
            raise UsageError(f"{source}: holds neither clips nor pictures but folders of clips; give {inside[0]}")
        raise UsageError(f"{source}: holds no pictures; give a clip, a folder of pictures, or frames/%05d.png")
    return found


def folders_of_clips(folder: Path, depth: int = DEEPEST) -> list[Path]:
    """Folders in a folder, but for hidden ones and those of runs and results, in which clips lie."""
    from derain.batch.listing import is_own_clip

    found = list[Path]()
    for name in _names_in(folder):
        inside = folder / name
        is_left = name.startswith(".") or name.endswith((UNFINISHED_SUFFIX, DERAINED))
        if is_left or os.path.islink(inside) or not os.path.isdir(inside):
            continue
        found += [inside] if any(map(is_own_clip, _names_in(inside))) else []
        found += folders_of_clips(inside, depth - 1) if depth > 1 else []
    return found


def _names_in(folder: Path) -> list[str]:
    """Sorted; none of a folder that may not be read."""
    with suppress(OSError):
        return sorted(os.listdir(folder))
    return []


def passed_over(source: Path, pictures: list[Path]) -> list[str]:
    """Sentences about pictures of a folder or pattern that are not among those that :func:`list_pictures` found."""
    if not is_pattern(source):
        return unread_left_out(sorted(source.iterdir()))
    found = {path.name for path in source.parent.iterdir() if is_counted(source, path.name)}
    if not (rest := found - {path.name for path in pictures}):
        return []
    number = next(n for n in range(1, len(pictures) + 2) if of_number(source, n) not in pictures)
    return [f"{of_number(source, number).name} is missing; {counted(len(rest), 'picture')} after it left out"]
