"""A photo's way through a GPU: it goes there once, as the numbers that it is, and its layers come back once.

What :class:`derain.restoring.restorer.Restorer` does with arrays is done with tensors here, to within one grey level.
Each thread has a stream of its own, so that one photo is copied while the network works at another.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from derain.arrays import Pixels
from derain.restoring.alike import WHOLE, compared_size, shares_of_rain
from derain.restoring.confirming import is_confirmed, shares_found_again
from derain.restoring.devices import inferring, suppress_out_of_memory
from derain.restoring.evidence import stand_out, stand_out_each
from derain.restoring.resizing import enlarged, reduced
from derain.restoring.scales import EVIDENT_MEAN_HEIGHT, FEW, glimpses, reduced_sizes, windows
from derain.restoring.tiling import Tile, tiles, within
from derain.restoring.veil import GIVEN_BACK, samples, veil_of

if TYPE_CHECKING:
    from derain.restoring.restorer import Restorer

MOST_AT_ONCE, MOST_PIXELS_AT_ONCE = 8, 2**24  # photos and px in one pass: more gain nothing
PASSES = 3  # that the network may be at, at the same time
MOST_PINNED = 2**28  # bytes: larger photos are copied by the system, for memory that is pinned is nobody else's
_of_thread = threading.local()


@dataclass(frozen=True)
class Sheets:
    """Layers on a device: ``(H, W, 3)`` whole numbers, uint8, or int32 for 16 bits."""

    background: Tensor
    rain: Tensor


def layers_on_device(restorer: "Restorer", photo: Pixels) -> tuple[Pixels, Pixels]:
    """Background and rain of a photo, looked at reduced, too; arguments and errors are :meth:`Restorer.layers`'."""
    with inferring(restorer.device), own_stream(restorer.device):
        found = _at_every_scale(restorer, _upload(photo, restorer.device))
        background, rain = (_download(layer, photo.dtype) for layer in (found.background, found.rain))
    return background.numpy(), rain.numpy()


def most_at_once(restorer: "Restorer", photo: Pixels) -> int:
    """How many photos like this one :func:`backgrounds_on_device` may take; 1 if it cannot."""
    height, width = photo.shape[:2]
    sizes = reduced_sizes(width, height, restorer.model.reductions)
    if restorer.tile is not None or restorer.model.halo is None:
        return 1
    if any(glimpses(*size[::-1], restorer.model.multiple) for size in sizes):
        return 1  # so large that each is enough work for the device
    room = restorer.affordable_pixels(photo.nbytes) / (PASSES * height * width)
    return int(np.clip(min(room, MOST_PIXELS_AT_ONCE / (height * width)), 1, MOST_AT_ONCE))


def backgrounds_on_device(restorer: "Restorer", photos: list[Pixels]) -> list[Pixels]:
    """Backgrounds of photos of one size and depth, in one pass: the host has as little to say for all as for one.

    Raises:
        PhotoError: as :meth:`Restorer.layers`.
        RuntimeError: they do not fit into the device's memory together.
    """
    with inferring(restorer.device), own_stream(restorer.device):
        there = _upload_all(photos, restorer.device)
        found = _download(_backgrounds_at_every_scale(restorer, there), photos[0].dtype)
    return list(found.numpy())


def _backgrounds_at_every_scale(restorer: "Restorer", photos: Tensor) -> Tensor:
    """Of ``(N, H, W, 3)`` whole numbers; as :func:`_at_every_scale` of each."""
    background = _backgrounds(restorer, photos)
    rain = _less(photos, background)
    height, width = photos.shape[1:3]
    sizes = list(reduced_sizes(width, height, restorer.model.reductions))
    lacking = None
    if sizes and is_confirmed(height, width):
        lacking = _confirm_each(restorer, photos, Sheets(background, rain), sizes[0])
    for size in sizes:
        smaller, before = (reduced(layer, *size) for layer in (background, rain))
        wide = _less(smaller, _backgrounds(restorer, smaller))
        evident = _evident_ones(wide, before)
        if lacking is not None:
            evident, lacking = evident & lacking, None
        for index in evident.nonzero()[:, 0].tolist():  # which waits for the device
            background[index] = _less(background[index], enlarged(wide[index], width, height))
            rain[index] = _less(photos[index], background[index])
    if restorer.model.only_removes:
        for each in zip(photos, background, rain):
            _keep_rain(each[0], Sheets(*each[1:]))
    return background


