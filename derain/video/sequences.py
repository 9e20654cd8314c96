"""Frames as picture files, one a frame: the same treatment, without a codec."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import count, islice, takewhile
from pathlib import Path
from typing import NamedTuple

from derain.errors import PhotoError, UsageError
from derain.files import make_folder, write_bytes
from derain.models.contract import Derainer
from derain.photos import (
    SUFFIXES,
    Original,
    encode,
    find_photos,
    format_of,
    read_original,
)
from derain.video.colour import PICTURE
from derain.video.fusion import REACH
from derain.video.gifs import process_gif
from derain.video.reading import Clip, Frame
from derain.video.treatment import Done, Network, Preview, Report, VideoSettings, alpha_shown, derained, stretch

RATE = 25  # frames a second of picture files, for --start, --end and --fps-limit
NUMBERED = "%05d.png"  # names of a clip's frames in a folder
COUNTER = re.compile(r"%0?\d*d")
MARK = ".derained"  # end of the name of a result beside its source


def is_sequence(path: Path) -> bool:
    """Whether a path means frames as picture files, or a GIF."""
    folder = path.is_dir() or path.suffix.lower() in ("", MARK)
    return folder or is_pattern(path) or path.suffix.lower() == ".gif"


def is_pattern(path: Path) -> bool:
    """Whether the name of pictures counts, as ``%05d.png`` does."""
    return path.suffix.lower() in SUFFIXES and COUNTER.search(path.name) is not None


def counted(pattern: Path, number: int) -> Path:
    """The picture of a pattern that has this number."""
    return pattern.with_name(COUNTER.sub(lambda counter: counter.group() % number, pattern.name, count=1))


def process_sequence(
    source: Path,
    out: Path,
    model: Derainer,
    settings: VideoSettings,
    origin: str,
    overwrite: bool,
    preview: Preview,
    report: Report,
    say: Callable[[str], None],
) -> Done:
    """A folder or pattern of pictures to another, a clip to pictures, or a GIF to a GIF.

    Pictures that are there already are skipped, so an interrupted run goes on; those of a clip only if they are of the
    same ``origin``, the source and all settings. A GIF is written at once.

    Raises:
        PhotoError: a picture that cannot be read or written, or of another size than the first.
        UsageError: kinds that do not go together, or results that exist or would replace their source.
    """
    if (source.suffix.lower() == ".gif") != (out.suffix.lower() == ".gif"):
        raise UsageError(f"{out}: a GIF becomes a GIF and nothing else does; give another -o")
    if not is_sequence(out):
        raise UsageError(f"{out}: picture files become picture files; give a folder, or a pattern such as %05d.png")
    if source.suffix.lower() == ".gif":
        return process_gif(source, out, model, settings, overwrite, preview, report, say)
    began = time.monotonic()
    begun = unfinished(out) if source.is_file() else None
    pictures = [] if begun else list_pictures(source)
    numbered = [Numbered(path, index / RATE) for index, path in enumerate(pictures)]
    photos = [picture.path for picture in stretch(numbered, settings)]

    def target(number: int) -> Path:
        return place(out, Path(NUMBERED % number if begun else photos[number].name), number)

    def there() -> Iterator[Path]:
        return takewhile(Path.exists, map(target, count() if begun else range(len(photos))))

    if themselves := {target(n).resolve() for n in range(len(photos))} & {path.resolve() for path in pictures}:
        raise UsageError(f"{min(themselves)}: is one of the pictures themselves; give another -o")
    same = begun is None or (begun.is_file() and begun.read_text(encoding="utf-8") == origin)
    done = 0 if overwrite or not same else sum(1 for _ in there())
    if done:
        say(f"{done} pictures are there already and are skipped (--overwrite replaces them)")
    before = max(done - REACH, 0) if settings.temporal != "off" else done
    originals = dict[int, Original]()
    frames = islice(_of_clip(source, settings), before, None) if begun else _pictures(photos[before:], originals)
    network = Network(model, settings, say, before, done)
    index = done
    for number, (frame, picture) in enumerate(derained(frames, network, settings), start=before):
        original = originals.pop(frame.pts, None)
        if number < done:
            continue
        path = target(number)
        if path.exists() and not overwrite:
            raise UsageError(f"{path}: exists; give another -o, or --overwrite")
        make_folder(path.parent)
        if begun and number == 0:
            for earlier in there():  # of another run, not to be taken for this one's
                earlier.unlink()
            write_bytes(begun, origin.encode())
        if original is None or settings.layer != "background":
            shown = Original(picture, "", alpha=alpha_shown(frame, settings))
            write_bytes(path, encode(shown, picture, format_of(path)))
        else:
            write_bytes(path, encode(original, picture, format_of(path)))
        index = number + 1
        preview.show(frame, picture)
        report(index, len(photos), time.monotonic() - began)
    if not index:
        raise PhotoError(f"{source}: holds no frame between --start and --end")
    if begun:
        begun.unlink(missing_ok=True)
    return Done(out, index, time.monotonic() - began, network.failed)


def unfinished(out: Path) -> Path:
    """Where a run that is not finished says what it is of: a folder for a clip, a file for pictures."""
    out = named(out)
    return out.with_name(f"{out.name}.unfinished")


def named(path: Path) -> Path:
    """The path, or of the folder that one is in, or the one above, its whole path, which has a name."""
    return path if path.name not in ("", "..") else path.resolve()


class Numbered(NamedTuple):
    """A picture of a folder, and when it would be shown."""

    path: Path
    time: float  # seconds


def list_pictures(source: Path) -> list[Path]:
    """The pictures of a folder by name, or those that a pattern such as ``frames/%05d.png`` counts.

    Raises:
        UsageError: there are none.
    """
    if not is_pattern(source):
        found = find_photos(source) if source.is_dir() else []
    else:
        first = next((n for n in range(2) if counted(source, n).is_file()), None)
        found = []
        while first is not None and (path := counted(source, first + len(found))).is_file():
            found.append(path)
    if not found:
        raise UsageError(f"{source}: holds no pictures; give a clip, a folder of pictures, or frames/%05d.png")
    return found


def place(out: Path, name: Path, index: int) -> Path:
    """Where the picture of a frame goes."""
    if is_pattern(out):
        return counted(out, index)
    return out / (name if name.suffix.lower() in SUFFIXES else name.with_suffix(".png"))


def _pictures(photos: list[Path], originals: dict[int, Original]) -> Iterator[Frame]:
    """Frames, whose ``pts`` are the places of their originals."""
    size = None
    for index, path in enumerate(photos):
        original = read_original(path)
        size = size or original.pixels.shape
        if original.pixels.shape != size:
            raise PhotoError(f"{path}: has another size than the frames before it")
        originals[index] = original
        yield Frame(original.pixels, index, index / RATE, PICTURE, 0, b"")


def _of_clip(source: Path, settings: VideoSettings) -> Iterator[Frame]:
    with Clip(source) as clip:
        yield from stretch(clip.frames(), settings, clip.begins)
