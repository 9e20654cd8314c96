"""Which rainy picture, truth and restored picture belong together, by their names.

Equal names match first, then equal stems. Else the schemes of the field's sets do:

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
from derain.photos.unread import unread_left_out
from derain.text import listed

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
    truths = find_candidates(rainy_photos, clean_photos)
    results = {tool: find_candidates(rainy_photos, _photos(folder)) for tool, folder in (restored or {}).items()}
    entries = []
    for photo in rainy_photos:
        if clean and (why := unclear(truths[photo], "ground truth", f"in {clean}")):
            problems.append(f"{photo}: {why}")
            continue
        found = {}
        for tool, candidates in results.items():
            if why := unclear(candidates[photo], "result", f"from {tool}"):
                problems.append(f"{photo}: {why}")
            else:
                found[tool] = candidates[photo][0]
        entries.append(Entry(photo.name, photo, truths[photo][0] if clean else None, found))
    named = {path for candidates in truths.values() for path in candidates}
    problems += [f"{p}: no rainy photo with a matching name in {rainy}" for p in clean_photos if p not in named]
    if not entries:
        raise UsageError(f"{rainy}: no photo in it matches one in {clean}; give both the same names")
    return entries, problems


def find_candidates(rainy: list[Path], others: list[Path]) -> dict[Path, list[Path]]:
    """Those among ``others`` that belong to each rainy photo by the closest reading of the names that finds any."""
    found: dict[Path, list[Path]] = {path: [] for path in rainy}
    for read_rainy, read_other in NAME_READINGS:
        twins: dict[str, list[Path]] = {}
        for path in others:
            twins.setdefault(read_other(path), []).append(path)
        for path in rainy:
            found[path] = found[path] or twins.get(read_rainy(path), [])
    return found


def unclear(candidates: list[Path], what: str, where: str) -> str:
    """Why a photo has not one partner; empty if it has."""
    if not candidates:
        return f"no {what} with a matching name {where}"
    if len(candidates) > 1:
        names = listed(path.name for path in candidates)
        return f"more than one {what} with a matching name {where} ({names}); keep one, or give one the photo's name"
    return ""


def _name(path: Path) -> str:
    return path.name


def _stem(path: Path) -> str:
    return path.stem.lower()


def _rainy_key(path: Path) -> str:
    return _without_rainy_marks(_stem(path))


def _without_rainy_marks(stem: str) -> str:
    stem = re.sub(r"(?<=\d)x2$", "", RESULT_MARKS.sub("", stem))
    return RAINY_MARKS.sub("", stem.removeprefix("rain-").removeprefix("rain_"))


def _clean_key(path: Path) -> str:
    stem = CLEAN_MARKS.sub("", _stem(path).removeprefix("norain-").removeprefix("norain_"))
    return _without_rainy_marks(stem)


def _rainy_scene(path: Path) -> str:
    return re.sub(r"_\d+$", "", _rainy_key(path))


NAME_READINGS = ((_name, _name), (_stem, _stem), (_rainy_key, _clean_key), (_rainy_scene, _clean_key))


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; give a folder of photos")
    photos = find_photos(folder)
    if not photos:
        unread = unread_left_out(sorted(folder.iterdir()))
        raise UsageError(f"{folder}: no photos in it{''.join(f'; {sentence}' for sentence in unread)}")
    return photos
