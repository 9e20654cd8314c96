"""Photos as arrays through a model, whole or in tiles."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from derain.models.contract import Derainer

TILE = 1536  # side of a tile without its halo, px: a 24-megapixel photo then stays under 2 GB
Photo = NDArray[Any]  # uint8 or uint16


def restore(model: Derainer, photo: Photo, tile: int | None = TILE) -> tuple[Photo, Photo]:
    """Background and rain layer of an ``(H, W, 3)`` RGB photo of any size, both of its shape and depth.

    Args:
        tile: side of the tiles in px; ``None`` takes the photo whole, as do models without a halo. Each tile sees as
            far around itself as the network can, so tiled and whole agree.
    """
    background, rain = np.empty_like(photo), np.empty_like(photo)
    for inner, outer in tiles(photo.shape[0], photo.shape[1], tile if model.halo is not None else None, model):
        layers = _split(model, photo[outer])
        crop = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer))
        background[inner], rain[inner] = (layer[crop] for layer in layers)
    return background, rain


Window = tuple[slice, slice]


def tiles(height: int, width: int, tile: int | None, model: Derainer) -> Iterator[tuple[Window, Window]]:
    """Windows that cover the photo once, each with the window around it that the network has to see.

    Outer windows start on the model's padding grid, so that pixel-unshuffle falls on the same pixels as in the whole.
    """
    if tile is None or max(height, width) <= tile + (model.halo or 0):
        whole = (slice(0, height), slice(0, width))
        yield whole, whole
        return
    side, halo = max(tile - tile % model.multiple, model.multiple), model.halo or 0
    for top in range(0, height, side):
        for left in range(0, width, side):
            inner = (slice(top, min(top + side, height)), slice(left, min(left + side, width)))
            limits = (height, width)
            outer = tuple(slice(max(i.start - halo, 0), min(i.stop + halo, n)) for i, n in zip(inner, limits))
            yield inner, outer  # type: ignore[misc]


@torch.inference_mode()
def _split(model: Derainer, photo: Photo) -> tuple[Photo, Photo]:
    device = next(model.parameters()).device
    white = np.iinfo(photo.dtype).max
    image = torch.from_numpy(photo.astype(np.float32) / white).to(device).permute(2, 0, 1)[None]
    background = (model(image)[0][0].permute(1, 2, 0) * white).round().clamp(0, white).cpu().numpy().astype(photo.dtype)
    return background, np.where(photo > background, photo - background, 0).astype(photo.dtype)
