"""Streaks darker than a bright backdrop."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import derain
from derain import batch
from derain.models.contract import Derainer
from derain.photos import Photo
from derain.rain.render import line_kernel
from derain.restoring.dark_streaks import Compared
from derain.restoring.layers import Layers
from derain.restoring.restorer import Restorer

HEIGHT, WIDTH = 256, 384
HORIZON = 150  # px from the top
SKY, GROUND, DROP = 225, 60, 150  # grey levels


class Opens(Derainer):
    """Takes whatever is bright and less than 7 px wide for rain."""

    finds_dark_streaks = True
    halo = 16

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def layers(self, rainy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pool, sides = torch.nn.functional.max_pool2d, {"kernel_size": (1, 7), "stride": 1, "padding": (0, 3)}
        background = torch.minimum(pool(-pool(-rainy, **sides), **sides), rainy)
        return background, rainy - background


def scene(sky: int = SKY, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.float32]:
    """A sky over a dark ground, ``(H, W)``."""
    height, width = size
    picture = np.full((height, width), GROUND, np.float32)
    picture[: HORIZON * height // HEIGHT] = sky
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 6))


def streaks(rng: np.random.Generator, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.float32]:
    """How much of what is behind them upright streaks hide, ``(H, W)`` from 0 to 1."""
    kernel = line_kernel(24, 0, 0.8)
    fallen = (rng.random(size) < 0.004).astype(np.float32)
    return np.asarray(0.6 * cv2.filter2D(fallen, -1, kernel / kernel.max()).clip(0, 1), np.float32)


def photo_of(picture: NDArray[np.float32]) -> Photo:
    return np.repeat(np.rint(picture).astype(np.uint8)[..., None], 3, axis=2)


def in_rain(picture: NDArray[np.float32], cover: NDArray[np.float32], drop: float = DROP) -> Photo:
    return photo_of(picture + cover * (drop - picture))


def error(photo: Photo, truth: Photo, rows: slice = slice(None)) -> float:
    return float(np.square(photo[rows].astype(float) - truth[rows]).mean() ** 0.5)


@pytest.fixture(params=[Opens, derain.load], ids=["a toy", "the default network"])
def restorer(request: pytest.FixtureRequest) -> Restorer:
    return Restorer(request.param(), "float32")


def test_streaks_darker_than_the_sky_are_filled_and_brighter_ones_are_taken(restorer, rng):
    rainy, truth = in_rain(scene(), streaks(rng)), photo_of(scene())
    found, bright = restorer.layers(rainy), restorer.bright_layers(rainy)
    sky, ground = slice(0, HORIZON - 20), slice(HORIZON + 20, None)
    assert error(found.background, truth, sky) < 0.35 * error(rainy, truth, sky)
    assert error(found.background, truth, ground) < 0.5 * error(rainy, truth, ground)
    assert error(found.background, truth, sky) < 0.5 * error(bright.background, truth, sky)
    assert np.array_equal(found.rain, cv2.subtract(rainy, found.background))


def test_no_dark_streak_is_filled_where_rain_is_bright(restorer, rng):
    rainy = in_rain(scene(sky=150), streaks(rng), drop=235)
    assert np.array_equal(restorer.layers(rainy).background, restorer.bright_layers(rainy).background)


def test_what_is_dark_and_upright_before_the_sky_stays_in_the_dry():
    restorer = Restorer(derain.load(), "float32")
    picture = scene()
    picture[40:HORIZON, 20:-20:16] = 60  # railings
    picture[:HORIZON, 30:-30:40] -= 40
    railings = photo_of(picture)
    assert np.array_equal(restorer.layers(railings).background, restorer.bright_layers(railings).background)


def test_what_crosses_the_rain_before_the_sky_stays(rng):
    wires = scene()
    wires[20 : HORIZON - 20 : 12] -= 90
    cover = streaks(rng)
    cover[:HORIZON] = 0  # rain before the ground only
    rainy = in_rain(wires, cover)
    restorer = Restorer(Across(), "float32")
    assert np.array_equal(restorer.layers(rainy).background, restorer.bright_layers(rainy).background)
    assert restorer.bright_layers(255 - rainy).rain[: HORIZON - 20].max() > 80  # the wires


class Across(Opens):
    """Takes what is less than 7 px wide in either direction for rain."""

    def layers(self, rainy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        upright, lying = super().layers(rainy)[0], super().layers(rainy.transpose(2, 3))[0].transpose(2, 3)
        background = torch.minimum(upright, lying)
        return background, rainy - background


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_large_photos_and_deep_ones_are_filled_alike(rng, depth):
    size = 1600, 2000
    white = np.iinfo(depth).max // 255
    cover = cv2.resize(streaks(rng, (800, 1000)), size[::-1])
    rainy, truth = (
        each.astype(depth) * white for each in (in_rain(scene(size=size), cover), photo_of(scene(size=size)))
    )
    restorer, sky = Restorer(Opens(), "float32", tile=512), slice(0, 800)
    found, bright = restorer.layers(rainy), restorer.bright_layers(rainy)
    assert found.background.dtype == depth
    assert error(found.background, truth, sky) < 0.7 * error(bright.background, truth, sky)


def test_strength_is_a_share_of_what_is_filled_too(rng, tmp_path):
    rainy = in_rain(scene(), streaks(rng))
    cv2.imwrite(str(tmp_path / "sky.png"), rainy)
    jobs = [batch.Job(tmp_path / "sky.png", tmp_path / name) for name in ("all.png", "half.png")]
    for job, strength in zip(jobs, (1, 0.5)):
        (outcome,) = batch.run([job], Opens(), batch.Treatment(precision="float32", strength=strength))
        assert not outcome.error
    whole, half = (cv2.imread(str(job.background)).astype(int) for job in jobs)
    assert whole.max() > rainy.max() - 2 and (whole.astype(int) > rainy).mean() > 0.01
    assert np.abs(half - (whole + rainy) / 2).max() <= 0.5


def test_a_photo_of_nothing_but_a_sky_whose_streaks_were_filled_is_not_dry(rng, tmp_path):
    rainy = in_rain(np.full((HEIGHT, WIDTH), 253, np.float32), streaks(rng), drop=180)
    cv2.imwrite(str(tmp_path / "sky.png"), rainy)
    job = batch.Job(tmp_path / "sky.png", tmp_path / "out.png")
    (outcome,) = batch.run([job], derain.load(), batch.Treatment(precision="float32"))
    assert not outcome.untouched and outcome.rain_coverage > 0.1
    assert error(cv2.imread(str(job.background)), photo_of(np.full((HEIGHT, WIDTH), 253, np.float32))) < 3


@pytest.mark.parametrize("size", [(1, 1_000_001), (3_000_001, 1)])
def test_photos_of_one_row_or_column_are_looked_at(size):
    photo = np.full((*size, 3), 200, np.uint8)
    photo[::2, ::2] = 230
    model = Opens()
    assert Restorer(model, "float32").layers(photo).background.shape == photo.shape


@pytest.mark.parametrize(
    "sky, wide, dark, bright, filled",
    [
        (220, 2, 40, 0, True),
        (150, 2, 40, 0, False),  # a drop is only darker than a bright sky
        (220, 5, 150, 0, False),  # of which enough has to be seen
        (220, 2, 40, 60, False),  # what would rather be taken away is bright rain before a grey sky
        (253, 2, 40, 60, True),  # but to what the camera clipped no light can be added
    ],
)
def test_it_takes_a_bright_sky_and_streaks_that_are_mostly_dark(sky, wide, dark, bright, filled):
    stripes = np.broadcast_to(np.arange(WIDTH) % 8 < wide, (HEIGHT, WIDTH))
    photo, rain, found = (
        photo_of(np.where(stripes, *values).astype(np.float32))
        for values in ((sky - dark, sky), (max(bright, 1), 0), (dark, 0))
    )
    shares = Compared.of(photo, Layers(photo - rain, rain)).shares_of_dark_rain(found)
    assert (shares is not None) == filled
