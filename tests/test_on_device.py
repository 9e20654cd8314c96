"""The way through a GPU, on the CPU's tensors: the layers are those of the way through arrays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from derain.photos import read_photo
from derain.rain.render import line_kernel
from derain.restoring import alike, devices, scales
from derain.restoring.evidence import mean_height
from derain.restoring.frames import FrameRestorer
from derain.restoring.int8 import is_exact
from derain.restoring.on_device import backgrounds_on_device, layers_on_device, most_at_once
from derain.restoring.resizing import enlarged, reduced
from derain.restoring.restorer import Restorer
from derain.weights import load
from tests.test_models import REPOSITORY
from tests.test_restoring import Halving
from tests.test_scales import LARGE, Lamps, scene  # noqa: F401


def apart(*arrays: np.ndarray) -> int:
    first, second = (array.astype(int) for array in arrays)
    return int(np.abs(first - second).max())


@pytest.mark.parametrize("depth, white", [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("size", [(100, 240), (101, 243), (177, 95)])
def test_photos_are_resized_as_opencv_does_it(rng, depth, white, size):
    photo = rng.integers(0, white + 1, (*size, 3)).astype(depth)
    tensor = torch.from_numpy(photo.astype(np.uint8 if white == 255 else np.int32))
    for factor in (2, 4, 8):
        width, height = size[1] // factor, size[0] // factor
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        found = reduced(tensor, width, height).numpy()
        assert apart(found, small) <= 1 and (found != small).mean() < 0.01
        part, whole = photo[:height, :width], (size[1], size[0])
        assert apart(enlarged(tensor[:height, :width], *whole).numpy(), cv2.resize(part, whole, interpolation=2)) <= 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile, compared", [(0, 1e7), (64, 40_000)])
def test_a_photo_has_the_layers_that_it_has_on_the_cpu(depth, tile, compared, finds_streaks, monkeypatch):
    monkeypatch.setattr(alike, "MOST_COMPARED", compared)
    photo = read_photo(REPOSITORY / "examples" / "rainy.jpg")[:260, :300].astype(depth) * depth(
        1 if depth is np.uint8 else 257
    )
    restorer = Restorer(load(finds_streaks / "derain.safetensors"), "float32", tile)
    found, expected = layers_on_device(restorer, photo), restorer.layers(photo)
    assert expected.rain.any()
    for layer, wanted in zip(found, (expected.background, expected.rain)):
        assert layer.dtype == depth and apart(layer, wanted) <= max(photo.max() // 255, 1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_callers_autocast_plays_no_part(precision):
    if precision == "int8" and not is_exact():
        pytest.skip("this processor has no int8")
    photo, model = read_photo(REPOSITORY / "examples" / "rainy.jpg")[:260, :300], load("derain")

    def everything():
        own = Restorer(model, precision)
        found = own.layers(photo)
        there = [*layers_on_device(own, photo), *backgrounds_on_device(own, [photo, photo])]
        return [found.background, found.rain, FrameRestorer(own).background(photo), *there]

    expected = everything()
    assert expected[1].any()
    with torch.autocast("cpu", torch.float16):
        assert all(map(np.array_equal, everything(), expected))


@pytest.mark.parametrize("worth", [0, 1e9], ids=["glimpses", "no glimpses"])
def test_wide_streaks_are_found_as_on_the_cpu(scene, monkeypatch, worth):  # noqa: F811
    monkeypatch.setattr(scales, "WORTH_A_GLIMPSE", worth)
    photo, restorer = (
        cv2.resize(scene[1], None, fx=LARGE, fy=LARGE, interpolation=cv2.INTER_CUBIC),
        Restorer(Lamps(), "float32"),
    )
    found, expected = layers_on_device(restorer, photo), restorer.layers(photo)
    assert expected.rain.any() and apart(found[0], expected.background) <= 1
    assert np.array_equal(found[0] + found[1], photo)


def test_photos_in_one_pass_have_the_backgrounds_that_each_has_alone(scene):  # noqa: F811
    """One with wide streaks among others, whose layers stay as they are."""
    size, restorer = (LARGE * scene[0].shape[1], LARGE * scene[0].shape[0]), Restorer(Lamps(), "float32")
    photos = [
        cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in (scene[0], scene[1], scene[0] // 2)
    ]
    together = backgrounds_on_device(restorer, photos)
    for photo, background in zip(photos, together, strict=True):
        assert apart(background, layers_on_device(restorer, photo)[0]) <= 1
    assert not np.array_equal(together[1], photos[1])


def test_only_photos_that_fit_in_are_taken_together(monkeypatch):
    restorer = Restorer(load(), "float32")
    monkeypatch.setattr(devices, "free_memory", lambda device: 4e9)
    assert most_at_once(restorer, np.zeros((48, 64, 3), np.uint8)) == 8
    assert most_at_once(restorer, np.zeros((1080, 1920, 3), np.uint8)) == 1
    monkeypatch.setattr(devices, "free_memory", lambda device: 80e9)
    assert most_at_once(restorer, np.zeros((1080, 1920, 3), np.uint8)) == 8
    assert most_at_once(restorer, np.zeros((2160, 3840, 3), np.uint8)) == 2
    assert most_at_once(replace(restorer, tile=64), np.zeros((48, 64, 3), np.uint8)) == 1


def test_a_tile_that_runs_out_of_memory_is_halved_there_too(rng):
    photo, model = rng.integers(0, 256, (180, 240, 3), dtype=np.uint8), Halving(most=130)
    background, rain = layers_on_device(Restorer(model, tile=0), photo)
    assert model.seen[:2] == [240, 120] and np.array_equal(background + rain, photo)


def test_streaks_are_told_from_the_rest_as_on_the_cpu(rng):
    """Parts with streaks, with blobs and with noise."""
    parts = [
        cv2.filter2D((rng.random((128, 128)) < 0.01).astype(np.float32), -1, line_kernel(15, 30, 0.8)),
        cv2.GaussianBlur((rng.random((128, 128)) < 0.01).astype(np.float32), (0, 0), 3),
        rng.random((128, 128)).astype(np.float32),
    ]
    layers = [np.repeat((200 * part / part.max()).astype(np.uint8)[..., None], 3, axis=2) for part in parts]
    for layer in layers:
        there = mean_height(torch.from_numpy(layer)[None].float() / 255)
        assert float(there) == pytest.approx(scales.mean_height([layer]), rel=1e-3, abs=1e-6)
    all_there = mean_height(torch.from_numpy(np.stack(layers)).float() / 255)
    assert float(all_there) == pytest.approx(scales.mean_height(layers), rel=1e-3)


@pytest.mark.parametrize("size", [(1500, 2000), (1517, 2013), (1843, 1399)])
def test_glimpses_hold_their_windows_whole(size):
    around = scales.glimpses(*size, grid=16)
    assert len(around) == 9
    for window, outer in around:
        for inner, sight, length in zip(window, outer, size):
            assert 0 <= sight.start <= inner.start and inner.stop <= sight.stop <= length
            assert sight.start % 16 == 0 and inner.stop - inner.start == 128 and sight.stop - sight.start == 352
