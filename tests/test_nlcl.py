"""The method: sampling at any size, losses that mean what they say, one step, and a toy problem."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.matching import Lattice, matched, recurring_and_hard
from derain.nlcl.sampling import fewest_centres, gather, nearest_patches, random_queries, similar_patches
from derain.nlcl.terms import critic_widths, layer_saturation, layer_term, matched_layer_term, matched_widths
from derain.training.config import load_config
from derain.training.contrast import Batch, Contrast
from derain.training.crops import Crops
from derain.training.distil import Batch as PairBatch
from derain.training.distil import Distil
from tests.conftest import SMALL
from tests.test_train import optimise

CPU = torch.device("cpu")
TINY = {"width": 8, "blocks": 3, "keep_colours": False}


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("size", [(12, 30), (33, 40), (64, 200)])
def test_sampling_agrees_with_a_plain_loop(size):
    image = torch.randn(2, 3, *size)
    queries = random_queries(image)
    centres, distances = nearest_patches(image, queries, min(20, fewest_centres(size)))
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


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_least_layer_contrast_is_that_of_two_opposite_points(symmetric):
    one = unit(1, 1, 64)
    found = losses.layer_contrast(one.expand(1, 8, 64), -one.expand(1, 128, 64), symmetric)
    assert float(found) == pytest.approx(losses.layer_saturation(8, 128, symmetric), abs=1e-4)
    assert losses.layer_saturation(8, 128) == pytest.approx(4.674, abs=1e-3)


def test_the_least_location_contrast_is_that_of_points_far_apart():
    simplex = F.normalize(torch.eye(16) - 1 / 16, dim=-1)[None]
    found = losses.location_contrast(simplex, simplex).mean()
    assert float(found) == pytest.approx(losses.location_saturation(16), abs=1e-6)


def layers_with_rain_left(share: float, side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Background and rain in [-1, 1]: coarse grain in one half, streaks over all, of which a share is left."""
    grain = torch.randn(1, 1, side // 4, side // 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    grain[..., side // 2 :] = 0
    streaks = torch.zeros(1, 3, side, side)
    streaks[..., 2:-2:6] = 0.8
    streaks = streaks * (torch.rand(side) < 0.6)
    return 0.12 * grain - 0.3 + share * streaks, (1 - share) * streaks


def learnt(share: float, steps: int, matched: bool) -> float:
    """How far the layer contrast is above its least value after so many steps of the critic and the heads alone."""
    torch.manual_seed(0)
    critic = Critic(8)
    widths = (matched_widths if matched else critic_widths)(critic)
    heads = [Heads(widths, 64) for _ in range(1 if matched else 2)]
    optimiser = torch.optim.Adam([p for network in (critic, *heads) for p in network.parameters()], 1e-3)
    seen = []
    for _ in range(steps):
        loss = (matched_layer_term if matched else layer_term)(critic, *heads, *layers_with_rain_left(share))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(float(loss.detach()))
    return float(np.mean(seen[-10:])) - layer_saturation((64, 64), matched=matched)


def test_plain_layer_contrast_is_used_up_though_half_of_the_rain_is_left():
    assert learnt(0.5, 40, matched=False) < 0.1


@pytest.mark.slow
def test_matched_layer_contrast_is_used_up_only_where_no_rain_is_left():
    clean, left = (learnt(share, 90, matched=True) for share in (0.0, 0.5))
    assert left > 0.45 and clean < 0.75 * left


def test_matched_layers_differ_in_neither_brightness_contrast_nor_colour():
    texture = torch.randn(1, 1, 64, 64)
    bright = matched(0.6 + 0.3 * texture * torch.tensor([0.8, 1.0, 1.2])[None, :, None, None])
    faint = matched((0.2 * texture - 0.7).expand(-1, 3, -1, -1))
    assert torch.allclose(bright, faint, atol=0.05)
    assert abs(float(bright.mean())) < 0.01 and float(bright.var()) == pytest.approx(1, abs=0.1)
    assert matched(0.004 * texture.expand(-1, 3, -1, -1)).abs().mean() < 0.15  # noise is not raised


def test_rain_left_in_the_background_is_among_the_negatives():
    """One streak in the rain layer, and its like elsewhere in the background: that is what is nearest to the rain."""
    background, rain = 0.1 * torch.randn(1, 3, 96, 96), torch.zeros(1, 3, 96, 96)
    rain[..., 8:56, 20] = background[..., 40:88, 72] = 0.8
    of_background, of_rain = (Lattice.of(matched(layer)) for layer in (background, rain))
    chosen, _ = recurring_and_hard(of_background, of_rain, (8, 8))
    columns = of_background.centres[chosen[0, 4:], 1]
    assert ((columns - 72).abs() <= 8).all()


@pytest.mark.parametrize("contrast", ["plain", "matched"])
@pytest.mark.parametrize("layer_contrast", ["symmetric", "asymmetric"])
def test_one_step_moves_every_network(rng, layer_contrast, contrast):
    options = {"layer_contrast": layer_contrast, "contrast": contrast}
    config = load_config(None, preset="nlcl", model=TINY, crop=48, batch=2, **options)
    learner = Contrast(config, CPU)
    parts = {f"{name}.{p}": t for name, net in learner.networks().items() for p, t in net.named_parameters()}
    before = {name: tensor.clone() for name, tensor in parts.items()}
    images = tuple(rng.random((2, 48, 48, 3)).astype(np.float32) for _ in range(2))
    found = optimise(learner, Batch(*images, paired=False), config, 0.1)
    assert all(0 < distance < 10 for distance in learner.distances(found).values())
    assert learner.distances(found).keys() == {"location_above_least", "layer_above_least"}
    assert not [n for n, t in parts.items() if n.endswith("weight") and torch.equal(before[n], t)]


def test_warm_start_moves_the_generators_alone(rng):
    config = load_config(None, preset="nlcl", model=TINY, crop=48, warm=0.5)
    learner = Contrast(config, CPU)
    before = {name: copy.deepcopy(net.state_dict()) for name, net in learner.networks().items()}
    images = tuple(rng.random((1, 48, 48, 3)).astype(np.float32) for _ in range(2))
    for _ in range(20):  # the rain generator takes part in some steps
        optimise(learner, Batch(*images, paired=True), config, 0.1)
    moved = {
        name: any(not torch.equal(before[name][p], t) for p, t in net.state_dict().items())
        for name, net in learner.networks().items()
    }
    assert moved.pop("model") and not any(moved.values())
    assert learner.learning_rate(0.0) > learner.learning_rate(0.4) > learner.learning_rate(0.6) == 1


def test_live_critic_and_contrasts_move_the_network_and_all_that_judges_it(rng):
    options = {"model": SMALL, "crop": 48, "batch": 1, "critic": 0.1, "contrasted": 0.1}
    config = load_config(None, preset="derain", **options)
    learner = Distil(config, CPU)
    parts = dict(learner.model.named_parameters()) | dict(learner.live.named_parameters())
    before = {name: tensor.clone() for name, tensor in parts.items()}
    rainy, clean = (rng.random((1, 48, 48, 3)).astype(np.float32) for _ in range(2))
    none = np.zeros(1, bool)
    found = optimise(learner, PairBatch(rainy, clean, none, none, guided=rainy, unrelated=clean), config, 0.1)
    assert {"critic", "adversarial", "location", "layer"} < found.keys()
    assert learner.distances(found).keys() == {"location_above_least", "layer_above_least"}
    moved = {name for name, tensor in parts.items() if not torch.equal(before[name], tensor)}
    assert "tail.weight" in moved
    assert not [n for n, _ in learner.live.named_parameters() if n.endswith("weight") and n not in moved]


def test_real_rainy_crops_are_drawn_for_a_live_critic_only(rng, folders):
    photos = tuple(Crops(folder, 48) for folder in folders)
    for critic, expected in ((0.1, [False, False, False, True]), (0.0, [False] * 4)):
        config = load_config(None, preset="derain", model=SMALL, crop=48, batch=1, warm=0.5, critic=critic)
        recipe = Distil(config, CPU).recipe(*photos)
        batches = [recipe(rng, step, 0.0) for step in range(4)]
        assert [batch.guided is not None and batch.unrelated is not None for batch in batches] == expected


@pytest.mark.slow
def test_training_separates_stripes_from_blocks(rng, monkeypatch):
    """Bright lines over flat blocks, unpaired: the background comes out nearer the truth than the input."""
    monkeypatch.setattr("derain.training.contrast.Critic", partial(Critic, width=16))  # enough for a toy, and quicker
    config = load_config(None, preset="nlcl", model=TINY, crop=48, batch=2, lr=1e-3)
    learner = Contrast(config, CPU)

    def blocks(count):
        colours = rng.random((count, 3, 3, 3)).astype(np.float32) * 0.4
        return colours.repeat(16, axis=1).repeat(16, axis=2)

    def rain(count):
        lines = rng.random((count, 1, 48, 1)) < 0.25
        return (lines * 0.6).astype(np.float32)

    for step in range(50):
        optimise(learner, Batch(blocks(2) + rain(2), blocks(2), paired=False), config, step / 50)

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
    queries = [torch.tensor([[row, column]]) for row in rows for column in columns]
    held = [int(nearest_patches(image, query, 1600)[1].isfinite().sum()) for query in queries]
    assert similar_patches(image, 2000).shape[1] == min(held)
