"""Photos as arrays through a model, whole or in tiles."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from derain.errors import PhotoError
from derain.models.contract import Derainer
from derain.restoring.devices import affordable_pixels, half_precision

SIDES = (256, 1536)  # px: least and greatest automatic tile
NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")  # torch's words for it, by system
BYTES_A_PIXEL = 260  # that the default network takes at its height, in float32
Photo = NDArray[Any]  # uint8 or uint16


def restore(model: Derainer, photo: Photo, tile: int | None = None, precision: str = "float32") -> tuple[Photo, Photo]:
    """Background and rain layer at the photo's own scale; arguments and errors as :func:`derain.restore`."""
    device = next(model.parameters()).device
    side = automatic_tile(device, model.halo or 0, model.heaviness) if tile is None else tile
    while True:
        try:
            return _restore(model, photo, side or None, half_precision(precision, device))
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            side = min(side or max(photo.shape[:2]), max(photo.shape[:2])) // 2
            if side < 64 or model.halo is None:
                raise PhotoError("not enough memory for it; close other programs, or use a smaller photo") from None


def _restore(model: Derainer, photo: Photo, tile: int | None, half: bool) -> tuple[Photo, Photo]:
    background, rain = (np.empty_like(photo, order="C") for _ in range(2))  # a photo that was turned is a view
    for inner, outer in tiles(photo.shape[0], photo.shape[1], tile if model.halo is not None else None, model):
        layers = _split(model, photo[outer], half)
        crop = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer))
        background[inner], rain[inner] = (layer[crop] for layer in layers)
    return background, rain


def automatic_tile(device: torch.device, halo: int, heaviness: float = 1.0) -> int:
    """Side of a tile that, with the ``halo`` around it, takes no more than a share of the memory that is free now.

    ``heaviness`` is the network's; see :class:`Derainer`.
    """
    side = np.sqrt(affordable_pixels(device, BYTES_A_PIXEL * heaviness)) - 2 * halo
    return int(np.clip(side, *SIDES)) // 16 * 16


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in NO_MEMORY)


Window = tuple[slice, slice]


def tiles(height: int, width: int, tile: int | None, model: Derainer) -> Iterator[tuple[Window, Window]]:
    """Windows that cover the photo once, each with the window around it that the network has to see.

    Outer windows start on the model's padding grid, so that pixel-unshuffle falls on the same pixels as in the whole.
    """
    if tile is None or max(height, width) <= tile + (model.halo or 0):
        whole = (slice(0, height), slice(0, width))
        yield whole, whole
        return
    for rows, outer_rows in spans(height, tile, model):
        for columns, outer_columns in spans(width, tile, model):
            yield (rows, columns), (outer_rows, outer_columns)


def spans(length: int, tile: int, model: Derainer) -> Iterator[tuple[slice, slice]]:
    """Evenly long spans that cover ``length`` px, no more of them than of ``tile`` px, each with the one around it."""
    grid, halo = model.multiple, model.halo or 0
    count = math.ceil(length / max(tile - tile % grid, grid))
    side = math.ceil(length / count / grid) * grid
    for start in range(0, length, side):
        stop = min(start + side, length)
        yield slice(start, stop), slice(max(start - halo, 0), min(stop + halo, length))


@torch.inference_mode()
def _split(model: Derainer, photo: Photo, half: bool) -> tuple[Photo, Photo]:
    device, white = next(model.parameters()).device, np.iinfo(photo.dtype).max
    image = torch.from_numpy(photo.astype(np.float32) / white).to(device).permute(2, 0, 1)[None]
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        found = model(image)[0]
    if half and not found.isfinite().all():
        found = model(image)[0]
    if not found.isfinite().all():
        raise PhotoError(f"{model.name} gives a result that is not finite; give other --weights")
    background = (found[0].permute(1, 2, 0) * white).round().clamp(0, white).cpu().numpy().astype(photo.dtype)
    return background, np.where(photo > background, photo - background, 0).astype(photo.dtype)
