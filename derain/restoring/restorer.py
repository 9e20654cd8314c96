"""A photo in, its layers out: the one place that knows device, precision, tiles, scales and running out of memory."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain.allocation import give_back_freed_memory
from derain.arrays import Pixels, UnitRgb, check_pixels, in_unit
from derain.bounds import Bounds
from derain.errors import PhotoError, UsageError
from derain.given import check
from derain.models.contract import Derainer, check_model, device_of
from derain.models.strips import Map
from derain.rain.amount import RAINY_SCORE, coverage
from derain.restoring.confirming import is_confirmed, shares_found_again, squares_with_rain
from derain.restoring.conversion import (
    is_finite,
    padded_to_multiple,
    to_picture,
    write_layers,
)
from derain.restoring.dark_streaks import Compared
from derain.restoring.devices import (
    CPU,
    affordable_pixels,
    free_memory,
    half_precision,
    inferring,
    release,
    suppress_out_of_memory,
    used_memory,
)
from derain.restoring.fused import fused
from derain.restoring.giving_back import keep_rain, keep_share
from derain.restoring.int8 import in_int8, is_exact, is_worth_it
from derain.restoring.layers import Layers, empty_layers, heights_of, if_seen, shows_rain, take_too
from derain.restoring.names import SMALLEST_TILE, check_precision, check_tile
from derain.restoring.on_device import layers_on_device
from derain.restoring.scales import glimpses, is_evident, reduced_sizes, stand_out
from derain.restoring.tiling import (
    LEAST_AUTOMATIC_TILE,
    NETWORK_BYTES_PER_PIXEL,
    Tile,
    Window,
    fitting_tile,
    tiles,
    whole,
    windows_around,
    within,
)

NOT_FINITE = "{} produces values that are not finite; give other `weights`"
TOO_LARGE = "not enough memory; close other programs, or use a smaller photo"
HALF_ERROR = 1e-6  # mean square error of half weights against whole ones: costs 0.02 dB where others' is 2e-4
LARGEST_WHOLE = 1536  # px: longer photos are taken in strips by a network that looks across the whole photo
LARGE = 4e6  # px, of photos after which the system gets back what they took, if it has little left
FEWEST_ROWS = 16  # of a strip
MOST_STRIP_PIXELS = 2**19
BROAD_STRIP_PIXELS = 3 * 2**19  # of one by a network that sees only so far: what is around it is computed twice
WORTH_STRIPS = 6e6  # px, from which such a network takes a photo or tile in strips on a processor
LATER_BYTES = 10  # for each of the photo's: its layers and its negative's, the result's file, the photo read meanwhile
Watch = Callable[[str], None]


@dataclass(frozen=True)
class Restorer:
    """A network on its device, and how it is to compute.

    Args:
        model: on the device where it is to run.
        precision: float32, bfloat16, int8 (on a processor, by weights that tell the ranges of their numbers), or auto:
            what the device is good at.
        tile: side of the tiles in px, 64 or more; 0 takes the photo whole; default: by the free memory. Each tile sees
            as far around itself as the network does, so tiled and whole agree. Models without a halo take what is
            larger than a tile in strips of as many pixels, layer by layer.
        max_memory: bytes that the process should take on the device at the most; default: a share of what is free.

    Raises:
        UsageError: no network, an unknown precision, int8 where it cannot be, tiles that are too small, or memory that
            is no number.
    """

    model: Derainer
    precision: str = "auto"
    tile: int | None = None
    max_memory: float | None = None

    def __post_init__(self) -> None:
        check_model(self.model, torch.nn.Module)  # training tries pictures of its own size through any
        check_precision(self.precision)
        if self.precision == "int8":
            check_int8(self.model)
        check_tile(self.tile)
        check("max_memory", self.max_memory, float | None, Bounds(0, math.inf))

    @cached_property
    def device(self) -> torch.device:
        return device_of(self.model)

    @cached_property
    def settled(self) -> str:
        """The precision that it computes in; ``auto`` where only the device tells."""
        return settled_precision(self.precision, self.device, self.model)

    @cached_property
    def half(self) -> bool:
        """Whether it computes in bfloat16."""
        return half_precision(self.settled, self.device)

    @property
    def whole(self) -> bool:
        """Whether it computes in whole numbers of 8 bits."""
        return self.settled == "int8"

    def layers(self, photo: Pixels, watch: Watch | None = None) -> Layers:
        """Layers of an ``(H, W, 3)`` RGB photo of any size, uint8 or uint16, looked at reduced, too, if it is large.

        Args:
            watch: told what is being done, such as "2000x1500 px, tile 3 of 12", but for a GPU.

        Raises:
            PhotoError: not even a small tile fits into the memory, or the network's result is not finite.
        """
        found = self.bright_layers(photo, watch)
        filled = self._filled(photo, found, watch) if self.model.finds_dark_streaks else None
        if filled is None:
            return found
        del found
        background = self.bright_layers(filled, watch).background
        del filled
        return Layers(background, np.asarray(cv2.subtract(photo, background)))

    def bright_layers(self, photo: Pixels, watch: Watch | None = None) -> Layers:
        """As :meth:`layers`, but streaks that are darker than their backdrop stay."""
        if self.device.type == "cuda" and self.model.halo is not None:
            with suppress_out_of_memory():
                found = Layers(*layers_on_device(self, photo))
                return if_seen(photo, found) if self.model.only_removes else found
        try:
            found = self._layers_at_every_scale(photo, watch)
            if not self.model.only_removes:
                return found
            keep_rain(photo, found)
            return if_seen(photo, found)
        finally:
            if photo.shape[0] * photo.shape[1] > LARGE and free_memory(self.device) < 2 * used_memory(self.device):
                give_back_freed_memory()

    def _filled(self, photo: Pixels, bright: Layers, watch: Watch | None) -> Pixels | None:
        """The photo with its dark streaks filled; ``None`` if it shows none, given its bright layers."""
        if coverage(bright.rain) < RAINY_SCORE:
            return None
        compared = Compared.of(photo, bright)
        if (cells := compared.may_be_dark()) is None:
            return None
        negative, (height, width) = np.asarray(cv2.bitwise_not(photo)), photo.shape[:2]
        if is_confirmed(height, width):  # dark streaks show at half the size, too
            half = max(width // 2, 1), max(height // 2, 1)
            reduced = np.asarray(cv2.resize(negative, half, interpolation=cv2.INTER_AREA))
            if compared.shares_of_dark_rain(self._layers_where(reduced, cells, watch).rain) is None:
                return None
        found = self._layers_where(negative, cells, watch)
        shares = compared.shares_of_dark_rain(found.rain)
        if shares is None:
            return None
        keep_share(negative, found, shares)
        return np.asarray(cv2.bitwise_not(found.background, dst=found.background))

    def _layers_at_every_scale(self, photo: Pixels, watch: Watch | None) -> Layers:
        height, width = photo.shape[:2]
        sizes = list(reduced_sizes(width, height, self.model.reductions))
        if sizes and is_confirmed(height, width):
            found, is_all = self._confirmed_layers(photo, sizes[0], watch)
            sizes = sizes[1:] if is_all else sizes
        else:
            found = self.layers_at_own_scale(photo, watch)
        for size in sizes:
            wide = self.rain_seen_reduced(found.background, found.rain, size, watch)
            if wide is not None:
                take_too(photo, found, wide)
        return found

    def _confirmed_layers(self, photo: Pixels, size: tuple[int, int], watch: Watch | None) -> tuple[Layers, bool]:
        """Layers of what is rain in the photo reduced to width and height ``size``, too, and whether they hold all
        rain that is seen there.
        """
        reduced = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
        again = self.layers_at_own_scale(reduced, watch).rain
        heights = torch.from_numpy(heights_of(again))
        found = self._layers_where(photo, squares_with_rain(heights), watch)
        if not shows_rain(found.rain):
            if is_evident(again, np.zeros_like(again)):
                take_too(photo, found, again)
            return found, True
        before = np.asarray(cv2.resize(found.rain, size, interpolation=cv2.INTER_AREA))
        with inferring(CPU):
            shares = shares_found_again(torch.from_numpy(heights_of(before)), heights)
        keep_share(photo, found, shares.numpy())
        return found, not is_evident(np.asarray(cv2.subtract(again, before)), before)

    def _layers_where(self, photo: Pixels, squares: NDArray[np.bool_], watch: Watch | None) -> Layers:
        """Layers that hold rain only in the marked ones of the squares that the photo is evenly made of."""
        height, width = photo.shape[:2]
        windows = list(windows_around(squares, height, width, self.model))
        if self.model.halo is None or windows and windows[0][0] == whole(height, width):
            return self.layers_at_own_scale(photo, watch)
        layers = Layers(photo.copy(), np.zeros_like(photo))
        for inner, outer in windows:
            seen, part = self.layers_at_own_scale(photo[outer], watch).at(within(inner, outer)), layers.at(inner)
            part.background[...], part.rain[...] = seen.background, seen.rain
        return layers

    def rain_seen_reduced(
        self, background: Pixels, rain: Pixels | None, size: tuple[int, int], watch: Watch | None = None
    ) -> Pixels | None:
        """Rain that is only seen in the photo reduced to width and height ``size``, as large as that.

        Args:
            rain: that was found before; ``None`` if there is none.
        """
        reduced = np.asarray(cv2.resize(background, size, interpolation=cv2.INTER_AREA))
        if rain is None:
            before = np.zeros_like(reduced)
        else:
            before = np.asarray(cv2.resize(rain, size, interpolation=cv2.INTER_AREA))
        if not self._may_be_evident(reduced, before):
            return None
        wide = self.layers_at_own_scale(reduced, watch).rain
        return wide if is_evident(wide, before) else None

    def _may_be_evident(self, reduced: Pixels, before: Pixels) -> bool:
        """Whether a glimpse at the photo leaves it open that :func:`is_evident` will hold of its rain."""
        around = glimpses(reduced.shape[0], reduced.shape[1], self.model.multiple)
        with suppress_out_of_memory():
            parts = [self._write_layers(reduced, *window, empty_layers(reduced[window[0]])).rain for window in around]
            return not parts or stand_out(parts, [before[inner] for inner, _ in around])
        return True

    def layers_at_own_scale(self, photo: Pixels, watch: Watch | None = None) -> Layers:
        """Layers of a photo as it is, in tiles that are halved until they fit; errors as :meth:`layers`."""
        for tile in self.tiles_to_try(photo.shape[0], photo.shape[1], photo.nbytes):
            with suppress_out_of_memory():
                return self._in_tiles(photo, tile, watch)
        raise AssertionError("the tiles to try end in an error")

    def tiles_to_try(self, height: int, width: int, size: int) -> Iterator[int | Tile | None]:
        """Tiles for a photo of ``size`` bytes, each to be tried if those before did not fit into the memory.

        Raises:
            PhotoError: there are no smaller ones.
        """
        longest = max(height, width)
        if self.model.halo is None and not self.model.takes_strips:
            yield None
            raise PhotoError(TOO_LARGE)
        tile = self.first_tile(height, width, size) if self.tile is None else int(self.tile) or None
        yield tile
        side = min(int(np.max(tile or longest)), longest) // 2
        while side >= SMALLEST_TILE:
            release(self.device)
            yield side
            side //= 2
        raise PhotoError(TOO_LARGE)

    def first_tile(self, height: int, width: int, size: int) -> int | Tile | None:
        """Tiles by the memory that is free now, for a photo of ``size`` bytes; ``None`` takes it whole."""
        pixels = self.affordable_pixels(size)
        if height * width > pixels:
            give_back_freed_memory()  # which does not count as free
            pixels = self.affordable_pixels(size)
        if self.model.halo is None:
            return int(np.clip(max(pixels, 0) ** 0.5, LEAST_AUTOMATIC_TILE, LARGEST_WHOLE))
        return fitting_tile(height, width, pixels, self.model)

    def affordable_pixels(self, size: int) -> float:
        """How many the network may take at once, of a photo of ``size`` bytes."""
        room = math.inf
        if self.max_memory is not None:
            room = self.max_memory - used_memory(self.device) - LATER_BYTES * size
        return affordable_pixels(self.device, NETWORK_BYTES_PER_PIXEL * self.model.heaviness, room)

    def _in_tiles(self, photo: Pixels, tile: int | Tile | None, watch: Watch | None) -> Layers:
        photo = np.ascontiguousarray(photo)  # one that was turned is a view
        if isinstance(tile, int) and self.model.halo is None and max(photo.shape[:2]) > tile:
            all_of_it = whole(photo.shape[0], photo.shape[1])
            return self._in_strips(photo, min(tile**2, MOST_STRIP_PIXELS), all_of_it, empty_layers(photo))
        layers = empty_layers(photo)
        around = list(tiles(photo.shape[0], photo.shape[1], tile, self.model))
        told = f"{photo.shape[1]}x{photo.shape[0]} px"
        for number, (inner, outer) in enumerate(around, 1):
            if watch:
                watch(f"{told}, tile {number} of {len(around)}" if len(around) > 1 else told)
            self._write_layers(photo, inner, outer, layers.at(inner))
        return layers

    def _write_layers(self, photo: Pixels, inner: Window, outer: Window, layers: Layers) -> Layers:
        """Write the layers of a part of the photo, given what the network sees around it.

        Raises:
            PhotoError: the result is not finite.
        """
        seen, part = photo[outer], within(inner, outer)
        sees_so_far = self.model.halo is not None and self.model.takes_strips
        if sees_so_far and seen.shape[0] * seen.shape[1] >= WORTH_STRIPS and self.device.type == "cpu":
            return self._in_strips(seen, BROAD_STRIP_PIXELS, part, layers)
        with inferring(self.device):
            found = self.results(self.to_tensor(in_unit(padded_to_multiple(seen, self.model.multiple))))
            if not any(write_layers(result[0, :, *part], photo[inner], layers) for result in found):
                raise PhotoError(NOT_FINITE.format(self.model.name))
        return layers

    def background_of(self, image: Tensor) -> Tensor:
        """The first of the :meth:`results` that is finite.

        Raises:
            PhotoError: none is.
        """
        for found in self.results(image):
            if is_finite(found):
                return found
        raise PhotoError(NOT_FINITE.format(self.model.name))

    def results(self, image: Tensor) -> Iterator[Tensor]:
        """Backgrounds ``(N, 3, H, W)`` on the device: after one in half precision, which may overflow, in float32."""
        for network, autocast in self.networks(image.shape[-1]):
            with self.computing(autocast):
                found = network(image)[0]
            yield found

    def networks(self, width: int) -> Iterator[tuple[Derainer, bool]]:
        """Networks whose results are tried in turn on pictures so wide, each with whether it runs by autocast."""
        if self.half and self.device.type == "cpu" and width <= self.model.multiple:
            # oneDNN's convolutions for AMX reduce a map to a width of 1 wrongly: they read memory beyond it
            yield self.model, False
            return
        yield (self.quick, False) if self.quick is not None else (self.model, self.half)
        if self.half:
            yield self.model, False

    @cached_property
    def quick(self) -> Derainer | None:
        """The network as it is now, made to compute as fast as the device can, if it finds the same: fused on a
        processor or in whole numbers, and in half precision with weights of 16 bits, where autocast converts at each
        step.
        """
        if self.whole and (quick := in_int8(self.model)) is not None:
            return quick
        if self.half and not self.model.may_have_half_weights:
            return None
        if self.device.type == "cpu":
            return fused(self.model, torch.bfloat16 if self.half else torch.float32)
        if self.device.type != "cuda" or not self.half:
            return None
        quick = deepcopy(self.model).to(torch.bfloat16 if self.precision == "bfloat16" else torch.float16)
        image = trial(self.device)
        with inferring(self.device):
            error = (quick(image)[0] - self.model(image)[0]).square().mean()
        return quick if self.precision == "bfloat16" or error < HALF_ERROR else None

    def _in_strips(self, photo: Pixels, pixels: int, inner: Window, layers: Layers) -> Layers:
        """Write the layers of a part of the photo by a network that takes it in strips of about so many pixels."""
        height, width = photo.shape[:2]
        padded = padded_to_multiple(photo, self.model.multiple)
        strip = max(pixels // width, FEWEST_ROWS)
        rows = Map(lambda first, last: self.to_tensor(in_unit(padded[first:last])), len(padded), strip)
        for network, autocast in self.networks(width):
            with self.computing(autocast):
                found = network.in_strips(rows)
                if all(self._write_strip(found, strip, photo, inner, layers) for strip in found.strips()):
                    return layers
        raise PhotoError(NOT_FINITE.format(self.model.name))

    def _write_strip(self, found: Map, strip: tuple[int, int], photo: Pixels, inner: Window, layers: Layers) -> bool:
        """Write the rows of a strip that lie within the part, if all of them are finite."""
        rows, columns = inner
        first, last = max(strip[0], rows.start), min(strip[1], rows.stop)
        if first >= last:
            return True
        there = layers.at((slice(first - rows.start, last - rows.start), slice(None)))
        return write_layers(found.rows(first, last)[0, :, :, columns], photo[first:last, columns], there)

    @contextmanager
    def computing(self, autocast: bool | None = None) -> Iterator[None]:
        """Without gradients, in the precision of the restorer, or by autocast or not."""
        half = self.half if autocast is None else autocast
        with inferring(self.device), torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            yield

    def to_tensor(self, picture: UnitRgb) -> Tensor:
        """``(1, 3, H, W)`` on the device."""
        return torch.from_numpy(picture).to(self.device).permute(2, 0, 1)[None]

    def background(self, picture: UnitRgb) -> UnitRgb:
        """Background of a crop, whole and unrounded; what is not finite stays so."""
        with self.computing():
            found = self.model(self.to_tensor(picture))[0]
        return to_picture(found)


def check_int8(model: Derainer) -> None:
    """
    Raises:
        UsageError: the network cannot compute in int8, or not on its device.
    """
    if device_of(model).type != "cpu":
        raise UsageError("`precision` int8: only a processor computes so; give `device` cpu or another `precision`")
    if not is_exact():
        raise UsageError("`precision` int8: torch cannot do that on this processor; give another `precision`")
    if not model.may_compute_in_int8:
        raise UsageError(
            f"`precision` int8: {model.name} does not tell the ranges of its numbers; give another `precision`"
        )


def precisions_of(model: Derainer) -> tuple[str, ...]:
    """All in which the network can compute."""
    in_int8_too = model.may_compute_in_int8 and device_of(model).type == "cpu" and is_exact()
    return ("float32", "bfloat16", "int8") if in_int8_too else ("float32", "bfloat16")


def settled_precision(precision: str, device: torch.device, model: Derainer | None = None) -> str:
    """The precision that all parts of a work are to have, as ``auto`` measures a processor anew for each of them.

    Args:
        model: what computes, on this machine; default: others compute, which may not know int8.
    """
    if precision != "auto" or device.type != "cpu":
        return precision
    if model is not None and model.may_compute_in_int8 and is_worth_it(torch.get_num_threads()):
        return "int8"
    return "bfloat16" if half_precision(precision, device) else "float32"


def trial(device: torch.device) -> Tensor:
    """A small picture of all brightnesses with lines over it, ``(1, 3, H, W)``."""
    ramp = torch.linspace(0, 1, 256, dtype=torch.float32, device=device)
    lines = (torch.arange(256, device=device) % 11 == 0).float() * 0.3
    return (ramp[:, None] * 0.7 + lines).expand(1, 3, 256, 256)


def restore(
    model: Derainer,
    photo: Pixels,
    tile: int | None = None,
    precision: str = "float32",
    max_memory: float | None = None,
) -> tuple[Pixels, Pixels]:
    """Background and rain layer of an ``(H, W, 3)`` RGB photo of any size, uint8 or uint16, in its shape and type.

    Both add up to the photo, but where a streak is darker than a bright sky: there the background is the brighter one,
    and the rain is 0. Arguments and errors are those of :class:`Restorer`.

    Raises:
        UsageError: the photo is of another shape or type, or the model is none.
    """
    check_model(model)
    restorer = Restorer(model, precision, tile, max_memory)
    check_pixels("photo", photo, "np.asarray(image)")
    found = restorer.layers(photo)
    return found.background, found.rain
