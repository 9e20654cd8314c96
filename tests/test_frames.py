"""Frames of a clip through the network: what comes out is what a photo's way gives, and nothing is left behind."""

import gc

import av
import numpy as np
import pytest
import torch

import derain
from derain.errors import PhotoError
from derain.models.contract import Derainer
from derain.restoring import restorer
from derain.restoring.frames import FrameRestorer
from derain.restoring.restorer import Restorer
from derain.video import frames


class BelowBright(Derainer):
    """Takes light from what is brighter than nine tenths."""

    halo = 0

    def __init__(self, reductions=()) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.reductions = reductions

    def layers(self, rainy):
        rain = torch.relu(rainy - 0.9) * 0.7
        return rainy - rain, rain


def noise(rng, size, dtype, most):
    return rng.integers(0, int(np.iinfo(dtype).max * most), (*size, 3), dtype=dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (37, 53), (230, 640)])
def test_a_frame_becomes_what_a_photo_becomes(rng, dtype, size):
    frame = noise(rng, size, dtype, 1)
    of_frame, of_photo = FrameRestorer(Restorer(BelowBright())), Restorer(BelowBright())
    for given in (frame, np.rot90(frame), frame):  # what was kept of others changes nothing
        assert np.array_equal(of_frame.background(given), of_photo.layers(given).background)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_frame_without_rain_comes_back_itself(rng, dtype):
    frame = noise(rng, (230, 640), dtype, 0.89)
    through = FrameRestorer(Restorer(BelowBright()))
    for given in (frame, np.rot90(frame)):
        assert through.background(given) is given
    frame[-1, -1, -1] = np.iinfo(dtype).max
    assert through.background(frame)[-1, -1, -1] < frame[-1, -1, -1]


@pytest.mark.parametrize("brightness, is_rainy", [(0.9025, False), (0.91, True)])
def test_rain_below_half_a_level_of_8_bits_is_none_in_16_bits(brightness, is_rainy):
    photo = np.full((40, 50, 3), 60_000, np.uint16) - 3000
    photo[10:30] = round(brightness * 65_535)
    restorer = Restorer(BelowBright())
    found, frame = restorer.layers(photo), FrameRestorer(restorer).background(photo)
    assert found.rain.any() == is_rainy == (frame is not photo) == (not np.array_equal(found.background, photo))


def test_rain_that_only_the_reduced_frame_shows_is_taken_from_it_and_not_from_the_frame(rng, monkeypatch):
    class WideRainOnly(BelowBright):
        def layers(self, rainy):
            return super().layers(rainy) if rainy.shape[-1] < 600 else (rainy, rainy * 0)

    monkeypatch.setattr(restorer, "is_evident", lambda found, before: True)
    frame = np.repeat(np.repeat(noise(rng, (405, 405), np.uint8, 1), 2, 0), 2, 1)
    given, through = frame.copy(), Restorer(WideRainOnly((2,)))
    background = FrameRestorer(through).background(frame)
    assert np.array_equal(background, through.layers(given).background)
    assert np.array_equal(frame, given) and not np.array_equal(background, given)


def test_a_frame_that_does_not_fit_whole_is_done_in_tiles(rng, small_weights):
    frame, model = noise(rng, (160, 160), np.uint8, 1), derain.load(small_weights)
    found = Restorer(model, "float32", tile=64)
    assert np.array_equal(FrameRestorer(found).background(frame), found.layers(frame).background)


def test_what_is_not_finite_ends_in_a_sentence(rng):
    class Broken(BelowBright):
        def layers(self, rainy):
            return rainy.masked_fill(rainy > 0.8, torch.nan), rainy

    with pytest.raises(PhotoError, match="not finite"):
        FrameRestorer(Restorer(Broken())).background(noise(rng, (37, 53), np.uint8, 1))


def test_frames_leave_the_memory_as_soon_as_nobody_holds_them(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            clip.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        clip.mux(stream.encode())
    gc.collect()
    gc.disable()  # which would find them some time, but a frame of 4K takes 40 MB until then
    try:
        count = sum(1 for _ in frames(path))
        left = sum(type(each) is av.VideoFrame for each in gc.get_objects())
    finally:
        gc.enable()
    assert count == 5 and left == 0
