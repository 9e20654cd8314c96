"""Rendered rain is rain, and cleaning keeps rain and drops what is not."""

import cv2
import numpy as np
import pytest

from derain.rain.clean import clean_rain, complete_rain, dominant_direction, weigh_by_texture
from derain.rain.compose import add, compose, cover, fade, measured_fading, screen, unfaded
from derain.rain.likeness import Likeness, likeness, more_like
from derain.rain.render import (
    ANY_RAIN,
    DEFOCUSED_RAIN,
    FAR_RAIN,
    FINE_RAIN,
    HEAVY_RAIN,
    OPAQUE_RAIN,
    SHORT_RAIN,
    bar_kernel,
    line_kernel,
    render,
    streaks,
)
from derain.rain.scene import lit, night, overcast, photographed
from derain.rain.things import THINGS, with_things


@pytest.mark.parametrize("kind", [ANY_RAIN, FINE_RAIN, FAR_RAIN, HEAVY_RAIN, SHORT_RAIN, DEFOCUSED_RAIN, OPAQUE_RAIN])
def test_rendered_layers_are_heights(rng, kind):
    layers = [render(rng, 96, kind) for _ in range(20)]
    assert all(layer.shape == (96, 96) and layer.dtype == np.float32 for layer in layers)
    assert all(layer.min() >= 0 and layer.max() <= 1 for layer in layers)
    assert np.mean([layer.max() > 0.05 for layer in layers]) > 0.7


def test_rain_brightens_what_is_darker_than_the_sky(rng):
    background = np.full((64, 64, 3), 0.3, np.float32)
    for _ in range(20):
        rainy = compose(rng, background, render(rng, 64))
        assert rainy.shape == background.shape and rainy.max() <= 1
        assert rainy.min() >= 0.299


def test_drops_before_a_bright_sky_are_dark(rng):
    sky, rain = np.full((64, 64, 3), 0.95, np.float32), render(rng, 64)[..., None]
    rainy = cover(sky, rain, light=0.7)
    assert (rainy[rain[..., 0] > 0.1] < 0.93).all() and (rainy[rain[..., 0] == 0] == sky[0, 0]).all()


def test_fading_is_adding_screening_or_covering(rng):
    background, rain = rng.random((64, 64, 3), np.float32), 0.5 * render(rng, 64)[..., None]
    for fading, rule in ((0, add), (1, screen), (1 / 0.85, lambda b, r: cover(b, r / 0.85, light=0.85))):
        np.testing.assert_allclose(fade(background, rain, fading), rule(background, rain), atol=1e-6)


@pytest.mark.parametrize("fading", [0.0, 0.5, 1.0])
def test_rain_tells_how_it_fades_over_bright_background(rng, fading):
    background = np.tile(np.linspace(0, 0.7, 256, dtype=np.float32), (256, 1))
    rain = np.minimum(sum(streaks(rng, 256, 20, 10, 0.8, (0.1, 0.2)) for _ in range(3)), 1) * 0.3
    height = fade(background, rain, fading) - background
    assert measured_fading(height, background) == pytest.approx(fading, abs=0.15)
    np.testing.assert_allclose(unfaded(height, background, fading), rain, atol=1e-5)
    assert measured_fading(height, np.full_like(background, 0.4)) == 0


def test_a_dull_day_takes_colour_and_contrast_and_nothing_else(rng):
    photo = cv2.GaussianBlur(rng.random((64, 64, 3), np.float32), (0, 0), 2) * 2 - 0.5
    photo = photo.clip(0, 1)
    days = [overcast(rng, photo) for _ in range(20)]
    assert all(day.dtype == np.float32 and day.min() >= 0 and day.max() <= 1 for day in days)
    assert np.mean([day.std() for day in days]) < 0.8 * photo.std()
    assert np.mean([np.ptp(day, axis=2).mean() for day in days]) < 0.7 * np.ptp(photo, axis=2).mean()
    assert all(np.corrcoef(day.mean(axis=2).ravel(), photo.mean(axis=2).ravel())[0, 1] > 0.85 for day in days)


