"""Large photos: streaks wider than those of training."""

import cv2
import numpy as np
import pytest
import torch

import derain
from derain.models.contract import Derainer
from derain.rain.render import FINE_RAIN, render
from derain.restoring import confirming, restorer, scales
from derain.restoring.frames import FrameRestorer
from derain.restoring.giving_back import keep_rain
from derain.restoring.on_device import backgrounds_on_device, layers_on_device
from derain.restoring.restorer import Restorer
from derain.restoring.scales import is_evident
from derain.restoring.tiling import windows_around

SIDE = 300
LARGE = 6  # times as large: looked at reduced by 2 and by 4


@pytest.fixture
def scene(rng):
    """A photo without rain, and the same in the rain."""
    coarse = rng.integers(40, 150, (6, 6, 3), dtype=np.uint8)
    clean = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    layer = sum(render(np.random.default_rng(seed), SIDE, FINE_RAIN) for seed in range(3))
    return clean, np.clip(clean + 255 * layer[..., None], 0, 255).astype(np.uint8)


def larger(photo, factor):
    return cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def error(photo, clean):
    return float(((photo.astype(float) - clean) ** 2).mean())


@pytest.mark.parametrize("depth, least", [(np.uint8, 0), (np.uint16, confirming.LEAST_CONFIRMED)])
def test_wide_streaks_of_a_large_photo_are_found_in_the_reduced_one(scene, depth, least, monkeypatch):
    monkeypatch.setattr(confirming, "LEAST_CONFIRMED", least)
    monkeypatch.setattr(scales, "LEAST_SHORT_SIDE", 300)
    look, own = Restorer.layers_at_own_scale, []

    def noted(*seen):
        found = look(*seen)
        own.append(found.background.copy())
        return found

    monkeypatch.setattr(Restorer, "layers_at_own_scale", noted)
    clean, rainy = (
        larger(photo[:140, :140], 9).astype(depth) * depth(1 if depth is np.uint8 else 257) for photo in scene
    )
    background, rain = derain.restore(derain.load(), rainy)
    at_its_own_scale = next(found for found in own if found.shape == rainy.shape)
    assert error(background, clean) < 0.5 * error(at_its_own_scale, clean)
    assert np.array_equal(background + rain, rainy) and background.dtype == depth


def test_a_photo_that_was_turned_upright_is_as_one_that_stands(scene, small_weights, monkeypatch):
    monkeypatch.setattr(restorer, "is_evident", lambda found, before: True)
    model, rainy = derain.load(small_weights), larger(scene[1], 3)
    view = np.rot90(np.ascontiguousarray(np.rot90(rainy, -1)))
    assert all(np.array_equal(*pair) for pair in zip(derain.restore(model, view), derain.restore(model, rainy)))


def test_large_photos_without_rain_and_small_ones_are_as_at_their_own_scale(scene):
    model = derain.load()
    for photo in (larger(scene[0], 3), scene[1]):
        at_its_own_scale = Restorer(model, "float32").layers_at_own_scale(photo)
        keep_rain(photo, at_its_own_scale)
        assert np.array_equal(derain.restore(model, photo)[0], at_its_own_scale.background)


def test_remains_of_rain_are_no_rain_of_another_scale(scene):
    clean, rainy = scene
    rain = rainy - clean
    assert is_evident(rain, np.zeros_like(rain)) and is_evident(rain, rain)
    assert not is_evident(rain // 4, rain) and not is_evident(np.zeros_like(rain), rain)


def test_a_network_without_reductions_sees_the_photo_once(scene):
    class Counting(Derainer):
        seen: list[tuple[int, ...]] = []

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def layers(self, rainy):
            self.seen.append(tuple(rainy.shape[-2:]))
            return rainy, torch.zeros_like(rainy)

    derain.restore(Counting(), larger(scene[0], 3))
    assert Counting.seen == [(3 * SIDE, 3 * SIDE)]


class Lamps(Derainer):
    """Takes what is bright for rain, in pictures that are not as large as the whole photo."""

    halo, reductions = 0, (4,)

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), list[int]()

    def layers(self, rainy):
        self.seen.append(rainy.shape[-1])
        rain = (rainy - 0.25).clamp(min=0) * (max(rainy.shape[-2:]) < LARGE * SIDE)
        return rainy - rain, rain


@pytest.mark.parametrize("rains", [True, False])
def test_a_glimpse_at_a_large_photo_tells_whether_it_is_worth_a_look(scene, monkeypatch, rains):
    photo = larger(scene[int(rains)], LARGE)
    whole, glimpsed = Lamps(), Lamps()
    monkeypatch.setattr(confirming, "LEAST_CONFIRMED", np.inf)
    monkeypatch.setattr(scales, "WORTH_A_GLIMPSE", 1e9)
    expected = derain.restore(whole, photo)
    monkeypatch.setattr(scales, "WORTH_A_GLIMPSE", 0)
    assert all(np.array_equal(*pair) for pair in zip(derain.restore(glimpsed, photo), expected))
    reduced = LARGE * SIDE // 4
    assert reduced in whole.seen and (reduced in glimpsed.seen) == rains and len(glimpsed.seen) >= 10


