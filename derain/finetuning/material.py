"""A user's folder made ready for finetuning: photos and frames at the scale of their rain, a part of them held out."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from derain.arrays import Rgb8, in_unit
from derain.errors import PhotoError, TrainingError, UsageError, unreadable
from derain.files.writing import make_folder, write_bytes
from derain.finetuning.places import LEAST_PHOTOS
from derain.models.contract import Derainer
from derain.photos import SUFFIXES, read_original, to_8_bit, write_photo
from derain.photos.names import left_out, results_among
from derain.photos.unread import unread_left_out
from derain.rain.amount import RAINY_SCORE, VISIBLE_HEIGHT
from derain.text import counted, listed
from derain.training.clips import Footage, rains
from derain.training.clock import Clock, OutOfTime
from derain.training.crops import centre
from derain.training.discovery import find_rain, repeatable
from derain.video.naming import is_clip
from derain.video.reading import sample_frames

LEAST_RAINY = 2  # of them: one to train on, one to judge by
INDEX = "material.json"
HELD_OUT_FOLDER = "held out"
FRAMES_A_CLIP = 16  # of a clip; three of them judge
LEAST_SECONDS = 2  # of a clip that has as many; of a shorter one every tenth frame is taken
LEAST_JUDGING = 3  # held-out photos, and moments of clips, from which a difference can be told from chance
PHOTO_SHARE = 4  # of so many photos one at the most is held out to have as many
HELD_OUT_EVERY = 5  # one photo in so many, and the last frames of a clip
REDUCTIONS = (1, 2, 4, 8)
LEAST_REDUCED_SIDE = 256  # px, of a photo that is reduced, at the least
LARGEST_SIDE = 1600  # px, side of what is kept of a photo
LEAST_SIDE = 128  # px, side of a crop of training
STANDARD_TABLE_MEAN = 57.625  # mean of the JPEG standard's example table for luma, which is quality 50
MOSTLY_JPEG = 0.5  # share of JPEG photos from which all rain that is pasted goes through their JPEG
END_BYTES = 8 << 20  # bytes at either end of a large file, by which it is known again
LOOKING_TIME_SHARE = 0.25  # share of a run's time that looking at the photos may take
LONGEST_LOOKING = 0.5  # share that it takes at the most, where four photos take so long
LOOK_WINDOW = 384  # px, side of the window in which rain is looked for


@dataclass(frozen=True)
class Source:
    """A photo or a frame, and what was made of it."""

    name: str  # of the user's file
    frame: int  # of a clip, counted among those that are taken of it
    file: str  # the prepared picture, below the folder of the material
    factor: int  # by which it was reduced
    rainy: bool  # whether the starting network, or time, surely finds rain in it
    jpeg: int | None  # quality of the JPEG that it was
    seen: bool = False  # whether rain can be seen on it, as `derain score` has it

    @property
    def held_out(self) -> bool:
        return Path(self.file).parent.name == HELD_OUT_FOLDER


@dataclass(frozen=True)
class Material:
    """Prepared pictures in ``folder``: what is trained on, and what judges."""

    folder: Path
    sources: list[Source]
    unseen: int = 0  # files that no time was left to look at

    @property
    def training(self) -> Path:
        return self.folder / "training"

    @property
    def held_out(self) -> Path:
        return self.folder / HELD_OUT_FOLDER

    @property
    def jpeg(self) -> tuple[float, tuple[int, int]]:
        """Share of pictures that are JPEG with losses that can be seen, and the range of their quality."""
        seen = [source.jpeg for source in self.sources if source.jpeg and source.factor == 1]
        return len(seen) / len(self.sources), (min(seen, default=60), max(seen, default=96))

    def footage(self, clips: Path, judging: bool = False) -> list[Footage]:
        """The clips in the user's folder ``clips`` at the scale of their rain: the part to train on, or the last one,
        which judges.
        """
        factors = {source.name: source.factor for source in self.sources if is_clip(source.name)}
        kept = 1 - 1 / HELD_OUT_EVERY
        since, until = (kept, 1.0) if judging else (0.0, kept)
        return [Footage(clips / name, since, until, factor) for name, factor in factors.items()]

    @property
    def dry(self) -> list[str]:
        """The user's files in which no rain was found."""
        return self._without(lambda source: source.rainy or source.seen)

    @property
    def unclear(self) -> list[str]:
        """The user's files in which rain was found, but none with clear streaks."""
        return sorted({*self._without(lambda source: source.rainy)} - {*self.dry})

    def _without(self, holds: Callable[[Source], bool]) -> list[str]:
        return sorted({source.name for source in self.sources} - {s.name for s in self.sources if holds(s)})

    @property
    def enough(self) -> bool:
        return len(self.sources) >= LEAST_PHOTOS and sum(source.rainy for source in self.sources) >= LEAST_RAINY


