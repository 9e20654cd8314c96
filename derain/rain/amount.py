"""How much rain a layer shows, where, and what its streaks look like."""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Heights, Mask, Pixels, check_pixels, in_unit, rows_in_cache
from derain.rain.likeness import likeness

VISIBLE_HEIGHT = 2 / 255  # height from which rain can be seen
DRY_COVERAGE = 0.003  # share of pixels with rain that can be seen, under which a photo counts as dry
RAINY_SCORE = 0.02  # from which a photo counts as rainy; see `derain score --help`
GRID = 4  # cells to each side
LONGEST_SHARE = 0.5  # of the shorter side, up to which something is a streak
WIDEST_SHARE = 0.3  # of its length, up to which something is a streak
LARGEST_SIDE = 512  # px, of the part in whose middle the streaks are measured
UNKNOWN: dict[str, Any] = {  # as JSON, of a picture that cannot be read
    "input": None,
    "time": None,
    "score": None,
    "grid": None,
    "streaks": None,
    "rainy": None,
    "error": None,
}


@dataclass(frozen=True)
class Streaks:
    """What most streaks look like."""

    degrees: float  # from the vertical, to the right as they fall
    length: float  # px
    width: float  # px


@dataclass(frozen=True)
class Amount:
    """How much rain there is, and where."""

    score: float  # share of the picture on which rain can be seen, in [0, 1]
    grid: tuple[tuple[float, ...], ...]  # the share in each cell, row by row
    streaks: Streaks | None  # None of a picture that is not rainy, or whose rain has no such form

    @property
    def rainy(self) -> bool:
        return self.score >= RAINY_SCORE


def amount(rain: Pixels) -> Amount:
    """The amount of rain in a rain layer ``(H, W, 3)``, uint8 or uint16.

    Raises:
        UsageError: it is something else.
    """
    check_pixels("rain", rain, "derain.restore() returns")
    heights = in_unit(rain.max(axis=2))
    seen = visible(rain)
    score = float(seen.mean())
    cells = min(GRID, seen.shape[0]), min(GRID, seen.shape[1])
    grid = cv2.resize(seen.astype(np.float32), cells[::-1], interpolation=cv2.INTER_AREA)
    rows = tuple(tuple(round(float(cell), 4) for cell in row) for row in np.atleast_2d(grid))
    return Amount(score, rows, _streaks(heights) if score >= RAINY_SCORE else None)


def row_of(name: str, time: float | None, found: Amount) -> dict[str, Any]:
    """What is told as JSON of a picture that was looked at, in a clip with its time."""
    return UNKNOWN | {"input": name, "time": time} | asdict(found) | {"rainy": found.rainy}


def threshold(only_if_rainy: bool, rainy_from: float | None) -> float:
    """The score from which rain is removed: that of anything not dry, that of rainy pictures, or the one given."""
    return rainy_from if rainy_from is not None else RAINY_SCORE if only_if_rainy else DRY_COVERAGE


def coverage(rain: Pixels) -> float:
    """Share of a rain layer ``(H, W, 3)`` that shows rain."""
    seen = sum(cv2.countNonZero(_seen(rain[rows])) for rows in rows_in_cache(rain))
    return seen / (rain.shape[0] * rain.shape[1])


def visible(rain: Pixels) -> Mask:
    """Where rain can be seen in any channel of a layer ``(H, W, 3)``."""
    return np.asarray(_seen(rain) > 0)


def densest(heights: NDArray[Any], rows: int, columns: int) -> tuple[slice, slice]:
    """The window of so many rows and columns, or of all there are, in which the heights ``(H, W)`` sum up to most."""
    return window_around(centre_of_most(heights, rows, columns), (rows, columns), heights.shape)


def centre_of_most(heights: NDArray[Any], rows: int, columns: int) -> tuple[int, int]:
    """Row and column around which they do."""
    total = cv2.blur(heights, (min(columns, heights.shape[1]), min(rows, heights.shape[0])))
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    return int(row), int(column)


def window_around(place: tuple[int, int], sides: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The window of such sides around a row and column, moved into a picture of that shape."""
    tops = (min(max(at - side // 2, 0), max(length - side, 0)) for at, side, length in zip(place, sides, shape))
    rows, columns = (slice(top, min(top + side, length)) for top, side, length in zip(tops, sides, shape))
    return rows, columns


def _seen(rain: Pixels) -> Pixels:
    """``(H, W)``, not 0 where rain can be seen."""
    most = int(VISIBLE_HEIGHT * np.iinfo(rain.dtype).max)
    above = cv2.threshold(rain, most, 255, cv2.THRESH_BINARY)[1]
    return np.asarray(cv2.cvtColor(above, cv2.COLOR_RGB2GRAY))


def _streaks(heights: Heights) -> Streaks | None:
    top, left = (max(side - LARGEST_SIDE, 0) // 2 for side in heights.shape)
    part = heights[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    found = likeness(part)
    if found.length > LONGEST_SHARE * min(part.shape) or found.width > WIDEST_SHARE * found.length:
        return None  # splashes, spray, or light that was taken for rain
    return Streaks(float(found.degrees), float(found.length), float(found.width))