def test_the_camera_treats_truth_and_rainy_alike(rng):
    """Away from the rain, the rainy photo and its truth are the same after the lens, the sharpening and the noise."""
    truth = rng.random((64, 64, 3), np.float32)
    rainy = truth.copy()
    rainy[20:40, 30] = 1
    for _ in range(20):
        seen, seen_truth = photographed(rng, rainy, truth)
        assert (seen[:, :16] == seen_truth[:, :16]).all() and (seen[:, 46:] == seen_truth[:, 46:]).all()
        assert (seen - seen_truth)[22:38, 30].mean() > 0.05


@pytest.mark.parametrize("degrees", [-45, -15, 0, 30])
def test_dominant_direction_of_streaks(rng, degrees):
    found, certainty = dominant_direction(streaks(rng, 160, 30, degrees, 0.6))
    assert abs(found - degrees) <= 15
    assert certainty > 0.3


@pytest.mark.parametrize("length", [5, 13, 30])
@pytest.mark.parametrize("width", [0.5, 1.5])
def test_a_streak_lies_in_its_direction_and_has_its_size(length, width):
    for degrees in range(-75, 90, 5):
        kernel = line_kernel(length, degrees, width).astype(np.float64)
        half = kernel.shape[0] // 2
        down, right = np.mgrid[-half : half + 1, -half : half + 1]
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along, across = down * cos + right * sin, right * cos - down * sin
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        assert abs((kernel * along * across).sum()) < 0.01 * (kernel * along**2).sum()
        assert (kernel * across**2).sum() == pytest.approx(width**2 + 1 / 12, rel=0.15)
        assert (kernel * along**2).sum() == pytest.approx(length**2 / 12 + width**2 + 1 / 12, rel=0.15)


