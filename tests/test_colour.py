"""Frames between YUV and RGB: the short ways give the very values of the plain one."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from derain.errors import PhotoError
from derain.video import VideoSettings, frames, process
from derain.video.colour import EXACT_CONVERSION, MATRICES, NAMES, Colours, from_rgb, to_rgb
from derain.video.reading import Clip
from derain.video.streams import StreamSettings
from derain.video.streams.source import Connection
from tests.test_video import Darker, Identity, make_clip

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


@pytest.mark.parametrize("range_", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("bits", [8, 10])
def test_ycgco_is_what_h273_says(rng, bits, range_):
    picture = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    picture = picture.astype(np.uint16) * 257 if bits > 8 else picture
    form = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    colours = colours_of(form, 8, range_)
    frame, one = from_rgb(picture, colours, form), 1 << bits - 8
    red, green, blue = np.moveaxis(picture / np.iinfo(picture.dtype).max, 2, 0)
    if range_ == ColorRange.MPEG:
        red, green, blue = (one * (219 * part + 16) for part in (red, green, blue))
    else:
        red, green, blue = (part * ((1 << bits) - 1) for part in (red, green, blue))
    both = (red + blue) / 4
    expected = green / 2 + both, green / 2 - both + 128 * one, (red - blue) / 2 + 128 * one
    for plane, values in zip(frame.planes, expected):
        dtype = np.uint16 if bits > 8 else np.uint8
        stored = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
        assert np.abs(stored - values.clip(0, (1 << bits) - 1)).max() < 0.51
    assert frame.colorspace == 8
    white = np.iinfo(picture.dtype).max
    assert np.abs(to_rgb(frame, colours) / white - picture / white).max() < 3 / 255


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuva420p", "nv12", "yuv422p10le", "p010le"])
def test_ycgco_of_any_pixel_format_comes_back(pixel_format):
    colours = colours_of(pixel_format, 8, ColorRange.MPEG)
    channels, white = 4 if "yuva" in pixel_format else 3, 65535 if colours.deep else 255
    ramp = np.linspace(0.2, 0.8, 64)[None, :, None] * np.linspace(1, 0.5, 48)[:, None, None]
    picture = np.rint(white * ramp * np.linspace(1, 0.6, channels)).astype(np.uint16 if colours.deep else np.uint8)
    found = to_rgb(from_rgb(picture, colours, pixel_format), colours)
    assert found.dtype == picture.dtype and np.abs(found.astype(float) - picture).max() < white / 64


def test_a_ycgco_clip_stays_one(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 2, tags={"colorspace": 8, "color_range": 1}, options={"qp": "1"})
    process(source, tmp_path / "b.mp4", Darker(), VideoSettings("off", crf=1))
    for before, after in zip(frames(source), frames(tmp_path / "b.mp4"), strict=True):
        assert after.colours.matrix == 8 and np.abs(after.pixels - 0.8 * before.pixels).mean() < 2


RESULTS = [("libvpx-vp9", ".webm"), ("libvpx", ".mkv"), ("ffv1", ".mkv"), ("rawvideo", ".mkv"), ("prores_ks", ".mov")]
RESULTS += [
    ("libx264rgb", ".mp4"),
    ("mpeg4", ".mp4"),
    ("mpeg4", ".avi"),
    ("mjpeg", ".mov"),
    ("ffv1", ".avi"),
    ("utvideo", ".avi"),
]


@pytest.mark.parametrize("matrix", [1, 8])
@pytest.mark.parametrize(("codec", "ending"), RESULTS)
def test_colours_mean_the_same_in_every_codec_and_container_or_that_is_told(tmp_path, codec, ending, matrix):
    tags = {"colorspace": matrix, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    source, out = make_clip(tmp_path / "a.mp4", 1, tags=tags, options={"qp": "1"}), tmp_path / f"b{ending}"
    settings = VideoSettings("off", codec=codec, crf=5 if codec.startswith("libvpx") else None)
    done = process(source, out, Identity(), settings)
    before, after = (next(frames(path)).pixels for path in (source, out))
    difference = np.abs(after / np.iinfo(after.dtype).max * 255 - before).mean()
    lost = f"avi cannot tell of this codec that its colours are {NAMES[matrix]}; tell the player"
    assert (difference > 2.5) == (lost in done.notes), (difference, done.notes)
    assert lost not in done.notes or (codec, ending) in (("ffv1", ".avi"), ("utvideo", ".avi"))


@pytest.mark.parametrize("rgb", [True, False])
def test_prores_has_the_colours_of_clips_of_full_range(tmp_path, rgb):
    codec, pixel_format = ("libx264rgb", "rgb24") if rgb else ("libx264", "yuv444p")
    tags = {} if rgb else {"color_range": 2, "colorspace": 1}
    source = make_clip(tmp_path / "a.mkv", 1, codec=codec, pixel_format=pixel_format, tags=tags, options={"qp": "1"})
    process(source, tmp_path / "b.mov", Identity(), VideoSettings("off", codec="prores_ks"))
    before, after = (next(frames(path)).pixels for path in (source, tmp_path / "b.mov"))
    assert np.abs(after / 257 - before).mean() < 1.5


@pytest.mark.parametrize("primaries", [2, 9])
def test_colours_that_nothing_here_converts_are_refused(tmp_path, primaries):
    icp = make_clip(tmp_path / "a.mp4", 1, tags={"colorspace": 14})
    derived = make_clip(tmp_path / "b.mp4", 1, tags={"colorspace": 12, "color_primaries": primaries})
    for opened in (Clip, lambda path: Connection(str(path), StreamSettings())):
        with pytest.raises(PhotoError, match="a.mp4: its colours are coded by ICtCp, which derain does not read"):
            opened(icp)
        if primaries != 2:
            opened(derived).container.close()
            continue
        with pytest.raises(PhotoError, match="b.mp4: its colours are coded by a matrix of their own primaries"):
            opened(derived)


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
