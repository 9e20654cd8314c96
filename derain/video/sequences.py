"""Frames as picture files, one a frame: the same treatment, without a codec."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import count, takewhile
from pathlib import Path
from typing import NamedTuple

from derain.arrays import Pixels
from derain.errors import PhotoError, UsageError
from derain.files.sparing import is_same_file
from derain.files.writing import make_folder, permissions_of, write_bytes
from derain.photos import (
    SUFFIXES,
    Original,
    encode_with_notes,
    format_of,
    read_original,
)
from derain.photos.formats import begins_as_photo
from derain.text import counted
from derain.video.colour import PICTURE
from derain.video.gifs import process_gif
from derain.video.naming import (
    FORMATS,
    NUMBERED_NAME,
    is_counted,
    is_gif,
    is_pattern,
    list_pictures,
    of_number,
    passed_over,
    refuse_existing,
)
from derain.video.reading import Clip, Frame
from derain.video.treatment import (
    Done,
    Network,
    Run,
    VideoSettings,
    alpha_shown,
    derained,
    looks_back,
    stretch,
    stretch_of,
)
from derain.video.work import Work, clear, manifest_beside

PICTURE_RATE = 25  # frames a second of picture files, by which a stretch and a limit of frames are counted


def check_sequence(source: Path, out: Path, settings: VideoSettings, overwrite: bool) -> None:
    """
    Raises:
        UsageError: kinds that do not go together, no pictures, or results that exist or would replace their source, or
            what is no picture.
    """
    if is_gif(source) != is_gif(out):
        raise UsageError(f"{out}: a GIF can only become a GIF, and nothing else can; give another `out`")
    if is_gif(source):
        refuse_existing(source, out, overwrite)
        return
    as_file = out.suffix.lower() in {*FORMATS, *SUFFIXES} and not is_pattern(out)
    if as_file and not out.is_dir() or out.is_file():
        raise UsageError(
            f"{out}: picture files can only become picture files; give a folder, or a pattern such as %05d.png"
        )
    if source.is_file():  # be it a name of a frame that the clip has not
        pattern = out if is_pattern(out) else out / NUMBERED_NAME
        in_the_way = [path for path in _files_in(pattern.parent) if is_counted(pattern, path.name)]
    else:
        pictures = list_pictures(source)
        places = places_of(pictures, out, settings)
        if themselves := {path.resolve() for path in places} & {path.resolve() for path in pictures}:
            raise UsageError(f"{min(themselves)}: is one of the pictures themselves; give another `out`")
        names = {path.name for path in places}
        in_the_way = [path for path in _files_in(out.parent if is_pattern(out) else out) if path.name in names]
    for path in in_the_way:
        if source.is_file() and is_same_file(path, source):
            raise UsageError(f"{path}: is the source itself; give another `out`")
        if not begins_as_photo(path):
            raise UsageError(f"{path}: is no picture, and so no earlier result; move it away, or give another `out`")


def _files_in(folder: Path) -> list[Path]:
    """What is there; that nothing can be written there is told as it is tried."""
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def places_of(pictures: list[Path], out: Path, settings: VideoSettings) -> list[Path]:
    return [place(out, Path(photo.name), number) for number, photo in enumerate(wanted(pictures, settings))]


def all_made_before(source: Path, out: Path, settings: VideoSettings) -> Path | None:
    """The first of the pictures that pictures become, if all are there already.

    Raises:
        UsageError: as :func:`check_sequence`.
    """
    if not (source.is_dir() or is_pattern(source)):
        return None
    check_sequence(source, out, settings, overwrite=False)
    places = places_of(list_pictures(source), out, settings)
    return places[0] if places and all(map(Path.exists, places)) else None


def wanted(pictures: list[Path], settings: VideoSettings) -> list[Path]:
    """The pictures of the stretch that is asked for."""
    numbered = [Numbered(path, index / PICTURE_RATE) for index, path in enumerate(pictures)]
    return [picture.path for picture in stretch(numbered, settings)]


def process_sequence(run: Run, origin: str) -> Done:
    """A folder or pattern of pictures to another, a clip to pictures, or a GIF to a GIF.

    Pictures that are there already are skipped, so an interrupted run goes on; those of a clip only if they are of the
    same ``origin``, the source and all settings. A GIF is written at once.

    Raises:
        PhotoError: a picture that cannot be read or written, or of another size than the first.
        UsageError: results that exist.
    """
    if is_gif(run.source):
        return process_gif(run)
    return _clip_to_pictures(run, origin) if run.source.is_file() else _pictures_to_pictures(run)


def _pictures_to_pictures(run: Run) -> Done:
    pictures = list_pictures(run.source)
    for sentence in passed_over(run.source, pictures):
        run.note(sentence)
    photos = wanted(pictures, run.settings)

    def target(number: int) -> Path:
        return place(run.out, Path(photos[number].name), number)

    done = 0 if run.overwrite else _count_there(map(target, range(len(photos))))
    writer, before = PictureWriter(run, done, len(photos)), max(done - looks_back(run.settings), 0)
    originals = dict[int, Original]()
    network = Network(run.model, run.settings, run.say, before, done)
    results = derained(read_pictures(photos[before:], originals), network, run.settings)
    for number, (frame, picture) in enumerate(results, start=before):
        original = originals.pop(frame.pts, None)
        if number >= done:
            writer.write(target(number), frame, picture, photos[number], original)
    return writer.ended(network)


def _clip_to_pictures(run: Run, origin: str) -> Done:
    begun = manifest_beside(run.out)

    def target(number: int) -> Path:
        return place(run.out, Path(NUMBERED_NAME % number), number)

    times = Times(begun.with_name("times"), Work.is_of(run.out, origin) and not run.overwrite)
    done = times.keep(_count_there(map(target, count())))
    writer, before = PictureWriter(run, done, 0), max(done - looks_back(run.settings), 0)
    network, made = Network(run.model, run.settings, run.say, before, done), None
    with Clip(run.source, hardware=run.settings.hwaccel) as clip:
        frames = stretch_of(clip, run, times.all, before)
        for number, (frame, picture) in enumerate(derained(frames, network, run.settings), start=before):
            if number < done:
                continue
            if number == 0:
                _note_losses(clip, frame, run)
                made = None if target(0).parent.exists() else target(0).parent
                writer.check(target(0))
                for earlier in takewhile(Path.exists, map(target, count())):
                    earlier.unlink()  # of another run, not to be taken for this one's
                begin(begun, origin, made)
            writer.check(target(number))
            times.add(frame.pts)
            try:
                writer.write(target(number), frame, picture, run.source)
            except PhotoError:
                if number == 0:  # there is nothing to go on with
                    clear(begun.parent)
                    remove_empty(made)
                raise
            for sentence in frame.changes:
                run.note(sentence)
        said = clip.damage.said(times.all, clip.time_base, clip.begins)
    ended = writer.ended(network, [f"{run.source}: {sentence}" for sentence in said])
    clear(begun.parent)
    return ended


def begin(manifest: Path, origin: str, made: Path | None) -> None:
    """Write down what a run is of.

    Args:
        made: the folder that was made for its pictures; an empty one would mean a folder for a clip next time.

    Raises:
        PhotoError: it cannot be written.
    """
    try:
        write_bytes(manifest, origin.encode())
    except PhotoError:
        remove_empty(made)
        raise


def remove_empty(folder: Path | None) -> None:
    """Remove a folder if it is empty."""
    if folder:
        with suppress(OSError):
            folder.rmdir()


def _note_losses(clip: Clip, frame: Frame, run: Run) -> None:
    """Tell of further picture tracks, of wide colours and of pixels that are not square, which pictures do not show."""
    if clip.tracks > 1:
        run.note(f"only the first of its {clip.tracks} picture tracks becomes pictures")
    if wide := frame.colours.wide:
        run.note(f"its colours are {' and '.join(wide)}, which pictures do not tell, so that viewers show them pale")
    aspect = Fraction(clip.stream.sample_aspect_ratio or 1)
    if aspect != 1:
        upright = 1 / aspect if frame.rotation % 180 else aspect
        shape = f"{upright.numerator}:{upright.denominator}"
        run.note(f"its pixels have the shape {shape}, which pictures do not tell; stretch them accordingly")


def _count_there(paths: Iterator[Path]) -> int:
    return sum(1 for _ in takewhile(Path.exists, paths))


class PictureWriter:
    """Writes one picture after the other, those after the first ``done`` of ``total`` (0 if that is not known)."""

    def __init__(self, run: Run, done: int, total: int) -> None:
        self.run, self.index, self.total = run, done, total
        self.preview = run.preview()
        self.began = time.monotonic()
        self.told = set[str]()
        if done:
            run.say(f"{counted(done, 'picture')} there already and skipped (`overwrite` replaces them)")

    def check(self, path: Path) -> None:
        """
        Raises:
            UsageError: there is something already.
            PhotoError: the folder cannot be made.
        """
        if os.path.lexists(path) and not self.run.overwrite:
            raise UsageError(f"{path}: exists; give another `out`, or `overwrite`")
        make_folder(path.parent)

    def write(self, path: Path, frame: Frame, picture: Pixels, source: Path, original: Original | None = None) -> None:
        """
        Args:
            source: the file that the frame is from.
            original: what else the frame's own file holds, if it has one.

        Raises:
            PhotoError: it cannot be written, or not in this format.
        """
        self.check(path)
        if original is None or self.run.settings.layer != "background":
            original = Original(picture, "", alpha=alpha_shown(frame, self.run.settings))
        try:
            encoded = encode_with_notes(original, picture, format_of(path))
        except PhotoError as error:
            raise PhotoError(f"{path}: {error}") from None
        write_bytes(path, encoded.content, permissions_of(source))
        for note in [note for note in encoded.notes if note not in self.told]:
            self.run.note(f"{path.name}: {note}; not repeated for further pictures")
        self.told.update(encoded.notes)
        self.index += 1
        self.preview.show(frame, picture, source)
        self.run.report(self.index, self.total, time.monotonic() - self.began)

    def ended(self, network: Network, damage: list[str] | None = None) -> Done:
        """
        Raises:
            PhotoError: there was no frame.
        """
        if not self.index:
            raise PhotoError(f"{self.run.source}: holds no frame between `start` and `end`")
        return Done(self.run.out, self.index, time.monotonic() - self.began, network.failed, damage or [])


class Times:
    """Times of the pictures that a clip becomes, each noted just before its picture is written.

    What was not noted is not of this run, be there a picture of its name.

    Args:
        goes_on: whether the file is of a run that this one continues.
    """

    def __init__(self, path: Path, goes_on: bool) -> None:
        known = path.read_text() if goes_on and path.is_file() else ""
        self.path, self.all = path, [int(line) for line in known.rpartition("\n")[0].split()]

    def keep(self, there: int) -> int:
        """Forget all but those of the first pictures that are there; gives how many are left."""
        if len(self.all) > there:
            del self.all[there:]
            write_bytes(self.path, "".join(f"{at}\n" for at in self.all).encode())
        return len(self.all)

    def add(self, at: int) -> None:
        self.all.append(at)
        with self.path.open("a" if len(self.all) > 1 else "w") as file:
            file.write(f"{at}\n")


class Numbered(NamedTuple):
    """A picture of a folder, and when it would be shown."""

    path: Path
    time: float  # seconds


def place(out: Path, name: Path, index: int) -> Path:
    """Where the picture of a frame goes."""
    if is_pattern(out):
        return of_number(out, index)
    return out / (name if name.suffix.lower() in SUFFIXES else name.with_suffix(".png"))


def read_pictures(photos: list[Path], originals: dict[int, Original]) -> Iterator[Frame]:
    """Frames, whose ``pts`` are the places of their originals.

    Raises:
        PhotoError: one cannot be read, or differs in size.
    """
    size = None
    for index, path in enumerate(photos):
        original = read_original(path)
        size = size or original.pixels.shape
        if original.pixels.shape != size:
            raise PhotoError(f"{path}: its size differs from the frames before it")
        originals[index] = original
        yield Frame(original.pixels, index, index / PICTURE_RATE, PICTURE, 0, b"")
