"""Frames as picture files, one a frame, and GIFs: the same treatment, without a codec."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from derain.errors import PhotoError, UsageError
from derain.models.contract import Derainer
from derain.photos import (
    SUFFIXES,
    Original,
    Photo,
    atomic,
    encode,
    find_photos,
    format_of,
    read_original,
    to_8_bit,
    write_bytes,
    write_photo,
)
from derain.video.colour import Colours
from derain.video.fusion import REACH
from derain.video.reading import Clip, Frame
from derain.video.treatment import Done, Network, Report, VideoSettings, derained, stretch

RATE = 25  # frames a second of picture files, for --start and --end
RGB = Colours("rgb24", 0, 2, 2, 2, 8, 0)
NUMBERED = "%05d.png"  # names of a clip's frames in a folder
MARK = ".derained"  # end of the name of a result beside its source


def is_sequence(path: Path) -> bool:
    """Whether a path means frames as picture files, or a GIF."""
    folder = path.is_dir() or path.suffix.lower() in ("", MARK)
    return folder or is_pattern(path) or path.suffix.lower() == ".gif"


def is_pattern(path: Path) -> bool:
    """Whether the name counts, as ``%05d.png`` does."""
    return re.search(r"%0?\d*d", path.name) is not None


def process_sequence(
    source: Path,
    out: Path,
    model: Derainer,
    settings: VideoSettings,
    overwrite: bool,
    report: Report,
    say: Callable[[str], None],
) -> Done:
    """A folder or pattern of pictures to another, a clip to pictures, or a GIF to a GIF.

    Pictures that are there already are skipped, so an interrupted run goes on; a GIF is written at once.

    Raises:
        PhotoError: a picture that cannot be read or written, or of another size than the first.
        UsageError: kinds that do not go together, or results that exist.
    """
    if (source.suffix.lower() == ".gif") != (out.suffix.lower() == ".gif"):
        raise UsageError(f"{out}: a GIF becomes a GIF and nothing else does; give another -o")
    if not is_sequence(out):
        raise UsageError(f"{out}: picture files become picture files; give a folder, or a pattern such as %05d.png")
    if source.suffix.lower() == ".gif":
        return _process_gif(source, out, model, settings, overwrite, report)
    began, failed = time.monotonic(), list[int]()
    originals = list[Original | None]()
    photos = [] if source.is_file() else list_pictures(source)
    names = [Path(photo.name) for photo in photos]
    done = 0
    while photos and not overwrite and done < len(photos) and place(out, names[done], done).exists():
        done += 1
    if done:
        say(f"{done} pictures are there already and are skipped (--overwrite replaces them)")
    before = max(done - REACH, 0) if settings.temporal != "off" else done
    frames = _pictures(photos[before:], originals) if photos else _of_clip(source, settings, originals)
    network = Network(model, settings, failed, before, say)
    count = done
    for index, (_, picture) in enumerate(derained(frames, network, settings), start=before):
        original, originals[index - before] = originals[index - before], None
        if index < done:
            continue
        target = place(out, names[index] if photos else Path(NUMBERED % index), index)
        if target.exists() and not overwrite:
            raise UsageError(f"{target}: exists; give another -o, or --overwrite")
        target.parent.mkdir(parents=True, exist_ok=True)
        if original is None or settings.layer != "background":
            write_photo(target, to_8_bit(picture))
        else:
            write_bytes(target, encode(original, picture, format_of(target)))
        count = index + 1
        report(count, len(photos), time.monotonic() - began)
    return Done(out, count, time.monotonic() - began, failed)


def list_pictures(source: Path) -> list[Path]:
    """The pictures of a folder by name, or those that a pattern such as ``frames/%05d.png`` counts.

    Raises:
        UsageError: there are none.
    """
    if not is_pattern(source):
        found = find_photos(source) if source.is_dir() else []
    else:
        first = next((n for n in range(2) if Path(str(source) % n).is_file()), None)
        found = []
        while first is not None and (path := Path(str(source) % (first + len(found)))).is_file():
            found.append(path)
    if not found:
        raise UsageError(f"{source}: holds no pictures; give a clip, a folder of pictures, or frames/%05d.png")
    return found


def place(out: Path, name: Path, index: int) -> Path:
    """Where the picture of a frame goes."""
    if is_pattern(out):
        return Path(str(out) % index)
    return out / (name if name.suffix.lower() in SUFFIXES else name.with_suffix(".png"))


def _pictures(photos: list[Path], originals: list[Original | None]) -> Iterator[Frame]:
    size = None
    for index, path in enumerate(photos):
        original = read_original(path)
        size = size or original.pixels.shape
        if original.pixels.shape != size:
            raise PhotoError(f"{path}: has another size than the frames before it")
        originals.append(original)
        yield Frame(original.pixels, index, index / RATE, RGB, 0, b"")


def _of_clip(source: Path, settings: VideoSettings, originals: list[Original | None]) -> Iterator[Frame]:
    with Clip(source) as clip:
        for frame in stretch(clip.frames(), settings):
            originals.append(None)
            yield frame


def _process_gif(
    source: Path, out: Path, model: Derainer, settings: VideoSettings, overwrite: bool, report: Report
) -> Done:
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists; give another -o, or --overwrite")
    began, failed = time.monotonic(), list[int]()
    try:
        with Image.open(source) as gif:
            durations = [frame.info.get("duration", 100) for frame in ImageSequence.Iterator(gif)]
            loop = gif.info.get("loop")
            frames = (np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif))
            shown = (Frame(pixels, index, index / RATE, RGB, 0, b"") for index, pixels in enumerate(frames))
            network = Network(model, settings, failed, 0, lambda sentence: None)
            pictures: list[Photo] = []
            for _, picture in islice(derained(shown, network, settings), None):
                pictures.append(picture)
                report(len(pictures), len(durations), time.monotonic() - began)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise PhotoError(f"{source}: cannot be read as a GIF ({error})") from None
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    how = {"duration": durations, "disposal": 1} | ({} if loop is None else {"loop": loop})
    try:
        with atomic(out) as part:
            first.save(part, format="GIF", save_all=True, append_images=rest, **how)
    except OSError as error:
        raise PhotoError(f"{out}: cannot be written ({error})") from None
    return Done(out, len(pictures), time.monotonic() - began, failed)
