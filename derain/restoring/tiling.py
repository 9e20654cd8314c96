"""Which tiles a photo is cut into, each with what the network has to see around it."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from derain.models.contract import Derainer

LEAST_AUTOMATIC_TILE = 256  # px
NETWORK_BYTES_PER_PIXEL = 170  # of the default network at its peak in float32, with the photo in and the layers out
Window = tuple[slice, slice]
Tile = tuple[int, int]  # height and width in px


def fitting_tile(height: int, width: int, pixels: float, model: Derainer) -> Tile | None:
    """The tiles of which the least is computed twice; with what is around them they have no more than ``pixels``.

    ``None`` takes the photo whole. None is smaller than ``LEAST_AUTOMATIC_TILE`` px, however few pixels there may be.
    """
    if height * width <= pixels:
        return None
    fitting = []
    for tall in _lengths(height, model):
        for wide in _lengths(width, model):
            rows, columns = list(spans(height, tall, model)), list(spans(width, wide, model))
            if _longest(rows) * _longest(columns) <= pixels:
                fitting.append((_together(rows) * _together(columns), (tall, wide)))
                break  # narrower ones only see more twice
    return min(fitting)[1] if fitting else (LEAST_AUTOMATIC_TILE, LEAST_AUTOMATIC_TILE)


def _lengths(length: int, model: Derainer) -> list[int]:
    """Lengths of tiles that part ``length`` px into 1, 2, 3, ... , longest first."""
    grid = model.multiple
    return [math.ceil(length / count / grid) * grid for count in range(1, max(length // LEAST_AUTOMATIC_TILE, 1) + 1)]


def _longest(parts: list[tuple[slice, slice]]) -> int:
    return max(outer.stop - outer.start for _, outer in parts)


def _together(parts: list[tuple[slice, slice]]) -> int:
    return sum(outer.stop - outer.start for _, outer in parts)


def tiles(height: int, width: int, tile: int | Tile | None, model: Derainer) -> Iterator[tuple[Window, Window]]:
    """Windows that cover the photo once, each with the window around it that the network has to see.

    Outer windows start on the model's padding grid, so that pixel-unshuffle falls on the same pixels as in the whole.
    """
    if tile is None or isinstance(tile, int) and max(height, width) <= tile + (model.halo or 0):
        yield whole(height, width), whole(height, width)
        return
    tall, wide = (tile, tile) if isinstance(tile, int) else tile
    for rows, outer_rows in spans(height, tall, model):
        for columns, outer_columns in spans(width, wide, model):
            yield (rows, columns), (outer_rows, outer_columns)


def windows_around(
    squares: NDArray[np.bool_], height: int, width: int, model: Derainer
) -> Iterator[tuple[Window, Window]]:
    """Windows that hold all marked squares of a photo, each with the window around it that the network has to see.

    They are parted where that spares the network more than it costs. Outer windows start on its padding grid.

    Args:
        squares: ``(h, w)``, of which the photo is evenly made.
    """
    grid, halo = model.multiple, model.halo or 0
    scales = height / squares.shape[0], width / squares.shape[1]
    for window in _parts(squares, (2 * halo / scales[0], 2 * halo / scales[1])):
        inner, outer = [], []
        for part, scale, length in zip(window, scales, (height, width)):
            start, stop = int(part.start * scale) // grid * grid, math.ceil(part.stop * scale / grid) * grid
            inner.append(slice(start, min(stop, length)))
            outer.append(slice(max(start - halo, 0), min(stop + halo, length)))
        yield (inner[0], inner[1]), (outer[0], outer[1])


def _parts(
    squares: NDArray[np.bool_], widest_gaps: tuple[float, float], top: int = 0, left: int = 0
) -> Iterator[Window]:
    """Windows that hold all marked squares, with no wider gap in any of them."""
    rows, columns = (np.flatnonzero(squares.any(axis)) for axis in (1, 0))
    if not rows.size:
        return
    if cut := _end_before_gap(rows, widest_gaps[0]):
        yield from _parts(squares[:cut], widest_gaps, top, left)
        yield from _parts(squares[cut:], widest_gaps, top + cut, left)
    elif cut := _end_before_gap(columns, widest_gaps[1]):
        yield from _parts(squares[:, :cut], widest_gaps, top, left)
        yield from _parts(squares[:, cut:], widest_gaps, top, left + cut)
    else:
        yield slice(top + rows[0], top + rows[-1] + 1), slice(left + columns[0], left + columns[-1] + 1)


def _end_before_gap(marked: NDArray[np.intp], widest: float) -> int:
    """Where the widest gap between ascending numbers begins if it is wider than ``widest``, or 0."""
    gaps = np.diff(marked, append=marked[-1:]) - 1
    return int(marked[gaps.argmax()]) + 1 if gaps.max() > widest else 0


def whole(height: int, width: int) -> Window:
    return slice(0, height), slice(0, width)


def within(inner: Window, outer: Window) -> Window:
    """The inner window as seen from the outer one."""
    rows, columns = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer))
    return rows, columns


def spans(length: int, tile: int, model: Derainer) -> Iterator[tuple[slice, slice]]:
    """Evenly long spans that cover ``length`` px, no more of them than of ``tile`` px, each with the one around it."""
    grid, halo = model.multiple, model.halo or 0
    count = math.ceil(length / max(tile - tile % grid, grid))
    side = math.ceil(length / count / grid) * grid
    for start in range(0, length, side):
        stop = min(start + side, length)
        yield slice(start, stop), slice(max(start - halo, 0), min(stop + halo, length))
