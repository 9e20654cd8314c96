"""A user's folder made ready for finetuning: photos and frames at the scale of their rain, a part of them held out."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from derain.errors import PhotoError, TrainingError
from derain.files import write_bytes
from derain.models.contract import Derainer
from derain.photos import SUFFIXES, Photo, read_original, to_8_bit, without_results, write_photo
from derain.training.crops import centre
from derain.training.discovery import find_rain
from derain.video.reading import CLIPS, sample_frames

LEAST_PHOTOS = 4
LEAST_RAINY = 2  # of them: one to train on, one to judge by
INDEX = "material.json"
JUDGING = "held out"  # name of the folder
FRAMES = 10  # of a clip
HELD_OUT = 5  # one photo in so many, and the last frames of a clip
FACTORS = (1, 2, 4, 8)
SHORT_SIDE = 256  # px, of a photo that is reduced, at the least
LARGEST = 1600  # px, side of what is kept of a photo
CROP = 128  # px, side of a crop of training
ANNEX_K = 57.625  # mean of the JPEG standard's example table for luma, which is quality 50
LOSSY = 0.5  # share of JPEG photos from which all rain that is pasted goes through their JPEG
LOOK = 384  # px, side of the window in which rain is looked for


@dataclass(frozen=True)
class Source:
    """A photo or a frame, and what was made of it."""

    path: str  # the user's file
    file: str  # the prepared picture, below the folder of the material
    factor: int  # by which it was reduced
    rainy: bool  # whether the starting network surely finds rain in it
    jpeg: int | None  # quality of the JPEG that it was

    @property
    def held_out(self) -> bool:
        return Path(self.file).parent.name == JUDGING


@dataclass(frozen=True)
class Material:
    """Prepared pictures in ``folder``: what is trained on, and what judges."""

    folder: Path
    sources: list[Source]

    @property
    def training(self) -> Path:
        return self.folder / "training"

    @property
    def held_out(self) -> Path:
        return self.folder / JUDGING

    @property
    def jpeg(self) -> tuple[float, tuple[int, int]]:
        """Share of pictures that are JPEG with losses that can be seen, and the range of their quality."""
        seen = [source.jpeg for source in self.sources if source.jpeg and source.factor == 1]
        return len(seen) / len(self.sources), (min(seen, default=60), max(seen, default=96))


def prepare(
    rainy: Path, folder: Path, network: Derainer, scales: int, say: Callable[[str], None] | None = None
) -> Material:
    """Pictures from the photos and clips in ``rainy``, or those of an interrupted run if ``folder`` holds them.

    What derain made of a photo or clip and put beside it is left out. Of the pictures to train on and of those held out
    one at least is rainy.

    A photo of many megapixels shows streaks wider than the network knows, so each is reduced to the scale at which
    the starting network finds most rain.

    Raises:
        PhotoError: the disk is full.
        TrainingError: fewer than four usable photos, or fewer than two with rain in them.
    """
    index = folder / INDEX
    if index.is_file():
        sources = json.loads(index.read_text(encoding="utf-8"))
        return Material(folder, [Source(**source) for source in sources])
    check_folder(rainy)
    material = Material(folder, [])
    forget(material)
    for part in (material.training, material.held_out):
        part.mkdir(parents=True)
    problems = []
    usable = (p for p in rainy.iterdir() if p.suffix.lower() in SUFFIXES | CLIPS)
    for path in without_results(sorted(p for p in usable if p.is_file() and not p.name.startswith("."))):
        try:
            pictures = list(_pictures(path, len(material.sources)))
        except PhotoError as error:
            problems.append(str(error))
            if say:
                say(f"skipped {error}")
            continue
        for photo, jpeg, held_out in pictures:
            reduced, factor, is_rainy = at_the_scale_of_its_rain(network, photo, scales)
            place = (material.held_out if held_out else material.training) / f"{len(material.sources):04d}.png"
            write_photo(place, reduced)
            material.sources.append(Source(str(path), place.relative_to(folder).as_posix(), factor, is_rainy, jpeg))
    _refuse(rainy, material, problems)
    rainy_ones = [number for number, source in enumerate(material.sources) if source.rainy]
    judging = [number for number in rainy_ones if material.sources[number].held_out]
    if not judging:
        for number in rainy_ones[HELD_OUT // 2 :: HELD_OUT] or rainy_ones[-1:]:
            _move(material, number, material.held_out)
    elif judging == rainy_ones:
        _move(material, judging[-1], material.training)
    listed = [asdict(source) for source in material.sources]
    write_bytes(index, json.dumps(listed, indent=1).encode())
    return material


def _move(material: Material, number: int, to: Path) -> None:
    source = material.sources[number]
    place = to / Path(source.file).name
    (material.folder / source.file).replace(place)
    material.sources[number] = replace(source, file=place.relative_to(material.folder).as_posix())


def forget(material: Material) -> None:
    """Remove the pictures of an earlier run."""
    (material.folder / INDEX).unlink(missing_ok=True)
    for part in (material.training, material.held_out):
        shutil.rmtree(part, ignore_errors=True)


def check_folder(rainy: Path) -> None:
    """
    Raises:
        TrainingError: it is no folder.
    """
    if not rainy.is_dir():
        raise TrainingError(f"{rainy}: not a folder; give a folder of rainy photos or clips")


def _pictures(path: Path, before: int) -> Iterator[tuple[Photo, int | None, bool]]:
    """Photo, JPEG quality and whether it is held out; several of a clip."""
    if path.suffix.lower() in CLIPS:
        frames = list(sample_frames(path, FRAMES))
        for index, frame in enumerate(frames):
            yield _large_enough(path, frame), None, index >= len(frames) - len(frames) // HELD_OUT
    else:
        original = read_original(path)
        photo = _large_enough(path, to_8_bit(original.pixels))
        tables = original.options.get("qtables") if original.format == "JPEG" else None
        yield photo, jpeg_quality(tables) if tables else None, before % HELD_OUT == HELD_OUT // 2


def _large_enough(path: Path, photo: Photo) -> Photo:
    height, width = photo.shape[:2]
    if min(height, width) < CROP:
        raise PhotoError(f"{path}: {width}x{height} px is too small; finetuning needs {CROP} px a side")
    return photo


def _refuse(rainy: Path, material: Material, problems: list[str]) -> None:
    usable = len(material.sources)
    if usable < LEAST_PHOTOS:
        why = f" (first problem: {problems[0]})" if problems else ""
        raise TrainingError(f"{rainy}: {usable} usable photos; finetuning needs {LEAST_PHOTOS} rainy ones{why}")
    if (found := sum(source.rainy for source in material.sources)) < LEAST_RAINY:
        said = f"no rain found in any of its {usable} photos" if not found else f"rain found in one of {usable} photos"
        raise TrainingError(f"{rainy}: {said}; give {LEAST_RAINY} rainy ones at least")


def at_the_scale_of_its_rain(network: Derainer, photo: Photo, scales: int) -> tuple[Photo, int, bool]:
    """The photo reduced by the factor at which most rain is surely found; that factor; and whether there is any."""
    best, best_factor, found_most = photo, 1, 0.0
    for factor in FACTORS:
        size = photo.shape[1] // factor, photo.shape[0] // factor
        if factor > 1 and min(size) < SHORT_SIDE:
            break
        reduced = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8) if factor > 1 else photo
        window = centre(reduced, LOOK).astype(np.float32) / np.float32(255)
        last = 2 * factor > FACTORS[-1] or min(size) < 2 * SHORT_SIDE
        found = find_rain(network, window, scales if last else 1)
        if found.certain and found.layer.mean() > found_most:
            best, best_factor, found_most = reduced, factor, float(found.layer.mean())
    return centre(best, LARGEST), best_factor, found_most > 0


def jpeg_quality(tables: dict[int, list[int]]) -> int:
    """Quality, 1 to 100, at which the common encoders use a table as coarse as the file's for luma."""
    percent = 100 * float(np.mean(tables[0])) / ANNEX_K
    return round(float(np.clip((200 - percent) / 2 if percent <= 100 else 5000 / percent, 1, 100)))
