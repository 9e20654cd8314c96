"""What was found but looks unlike the rest of a photo's rain."""

import cv2
import numpy as np
import pytest
import torch

from derain.models.contract import Derainer
from derain.rain.render import Kind, render
from derain.restoring import alike
from derain.restoring.alike import WHOLE, compared_size, shares_of_rain
from derain.restoring.restorer import Restorer

SIDE = 320
STEADY = Kind(slant=0, oblique=0, length=(20, 30), width=(0.6, 0.8), strength=(0.3, 0.4), curtains=1)


def falling(seed=0, side=SIDE):
    """Heights of dense streaks that fall straight down, in grey levels."""
    return 255 * render(np.random.default_rng(seed), side, STEADY)


def shares(heights, brightness=255):
    found = shares_of_rain(torch.from_numpy(heights.astype(np.float32)), torch.full(heights.shape, float(brightness)))
    return None if found is None else found.numpy() / WHOLE


def leaning_stick():
    stick = np.zeros((SIDE, SIDE), np.float32)
    cv2.line(stick, (150, 60), (230, 140), 120.0, 3, cv2.LINE_AA)
    return stick


def test_rain_that_is_alike_everywhere_is_left_alone():
    heights = falling()
    assert (shares(heights) * heights).sum() > 0.93 * heights.sum()


def test_a_stick_among_streaks_that_fall_another_way_is_given_back():
    rain, stick = falling(), leaning_stick()
    share, where = shares(rain + stick), stick > 60
    assert share[where].mean() < 0.6
    far = np.ones_like(where)
    far[20:180, 110:270] = False
    assert (share * rain)[far].sum() > 0.93 * rain[far].sum()


def test_grain_that_was_taken_with_the_rain_is_given_back_for_the_most_part():
    rain, grain = falling(), np.zeros((SIDE, SIDE), np.float32)
    noise = np.random.default_rng(1).standard_normal((128, 128)).astype(np.float32)
    grain[96:224, 96:224] = np.maximum(cv2.GaussianBlur(noise, (0, 0), 1.2), 0) * 120
    found = rain + grain
    kept = shares(found) * found
    assert np.square(kept - rain).mean() < 0.6 * np.square(found - rain).mean()


def test_before_black_all_that_is_bright_is_rain_whatever_it_looks_like():
    stick = leaning_stick()
    found = falling() + stick
    given_back = (1 - shares(found, brightness=4)) * found
    assert given_back.max() < 4.01 and (1 - shares(found))[stick > 60].mean() > 0.4


def test_a_photo_of_a_pixels_width_is_not_compared():
    assert compared_size(20_000_000, 1) == (1, 20_000_000) and compared_size(4000, 6000) == (1500, 1000)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (129, 417), (200, 128)])
def test_shares_are_the_same_however_many_windows_are_taken_at_once(shape, monkeypatch):
    heights = falling(side=420)[: shape[0], : shape[1]]
    at_once = shares(heights)
    monkeypatch.setitem(alike.MOST_WINDOWS, "cpu", 1)
    assert at_once.shape == shape and at_once.max() <= 1
    assert np.abs((shares(heights) - at_once) * heights).max() < 0.01


@pytest.mark.parametrize("heights", [np.zeros((SIDE, SIDE)), falling(side=100)], ids=["no rain", "a small photo"])
def test_where_there_is_little_to_compare_all_is_left(heights):
    assert shares(heights) is None


class TakesRainAndStick(Derainer):
    """Knows the rain of its photo, and takes a stick for rain."""

    halo = 0

    def __init__(self, found):
        super().__init__()
        self.found = torch.nn.Parameter(torch.from_numpy(found.astype(np.float32) / 255), requires_grad=False)

    def layers(self, rainy):
        rain = torch.minimum(self.found.expand_as(rainy), rainy)
        return rainy - rain, rain


@pytest.mark.parametrize("most", [1e7, SIDE * SIDE / 2], ids=["as it is", "reduced"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_photo_gets_back_what_is_no_rain(depth, most, monkeypatch):
    monkeypatch.setattr(alike, "MOST_COMPARED", most)
    rain, stick = falling(), leaning_stick()
    scale = np.iinfo(depth).max / 255
    rainy = ((60 + stick + np.minimum(rain, 70)) * scale)[..., None].repeat(3, 2).round().astype(depth)
    found = Restorer(TakesRainAndStick(np.minimum(rain, 70) + stick), "float32").layers(rainy)
    given_back = (found.background.astype(float) / scale - 60)[stick > 60].sum() / stick[stick > 60].sum()
    assert given_back > 0.35  # of the stick, of which the network leaves nothing
    assert found.background.dtype == depth and (found.background + found.rain == rainy).all()
