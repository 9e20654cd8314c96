"""AVIF of more than 8 bits, by FFmpeg."""

import io
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from derain.arrays import Pixels
from derain.photos.matrices import EXACT_CONVERSION, MATRICES

RGB, UNSPECIFIED = 0, 2  # H.273's matrices of pictures that are not converted, and of those that do not say


def knows(matrix: int) -> bool:
    """Whether pictures with this matrix, by H.273's codes, have the right colours here."""
    return matrix in {RGB, UNSPECIFIED, *MATRICES}


def decode(data: bytes, matrix: int, full: bool) -> Pixels:
    decoder = av.CodecContext.create("libdav1d", "r")
    frame = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][0]  # type: ignore[attr-defined]
    rgb = frame.reformat(
        format="rgb48le",
        src_colorspace=MATRICES.get(matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT_CONVERSION,
    )
    return np.asarray(rgb.to_ndarray())


def encode(picture: Pixels, matrix: int, quality: int) -> bytes:
    """In 10 bits and 4:2:0, which is what FFmpeg's encoder here has."""
    matrix = matrix if matrix in MATRICES else 6
    frame = av.VideoFrame.from_ndarray(picture, "rgb48le").reformat(
        format="yuv420p10le",
        dst_colorspace=MATRICES[matrix],
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT_CONVERSION,
    )
    frame.colorspace, frame.color_range, frame.pts = matrix, ColorRange.JPEG, 0
    file = io.BytesIO()
    options = {"crf": str(1 + (100 - quality) * 6 // 10), "preset": "6", "svtav1-params": "avif=1"}
    with av.open(file, "w", format="avif") as container:
        stream: Any = container.add_stream("libsvtav1", options=options)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt, stream.colorspace, stream.color_range = "yuv420p10le", matrix, ColorRange.JPEG
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()
