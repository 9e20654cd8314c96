"""Time finds rain: of a fixed camera, what is there in one frame and not in those around it."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from derain.evaluation.self_test import draw_scene
from derain.rain.by_time import WINDOW, Moment, median, moment
from derain.rain.render import Kind, render

SIZE = 160
STREAKS = Kind(
    slant=5, oblique=0, length=(12, 25), width=(0.6, 1.2), strength=(0.2, 0.4), curtains=0, cover=(0.01, 0.02)
)
COLOUR = (1.0, 0.8, 0.5)  # of a lamp
MIDDLE = WINDOW // 2
Scene = Callable[[int], np.ndarray]


def filmed(scene: Scene, colour: tuple[float, ...] = (1.0, 1.0, 1.0)) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of a scene in the rain, with a camera's noise, and the rain of the middle one."""
    rng = np.random.default_rng(1)
    rain = [render(rng, SIZE, STREAKS)[..., None] * np.float32(colour) for _ in range(WINDOW)]
    noise = rng.normal(0, 0.004, (WINDOW, SIZE, SIZE, 1))
    frames = [np.clip(scene(n) + rain[n] + noise[n], 0, 1) for n in range(WINDOW)]
    return [(frame * 255 + 0.5).astype(np.uint8) for frame in frames], rain[MIDDLE]


def backdrop(seed: int = 0, size: int = SIZE) -> np.ndarray:
    return 0.6 * draw_scene(np.random.default_rng(seed), size)


def found(frames: list[np.ndarray]) -> Moment:
    result = moment(frames)
    assert result is not None
    return result


def test_the_median_of_any_number_of_frames_is_that_of_their_pixels():
    frames = list(np.random.default_rng(0).integers(0, 256, (8, 5, 7, 3), dtype=np.uint8))
    for count in (1, 5, 8):
        assert np.array_equal(median(frames[:count]), np.median(frames[:count], axis=0).astype(np.float32))


def test_rain_is_found_as_high_and_as_coloured_as_it_is():
    still = backdrop()
    frames, rain = filmed(lambda n: still, COLOUR)
    result = found(frames)
    seen = rain[..., 0] > 0.1
    assert result.rain[seen].mean(axis=0) == pytest.approx(rain[seen].mean(axis=0), rel=0.15)
    assert result.rain[rain[..., 0] < 0.005].mean() < 0.002
    assert result.trust.mean() > 0.95 and (result.rain >= 0).all() and (255 * result.rain <= result.rainy).all()


@pytest.mark.parametrize("bright", [True, False])
def test_what_moves_in_the_scene_is_left_out(bright):
    still, thing = backdrop(), cv2.resize(backdrop(3), (26, 26))
    thing = 0.2 + thing / 2 if bright else thing / 4

    def scene(n: int) -> np.ndarray:
        picture = still.copy()
        picture[60:86, 30 + 8 * n : 56 + 8 * n] = thing
        return picture

    result = found(filmed(scene)[0])
    passed = (slice(62, 84), slice(30 + 8 * MIDDLE, 56 + 8 * MIDDLE))
    assert result.trust[passed].mean() < 0.3 and result.rain[passed].mean() < 0.01
    away = np.r_[0:36, 110:SIZE]
    assert result.trust[away].mean() > 0.95


def test_something_large_that_shows_in_one_frame_is_no_rain():
    still = backdrop()

    def scene(n: int) -> np.ndarray:
        picture = still.copy()
        if n == MIDDLE:
            picture[50:90, 50:90] += 0.3
        return picture

    result = found(filmed(scene)[0])
    assert result.trust[55:85, 55:85].mean() < 0.1 and result.rain[55:85, 55:85].mean() < 0.01


def test_a_change_of_light_is_no_rain():
    still = backdrop()
    frames, rain = filmed(lambda n: still * (1.1 if n == MIDDLE else 1.0))
    result = found(frames)
    assert result.rain[rain[..., 0] < 0.005].mean() < 0.004
    assert result.trust.mean() > 0.8


@pytest.mark.parametrize("pace", [2, 11, 30])
def test_a_camera_that_pans_gives_nothing(pace):
    wide = backdrop(size=SIZE + pace * WINDOW)
    assert moment(filmed(lambda n: wide[:SIZE, pace * n : pace * n + SIZE])[0]) is None
