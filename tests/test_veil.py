"""What a rain layer holds between its streaks."""

import cv2
import numpy as np
import pytest
import torch

from derain.models.contract import Derainer
from derain.rain.render import Kind, render
from derain.restoring.frames import FrameRestorer
from derain.restoring.giving_back import keep_rain
from derain.restoring.layers import Layers
from derain.restoring.on_device import backgrounds_on_device, layers_on_device
from derain.restoring.restorer import Restorer
from derain.training.discovery import find_rain

SIDE = 320
DENSE = Kind(slant=0, oblique=0, length=(20, 30), width=(0.6, 0.8), strength=(0.3, 0.4), curtains=0, cover=(0.1, 0.1))
VEIL = 8  # grey levels


def falling(side=SIDE):
    """``(H, W, 3)`` dense streaks with nothing between them, in grey levels."""
    heights = np.rint(150 * render(np.random.default_rng(0), side, DENSE)).astype(np.uint8)
    return cv2.merge([heights] * 3)


def kept(rain, brightness=90):
    layers = Layers(np.full_like(rain, brightness), rain.copy())
    photo = layers.background + layers.rain
    keep_rain(photo, layers)
    assert np.array_equal(layers.background + layers.rain, photo)
    return layers.rain


@pytest.mark.parametrize("scale", [1, 257], ids=["8 bits", "16 bits"])
def test_an_even_veil_between_streaks_is_given_back_for_the_most_part(scale):
    streaks = falling().astype(np.uint8 if scale == 1 else np.uint16) * scale
    without = kept(streaks, 90 * scale).astype(float)
    with_veil = kept(streaks + streaks.dtype.type(VEIL * scale), 90 * scale).astype(float)
    left = (with_veil - without) / scale
    assert left.mean() < 0.4 * VEIL and left.std() < 1


def test_streaks_with_nothing_between_them_are_left_alone():
    assert kept(falling()).sum() > 0.95 * falling().sum()


def test_a_wide_streak_has_no_veil():
    rain = np.zeros((SIDE, SIDE, 3), np.uint8)
    rain[40:280, 150:170] = 60
    assert kept(rain)[60:260, 152:168].mean() > 55


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (7, 5)])
def test_a_photo_of_few_pixels_keeps_its_layers_together(shape):
    rain = np.full((*shape, 3), 30, np.uint8)
    assert kept(rain).max() <= 30


class Veiled(Derainer):
    """Finds all that is brighter than black, and a veil that is not there."""

    halo, reductions = 0, ()

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def layers(self, rainy):
        rain = (rainy - 0.2 + VEIL / 255).clamp(min=0)
        return rainy - rain, rain


def test_photos_frames_and_pictures_on_a_device_lose_the_veil_alike():
    photo = falling() + np.uint8(51)
    there = Restorer(Veiled(), "float32")
    background = there.layers(photo).background
    assert 51 - 0.4 * VEIL < np.median(background) <= 51
    for other in (
        FrameRestorer(there).background(photo),
        layers_on_device(there, photo)[0],
        *backgrounds_on_device(there, [photo, photo]),
    ):
        assert np.abs(other.astype(int) - background).max() <= 1


def test_the_rain_that_training_discovers_has_no_veil():
    rainy = (falling() + np.float32(51)) / np.float32(255)
    found = find_rain(Restorer(Veiled(), "float32"), rainy)
    assert np.percentile(found.whole, 20) < 0.1 * VEIL / 255


class Painted(Veiled):
    """Paints a background of its own, brighter than the photo here and there."""

    only_removes = False

    def layers(self, rainy):
        background = 0.5 + 0.4 * torch.sin(30 * rainy)
        return background, rainy - background


def test_nothing_is_given_back_to_a_background_that_was_painted():
    photo = falling() + np.uint8(51)
    there = Restorer(Painted(), "float32")
    painted = there.layers_at_own_scale(photo).background
    assert (painted > photo).mean() > 0.1
    for background in (
        there.layers(photo).background,
        FrameRestorer(there).background(photo),
        layers_on_device(there, photo)[0],
        *backgrounds_on_device(there, [photo, photo]),
    ):
        assert np.abs(background.astype(int) - painted).max() <= 1
