"""The method: sampling at any size, losses that mean what they say, one step, and a toy problem."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from derain.nlcl import losses
from derain.nlcl.sampling import gather, nearest_patches, random_queries, similar_patches
from derain.training.config import load_config
from derain.training.contrast import Batch, Contrast
from derain.training.step import optimise

CPU = torch.device("cpu")
TINY = {"width": 8, "blocks": 3, "keep_colours": False}


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("size", [(12, 30), (33, 40), (64, 200)])
def test_sampling_agrees_with_a_plain_loop(size):
    image = torch.randn(2, 3, *size)
    queries = random_queries(image)
    centres, distances = nearest_patches(image, queries, 20)
    half = min(16, *size) // 2

    def patch(n, row, column):
        return image[n, :, row - half : row + half, column - half : column + half]

    for n in range(2):
        assert centres[n, 0].tolist() == queries[n].tolist()
        expected = [(patch(n, *queries[n]) - patch(n, *c)).norm() for c in centres[n].tolist()]
        torch.testing.assert_close(distances[n], torch.stack(expected))
        assert (distances[n].diff() >= 0).all()


def test_sampling_finds_the_copies_of_a_patch():
    image = torch.rand(1, 3, 80, 80)
    image[:, :, 24:40, 24:40] = image[:, :, 40:56, 32:48]
    centres, distances = nearest_patches(image, torch.tensor([[48, 40]]), 2)
    assert centres[0].tolist() == [[48, 40], [32, 32]]
    assert float(distances[0, 1]) == 0


def test_gather_scales_centres_to_each_level():
    grid = torch.arange(100.0).view(1, 1, 10, 10)
    (found,) = gather([grid], torch.tensor([[[0, 0], [150, 299]]]), (200, 300))
    assert found.flatten().tolist() == [0, 79]


def test_location_contrast_is_low_only_for_its_own_place():
    keys = unit(1, 32, 64)
    at_home, shifted = (losses.location_contrast(q, keys).mean() for q in (keys, keys.roll(1, dims=1)))
    assert at_home < 0.1 < shifted


@pytest.mark.parametrize("symmetric", [True, False])
def test_layer_contrast_prefers_layers_apart(symmetric):
    one, other = unit(1, 1, 64), unit(1, 1, 64)
    apart = losses.layer_contrast(one.expand(1, 8, 64), other.expand(1, 32, 64), symmetric)
    mixed = losses.layer_contrast(one.expand(1, 8, 64), one.expand(1, 32, 64), symmetric)
    assert apart < mixed - 0.05


def test_asymmetric_contrast_leaves_backgrounds_free():
    """Where rain is compact and far, backgrounds may differ at no cost; the symmetric form pulls them together."""
    rain = F.normalize(torch.eye(64)[:1], dim=-1).expand(1, 32, 64)
    spread, tight = torch.eye(64)[None, 1:9], torch.eye(64)[None, 1:2].expand(1, 8, 64)

    def gap(symmetric):
        return float(losses.layer_contrast(spread, rain, symmetric) - losses.layer_contrast(tight, rain, symmetric))

    assert gap(symmetric=True) > 0.1
    assert abs(gap(symmetric=False)) < 1e-3


@pytest.mark.parametrize("layer_contrast", ["symmetric", "asymmetric"])
def test_one_step_moves_every_network(rng, layer_contrast):
    config = load_config(None, preset="nlcl", model=TINY, crop=48, batch=2, layer_contrast=layer_contrast)
    learner = Contrast(config, CPU)
    parts = {f"{name}.{p}": t for name, net in learner.networks().items() for p, t in net.named_parameters()}
    before = {name: tensor.clone() for name, tensor in parts.items()}
    images = tuple(rng.random((2, 48, 48, 3)).astype(np.float32) for _ in range(2))
    optimise(learner, Batch(*images, paired=False), config, CPU, 0.1)
    assert not [n for n, t in parts.items() if n.endswith("weight") and torch.equal(before[n], t)]


def test_warm_start_moves_the_generators_alone(rng):
    config = load_config(None, preset="nlcl", model=TINY, crop=48, warm=0.5)
    learner = Contrast(config, CPU)
    before = {name: copy.deepcopy(net.state_dict()) for name, net in learner.networks().items()}
    images = tuple(rng.random((1, 48, 48, 3)).astype(np.float32) for _ in range(2))
    for _ in range(20):  # the rain generator takes part in some steps
        optimise(learner, Batch(*images, paired=True), config, CPU, 0.1)
    moved = {
        name: any(not torch.equal(before[name][p], t) for p, t in net.state_dict().items())
        for name, net in learner.networks().items()
    }
    assert moved.pop("model") and not any(moved.values())
    assert learner.learning_rate(0.0) > learner.learning_rate(0.4) > learner.learning_rate(0.6) == 1


@pytest.mark.slow
def test_training_separates_stripes_from_blocks(rng):
    """Bright lines over flat blocks, unpaired: the background comes out nearer the truth than the input."""
    config = load_config(None, preset="nlcl", model=TINY, crop=48, batch=2, lr=1e-3)
    learner = Contrast(config, CPU)

    def blocks(count):
        colours = rng.random((count, 3, 3, 3)).astype(np.float32) * 0.4
        return colours.repeat(16, axis=1).repeat(16, axis=2)

    def rain(count):
        lines = rng.random((count, 1, 48, 1)) < 0.25
        return (lines * 0.6).astype(np.float32)

    for step in range(150):
        optimise(learner, Batch(blocks(2) + rain(2), blocks(2), paired=False), config, CPU, step / 150)

    truth = blocks(8)
    rainy = truth + rain(8)
    with torch.no_grad():
        background = learner.model(torch.from_numpy(rainy).permute(0, 3, 1, 2))[0].permute(0, 2, 3, 1).numpy()
    error_input, error_output = (float(np.mean((x - truth) ** 2)) for x in (rainy, background))
    assert error_output < 0.5 * error_input  # 3 dB


@pytest.mark.parametrize("side", [9, 16, 32, 40, 48, 64])
def test_there_are_as_many_similar_patches_as_every_window_holds(side):
    image, margin = torch.rand(1, 3, side, side + 3), min(16, (side - 1) // 2)
    rows, columns = ((margin, length - margin - 1) for length in (side, side + 3))
    held = [len(nearest_patches(image, torch.tensor([[r, c]]), 2000)[0][0]) for r in rows for c in columns]
    assert similar_patches(image, 2000).shape[1] == min(held)