def _confirm_each(restorer: "Restorer", photos: Tensor, found: Sheets, size: tuple[int, int]) -> Tensor:
    """As :func:`_confirm` of each of ``(N, H, W, 3)`` photos: whether their layers lack rain that is seen reduced."""
    smaller, before = (reduced(layer, *size) for layer in (photos, found.rain))
    again = _less(smaller, _backgrounds(restorer, smaller))
    for index, photo in enumerate(photos):
        shares = shares_found_again(_levels(before[index]), _levels(again[index]))
        _keep_share(photo, Sheets(found.background[index], found.rain[index]), shares)
    return _evident_ones(_less(again, before), before)


def _evident_ones(found: Tensor, before: Tensor) -> Tensor:
    """:func:`_is_evident` for each of ``(N, H, W, 3)`` layers, on the device."""
    parts, earlier = (torch.stack([layer[:, *w] for w in _windows(layer)], 1) for layer in (found, before))
    enough = _heights(found).mean((1, 2, 3)) > EVIDENT_MEAN_HEIGHT
    return enough & stand_out_each(_heights(parts), _heights(earlier))


def _windows(layer: Tensor) -> list[tuple[slice, slice]]:
    return list(windows(*layer.shape[-3:-1]))


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Work on a GPU in a stream of the thread's own; when it ends all is done, and any other thread may use it."""
    if device.type != "cuda":
        yield
        return
    streams = _of_thread.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)
    with torch.cuda.stream(streams[device]):
        yield
        done = torch.cuda.Event(blocking=True)  # the thread sleeps; waiting for a stream keeps a core busy
        done.record(streams[device])
        done.synchronize()


def _upload(photo: Pixels, device: torch.device) -> Tensor:
    return _upload_all([photo], device)[0]


def _upload_all(photos: list[Pixels], device: torch.device) -> Tensor:
    """``(N, H, W, 3)`` whole numbers."""
    first = photos[0]
    pinned = device.type == "cuda" and len(photos) * first.nbytes <= MOST_PINNED
    kind = torch.uint8 if first.dtype == np.uint8 else torch.uint16
    sheets = torch.empty((len(photos), *first.shape), dtype=kind, pin_memory=pinned)
    for sheet, photo in zip(sheets.numpy(), photos):
        sheet[...] = photo
    there = sheets.to(device, non_blocking=True)
    return there if first.dtype == np.uint8 else there.to(torch.int32)


def _download(sheet: Tensor, dtype: np.dtype) -> Tensor:
    sheet = sheet if dtype == np.uint8 else sheet.to(torch.uint16)
    if sheet.device.type != "cuda" or sheet.nbytes > MOST_PINNED:
        return sheet.cpu()
    here = torch.empty(sheet.shape, dtype=sheet.dtype, pin_memory=True)
    return here.copy_(sheet, non_blocking=True)


def _at_every_scale(restorer: "Restorer", photo: Tensor) -> Sheets:
    found = _at_own_scale(restorer, photo)
    height, width = photo.shape[:2]
    sizes = list(reduced_sizes(width, height, restorer.model.reductions))
    if sizes and is_confirmed(height, width) and _shows_rain(found.rain):
        is_all = _confirm(restorer, photo, found, sizes[0])
        sizes = sizes[1:] if is_all else sizes
    for size in sizes:
        smaller, before = (reduced(layer, *size) for layer in (found.background, found.rain))
        if not _may_be_evident(restorer, smaller, before):
            continue
        wide = _at_own_scale(restorer, smaller).rain
        if _is_evident(wide, before):
            background = _less(found.background, enlarged(wide, width, height))
            found = Sheets(background, _less(photo, background))
    if restorer.model.only_removes:
        _keep_rain(photo, found)
    return found


def _confirm(restorer: "Restorer", photo: Tensor, found: Sheets, size: tuple[int, int]) -> bool:
    """Give back what is no rain in the photo reduced to width and height ``size``; whether all that is seen there is
    found.
    """
    smaller, before = (reduced(layer, *size) for layer in (photo, found.rain))
    again = _at_own_scale(restorer, smaller).rain
    _keep_share(photo, found, shares_found_again(_levels(before), _levels(again)))
    return not _is_evident(_less(again, before), before)


