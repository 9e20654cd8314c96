"""Which tiles a photo is cut into, each with what the network has to see around it."""

import math
from collections.abc import Iterator

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
        whole = (slice(0, height), slice(0, width))
        yield whole, whole
        return
    tall, wide = (tile, tile) if isinstance(tile, int) else tile
    for rows, outer_rows in spans(height, tall, model):
        for columns, outer_columns in spans(width, wide, model):
            yield (rows, columns), (outer_rows, outer_columns)


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