@pytest.mark.parametrize("length, width", [(40.0, 1.0), (40.0, 2.5), (12.0, 1.5)])
def test_a_drop_in_focus_is_as_bright_over_all_of_its_width(length, width):
    kernel = bar_kernel(length, 0, width)
    across = kernel[kernel.shape[0] // 2]
    assert across.sum() == pytest.approx(2 * width, rel=0.05) and kernel[
        :, kernel.shape[1] // 2
    ].sum() == pytest.approx(length, rel=0.05)
    inside = np.abs(np.arange(len(across)) - len(across) // 2) <= width - 0.9
    assert (across[inside] > 0.97).all() and kernel.max() <= 1


def test_by_night_only_lamps_are_bright_and_light_the_rain(rng):
    photo = np.full((96, 96, 3), 0.4, np.float32)
    photo[5:35, 5:35] = 1
    dark = night(rng, photo)
    assert dark[60:, 60:].mean() < 0.35 and dark[20, 20].mean() > 1.5 * dark[60:, 60:].mean()
    light = lit(dark)
    assert light.max() <= 1 + 1e-6 and light[20, 20] > 1.2 * light[80, 80] > 0


def test_noise_has_no_certain_direction(rng):
    assert dominant_direction(rng.random((160, 160), np.float32))[1] < 0.15


def test_cleaning_keeps_streaks_and_drops_colour_haze_and_blobs(rng):
    rain = cv2.filter2D((rng.random((160, 160)) < 0.004).astype(np.float32), -1, line_kernel(25, 0, 0.5) * 20)
    blob = np.zeros((160, 160), np.float32)
    cv2.rectangle(blob, (20, 60), (60, 64), 0.3, -1)  # a horizontal bar
    leak = np.zeros((160, 160, 3), np.float32)
    leak[100:140, 100:140, 0] = 0.4  # red
    layer, certainty = clean_rain(rain[..., None] + blob[..., None] + 0.2 + leak)
    assert certainty > 0.3
    assert layer.min() >= 0
    assert np.abs(layer - rain)[100:140, 100:140].mean() < 0.05  # the red square is gone
    assert layer[rain > 0.2].mean() > 0.5 * rain[rain > 0.2].mean()
    assert layer[(blob > 0) & (rain < 0.05)].mean() < 0.15  # the bar was 0.3 high


def test_completing_takes_the_rest_of_a_streak_and_nothing_else(rng):
    """Half of each streak was found: the other half goes too, a bright line without rain in it stays."""
    rain = cv2.filter2D((rng.random((160, 160)) < 0.002).astype(np.float32), -1, line_kernel(25, 0, 0.3) * 10)
    rain[:, 100:] = 0
    background = np.full((160, 160, 3), 0.3, np.float32)
    background[:, 130:132] = 0.7  # a cable
    found = np.repeat(0.67 * rain[..., None], 3, axis=2)
    completed = complete_rain(background + rain[..., None], found, clean_rain(found)[0])
    strong = rain > 0.1
    assert np.abs(completed - rain)[strong].mean() < 0.35 * np.abs(found[..., 0] - rain)[strong].mean()
    assert completed[:, 110:].max() == 0


def test_texture_keeps_what_flat_background_gives_up(rng):
    """Two fifths of everything that is brighter than its surroundings was found, streaks and leaves alike."""
    background = np.full((160, 160, 3), 0.3, np.float32)
    background[:, 80:] += 0.4 * cv2.resize(rng.random((80, 40), np.float32), (80, 160))[..., None]  # leaves
    rain = cv2.filter2D((rng.random((160, 160)) < 0.002).astype(np.float32), -1, line_kernel(25, 0, 0.3) * 6)
    rainy = background + rain[..., None]
    found = 0.4 * np.maximum(rainy - cv2.blur(rainy, (9, 9)), 0)
    taken = weigh_by_texture(rainy, found, clean_rain(found)[0], flat=0.007)
    strong = np.where(np.arange(160)[None] < 70, rain > 0.1, False)
    assert taken[strong].mean() > 2 * found.min(axis=2)[strong].mean()
    assert (taken - rain)[strong].max() < 0.02  # no streak is dug below what is around it
    assert taken[:, 90:].mean() < 0.8 * found[:, 90:].min(axis=2).mean()


@pytest.mark.parametrize(
    "rain", [Likeness(12, 24, 1.0, 0.003, 0.3), Likeness(-30, 14, 0.6, 0.005, 0.2), Likeness(2, 60, 2.4, 0.0004, 0.4)]
)
def test_rain_is_measured_and_rendered_alike(rain):
    layers = [more_like(np.random.default_rng(seed), 256, rain) for seed in range(8)]
    found = np.mean([likeness(layer) for layer in layers], axis=0)
    assert found[0] == pytest.approx(rain.degrees, abs=4)
    assert found[1:] == pytest.approx(rain[1:], rel=0.3)
    again = [more_like(np.random.default_rng(seed), 256, likeness(layer)) for seed, layer in enumerate(layers)]
    assert np.mean(again) == pytest.approx(np.mean(layers), rel=0.2)
    assert np.std(again) == pytest.approx(np.std(layers), rel=0.2)


@pytest.mark.parametrize("kind", range(len(THINGS)))
def test_things_that_are_no_rain_cover_a_part_of_a_photo(kind, rng):
    photo = np.full((96, 96, 3), 0.5, np.float32)
    changed = [np.abs(THINGS[kind][0](rng, photo) - photo).max(2) > 0.02 for _ in range(6)]
    assert 0 < np.mean(changed) < 0.8


def test_drawn_things_stay_within_the_range_of_photos(rng):
    for _ in range(12):
        seen = with_things(rng, rng.random((64, 64, 3), np.float32))
        assert seen.dtype == np.float32 and seen.min() >= 0 and seen.max() <= 1
