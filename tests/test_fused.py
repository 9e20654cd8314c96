"""The network on a processor, fused."""

import numpy as np
import pytest
import torch

from derain.batch import Target, Treatment, plan, run
from derain.photos import write_photo
from derain.restoring import restorer
from derain.restoring.fused import fused
from derain.restoring.restorer import Restorer
from derain.weights import load


@pytest.fixture
def photo(rng) -> np.ndarray:
    return rng.integers(0, 256, (75, 90, 3), dtype=np.uint8)


def test_fused_it_finds_what_it_finds_in_float32(photo):
    model = load("derain")
    half, whole = (Restorer(model, precision) for precision in ("bfloat16", "float32"))
    if half.quick is None:
        pytest.skip("oneDNN is not there")
    found, wanted = half.layers(photo).background, whole.layers(photo).background
    assert np.abs(found.astype(int) - wanted).max() <= 6
    assert np.square(found.astype(float) - wanted).mean() < 0.3


@pytest.mark.parametrize("width", [1, 16])
def test_a_photo_of_a_few_pixels_width_is_the_same_in_bfloat16(rng, width):
    model, photo = load("derain"), rng.integers(0, 256, (500, width, 3), dtype=np.uint8)
    wanted = Restorer(model, "float32").layers(photo).background
    for used in (3e4, -3e4):
        [torch.full((size,), used) for size in (10**4, 10**5, 10**6)]  # what memory that is used again holds
        found = Restorer(model, "bfloat16").layers(photo).background
        assert np.abs(found.astype(int) - wanted).max() <= 1


def test_in_float32_it_finds_just_what_the_network_finds_in_one_go(rng):
    model = load("derain")
    quick = fused(model, torch.float32)
    image = torch.from_numpy(rng.random((2, 180, 400, 3), np.float32)).permute(0, 3, 1, 2)
    with torch.enable_grad():  # as in training
        wanted = [layer.detach() for layer in model(image)]
    with torch.inference_mode():
        for network in (model, quick or model):
            for found, layer in zip(network(image), wanted):
                torch.testing.assert_close(found, layer, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_residual_block_of_the_copy_goes_over_its_layer_once(small_weights, dtype):
    copy = fused(load(str(small_weights)), dtype)
    if copy is None:
        pytest.skip("oneDNN is not there")
    with torch.profiler.profile() as profile, torch.inference_mode():
        image = torch.zeros(1, 8, 16, 16, dtype=dtype)
        copy.encoder[0](image.to(memory_format=torch.channels_last))
    names = {event.key for event in profile.key_averages()}
    assert not names & {"aten::relu_", "aten::clamp_min_", "aten::add_"}


def test_all_photos_of_a_run_share_one_copy(photo, small_weights, tmp_path, monkeypatch):
    copied = list[str]()
    monkeypatch.setattr(restorer, "fused", lambda model, dtype: copied.append(model.name))
    for index in range(3):
        write_photo(tmp_path / f"{index}.png", photo)
    jobs, told = plan([tmp_path], Target(tmp_path / "out")), list[str]()
    treatment = Treatment(precision="bfloat16")
    outcomes = list(run(jobs, load(str(small_weights)), treatment, lambda job, doing: told.append(doing)))
    assert [each.error for each in outcomes] == [None] * 3 and told == ["90x75 px"] * 3
    assert len(copied) == 1


def test_without_onednn_it_computes_as_before(photo, small_weights, monkeypatch):
    def missing(*_):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_reorder_convolution_weight'")

    monkeypatch.setattr("derain.restoring.fused._fuse", missing)
    restorer = Restorer(load(str(small_weights)), "bfloat16")
    assert restorer.quick is None
    assert restorer.layers(photo).background.shape == photo.shape