class Grass(Derainer):
    """Takes what is brighter than what is around it for rain, in the whole photo alone or in any picture."""

    halo, reductions = 0, (2,)

    def __init__(self, anywhere=False):
        super().__init__()
        self.weight, self.anywhere, self.seen = torch.nn.Parameter(torch.zeros(1)), anywhere, list[int]()

    def layers(self, rainy):
        self.seen.append(rainy.shape[-2] * rainy.shape[-1])
        around = rainy
        for size, margin in (((31, 1), (15, 0)), ((1, 31), (0, 15))):
            around = torch.nn.functional.avg_pool2d(around, size, 1, margin, count_include_pad=False)
        rain = (rainy - around).clamp(min=0) * (self.anywhere or max(rainy.shape[-2:]) > 2 * SIDE)
        return rainy - rain, rain


@pytest.fixture
def large(scene, monkeypatch):
    monkeypatch.setattr(confirming, "LEAST_CONFIRMED", 0)
    return larger(scene[1][:200, :200], 4)


def backgrounds(model, photo):
    """By all ways that a photo or frame may take."""
    there = Restorer(model, "float32")
    yield there.layers(photo).background
    yield FrameRestorer(there).background(photo)
    yield layers_on_device(there, photo)[0]
    yield from backgrounds_on_device(there, [photo, photo])


def test_what_looks_like_rain_in_a_large_photo_but_not_in_the_reduced_one_is_given_back(large):
    for background in backgrounds(Grass(), large):
        assert np.abs(background.astype(int) - large).max() <= 1


def test_what_does_in_both_is_taken_from_the_large_photo(large):
    taken = large - Restorer(Grass(anywhere=True), "float32").layers_at_own_scale(large).background
    for background in backgrounds(Grass(anywhere=True), large):
        assert (large - background)[taken > 20].sum(dtype=int) > 0.8 * taken[taken > 20].sum(dtype=int)


def test_a_small_photo_keeps_what_only_its_own_scale_shows(scene):
    photo = larger(scene[1][:200, :200], 4)
    taken = photo - Restorer(Grass(), "float32").layers_at_own_scale(photo).background
    for background in backgrounds(Grass(), photo):
        assert (photo - background).sum(dtype=int) > 0.8 * taken.sum(dtype=int)


@pytest.mark.parametrize("corners", [(), (0,), (0, 3), (1, 2)])
def test_of_a_large_photo_the_network_sees_only_where_the_reduced_one_shows_rain(scene, monkeypatch, corners):
    monkeypatch.setattr(confirming, "LEAST_CONFIRMED", 0)
    photo = np.full((4 * SIDE, 4 * SIDE, 3), 90, np.uint8)
    for corner in corners:
        down, right = (3 * SIDE * each for each in divmod(corner, 2))
        photo[down : down + SIDE, right : right + SIDE] = scene[1]
    model, all_of_it = Grass(anywhere=True), Grass(anywhere=True)
    found = Restorer(model, "float32").layers(photo)
    assert sum(model.seen) < (0.27 + 0.2 * len(corners)) * 16 * SIDE**2
    monkeypatch.setattr(confirming, "SEEN", -1)
    expected = Restorer(all_of_it, "float32").layers(photo)
    assert max(all_of_it.seen) == 16 * SIDE**2
    assert np.array_equal(found.background, expected.background) and np.array_equal(found.rain, expected.rain)
    assert bool(corners) == found.rain.any()


def test_windows_hold_all_marked_squares_and_what_the_network_sees_around_them(rng):
    model = Grass()
    model.halo, model.multiple = 32, 16
    for _ in range(30):
        squares = rng.random((17, 40)) < 10 ** rng.uniform(-3, -0.5)
        held, seen = np.zeros((2, 17 * 36 + 5, 40 * 36), int)
        for inner, outer in windows_around(squares, *held.shape, model):
            held[inner] += 1
            seen[outer] += 1
            assert all(each.start % 16 == 0 for each in outer)
            padded = cv2.dilate((held > 0).astype(np.uint8), np.ones((65, 65), np.uint8)).astype(bool)
            assert (seen[padded] > 0).all()
        marked = cv2.resize(squares.astype(np.uint8), held.shape[::-1], interpolation=cv2.INTER_NEAREST)
        assert held.max(initial=0) <= 1 and (held[marked > 0] == 1).all()
        assert (held.sum() > 0) == squares.any()
