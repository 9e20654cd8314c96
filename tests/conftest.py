"""Pictures that the tests make themselves, and weights small enough to be quick."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from derain.models import build
from derain.models.contract import Derainer
from derain.weights import bundled_folder, save, sha256

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
SMALL = {"widths": (8, 8, 8), "blocks": (1, 1, 1)}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class Ticking:
    """A clock that goes on by a tick whenever somebody looks at it."""

    def __init__(self, tick: float) -> None:
        self.tick, self.now = tick, 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def scene(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blocks of flat colour: ``(height, width, 3)`` uint8."""
    blocks = rng.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return blocks.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]


def stripes(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    """The photo under bright vertical lines."""
    columns = rng.random(photo.shape[1]) < 0.15
    return np.clip(photo + columns[None, :, None] * np.uint16(90), 0, 255).astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Unpaired folders of rainy and clean pictures."""
    for name, finish in (("rainy", lambda p: stripes(rng, p)), ("clean", lambda p: p)):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.fromarray(finish(scene(rng, 96, 112))).save(tmp_path / name / f"{index}.png")
    return tmp_path / "rainy", tmp_path / "clean"


@pytest.fixture
def small_weights(tmp_path: Path) -> Path:
    """Untrained weights whose rain layer is not empty."""
    model = build("derain", SMALL)
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    torch.nn.init.constant_(model.tail.bias, 0.05)
    save(model, tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def streak_finder() -> Derainer:
    """A network of the smallest that finds thin upright streaks: what is brighter than both its sides."""
    model = build("derain", {"widths": (4,), "blocks": (1,), "clipping": True, "fading": True})
    with torch.no_grad():
        for parameter in (model.head.weight, model.tail.weight):
            parameter.zero_()
        model.head.bias.fill_(-0.5)  # so that all around the photo is white
        model.tail.bias.fill_(-0.03)  # so much may be texture
        for corner in range(4):  # of a square of pixels, which are channels
            model.head.weight[corner, corner::4, 1, 1] = 1 / 3
            model.tail.weight[corner, corner, 1] = torch.tensor([-0.5, 1, -0.5])
    return model


@pytest.fixture(scope="session")
def finds_streaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundled weights, the default ones of which are quick."""
    folder = tmp_path_factory.mktemp("bundled")
    save(streak_finder(), folder / "derain.safetensors")
    (folder / "nlcl.safetensors").symlink_to(bundled_folder() / "nlcl.safetensors")
    sums = (f"{sha256(path)}  {path.name}\n" for path in folder.iterdir())
    (folder / "SHA256SUMS").write_text("".join(list(sums)))
    return folder


@pytest.fixture(scope="session")
def cluster():
    """A cluster of three nodes with one processor each; those that share it are marked `cluster`."""
    pytest.importorskip("ray", reason="needs derain[ray]")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    started = Cluster()
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    for name in ("one", "two", "three"):
        only_first = {} if started.list_all_nodes() else {"_system_config": quick, "include_dashboard": False}
        started.add_node(node_name=name, num_cpus=1, object_store_memory=80 * 2**20, **only_first)
    yield started
    started.shutdown()
