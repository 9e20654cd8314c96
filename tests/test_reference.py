"""Parity with values that the public NLCL implementation computed; they are not part of this repository."""

from pathlib import Path

import numpy as np
import pytest
import torch

import derain
from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.sampling import nearest_patches

FOLDER = Path(__file__).parents[2] / "shared" / "reference"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no reference values of the public NLCL in {FOLDER}")


@pytest.fixture(scope="module")
def reference():
    with np.load(FOLDER / "nlcl_reference.npz") as values:
        return {name: torch.from_numpy(values[name]) for name in values}


def scaled(picture: torch.Tensor) -> torch.Tensor:
    return picture.permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.mark.parametrize(
    "file, key",
    [("background", "generator_back_output"), ("rain", "generator_rain_output")],
)
def test_generator_with_the_public_weights(reference, file, key):
    model = derain.load(FOLDER / f"nlcl_official_{file}.pth")
    with torch.no_grad():
        output = model.background_generator(scaled(reference["generator_input_uint8"]))[0]
    torch.testing.assert_close(output, reference[key], atol=1e-4, rtol=0)


@pytest.mark.parametrize("level", [0, 2, 4, 8, 12])
def test_generator_features(reference, level):
    model = derain.load(FOLDER / "nlcl_official_background.pth")
    with torch.no_grad():
        (feature,) = model.background_generator.features(scaled(reference["generator_input_uint8"]), (level,))
    ours = torch.stack([feature.mean(), feature.std(), feature[0, 0, 5, 7]]).double()
    expected = reference[f"generator_back_feature_{level}_mean_std_corner"]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_sampled_distances(reference):
    image = scaled(reference["sampler_image_uint8"])
    _, distances = nearest_patches(image, reference["sampler_query_row_col"][None], 128)
    torch.testing.assert_close(distances[0].double(), reference["sampler_distances"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["sampler", "sampler_border"])
def test_sampled_centres(reference, kind):
    image = scaled(reference["sampler_image_uint8"])
    centres, _ = nearest_patches(image, reference[f"{kind}_query_row_col"][None], 128)
    ours, expected = (set(map(tuple, ids.tolist())) for ids in (centres[0], reference[f"{kind}_ids_row_col"]))
    assert len(ours & expected) >= 126  # ties at the far end may swap


def test_location_loss(reference):
    ours = losses.location_contrast(reference["location_query"][None], reference["location_key"][None])
    torch.testing.assert_close(ours[0], reference["location_loss_per_patch"], atol=1e-4, rtol=0)


def test_layer_loss(reference):
    ours = losses.layer_contrast(reference["layer_background"][None], reference["layer_rain"][None])
    assert float(ours) == pytest.approx(float(reference["layer_loss"]), abs=1e-4)


def test_critic_shapes(reference):
    critic, image = Critic(), torch.zeros(1, 3, 64, 64)
    features = critic.features(image, (0, 3, 7, 11))
    assert [list(f.shape) for f in features] == reference["discriminator_feature_shapes"].tolist()
    assert list(critic(image).shape) == reference["discriminator_output_shape"].tolist()
