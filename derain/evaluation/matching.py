"""Which rainy picture, truth and restored picture belong together, by their names.

Equal stems match first. Else the schemes of the field's sets do:

    rain-001, rain-001x2     norain-001          Rain100L, Rain100H
    1_1 ... 1_14             1                   Rain1400 (DDN), several rainy ones to one truth
    7_in, 7_rain, 7_input    7_gt, 7_clean       Rain800's splits, raindrop and RealRain-1k style names
    000                      000gt               SPA
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from derain.errors import UsageError
from derain.photos import find_photos, without_results

START_OF_MARK = r"(?:^|[-_ .]|(?<=\d))"  # no mark is the end of a word: cab is not the truth of cabin
RAINY_MARKS = re.compile(rf"{START_OF_MARK}(rainy|rain|input|in|lq)$")
RESULT_MARKS = re.compile(rf"{START_OF_MARK}(derained|restored)$")
CLEAN_MARKS = re.compile(rf"{START_OF_MARK}(norain|clean|target|truth|hq|gt)$")


@dataclass(frozen=True)
class Entry:
    """One rainy picture with what belongs to it; paths of clips all name the clip."""

    name: str
    rainy: Path
    clean: Path | None = None
    restored: dict[str, Path] = field(default_factory=dict)


def match(
    rainy: Path, clean: Path | None = None, restored: dict[str, Path] | None = None
) -> tuple[list[Entry], list[str]]:
    """Entries of folders, and a sentence for each picture without a partner.

    Args:
        rainy: folder of rainy photos; what derain made of them and put beside them is left out.
        clean: folder of their truths; without it every rainy photo is an entry.
        restored: folders of other tools' results by the tool's name.

    Raises:
        UsageError: a folder is missing or empty, or nothing in it matches.
    """
    rainy_photos, clean_photos, problems = without_results(_photos(rainy)), _photos(clean) if clean else [], []
    truths = find_twins(rainy_photos, clean_photos)
    results = {tool: find_twins(rainy_photos, _photos(folder)) for tool, folder in (restored or {}).items()}
    entries = []
    for photo in rainy_photos:
        if clean and photo not in truths:
            problems.append(f"{photo}: no ground truth with a matching name in {clean}")
            continue
        missing = [tool for tool, found in results.items() if photo not in found]
        problems += [f"{photo}: no result with a matching name from {tool}" for tool in missing]
        found = {tool: twins[photo] for tool, twins in results.items() if photo in twins}
        entries.append(Entry(photo.name, photo, truths.get(photo), found))
    used = set(truths.values())
    problems += [f"{p}: no rainy photo with a matching name in {rainy}" for p in clean_photos if p not in used]
    if not entries:
        raise UsageError(f"{rainy}: no photo in it matches one in {clean}; give both the same names")
    return entries, problems


def find_twins(rainy: list[Path], others: list[Path]) -> dict[Path, Path]:
    """The twin among ``others`` of each rainy photo that has exactly one; the closest reading of the names wins."""
    found: dict[Path, Path] = {}
    for read_rainy, read_other in NAME_READINGS:
        twins: dict[str, list[Path]] = {}
        for path in others:
            twins.setdefault(read_other(path.stem.lower()), []).append(path)
        for path in rainy:
            candidates = twins.get(read_rainy(path.stem.lower()), [])
            if path not in found and len(candidates) == 1:
                found[path] = candidates[0]
    return found


def _as_is(stem: str) -> str:
    return stem


def _rainy_key(stem: str) -> str:
    stem = re.sub(r"(?<=\d)x2$", "", RESULT_MARKS.sub("", stem))
    return RAINY_MARKS.sub("", stem.removeprefix("rain-").removeprefix("rain_"))


def _clean_key(stem: str) -> str:
    stem = CLEAN_MARKS.sub("", stem.removeprefix("norain-").removeprefix("norain_"))
    return _rainy_key(stem)


def _rainy_scene(stem: str) -> str:
    return re.sub(r"_\d+$", "", _rainy_key(stem))


NAME_READINGS = ((_as_is, _as_is), (_rainy_key, _clean_key), (_rainy_scene, _clean_key))


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; give a folder of photos")
    photos = find_photos(folder)
    if not photos:
        raise UsageError(f"{folder}: no photos in it")
    return photos
