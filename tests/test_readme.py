"""Every line of the README that can be copied, and every picture and file that it shows."""

import re
import shlex
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import derain
from derain.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"] + [
    ROOT / "weights" / "README.md",
    ROOT / "examples" / "README.md",
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [line.strip() for line in README.splitlines() if line.startswith("    ")]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
NOT_RUN = {
    "derain finetune": "minutes",
    "derain train": "minutes",
    "derain serve": "has no end",
    "derain export onnx": "its own tests compare the graph with torch",
    "derain eval --benchmark": "measures the machine",
    "derain eval --self-test": "its own tests run it",
}


def commands_of(line: str) -> list[str]:
    """The derain commands of a line of shell, without comments, pipes and redirections."""
    line = re.split(r"\s{2,}#|\s#\s", line)[0].replace("…", "")
    found = [part.strip() for part in re.split(r"&&|\|", line)]
    return [re.split(r"\s[<>]\s", part)[0].strip() for part in found if part.startswith("derain ")]


LINES = [command for line in SHELL for command in commands_of(line)]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with all that the README's lines name, small."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (64, 80, 3)).astype(np.uint8)
    for name in (
        "photo.jpg",
        "holiday/a.jpg",
        "archive/b.jpg",
        "trip/c.heic",
        "rainy/1.png",
        "clean/1.png",
        "other_tool/1.png",
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(name, "JPEG" if name.endswith(("jpg", "heic")) else "PNG")
    for name in ("clip.mp4", "clip.mkv"):
        with av.open(name, "w") as clip:
            stream = clip.add_stream("libx264", rate=2, options={"preset": "ultrafast"})
            stream.width, stream.height = 64, 48
            for _ in range(150 if name.endswith("mkv") else 3):
                clip.mux(stream.encode(av.VideoFrame.from_ndarray(photo[:48, :64], format="rgb24")))
            clip.mux(stream.encode())
    Path("frames").mkdir()
    for number in range(2):
        Image.fromarray(photo).save(f"frames/{number:05d}.png")
    shutil.copytree(ROOT / "examples", "examples", ignore=shutil.ignore_patterns("*.mp4"))
    for name in ("my_rainy.safetensors", "mine.safetensors", "run/derain.safetensors"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "weights" / "derain.safetensors", name)
    return tmp_path


def test_the_readme_shows_every_command():
    shown = {shlex.split(line)[1] for line in LINES}
    assert set(COMMANDS) - {"doctor", "models"} <= shown


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_understood(line, desk):
    """Options, values and files, without doing what it says."""
    name, *words = shlex.split(line)[1:]
    command = COMMANDS[name]
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(name, words)


def is_local(line: str) -> bool:
    return not re.search(r"://|hf:|--ray|(^| )- | -$", line)


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in LINES if is_local(line) and not line.startswith(tuple(NOT_RUN))])
def test_every_line_runs(line, desk):
    done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_the_lines_of_python_run(desk):
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    assert blocks
    photo = np.array(Image.open("photo.jpg"))
    import torch

    names = {"derain": derain, "model": derain.load(), "image": torch.rand(1, 3, 48, 64), "photo": photo}
    for block in blocks:
        if any(elsewhere in block for elsewhere in ("finetune(", "onnxruntime", "Streaming(", "cluster.run(")):
            compile(block, "README.md", "exec")
            continue
        exec(compile(block, "README.md", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_table_of_commands_is_whole():
    assert set(re.findall(r"^\| `derain (\w+)` \|", README, re.M)) == set(COMMANDS)


def test_the_version_to_cite_is_this_one():
    assert f"version = {{{derain.__version__}}}" in README


def test_scores_are_those_of_the_model_card():
    card = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
    scores = re.findall(r"^\| (\w+), 8 pairs \| [\d.]+ \| \*\*([\d.]+)\*\*", README, re.M)
    assert scores
    for name, score in scores:
        assert re.search(rf"^\| {name} \| [\d.]+ \| {score} ", card, re.M), name
