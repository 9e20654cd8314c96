"""Frames between YUV and RGB with matrix and range named both ways, never left to a default."""

from dataclasses import dataclass
from threading import local
from typing import Any

import cv2
import numpy as np
from av import VideoFormat, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from derain.arrays import Pixels
from derain.photos.matrices import EXACT_CONVERSION, MATRICES

RGB = ("gbr", "rgb", "bgr", "argb", "abgr", "pal8")
LEAST_HD_HEIGHT = 720  # lines from which an untagged clip is taken for BT.709, as players do

WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}  # by H.273's codes of primaries
BRIGHT = {16: "HDR (PQ)", 18: "HDR (HLG)"}  # by those of transfer


@dataclass(frozen=True)
class Colours:
    """How a clip's frames stand for colours: its tags as they are, and what they are taken to mean."""

    pixel_format: str
    matrix: int  # H.273, as the tags after it
    range: int
    primaries: int
    transfer: int
    bits: int
    lines: int

    @classmethod
    def of(cls, frame: VideoFrame) -> "Colours":
        bits = max(component.bits for component in frame.format.components)
        return cls(
            frame.format.name,
            int(frame.colorspace),
            int(frame.color_range),
            int(frame.color_primaries),
            int(frame.color_trc),
            bits,
            frame.height,
        )

    @property
    def deep(self) -> bool:
        return self.bits > 8

    @property
    def wide(self) -> list[str]:
        """What its colours are called if they reach beyond those that are shown where nothing tells what they are."""
        known = WIDE.get(self.primaries), BRIGHT.get(self.transfer)
        return [name for name in known if name]

    @property
    def converter_matrix(self) -> Colorspace:
        return MATRICES.get(self.matrix, Colorspace.ITU709 if self.lines >= LEAST_HD_HEIGHT else Colorspace.ITU601)

    @property
    def converter_range(self) -> ColorRange:
        full = self.range == ColorRange.JPEG or self.pixel_format.startswith(("yuvj", *RGB))
        return ColorRange.JPEG if full else ColorRange.MPEG


PICTURE = Colours("rgb24", 0, 2, 2, 2, 8, 0)  # of frames that are no video


def is_pixel_format(name: str) -> bool:
    """Whether FFmpeg knows a pixel format of this name."""
    try:
        VideoFormat(name, 2, 2)
    except ValueError:
        return False
    return True


def is_rgb(pixel_format: str) -> bool:
    """Whether a pixel format has no matrix."""
    return pixel_format.startswith(RGB)


class _Converter(local):
    """Of each thread its own: to set one up takes as long as to convert a small frame."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_CONVERTER = _Converter()


def _converted(frame: VideoFrame, form: str, colours: Colours, given: ColorRange, wanted: ColorRange) -> VideoFrame:
    return _CONVERTER.reformatter.reformat(
        frame,
        format=form,
        src_colorspace=colours.converter_matrix,
        dst_colorspace=colours.converter_matrix,
        src_color_range=given,
        dst_color_range=wanted,
        interpolation=EXACT_CONVERSION,
        threads=1,  # several frames are converted side by side
    )


def to_rgb(frame: VideoFrame, colours: Colours) -> Pixels:
    """``(H, W, 3)`` full-range RGB, uint8, or uint16 of a clip with more than 8 bits; and alpha as a fourth."""
    alpha = any(part.is_alpha for part in frame.format.components)
    if is_rgb(frame.format.name):
        form = ("rgba64le" if alpha else "rgb48le") if colours.deep else ("rgba" if alpha else "rgb24")
        return np.asarray(_converted(frame, form, colours, colours.converter_range, ColorRange.JPEG).to_ndarray())
    form = ("gbrap" if alpha else "gbrp") + ("16le" if colours.deep else "")  # the same values in a third of the time
    planar = _converted(frame, form, colours, colours.converter_range, ColorRange.JPEG)
    green, blue, red, *rest = (_values(plane, np.uint16 if colours.deep else np.uint8) for plane in planar.planes)
    return np.asarray(cv2.merge([red, green, blue, *rest]))


def _values(plane: Any, dtype: type) -> NDArray[Any]:
    """``(H, W)`` view of a plane whose lines are padded."""
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]


def from_rgb(picture: Pixels, colours: Colours, pixel_format: str) -> VideoFrame:
    """A frame of ``pixel_format`` with the clip's own matrix, range and tags; ``(H, W, 3)``, or 4 with alpha.

    The frame may share the picture's memory, which is to stay as it is until the frame is encoded.
    """
    alpha = picture.shape[2] == 4
    form = ("rgba64le" if alpha else "rgb48le") if picture.dtype == np.uint16 else ("rgba" if alpha else "rgb24")
    frame = VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture), form)
    frame = _converted(frame, pixel_format, colours, ColorRange.JPEG, colours.converter_range)
    frame.colorspace, frame.color_range = matrix_and_range(colours, pixel_format)
    frame.color_primaries, frame.color_trc = colours.primaries, colours.transfer
    return frame


def matrix_and_range(colours: Colours, pixel_format: str) -> tuple[int, int]:
    """Tags of a frame of ``pixel_format`` that stands for colours as ``colours`` tells."""
    if (is_rgb(colours.pixel_format) or colours.matrix == 0) and not is_rgb(pixel_format):
        code = next(code for code, matrix in MATRICES.items() if matrix == colours.converter_matrix)
        return code, int(colours.converter_range)
    return colours.matrix, colours.range
