"""What the commands print, with a terminal on stderr where the progress bar lives."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derain.cli.terminal import progress_bar, talk
from derain.models import build
from derain.photos import decode
from derain.restoring.restorer import Restorer
from derain.weights import save
from tests.conftest import SMALL
from tests.test_video import make_clip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
if sys.platform != "win32":
    from tests.forks import in_terminals, preload
    from tests.terminals import Case, Ended

FINETUNED = """
from pathlib import Path
import derain.finetuning.finetune as module
from derain.finetuning.judge import Scores
scores = Scores(**{name: 1.0 for name in Scores.__dataclass_fields__})
def finetune(photos, weights, clean, report, **_):
    report(1, 0.5, {"loss": 1.0})
    return module.Result(Path("tuned.safetensors"), Path("summary.html"), scores, scores, 1, False)
module.finetune = finetune
"""


def test_columns_of_a_result_stand_apart_in_a_terminal():
    with talk.capture() as shown:
        talk.print("photo.jpg\t0.592\trainy", markup=False)
    assert shown.get().split() == ["photo.jpg", "0.592", "rainy"]


FEW = ("run", "run --json", "run -", "video")
MORE = ("eval --json -", "models info", "doctor --json", "finetune", "--version", "--help")
MEASURED = "import derain.doctor\nderain.doctor._speed = lambda _: 'fast'\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name, count in (("rainy", 2), ("clean", 2), ("enough", 4)):
        (folder / name).mkdir()
        for index in range(count):
            pixels = np.random.default_rng(index).integers(60, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    make_clip(folder / "clip.mp4", 3)
    (folder / "tiny.toml").write_text("[model]\nwidths = [8, 8, 8]\nblocks = [1, 1, 1]\n", encoding="utf-8")
    save(build("derain", SMALL), folder / "small.safetensors")
    return folder


def commands(folder: Path, out: Path) -> dict[str, list[str]]:
    """Arguments of every command that prints results."""
    photo, quick = str(folder / "rainy" / "0.png"), ["--steps", "1", "--crop", "48", "--batch", "1"]
    light = ["--weights", str(folder / "small.safetensors"), "--precision", "float32"]
    pictures = ["--rainy", str(folder / "rainy"), "--clean", str(folder / "clean")]
    return {
        "run": ["run", photo, "-o", f"{out}/a.png", *light],
        "run --json": ["run", photo, "-o", f"{out}/b.png", "--json", *light],
        "video": ["video", str(folder / "clip.mp4"), "-o", f"{out}/c.mp4", "--temporal", "off", *light],
        "train": ["train", *pictures, "--out", f"{out}/trained", "--config", str(folder / "tiny.toml"), *quick],
        "finetune": ["finetune", str(folder / "enough")],
        "eval --json -": ["eval", *pictures, "--weights", "none", "--json", "-"],
        "eval --csv -": ["eval", *pictures, "--weights", "none", "--csv", "-"],
        "models list": ["models", "list"],
        "models info": ["models", "info"],
        "models path": ["models", "path"],
        "doctor --json": ["doctor", "--json"],
        "--version": ["--version"],
        "--help": ["--help"],
    }


def cases(folder: Path, out: Path, stdout: str) -> dict[str, "Case"]:
    out.mkdir()
    given = commands(folder, out)
    before = {"finetune": FINETUNED, "doctor --json": MEASURED}
    photo = str(folder / "rainy" / "0.png")
    piped = {} if stdout == "terminal" else {"run -": Case(["run", "-"], stdout, stdin=photo)}
    return {n: Case(arguments, stdout, before=before.get(n, "")) for n, arguments in given.items()} | piped


@pytest.fixture(scope="module")
def ended(made) -> dict[tuple[str, str], "Ended"]:
    """What came of every command with every kind of stdout."""
    wanted: dict[tuple[str, str], Case] = {}
    for stdout in ("file", "pipe", "terminal", "same", "full", "closed", "left"):
        for name, case in cases(made, made / stdout, stdout).items():
            if stdout in ("file", "terminal") or name in FEW or (stdout == "full" and name in MORE):
                wanted[stdout, name] = case
    preload("scipy.stats", "skimage.metrics", "torch._dynamo")
    return dict(zip(wanted, in_terminals(list(wanted.values()))))


def of(ended: dict[tuple[str, str], "Ended"], stdout: str) -> dict[str, "Ended"]:
    return {name: found for (kind, name), found in ended.items() if kind == stdout}


def check_result(name: str, printed: str, out: Path) -> None:
    lines = printed.splitlines()
    if name == "run -":
        assert decode(printed.encode("utf-8", "surrogateescape")).pixels.shape == (64, 64, 3)
    elif name == "run":
        assert lines == [f"{out}/a.png"]
    elif name == "run --json":
        assert json.loads(lines[0])["output"] == f"{out}/b.png" and len(lines) == 1
    elif name == "video":
        assert lines == [f"{out}/c.mp4"]
    elif name == "train":
        assert lines == [f"{out}/trained/derain.safetensors"]
    elif name == "finetune":
        assert lines == ["tuned.safetensors"]
    elif name == "eval --csv -":
        assert lines[0].startswith("picture,method") and len(lines) == 3
    elif name in ("eval --json -", "models info", "doctor --json"):
        assert json.loads(printed)
    else:
        assert {"models list": "derain\t", "models path": "weights", "--version": "derain ", "--help": "Usage"}[
            name
        ] in printed


@pytest.mark.parametrize("stdout", ["file", "pipe", "terminal"])
def test_results_arrive_while_the_bar_is_drawn(made, ended, stdout):
    for name, found in of(ended, stdout).items():
        assert found.code == 0, (name, found.stderr)
        check_result(name, found.stdout.replace("\r\n", "\n") if stdout == "terminal" else found.stdout, made / stdout)
        if name in ("run", "video", "train", "finetune", "eval --json -"):
            assert "\x1b[" in found.stderr  # the bar


def test_on_one_terminal_results_and_bar_do_not_garble_each_other(made, ended):
    for name in ("run", "run --json"):
        lines = ended["same", name].stderr.replace("\r\x1b[2K", "\n").replace("\r\n", "\n").splitlines()
        check_result(name, next(line for line in lines if f"{made}/same" in line), made / "same")


@pytest.mark.parametrize("stdout", ["full", "closed", "left"])
def test_stdout_that_cannot_be_written_is_one_sentence_and_exit_code_1(made, ended, stdout):
    for name, found in of(ended, stdout).items():
        assert found.code == 1, (name, found.stderr)
        assert found.stderr.count("stdout cannot be written") == 1 and "Traceback" not in found.stderr, name
    assert {path.name for path in (made / stdout).iterdir()} >= {"a.png", "b.png", "c.mp4"}


def test_names_move_no_cursor_and_set_no_title(made, tmp_path):
    name, photo = "x\x1b]0;title\x07\x9b2J\n", (made / "rainy" / "0.png").read_bytes()
    for folder in ("in", "twins"):
        (tmp_path / folder).mkdir()
    (tmp_path / "in" / f"{name}.png").write_bytes(photo)
    (tmp_path / "in" / f"{name}.derained.png").write_bytes(photo)
    for torn in (f"{name} torn.png", f"{name} torn, too.png"):
        (tmp_path / "in" / torn).write_bytes(photo[:200])
    (tmp_path / "twins" / f"{name}.png").write_bytes(photo)
    given, gone = str(tmp_path / "in"), f"{tmp_path}/no {name}"
    pair = ["--rainy", given, "--clean", str(tmp_path / "twins")]
    wanted = {
        "run": Case(["run", given, "-o", f"{tmp_path}/{name}", "-v"], "terminal"),
        "run --json": Case(["run", given, "-o", f"{tmp_path}/{name}", "--json", "--overwrite"], "terminal"),
        "no option": Case(["run", f"--{name}"]),
        "video": Case(["video", gone]),
        "train": Case(["train", "--rainy", gone, "--clean", given, "--out", f"{tmp_path}/out"]),
        "finetune": Case(["finetune", given, "-o", f"{gone}.safetensors"]),
        "eval": Case(["eval", *pair, "--weights", "none", "--csv", "-"], "terminal"),
        "models": Case(["models", "info", gone]),
    }
    for command, found in zip(wanted, in_terminals(list(wanted.values()))):
        shown = found.stderr + (found.stdout if wanted[command].stdout == "terminal" else "")
        assert "\x1b]0" not in shown and "\x9b" not in shown and "Traceback" not in shown, (command, shown)
        assert "]0;title" in shown, (command, shown)


def test_what_is_left_out_and_skipped_is_said_and_in_the_json(made, tmp_path):
    photo = (made / "rainy" / "0.png").read_bytes()
    for name in ("a.png", "a.derained.png", "a.rain.png", "storm.rain.png"):
        (tmp_path / name).write_bytes(photo)
    (found,) = in_terminals([Case(["run", str(tmp_path), "--json"])])
    objects = {Path(found["input"]).name: found for found in map(json.loads, found.stdout.splitlines())}
    assert {name: found["skipped"] for name, found in objects.items()} == {
        "a.derained.png": "a result of a.png",
        "a.rain.png": "a result of a.png",
        "a.png": "its results exist",
        "storm.rain.png": None,
    }
    assert len({tuple(found) for found in objects.values()}) == 1  # the same keys
    assert "2 left out" in found.stderr and "1 skipped" in found.stderr


def test_clips_in_a_folder_of_photos_are_left_out_with_a_word(tmp_path, rng):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("clip.mp4", "other.MOV", "clip.derained.mp4", "notes.txt"):
        (mixed / name).touch()
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(mixed / "a.png")
    (found,) = in_terminals([Case(["run", str(mixed), "--json"])])
    objects = {Path(one["input"]).name: one["skipped"] for one in map(json.loads, found.stdout.splitlines())}
    assert objects == {"clip.mp4": "a clip", "other.MOV": "a clip", "a.png": None}
    assert (
        found.code == 0
        and "2 clips left out, such as" in found.stderr
        and "`derain video` is for clips" in found.stderr
    )


def test_ctrl_c_at_the_exit_ends_without_a_trace():
    late = (
        "import atexit, os, signal, derain.cli.app as app\n"
        "press = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "app.app = press\n"
        "atexit.register(press)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "app.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_an_interrupted_command_does_not_wait_for_its_threads():
    computing = (
        "import threading, derain.cli.app as app\n"
        "def interrupted():\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    raise KeyboardInterrupt\n"
        "app.app = interrupted\n"
        "app.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", computing], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda by: by.name)
def test_ctrl_c_sigterm_and_a_closed_terminal_are_a_word_and_exit_code_130(made, tmp_path, by):
    pictures = ["--rainy", str(made / "rainy"), "--clean", str(made / "clean")]
    wait = "import derain.weights, time\nderain.weights.load = lambda *_: time.sleep(60)\n"
    look = "import derain.finetuning.finetune as module, time\nmodule.finetune = lambda *_, **__: time.sleep(60)\n"
    wanted = {
        "run": Case(["run", str(made / "rainy")], interrupt_at="photos", before=wait),
        "video": Case(["video", str(made / "clip.mp4")], interrupt_at="weights derain", before=wait),
        "eval": Case(["eval", "--self-test"], interrupt_at="pictures"),
        "train": Case(
            ["train", *pictures, "--out", f"{tmp_path}/t", "--config", str(made / "tiny.toml"), "--crop", "48"],
            interrupt_at="step ",
        ),
        "finetune": Case(["finetune", str(made / "enough")], interrupt_at="starting", before=look),
        "doctor": Case(["doctor"], interrupt_at="measuring this machine"),
    }
    for name, end in zip(wanted, in_terminals([replace(case, by=by) for case in wanted.values()])):
        assert end.code == 130 and end.stderr.count("interrupted") == 1, (name, end)
        assert "Traceback" not in end.stderr and "Aborted" not in end.stderr, (name, end.stderr)


def test_a_bar_that_stands_still_says_what_is_being_done():
    now = [0.0]
    bar = progress_bar()
    bar.get_time = lambda: now[0]
    task = bar.add_task("photos", total=3, doing="a.jpg: tile 1 of 9")

    def shown() -> str:
        return str(bar.columns[-1](bar.tasks[0]))

    assert shown() == ""
    now[0] = 11
    bar.update(task, doing="a.jpg: tile 2 of 9\x1b[2J")
    assert shown() == "a.jpg: tile 2 of 9\\x1b[2J"
    bar.update(task, advance=1)
    assert shown() == ""
    now[0] = 30
    assert shown()


def test_tiles_of_a_photo_are_told_as_they_are_done(rng):
    told = list[str]()
    photo = rng.integers(0, 256, (60, 200, 3), dtype=np.uint8)
    restorer = Restorer(build("derain", SMALL).eval(), "float32", tile=64)
    restorer.layers(photo, told.append)
    assert told == [f"200x60 px, tile {n} of {len(told)}" for n in range(1, len(told) + 1)] and len(told) > 2
    told.clear()
    restorer.layers(photo[:, :60], told.append)
    assert told == ["60x60 px"]


WITHOUT_PATIENCE = """
import derain.cli.terminal as terminal, rich.progress as progress
terminal.STILL_SECONDS, update = 0, progress.Progress.update
progress.Progress.update = lambda self, *args, **kwargs: (update(self, *args, **kwargs), self.refresh())
"""


def test_score_and_eval_say_what_they_do_to_which_picture(made):
    photo = str(next((made / "rainy").iterdir()))
    words = (["score", photo], ["eval", "--rainy", photo], ["score", str(made / "clip.mp4")])
    scored, evaluated, clip = in_terminals([Case(each, before=WITHOUT_PATIENCE) for each in words])
    shown = f"{Path(photo).name}: {{}}[0-9]+x[0-9]+ px"
    assert "loading the network" in scored.stderr and re.search(shown.format(""), scored.stderr)
    assert re.search(shown.format("derain, "), evaluated.stderr)
    assert re.search(r"clip.mp4 at 0\.00 s: [0-9]+x[0-9]+ px", clip.stderr)
