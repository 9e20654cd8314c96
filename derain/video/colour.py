"""Frames between YUV and RGB with matrix and range named both ways, never left to a default."""

from dataclasses import dataclass, replace
from threading import local
from typing import Any

import cv2
import numpy as np
from av import VideoFormat, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from derain.arrays import Pixels
from derain.errors import PhotoError
from derain.photos.matrices import DERIVED, EXACT_CONVERSION, MATRICES, NAMED_AS_PRIMARIES, UNKNOWN
from derain.video import ycgco

RGB = ("gbr", "rgb", "bgr", "argb", "abgr", "pal8")
LEAST_HD_HEIGHT = 720  # lines from which an untagged clip is taken for BT.709, as players do

NAMES = {1: "BT.709", 4: "FCC", 5: "BT.601", 7: "SMPTE 240M", ycgco.MATRIX: "YCgCo", 9: "BT.2020"}  # of matrices
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
        return cls(
            frame.format.name,
            int(frame.colorspace),
            int(frame.color_range),
            int(frame.color_primaries),
            int(frame.color_trc),
            _bits(frame.format),
            frame.height,
        )

    @classmethod
    def told(cls, context: Any) -> "Colours | None":
        """Those that a codec's context tells of before a frame is decoded; ``None`` if it does not know the pixels."""
        if context is None or context.format is None:
            return None
        return cls(
            context.format.name,
            int(context.colorspace),
            int(context.color_range),
            int(context.color_primaries),
            int(context.color_trc),
            _bits(context.format),
            context.height,
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
        matrix = self.primaries if self.matrix == DERIVED else self.matrix
        return MATRICES.get(matrix, Colorspace.ITU709 if self.lines >= LEAST_HD_HEIGHT else Colorspace.ITU601)

    @property
    def matrix_told(self) -> int:
        """The code of the matrix that they are taken to have."""
        if self.matrix == ycgco.MATRIX:
            return ycgco.MATRIX
        return next(code for code, matrix in MATRICES.items() if matrix == self.converter_matrix)

    @property
    def presumed(self) -> "Colours":
        """What players take them for where nothing is told."""
        return replace(self, matrix=2, range=0)

    @property
    def coding(self) -> tuple[int, ColorRange]:
        """What must be known to make RGB of them: matrix and range."""
        return self.matrix_told, self.converter_range

    @property
    def said(self) -> str:
        """The same in words."""
        return NAMES[self.matrix_told] + " of full range" * (self.converter_range == ColorRange.JPEG)

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


def refuse_unknown_matrix(named: str, track: Any) -> None:
    """
    Raises:
        PhotoError: the colours of a stream are coded in a way that is not known here.
    """
    matrix, primaries = int(track.codec_context.colorspace), int(track.codec_context.color_primaries)
    if matrix not in UNKNOWN or matrix == DERIVED and primaries in NAMED_AS_PRIMARIES:
        return
    convert = "convert it to BT.709 first, as with FFmpeg's zscale"
    raise PhotoError(f"{named}: its colours are coded by {UNKNOWN[matrix]}, which derain does not read; {convert}")


def _bits(form: VideoFormat) -> int:
    return max(part.bits for part in form.components)


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
    if _is_ycgco(colours, frame.format):
        return _rgb_of_ycgco(frame, colours, alpha)
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
    if _is_ycgco(colours, VideoFormat(pixel_format)):
        frame = _ycgco_of_rgb(picture, colours, pixel_format)
    else:
        alpha = picture.shape[2] == 4
        form = ("rgba64le" if alpha else "rgb48le") if picture.dtype == np.uint16 else ("rgba" if alpha else "rgb24")
        frame = VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture), form)
        frame = _converted(frame, pixel_format, colours, ColorRange.JPEG, colours.converter_range)
    frame.colorspace, frame.color_range = matrix_and_range(colours, pixel_format)
    frame.color_primaries, frame.color_trc = colours.primaries, colours.transfer
    return frame


def stored_as(colours: Colours, codec: str, pixel_format: str) -> Colours:
    """What colours become in pictures of a codec, by FFmpeg's name of it, if those cannot tell all that they mean."""
    presumed = colours.presumed.matrix_told
    if codec == "mpeg4":  # has no tags, so what players take for granted
        return replace(colours, pixel_format=pixel_format, matrix=presumed, range=1)
    if codec == "mjpeg" and colours.coding != (5, ColorRange.JPEG):  # knows only these
        return replace(colours, pixel_format=pixel_format, matrix=5, range=2)
    if codec == "prores" and colours.converter_range == ColorRange.JPEG:  # which it has no tag for
        return replace(colours, pixel_format=pixel_format, matrix=colours.matrix_told, range=1)
    if codec == "vp8":
        return replace(colours, pixel_format=pixel_format, matrix=5, range=1)
    if codec == "vp9" and colours.matrix == ycgco.MATRIX:
        return replace(colours, matrix=presumed)
    return colours


def _is_ycgco(colours: Colours, form: VideoFormat) -> bool:
    return colours.matrix == ycgco.MATRIX and len(form.components) > 2 and not is_rgb(form.name)


def _rgb_of_ycgco(frame: VideoFrame, colours: Colours, alpha: bool) -> Pixels:
    """As :func:`to_rgb`, by our own matrix."""
    stored = colours.converter_range
    planar = _converted(frame, ycgco.unhalved(colours.bits, alpha), colours, stored, stored)
    planes = [_values(plane, np.uint16 if colours.deep else np.uint8) for plane in planar.planes]
    return ycgco.to_rgb(planes, colours.bits, stored == ColorRange.JPEG)


def _ycgco_of_rgb(picture: Pixels, colours: Colours, pixel_format: str) -> VideoFrame:
    """As :func:`from_rgb`, by our own matrix, without tags."""
    bits, stored = _bits(VideoFormat(pixel_format)), colours.converter_range
    planar = VideoFrame(picture.shape[1], picture.shape[0], ycgco.unhalved(bits, picture.shape[2] == 4))
    for plane, values in zip(planar.planes, ycgco.from_rgb(picture, bits, stored == ColorRange.JPEG)):
        _values(plane, np.uint16 if bits > 8 else np.uint8)[...] = values
    return _converted(planar, pixel_format, colours, stored, stored)


def matrix_and_range(colours: Colours, pixel_format: str) -> tuple[int, int]:
    """Tags of a frame of ``pixel_format`` that stands for colours as ``colours`` tells."""
    if (is_rgb(colours.pixel_format) or colours.matrix == 0) and not is_rgb(pixel_format):
        return colours.matrix_told, int(colours.converter_range)
    if is_rgb(pixel_format) and not is_rgb(colours.pixel_format):
        return 0, int(ColorRange.JPEG)
    return colours.matrix, colours.range


def tag(context: Any, colours: Colours, pixel_format: str) -> None:
    """Tell a codec's context, before anything opens it, what pictures of ``pixel_format`` stand for."""
    context.colorspace, _ = matrix_and_range(colours, pixel_format)
    context.color_range = int(ColorRange.JPEG if is_rgb(pixel_format) else colours.converter_range)
    context.color_primaries, context.color_trc = colours.primaries, colours.transfer
