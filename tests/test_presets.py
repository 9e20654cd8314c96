"""A network is one row of the table of presets and its file."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from derain.bounds import bounded
from derain.models import PRESETS, Preset, build, describe
from derain.models.contract import Config, Derainer
from derain.training.config import load_config
from derain.training.loop import train
from derain.weights import load, save


@dataclass(frozen=True)
class DimmerConfig(Config):
    width: int = bounded(4, 1, 16)


class Dimmer(Derainer):
    """Takes a learnt share of the photo for rain."""

    reductions = (2,)
    multiple, halo = 1, 2

    def __init__(self, config: DimmerConfig = DimmerConfig()) -> None:
        super().__init__()
        self.config = config
        self.height = nn.Sequential(nn.Conv2d(3, config.width, 3, padding=1), nn.Conv2d(config.width, 1, 3, padding=1))

    def layers(self, rainy):
        rain = rainy * self.height(rainy).sigmoid()
        return rainy - rain, rain


@pytest.fixture
def toy(monkeypatch):
    row = Preset(
        f"{__name__}:DimmerConfig", f"{__name__}:Dimmer", "derain.training.distil:Distil", {"crop": 32, "batch": 1}
    )
    monkeypatch.setitem(PRESETS, "toy", row)


def test_a_network_of_one_row_is_saved_loaded_and_run(toy, tmp_path):
    model = build("toy", {"width": 2})
    save(model, tmp_path / "toy.safetensors")
    again = load(tmp_path / "toy.safetensors")
    assert describe(again) == ("toy", {"width": 2})
    background, rain = again(torch.full((1, 3, 20, 30), 0.5))
    torch.testing.assert_close(background + rain, torch.full((1, 3, 20, 30), 0.5))


def test_a_network_of_one_row_is_trained(toy, tmp_path, rng):
    for name in ("rainy", "clean"):
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(tmp_path / name / "a.png")
    config = load_config(None, preset="toy", steps=2, warm=0.99, device="cpu")
    assert (config.crop, config.batch) == (32, 1)
    weights = train(config, tmp_path / "rainy", tmp_path / "clean", tmp_path / "run")
    torch.manual_seed(config.seed)
    untrained, trained = build("toy").state_dict(), load(weights).state_dict()
    assert weights.name == "toy.safetensors" and any(not t.equal(untrained[name]) for name, t in trained.items())


def test_running_a_network_imports_no_training():
    code = "import sys, derain.weights; derain.weights.load(); print([m for m in sys.modules if 'training' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
