"""Frames between YUV and RGB: the short ways give the very values of the plain one."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from derain.video.colour import EXACT_CONVERSION, MATRICES, Colours, from_rgb, to_rgb
from derain.video.reading import Clip
from tests.test_video import make_clip

STORED = ["yuv420p", "yuvj422p", "yuv411p", "nv12", "yuva420p", "gray"]
STORED += ["yuv422p10le", "p010le", "yuva444p10le", "gbrp10le"]
ENCODED = ["yuv420p", "yuv444p", "yuva420p", "yuv420p10le", "gbrp", "gbrp10le"]


def colours_of(pixel_format: str, matrix: int, range_: int) -> Colours:
    bits = max(part.bits for part in av.VideoFormat(pixel_format, 16, 16).components)
    return Colours(pixel_format, matrix, range_, 2, 2, bits, 54)


def packed(deep: bool, alpha: bool) -> str:
    return ("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24")


def plain(frame: av.VideoFrame, form: str, colours: Colours, given: ColorRange, wanted: ColorRange) -> av.VideoFrame:
    matrix = colours.converter_matrix
    return frame.reformat(
        format=form,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=given,
        dst_color_range=wanted,
        interpolation=EXACT_CONVERSION,
    )


def values(frame: av.VideoFrame) -> list[bytes]:
    """The lines of each plane without their padding."""
    width = max(part.bits for part in frame.format.components) > 8
    pixel = 3 if frame.format.name == "rgb24" else 1
    lines = [np.frombuffer(plane, np.uint16 if width else np.uint8).reshape(plane.height, -1) for plane in frame.planes]
    return [line[:, : pixel * plane.width].tobytes() for line, plane in zip(lines, frame.planes)]


@pytest.mark.parametrize("matrix", sorted(MATRICES))
@pytest.mark.parametrize("pixel_format", STORED)
def test_planes_become_the_same_rgb_as_at_once(rng, pixel_format, matrix):
    noise = av.VideoFrame.from_ndarray(rng.integers(0, 256, (54, 97, 3), dtype=np.uint8), "rgb24")
    frame = noise.reformat(format=pixel_format)
    for range_ in (ColorRange.MPEG, ColorRange.JPEG):
        colours = colours_of(pixel_format, matrix, range_)
        form = packed(colours.deep, any(part.is_alpha for part in frame.format.components))
        expected = plain(frame, form, colours, colours.converter_range, ColorRange.JPEG).to_ndarray()
        assert np.array_equal(to_rgb(frame, colours), expected)


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("pixel_format", ENCODED)
def test_rgb_that_is_not_copied_becomes_the_same_frame(rng, pixel_format, matrix):
    colours = colours_of(pixel_format, matrix, ColorRange.MPEG)
    alpha = "yuva" in pixel_format
    white = 65536 if colours.deep else 256
    picture = rng.integers(0, white, (54, 97, 3 + alpha), dtype=np.uint16 if colours.deep else np.uint8)
    copied = av.VideoFrame.from_ndarray(picture, packed(colours.deep, alpha))
    expected = plain(copied, pixel_format, colours, ColorRange.JPEG, colours.converter_range)
    assert values(from_rgb(picture, colours, pixel_format)) == values(expected)


@pytest.mark.parametrize("since", [None, 1.3])
def test_frames_that_are_converted_in_threads_are_the_same_and_in_order(tmp_path, since):
    with Clip(make_clip(tmp_path / "a.mp4", 40)) as clip:
        one, several = ([(f.pts, f.pixels.tobytes()) for f in clip.frames(since, converters=n)] for n in (0, 3))
    assert one == several and len(one) == (40 if since is None else 7)


def test_a_frame_that_cannot_be_converted_in_a_thread_is_noted_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.reading.to_rgb", once_failing(to_rgb, at=3))
    with Clip(make_clip(tmp_path / "a.mp4", 8)) as clip:
        assert len(list(clip.frames(converters=1))) == 7
        assert len(clip.damage.lost) == 1 and clip.damage.reason == "cannot be converted"


def once_failing(work, at):
    calls = []

    def done(*given):
        calls.append(1)
        if len(calls) == at:
            raise ValueError("cannot be converted")
        return work(*given)

    return done