def _keep_rain(photo: Tensor, found: Sheets) -> None:
    """As :func:`derain.restoring.giving_back.keep_rain`; finding out whether there is any takes as long here."""
    _keep_what_is_alike(photo, found)
    _keep_streaks(photo, found)


def _keep_what_is_alike(photo: Tensor, found: Sheets) -> None:
    height, width = photo.shape[:2]
    size = compared_size(height, width)
    both = [found.rain, found.background]
    if size != (width, height):
        both = [reduced(layer, *size) for layer in both]
    if (shares := shares_of_rain(*map(_levels, both))) is not None:
        _keep_share(photo, found, shares)


def _keep_share(photo: Tensor, found: Sheets, shares: Tensor) -> None:
    """As :func:`derain.restoring.giving_back.keep_share`."""
    height, width = photo.shape[:2]
    whole = shares[..., None] if shares.shape == (height, width) else enlarged(shares[..., None], width, height)
    _write(photo, (found.rain.float() * whole).div_(WHOLE).round_().to(photo.dtype), found)


def _keep_streaks(photo: Tensor, found: Sheets) -> None:
    height, width = photo.shape[:2]
    rows, columns = samples(height, width, photo.device)
    cells = veil_of(found.rain[rows][:, columns].float().mean(-1)).mul_(GIVEN_BACK).round_().to(photo.dtype)
    _write(photo, _less(found.rain, enlarged(cells[..., None], width, height)), found)


def _write(photo: Tensor, rain: Tensor, found: Sheets) -> None:
    found.background.copy_(photo - rain)
    found.rain.copy_(rain)


def _levels(layer: Tensor) -> Tensor:
    """``(H, W)``, the mean of the channels, in grey levels of 255."""
    return _heights(layer).mean(-1) * 255


def _shows_rain(rain: Tensor) -> bool:
    """As :func:`derain.restoring.layers.shows_rain`."""
    height, width = rain.shape[:2]
    coarse = reduced(rain, max(width // FEW, 1), max(height // FEW, 1))
    return bool(coarse.max() >= _white(rain) // 255)


def _may_be_evident(restorer: "Restorer", smaller: Tensor, before: Tensor) -> bool:
    around = glimpses(smaller.shape[0], smaller.shape[1], restorer.model.multiple)
    if not around:
        return True
    seen = torch.stack([smaller[outer] for _, outer in around])
    rain = _less(seen, _backgrounds(restorer, seen))
    parts = torch.stack([layer[within(*window)] for layer, window in zip(rain, around)])
    return stand_out(_heights(parts), _heights(torch.stack([before[inner] for inner, _ in around])))


def _is_evident(found: Tensor, before: Tensor) -> bool:
    if _heights(found).mean() <= EVIDENT_MEAN_HEIGHT:
        return False
    return stand_out(_heights(_in_windows(found)), _heights(_in_windows(before)))


def _in_windows(layer: Tensor) -> Tensor:
    return torch.stack([layer[window] for window in windows(layer.shape[0], layer.shape[1])])


def _heights(layer: Tensor) -> Tensor:
    return layer.float().div_(_white(layer))


def _at_own_scale(restorer: "Restorer", photo: Tensor) -> Sheets:
    for tile in restorer.tiles_to_try(photo.shape[0], photo.shape[1], photo.nbytes):
        with suppress_out_of_memory():
            return _in_tiles(restorer, photo, tile)
    raise AssertionError("the tiles to try end in an error")


def _in_tiles(restorer: "Restorer", photo: Tensor, tile: int | Tile | None) -> Sheets:
    background = torch.empty_like(photo)
    for inner, outer in tiles(photo.shape[0], photo.shape[1], tile, restorer.model):
        background[inner] = _backgrounds(restorer, photo[outer][None])[0][within(inner, outer)]
    return Sheets(background, _less(photo, background))


def _backgrounds(restorer: "Restorer", photos: Tensor) -> Tensor:
    """Of ``(N, H, W, 3)`` whole numbers."""
    white = _white(photos)
    image = photos.float().div_(white).permute(0, 3, 1, 2)
    return (
        restorer.background_of(image).permute(0, 2, 3, 1).float().mul(white).round_().clamp_(0, white).to(photos.dtype)
    )


def _less(photo: Tensor, other: Tensor) -> Tensor:
    """Not below 0."""
    return torch.where(photo > other, photo - other, 0)


def _white(sheet: Tensor) -> int:
    return 255 if sheet.dtype == torch.uint8 else 65535