@dataclass(frozen=True)
class Index:
    """What ``material.json`` holds: the pictures, and the user's files that they were made of."""

    sources: list[Source]
    sizes: dict[str, int]  # bytes of each of the user's files
    digests: dict[str, str]  # of those that were looked at


def prepare(
    rainy: Path,
    folder: Path,
    network: Derainer,
    scales: int,
    say: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> Material:
    """Pictures from the photos and clips in ``rainy``; an interrupted run's again, if ``folder`` knows which they were.

    What derain made of a photo or clip and put beside it is left out, and the same picture counts once. Of the pictures
    to train on and of those held out one at least is rainy.

    A photo of many megapixels shows streaks wider than the network knows, so each is reduced to the scale at which
    the starting network finds most rain.

    Raises:
        OutOfTime: the clock left none to look at four photos.
        PhotoError: the disk is full.
        TrainingError: fewer than four usable photos, or fewer than two with rain in them.
        UsageError: the photos are others than those of the interrupted run.
    """
    say, clock = say or (lambda sentence: None), clock or Clock()
    files = usable_files(rainy, say)
    if index := read_index(folder):
        check_same(rainy, files, index)
        material = Material(folder, index.sources, len(index.sizes) - len(index.digests))
        copy_again(material, files, clock)
        return material
    material = Material(folder, [])
    forget(folder)
    for part in (material.training, material.held_out):
        make_folder(part, below=folder.parent)
    until, digests, reading = clock.share(LOOKING_TIME_SHARE), {}, Reading(say)
    for path in clock.affordable(files, until, "looking for rain in the photos"):
        digests[path.name] = digest(path)
        _add(material, path, reading, network, scales, clock, until)
        if clock.spent >= (until if material.enough else LONGEST_LOOKING * clock.seconds):
            break
    material = replace(material, unseen=len(files) - len(digests))
    unseen = (path for path in files if path.name not in digests)
    usable = reading.count_up_to(LEAST_PHOTOS, len(material.sources), unseen)
    refuse_few(rainy, usable, reading.problems, files)
    if material.unseen and not material.enough:
        raise OutOfTime
    refuse_dry(rainy, material)
    _share_out(material)
    sizes = {path.name: path.stat().st_size for path in files}
    content = {"sources": [asdict(source) for source in material.sources], "sizes": sizes, "digests": digests}
    write_bytes(folder / INDEX, json.dumps(content, indent=1).encode())
    return material


class Reading:
    """The user's files read one by one; what cannot be used is told, and the same picture counts once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.problems: list[str] = []
        self._seen: dict[str, Path] = {}  # files by digests of their bytes, and photos of their pixels

    def pictures(self, path: Path, before: int) -> Iterator[tuple[Rgb8, int | None, bool]]:
        """As :func:`_pictures`, as far as the file can be read."""
        with self._skipping():
            self._refuse_twin(path, digest(path))
            for picture in _pictures(path, before):
                if not is_clip(path):
                    self._refuse_twin(path, digest_of_pixels(picture[0]))
                yield picture

    def rains(self, path: Path) -> bool | None:
        """Whether time surely finds rain in a clip; ``None`` if it cannot be read."""
        with self._skipping():
            return is_clip(path) and rains(path)
        return None

    @contextlib.contextmanager
    def _skipping(self) -> Iterator[None]:
        try:
            yield
        except PhotoError as error:
            self.problems.append(str(error))
            self.say(f"skipped {error}")

    def _refuse_twin(self, path: Path, digest: str) -> None:
        if digest and (twin := self._seen.setdefault(digest, path)) != path:
            raise PhotoError(f"{path}: shows the same as {twin.name}, so it counts once")

    def count_up_to(self, wanted: int, found: int, files: Iterable[Path]) -> int:
        """So many pictures and those of further files, none of which is read once that is as many as ``wanted``."""
        for path in files if found < wanted else ():
            found += sum(1 for _ in self.pictures(path, found))
            if found >= wanted:
                break
        return found


def _add(
    material: Material, path: Path, reading: Reading, network: Derainer, scales: int, clock: Clock, until: float
) -> None:
    if (by_time := reading.rains(path)) is None:
        return
    for frame, (photo, jpeg, held_out) in enumerate(reading.pictures(path, len(material.sources))):
        look = at_the_scale_of_its_rain(network, photo, scales)
        place = (material.held_out if held_out else material.training) / f"{len(material.sources):04d}.png"
        write_photo(place, look.photo)
        file = place.relative_to(material.folder).as_posix()
        material.sources.append(Source(path.name, frame, file, look.factor, look.rainy or by_time, jpeg, look.seen))
        if clock.spent >= until and material.enough:
            break


def _share_out(material: Material) -> None:
    """Move pictures so that one at least is rainy both of those to train on and of those held out, and enough judge."""
    rainy_ones = [number for number, source in enumerate(material.sources) if source.rainy]
    judging = [number for number in rainy_ones if material.sources[number].held_out]
    if not judging:
        for number in rainy_ones[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY] or rainy_ones[-1:]:
            _move(material, number, material.held_out)
    elif judging == rainy_ones:
        _move(material, judging[-1], material.training)
    training = [n for n, source in enumerate(material.sources) if not source.held_out]
    missing = min(LEAST_JUDGING, len(material.sources) // PHOTO_SHARE) - (len(material.sources) - len(training))
    spare = sorted(training, key=lambda number: (not material.sources[number].rainy, number))
    for number in spare[1:][: max(missing, 0)]:  # the first is rainy and stays
        _move(material, number, material.held_out)


def _move(material: Material, number: int, to: Path) -> None:
    source = material.sources[number]
    place = to / Path(source.file).name
    (material.folder / source.file).replace(place)
    material.sources[number] = replace(source, file=place.relative_to(material.folder).as_posix())


def usable_files(rainy: Path, say: Callable[[str], None] = lambda sentence: None) -> list[Path]:
    """Photos and clips in a folder, without those that derain made, which it says.

    Raises:
        TrainingError: it is no folder, or cannot be read.
    """
    check_folder(rainy)
    try:
        usable = (p for p in rainy.iterdir() if p.suffix.lower() in SUFFIXES or is_clip(p))
        files = sorted(p for p in usable if not os.path.isdir(p) and not p.name.startswith("."))
        unread = unread_left_out(sorted(rainy.iterdir()))
    except OSError as error:
        raise TrainingError(f"{rainy}: {unreadable(error)}") from None
    for path in [path for path in files if not os.path.isfile(path)]:
        files.remove(path)
        say(f"skipped {path}: not a regular file")
    results = results_among(files)
    for sentence in (*left_out(results), *unread):
        say(sentence)
    return [path for path in files if path not in results]


def digest(path: Path) -> str:
    """SHA-256 of a file, of a large one of its ends; empty if it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            if path.stat().st_size <= 4 * END_BYTES:
                return hashlib.file_digest(file, "sha256").hexdigest()
            for offset, origin in ((0, os.SEEK_SET), (-END_BYTES, os.SEEK_END)):
                file.seek(offset, origin)
                found.update(file.read(END_BYTES))
    except OSError:
        return ""
    return found.hexdigest()


def digest_of_pixels(photo: Rgb8) -> str:
    return hashlib.sha256(photo.tobytes()).hexdigest() + str(photo.shape)


def read_index(folder: Path) -> Index | None:
    """The index of an interrupted run, if there is a whole one."""
    try:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return Index([Source(**source) for source in content["sources"]], dict(content["sizes"]), content["digests"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_same(rainy: Path, files: list[Path], index: Index) -> None:
    """Names, sizes and contents of the user's files against those of an interrupted run.

    Raises:
        UsageError: they are others.
    """
    named = {path.name: path for path in files}
    changes = [f"{name} is missing" for name in index.sizes if name not in named]
    changes += [f"{name} is new" for name in named if name not in index.sizes]
    for name, path in named.items():
        size, known = index.sizes.get(name), index.digests.get(name)
        if size is not None and (path.stat().st_size != size or (known is not None and digest(path) != known)):
            changes.append(f"{name} has changed")
    if changes:
        raise UsageError(
            f"{rainy}: these are not the photos that the run began with ({listed(changes)}); "
            "give `overwrite` instead of `resume` to start over"
        )


def copy_again(material: Material, files: list[Path], clock: Clock) -> None:
    """Make the pictures of an interrupted run anew, as far as they are not there.

    Raises:
        OutOfTime: there was no time for it.
        PhotoError: a photo can no longer be read, or the disk is full.
    """
    for part in (material.training, material.held_out):
        make_folder(part, below=material.folder.parent)
    missing = [source for source in material.sources if not (material.folder / source.file).is_file()]
    paths = [path for path in files if path.name in {source.name for source in missing}]
    for number, path in enumerate(paths):
        clock.check(clock.seconds)
        clock.show("reading the photos again", number / len(paths))
        wanted = {source.frame: source for source in missing if source.name == path.name}
        for frame, (photo, *_) in enumerate(_pictures(path, 0)):
            if frame in wanted:
                reduced = centre(reduced_by(photo, wanted[frame].factor), LARGEST_SIDE)
                write_photo(material.folder / wanted[frame].file, reduced)


def forget(folder: Path) -> None:
    """Remove what an earlier run prepared, and nothing else."""
    (folder / INDEX).unlink(missing_ok=True)
    remove_copies(folder)


def remove_copies(folder: Path) -> None:
    """Remove the copies of the user's pictures; which they were stays known."""
    for part in (Material(folder, []).training, Material(folder, []).held_out):
        if part.is_symlink():
            continue
        for copy in (*part.glob("[0-9][0-9][0-9][0-9]*.png"), *part.glob(".derain-*.part")):
            copy.unlink(missing_ok=True)
        remove_if_empty(part)
    remove_if_empty(folder)


def remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def check_folder(rainy: Path) -> None:
    """
    Raises:
        TrainingError: it is no folder.
    """
    if not rainy.is_dir():
        raise TrainingError(f"{rainy}: not a folder; give a folder of rainy photos or clips")


def _pictures(path: Path, before: int) -> Iterator[tuple[Rgb8, int | None, bool]]:
    """Each picture of a file, several of a clip: its pixels, its JPEG quality, and whether it is held out."""
    if is_clip(path):
        frames = list(sample_frames(path, FRAMES_A_CLIP))
        for index, frame in enumerate(frames):
            yield _large_enough(path, frame), None, index >= len(frames) - len(frames) // HELD_OUT_EVERY
    else:
        original = read_original(path)
        photo = _large_enough(path, to_8_bit(original.pixels))
        tables = original.options.get("qtables") if original.format == "JPEG" else None
        yield photo, jpeg_quality(tables) if tables else None, before % HELD_OUT_EVERY == HELD_OUT_EVERY // 2


def _large_enough(path: Path, photo: Rgb8) -> Rgb8:
    height, width = photo.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise PhotoError(f"{path}: {width}x{height} px is too small; finetuning needs {LEAST_SIDE} px a side")
    return photo


def counting(names: Iterable[str]) -> str:
    """What to add to a number of pictures, if some of the files are clips."""
    return ", counting moments of clips" if any(map(is_clip, names)) else ""


def refuse_few(rainy: Path, usable: int, problems: list[str], files: list[Path]) -> None:
    """
    Raises:
        TrainingError: the files have fewer usable photos and moments of clips than finetuning needs.
    """
    if usable < LEAST_PHOTOS:
        clips = counting(path.name for path in files)
        needed = f"{LEAST_PHOTOS} rainy ones" + (
            f", and a clip of {LEAST_SECONDS} seconds gives as many" if clips else ""
        )
        why = f" (first problem: {problems[0]})" if problems else ""
        raise TrainingError(f"{rainy}: {counted(usable, 'usable photo')}{clips}; finetuning needs {needed}{why}")


def refuse_dry(rainy: Path, material: Material) -> None:
    """
    Raises:
        TrainingError: there is rain in fewer photos than finetuning needs.
    """
    if (found := sum(source.rainy for source in material.sources)) < LEAST_RAINY:
        photos = f"{len(material.sources)} photos{counting(source.name for source in material.sources)}"
        what = "clear streaks" if any(source.seen and not source.rainy for source in material.sources) else "rain"
        said = f"{what} found in one of {photos}" if found else f"no {what} found in any of its {photos}"
        raise TrainingError(f"{rainy}: {said}; give {LEAST_RAINY} rainy ones at least")


@dataclass(frozen=True)
class Look:
    """A photo at the scale of its rain."""

    photo: Rgb8
    factor: int  # by which it was reduced
    rainy: bool  # whether rain is surely found, with streaks that teach something
    seen: bool  # whether rain can be seen on so much of it that it counts as rainy


def at_the_scale_of_its_rain(network: Derainer, photo: Rgb8, scales: int) -> Look:
    """The photo reduced by the factor at which most rain is surely found."""
    best, best_factor, found_most, seen = photo, 1, 0.0, False
    for factor in REDUCTIONS:
        size = photo.shape[1] // factor, photo.shape[0] // factor
        if factor > 1 and min(size) < LEAST_REDUCED_SIDE:
            break
        reduced = reduced_by(photo, factor)
        window = in_unit(centre(reduced, LOOK_WINDOW))
        last = 2 * factor > REDUCTIONS[-1] or min(size) < 2 * LEAST_REDUCED_SIDE
        found = find_rain(repeatable(network), window, scales if last else 1)
        seen = seen or float((found.whole > VISIBLE_HEIGHT).mean()) >= RAINY_SCORE
        if found.certain and found.layer.mean() > found_most:
            best, best_factor, found_most = reduced, factor, float(found.layer.mean())
    return Look(centre(best, LARGEST_SIDE), best_factor, found_most > 0, seen)


def reduced_by(photo: Rgb8, factor: int) -> Rgb8:
    if factor == 1:
        return photo
    size = photo.shape[1] // factor, photo.shape[0] // factor
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg_quality(tables: dict[int, list[int]]) -> int:
    """Quality, 1 to 100, at which the common encoders use a table as coarse as the file's for luma."""
    percent = 100 * float(np.mean(tables[0])) / STANDARD_TABLE_MEAN
    return round(float(np.clip((200 - percent) / 2 if percent <= 100 else 5000 / percent, 1, 100)))
