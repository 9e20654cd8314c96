"""Frames of a clip through a network on a processor, with nothing made of them that is not needed.

The network's input is kept from frame to frame, for the system clears the pages of a new array. What is computed of a
frame before and after the network is computed in rows that stay in the processor's cache.
"""

import threading

import cv2
import numpy as np
from torch import Tensor

from derain.arrays import Pixels, UnitRgb, in_unit, rows_in_cache
from derain.errors import PhotoError
from derain.restoring.confirming import is_confirmed
from derain.restoring.conversion import padded_to_multiple, write_if_finite
from derain.restoring.devices import inferring, suppress_out_of_memory
from derain.restoring.giving_back import keep_rain
from derain.restoring.layers import Layers, least_seen, take_too
from derain.restoring.restorer import NOT_FINITE, Restorer
from derain.restoring.scales import reduced_sizes
from derain.restoring.tiling import tiles

SOME_ROWS = slice(None, None, 16)


class FrameRestorer:
    """Backgrounds of frames as a restorer finds them; several threads may use it at once."""

    def __init__(self, restorer: Restorer) -> None:
        self.restorer = restorer
        self._kept = threading.local()

    def background(self, frame: Pixels) -> Pixels:
        """Background of an ``(H, W, 3)`` RGB frame, uint8 or uint16: the frame itself if no rain is found.

        Raises:
            PhotoError: as :meth:`Restorer.layers`.
        """
        whole, background = np.ascontiguousarray(frame), None  # one that was turned is a view
        if self._takes_whole(frame):
            with suppress_out_of_memory():
                background = self._at_every_scale(whole)
        if background is None:
            background = self.restorer.bright_layers(frame).background
        return frame if background is whole or is_same(frame, background) else background

    def _takes_whole(self, frame: Pixels) -> bool:
        height, width = frame.shape[:2]
        if self.restorer.device.type != "cpu" or is_confirmed(height, width):
            return False
        tile = next(self.restorer.tiles_to_try(height, width, frame.nbytes))
        return len(list(tiles(height, width, tile, self.restorer.model))) == 1

    def _at_every_scale(self, frame: Pixels) -> Pixels:
        background, rain = self._at_own_scale(frame), None
        if background is not frame:
            rain = np.asarray(cv2.subtract(frame, background))
        for size in reduced_sizes(frame.shape[1], frame.shape[0], self.restorer.model.reductions):
            wide = self.restorer.rain_seen_reduced(background, rain, size)
            if wide is not None:
                if rain is None:
                    background, rain = frame.copy(), np.empty_like(frame)
                take_too(frame, Layers(background, rain), wide)
        if rain is not None and self.restorer.model.only_removes:
            keep_rain(frame, Layers(background, rain))
        return background

    def _at_own_scale(self, frame: Pixels) -> Pixels:
        height, width = frame.shape[:2]
        padded = padded_to_multiple(frame, self.restorer.model.multiple)
        with inferring(self.restorer.device):
            for found in self.restorer.results(self.restorer.to_tensor(self._in_unit(padded))):
                background = background_or_same(found[0, :, :height, :width], frame)
                if background is not None:
                    return background
        raise PhotoError(NOT_FINITE.format(self.restorer.model.name))

    def _in_unit(self, frame: Pixels) -> UnitRgb:
        """The frame as float32 in [0, 1], until the next one."""
        unit: UnitRgb | None = getattr(self._kept, "unit", None)
        if unit is None or unit.shape != frame.shape:
            unit = self._kept.unit = np.empty(frame.shape, np.float32)
        for rows in rows_in_cache(frame):
            in_unit(frame[rows], unit[rows])
        return unit


def background_or_same(found: Tensor, frame: Pixels) -> Pixels | None:
    """``(3, H, W)`` in [0, 1] as whole numbers, or the frame itself if it equals them; ``None`` if not finite."""
    background, scratch = None, np.empty_like(frame[next(rows_in_cache(frame))])
    for rows in rows_in_cache(frame):
        given = frame[rows]
        written = scratch[: len(given)] if background is None else background[rows]
        if not write_if_finite(found[:, rows], written):
            return None
        if background is None and cv2.norm(given, written, cv2.NORM_INF):
            background = np.empty_like(frame)
            background[: rows.start], background[rows] = frame[: rows.start], written
    return frame if background is None else background


def is_same(picture: Pixels, other: Pixels) -> bool:
    """Whether two pictures of one size and depth are equal in 8 bits; most others differ in a few rows already."""
    least = least_seen(picture.dtype)
    return all(cv2.norm(picture[rows], other[rows], cv2.NORM_INF) < least for rows in (SOME_ROWS, slice(None)))
