"""The scripts of the gallery, run in small."""

import runpy
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import derain
from derain.finetuning.guide import Guide
from derain.models.deployable import DerainConfig, DerainNet
from derain.weights import save
from tests.conftest import SMALL
from tests.forks import command

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name, *words, cwd):
    script = f"import runpy, sys; runpy.run_path({str(EXAMPLES / name)!r}, run_name='__main__'); sys.exit()"
    done = command(*words, cwd=cwd, before=script)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def rainy(tmp_path):
    """Two photos, one in a subfolder."""
    folder = tmp_path / "rainy"
    (folder / "more").mkdir(parents=True)
    with Image.open(EXAMPLES / "rainy.jpg") as photo:
        photo.crop((0, 0, 140, 132)).save(folder / "a.jpg")
        photo.crop((96, 72, 224, 200)).save(folder / "more" / "b.png")
    return folder


def test_make_guide(rainy, tmp_path):
    example("make_guide.py", "guide.safetensors", "--clean", rainy, "--steps", 1, cwd=tmp_path)
    Guide().load_state_dict(load_file(tmp_path / "guide.safetensors"))


def test_photo(rainy, tmp_path):
    assert "rain could be seen on" in example("photo.py", rainy / "a.jpg", "dry.png", cwd=tmp_path)
    before, after = (np.asarray(Image.open(file), int) for file in (rainy / "a.jpg", tmp_path / "dry.png"))
    assert after.shape == before.shape and after.mean() < before.mean()


def test_folder(rainy, tmp_path):
    assert example("folder.py", "rainy", "dry", cwd=tmp_path).count("rain on") == 2
    assert (tmp_path / "dry" / "a.jpg").is_file() and (tmp_path / "dry" / "more" / "b.png").is_file()


def test_clip(rainy, tmp_path):
    picture = np.asarray(Image.open(rainy / "a.jpg"))
    with av.open(str(tmp_path / "clip.mkv"), "w") as clip:
        stream = clip.add_stream("ffv1", rate=10, width=140, height=132, pix_fmt="bgr0")
        for _ in range(3):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        clip.mux(stream.encode())
    assert "140x132" in example("clip.py", "clip.mkv", "dry.mkv", cwd=tmp_path)
    with av.open(str(tmp_path / "dry.mkv")) as dry:
        assert sum(1 for _ in dry.decode(video=0)) == 3


def test_make_lean_leaves_out_what_never_happens(rainy, tmp_path):
    network = DerainNet(DerainConfig(**SMALL))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    dead = network.encoder[0][0].first.bias
    dead.data[2:5] = -100
    save(network, tmp_path / "whole.safetensors")
    said = example("make_lean.py", "lean.safetensors", "rainy", "--weights", "whole.safetensors", cwd=tmp_path)
    assert "channels within the blocks: 5 8 8 8 8" in said
    photo = np.asarray(Image.open(EXAMPLES / "rainy.jpg"))
    found = [derain.restore(derain.load(tmp_path / f"{name}.safetensors"), photo)[1] for name in ("whole", "lean")]
    assert np.abs(found[0].astype(int) - found[1]).max() <= 1 and found[0].any()


@pytest.mark.slow
def test_make_mean_takes_weights_of_one_architecture(tmp_path, monkeypatch, capsys):
    def made(out, *parts):
        monkeypatch.setattr(sys, "argv", ["make_mean.py", out, *map(str, parts)])
        runpy.run_path(str(EXAMPLES / "make_mean.py"), run_name="__main__")
        return capsys.readouterr().out.strip()

    monkeypatch.chdir(tmp_path)
    config = DerainConfig(**SMALL)
    for name, value in (("a", 1.0), ("b", 2.0)):
        network = DerainNet(config)
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, value)
        save(network, f"{name}.safetensors")
    save(DerainNet(DerainConfig(**SMALL | {"widths": (8, 8, 16)})), "other.safetensors")
    assert made("mean.safetensors", "a.safetensors", 0.25, "b.safetensors", 0.75) == "mean.safetensors"
    mean = derain.load("mean.safetensors")
    assert mean.config == config and all(bool((numbers == 1.75).all()) for numbers in mean.parameters())
    with pytest.raises(SystemExit) as ended:
        made("none.safetensors", "a.safetensors", 0.5, "other.safetensors", 0.5)
    assert ended.value.code == 2 and "is of another architecture; give weights of one" in capsys.readouterr().err
    assert not Path("none.safetensors").exists()


def test_own_training(rainy, tmp_path):
    written = example("own_training.py", "rainy", "rainy/more", "run", 1, cwd=tmp_path).strip()
    assert (tmp_path / written).is_file()


def test_the_page_names_every_example():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = [path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".toml", ".cpp")]
    assert [str(path.relative_to(EXAMPLES)) for path in files if f"({path.relative_to(EXAMPLES)})" not in page] == []


@pytest.mark.slow
def test_own_camera(rainy, tmp_path):
    for number in range(4):
        with Image.open(EXAMPLES / "rainy.jpg") as photo:
            photo.crop((90 * number, 0, 90 * number + 200, 200)).save(rainy / f"{number}.png")
    said = example("own_camera.py", "rainy", "mine.safetensors", 0.03, cwd=tmp_path)
    assert said.splitlines()[-1].startswith(("better", "no better"))
    assert (tmp_path / "mine.safetensors").is_file()
