"""The network on a processor in whole numbers of 8 bits."""

import dataclasses

import numpy as np
import pytest
import torch

from derain.errors import UsageError, WeightsError
from derain.evaluation.metrics import psnr
from derain.evaluation.self_test import draw_scene
from derain.models import describe
from derain.models.deployable import DerainConfig, DerainNet
from derain.rain.compose import add
from derain.rain.render import streaks
from derain.restoring import restorer
from derain.restoring.int8 import Grid, in_int8, is_exact, is_worth_it
from derain.restoring.restorer import Restorer, precisions_of, settled_precision
from derain.training.config import TrainConfig
from derain.training.learner import first_network
from derain.weights import load, save

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    found = load("derain")
    if in_int8(found) is None:
        pytest.skip("this processor has no instructions for it")
    return found


def pair(seed=3, side=256):
    rng = np.random.default_rng(seed)
    clean = draw_scene(rng, side)
    rainy = add(clean, 0.4 * streaks(rng, side, 22, 8, 0.8, cover=(0.08, 0.08))[..., None])
    return tuple((picture.clip(0, 1) * 255 + 0.5).astype(np.uint8) for picture in (rainy, clean))


def test_it_removes_the_rain_that_float32_removes(model):
    rainy, clean = pair()
    found, wanted = (Restorer(model, precision).layers(rainy).background for precision in ("int8", "float32"))
    assert psnr(wanted, clean) > psnr(rainy, clean) + 3
    assert abs(psnr(found, clean) - psnr(wanted, clean)) < 0.3
    assert np.square(found.astype(float) - wanted).mean() < 1


def test_a_photo_without_rain_comes_back(model):
    clean = pair()[1]
    found, wanted = (Restorer(model, precision).layers(clean).background for precision in ("int8", "float32"))
    assert psnr(found, clean) > min(psnr(wanted, clean), 60) - 1


@pytest.mark.parametrize("side, tile", [(256, 128), (40, None)])
def test_parts_agree_with_the_whole(model, side, tile):
    rainy = pair(side=side)[0]
    whole, parts = (Restorer(model, "int8", size).layers(rainy).background for size in (0, tile))
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_it_is_taken_where_it_is_far_faster_by_weights_that_tell_their_ranges(model, small_weights, monkeypatch):
    for worth in (False, True):
        monkeypatch.setattr(restorer, "is_worth_it", lambda threads, worth=worth: worth)
        assert Restorer(model).whole is worth and not Restorer(model, "float32").whole
        assert (settled_precision("auto", CPU, model) == "int8") is worth
    other = load(str(small_weights))
    assert settled_precision("auto", CPU, other) != "int8" and not Restorer(other).whole
    assert settled_precision("auto", CPU) != "int8"  # of other machines, which may not know it
    with pytest.raises(UsageError, match="`precision` int8: .* does not tell the ranges"):
        Restorer(other, "int8")


def test_where_torch_cannot_do_it_it_is_refused_and_not_chosen(model, monkeypatch):
    def missing(*_):
        raise AttributeError("'_OpNamespace' 'onednn' object has no attribute 'qconv_prepack'")

    monkeypatch.setattr("derain.restoring.int8.WholeConvolution", missing)
    for measured in (is_exact, is_worth_it):
        measured.cache_clear()
    try:
        with pytest.raises(UsageError, match="`precision` int8: torch cannot do that on this processor"):
            Restorer(model, "int8")
        assert not Restorer(model).whole and precisions_of(model) == ("float32", "bfloat16")
    finally:
        for measured in (is_exact, is_worth_it):
            measured.cache_clear()


def test_ranges_are_kept_in_the_file_and_are_three_for_each_block(tmp_path):
    config = DerainConfig(widths=(8, 8), blocks=(1, 1), ranges=(-1.5, 2.0, 3.25) * 3)
    save(DerainNet(config), tmp_path / "told.safetensors")
    kept = load(tmp_path / "told.safetensors")
    assert isinstance(kept, DerainNet) and kept.config.ranges == config.ranges and kept.may_compute_in_int8
    with pytest.raises(WeightsError, match="ranges has 4 numbers and the levels 3 blocks"):
        dataclasses.replace(config, ranges=(-1.0, 1.0, 1.0, 1.0))
    for of_block in ((1.0, -1.0, 1.0), (0.0, 0.0, 1.0), (-1.0, 1.0, 0.0)):
        with pytest.raises(WeightsError, match="ranges .* of a block are none"):
            dataclasses.replace(config, ranges=of_block * 3)


def test_what_is_trained_on_forgets_ranges_of_other_numbers():
    network = first_network(TrainConfig(preset="derain", start="derain"))
    assert not network.may_compute_in_int8 and describe(network)[1]["ranges"] in ((), [])


@pytest.mark.parametrize("least, greatest", [(-4.0, 6.0), (0.0, 3.0), (1.0, 2.0), (0.0, 0.0)])
def test_whole_numbers_are_the_nearest(least, greatest):
    grid = Grid.over(least, greatest)
    numbers = torch.linspace(least, greatest, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    found = grid.of(numbers.contiguous(memory_format=torch.channels_last))
    assert found.dtype == torch.uint8 and found.is_contiguous(memory_format=torch.channels_last)
    assert ((found.float() - grid.zero) * grid.scale - numbers).abs().max() <= grid.scale * 0.501
    assert grid.of(torch.zeros(1, 1, 1, 1)).item() == grid.zero
