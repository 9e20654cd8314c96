"""Errors name what the caller gave: arguments to those who call Python, options to those who type a command."""

import ast
import errno
import json
import math
import os
import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import typer

import derain
from derain import batch, extras
from derain.batch import Target, Treatment, plan, run
from derain.cli.app import app, main
from derain.errors import DerainError, UsageError, unwritable
from derain.export import export_onnx
from derain.finetuning.finetune import finetune
from derain.photos import Original
from derain.rain.amount import amount
from derain.restoring.devices import choose_device
from derain.serve import Limits
from derain.text import listed
from derain.training.config import TrainConfig
from derain.training.loop import train
from derain.video import VideoSettings, process
from derain.video.streams import Streaming, StreamSettings
from derain.weights import about, fingerprint, read_header, save
from tests import forks
from tests.test_video import Darker

GREY = np.zeros((8, 8, 3), np.uint8)
LIBRARY = [p for p in Path(derain.__file__).parent.rglob("*.py") if "cli" not in p.parts and p.name != "__main__.py"]


@pytest.fixture
def shell(monkeypatch, capfd):
    """What a command says on stdout and stderr, in this process."""

    def command(*words: object) -> tuple[str, str]:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["derain", *map(str, words)])
            patch.setattr(sys, "stdout", sys.stdout)
            patch.setattr(sys, "stderr", sys.stderr)
            patch.setattr("derain.cli.app.end_at_once_when_told", lambda: None)
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code
        said = capfd.readouterr()
        return said.out, said.err

    return command


def python(call, *given, **settings) -> str:
    with pytest.raises(DerainError) as caught:
        call(*given, **settings)
    assert "--" not in str(caught.value)
    return str(caught.value)


def test_run_names_a_format_as_it_was_given(shell, tmp_path):
    said = python(plan, [tmp_path / "a.png"], Target(format="gif"))
    assert said.startswith("`format` gif: choose one of jpg")
    assert shell("run", tmp_path / "a.png", "--format", "gif")[1].startswith("derain: --format gif: choose one of jpg")
    assert python(plan, [tmp_path], Target(suffix="a/b")).endswith("use `output` to name a folder")
    assert shell("run", tmp_path, "--suffix", "a/b")[1].strip().endswith("use -o to name a folder")


def test_run_names_options_in_json_and_on_stderr(shell, folders):
    photo = folders[0] / "0.png"
    (outcome,) = run(plan([photo], Target()), derain.load(), Treatment(max_megapixels=0.001))
    assert "give `max_megapixels` 1 to allow that" in str(outcome.error)
    out, err = shell("run", photo, "--max-megapixels", "0.001", "--json")
    assert (
        "give --max-megapixels 1 to allow that" in err
        and "give --max-megapixels 1 to allow that" in json.loads(out)["error"]
    )


def test_video_names_what_was_given(shell, tmp_path):
    source, out = tmp_path / "a.mp4", tmp_path / "b.mp4"
    source.touch(), out.touch()
    assert python(process, source, out).endswith("exists; give another `out`, or `overwrite` to replace it")
    _, err = shell("video", "udp://127.0.0.1:9", "-o", out)
    assert err.strip().endswith("give another -o, or --overwrite to replace it")
    assert python(process, source, source, overwrite=True).endswith("a.mp4: is the source itself; give another `out`")
    assert python(VideoSettings, start=3, end=1).startswith("`end` 1: must be after `st")
    assert "derain: --end 1: must be after --start 3\n" in shell("video", source, "--start", "3", "--end", "1")[1]


def test_an_argument_before_a_colon_is_an_option_too(shell):
    assert "derain: --start: a stream begins when" in shell("video", "udp://127.0.0.1:9", "-o", "-", "--start", "3")[1]


def test_finetune_names_what_was_given(shell, tmp_path):
    folder, out = tmp_path / "rainy", tmp_path / "mine.safetensors"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").touch()
    assert python(finetune, folder, out, change="huge").startswith("`change` huge: choose one of low")
    _, err = shell("finetune", folder, "-o", out, "--strength-of-change", "huge")
    assert err.startswith("derain: --strength-of-change huge: choose one of low")


def test_train_names_what_was_given(shell, tmp_path, folders):
    out = tmp_path / "out"
    config = TrainConfig(device="cpu")
    assert python(train, config, *folders, out, resume=True).endswith("leave out `resume` to start over")
    _, err = shell("train", "--rainy", folders[0], "--clean", folders[1], "--out", out, "--resume", "--device", "cpu")
    assert err.strip().endswith("leave out --resume to start over")
    out.mkdir()
    (out / "derain.safetensors").touch()
    assert python(train, config, *folders, out).endswith("give another `out`")
    _, err = shell("train", "--rainy", folders[0], "--clean", folders[1], "--out", out, "--device", "cpu")
    assert err.strip().endswith("give another --out")


def test_eval_names_what_was_given(shell, tmp_path):
    report = tmp_path / "a.html"
    report.touch()
    assert shell("eval", "--self-test", "--report", report)[1].strip().endswith("give another name or --overwrite")
    assert python(choose_device, "tpu").startswith("`device` tpu: choose auto")
    assert shell("eval", "--self-test", "--device", "tpu")[1].startswith("derain: --device tpu: choose auto")


def test_export_names_what_was_given(shell, tmp_path):
    out = tmp_path / "a.onnx"
    out.touch()
    assert python(export_onnx, "derain", out).endswith("exists; give `overwrite` to replace it")
    assert shell("export", "onnx", "-o", out)[1].strip().endswith("exists; give --overwrite to replace it")


def test_a_name_that_looks_like_an_argument_stays_a_name(shell, tmp_path):
    assert f"{tmp_path}/`rain`.jpg: " in shell("run", tmp_path / "`rain`.jpg")[1]


def test_no_module_but_those_of_the_command_line_speaks_of_options():
    named = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    commands = [each for name in named for each in getattr(named[name], "commands", {name: named[name]}).values()]
    options = {name for command in commands for option in command.params for name in option.opts if name[0] == "-"}
    spoken = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, options))})(?![\w-])")
    found = []
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in options:
                lines = [line for line in node.value.split("\n") if "derain " not in line.split(" -")[0]]
                found += [f"{path.name}:{node.lineno} {line}" for line in lines if spoken.search(line)]
    assert not found


@pytest.mark.parametrize(
    "made, given, said",
    [
        (Treatment, {"strength": 1.5}, "`strength` 1.5: give a number from 0 to 1"),
        (Treatment, {"strength": math.nan}, "`strength` nan: give a number from 0 to 1"),
        (Treatment, {"quality": 200}, "`quality` 200: give a whole number from 1 to 100"),
        (Treatment, {"quality": 10**5000}, "`quality` a number of thousands of digits: give a whole number from 1"),
        (Treatment, {"tile": "auto"}, "`tile` auto: give a side of 64 px or more"),
        (Treatment, {"overwrite": "no"}, "`overwrite` 'no': give True or False"),
        (Target, {"output": 5}, "`output`: give a path, as str or Path, not int"),
        (VideoSettings, {"layer": "x"}, "`layer` x: choose background, rain or compare"),
        (VideoSettings, {"fps_limit": 0}, "`fps_limit` 0: give a number, 0.001 or more"),
        (VideoSettings, {"start": "a"}, "`start` 'a': give a number from 0 to"),
        (VideoSettings, {"options": {"a": 1}}, "`options` {'a': 1}: give a dict of texts"),
        (Limits, {"waiting": 0}, "`waiting` 0: give a whole number, 1 or more"),
        (derain.load, {"weights": None}, "`weights`: give a path, as str or Path, not NoneType"),
        (derain.photos.read_photo, {"path": 5}, "`path`: give a path, as str or Path, not int"),
        (batch.Job, {"source": 5, "background": "b.png"}, "`source`: give a path, as str or Path, not int"),
        (batch.pending, {"jobs": ["a.jpg"]}, "`jobs`: give jobs, as batch.plan() makes them of photos, not str"),
        (batch.obstacle, {"job": "a.jpg"}, "`jobs`: give jobs, as batch.plan() makes them of photos, not str"),
        (batch.is_long, {"inputs": None}, "`inputs`: give a path, as str or Path, not NoneType"),
        (batch.describe, {"outcome": "a.jpg"}, "`outcome` 'a.jpg': give an Outcome"),
        (batch.comparison, {"photo": "a.jpg", "background": GREY}, "`photo`: give an (H, W, 3) array"),
        (batch.comparison, {"photo": GREY, "background": GREY[:4]}, "`background`: has shape (4, 8, 3), but its photo"),
        (batch.separate, {"original": GREY, "restorer": None}, "`original` array("),
        (batch.separate, {"original": Original(GREY, ""), "restorer": Darker()}, "`restorer`: give Treatment().rest"),
        (derain.photos.decode, {"content": "a.jpg"}, "`content` 'a.jpg': give bytes"),
        (derain.photos.encode, {"original": "a.jpg", "pixels": GREY}, "`original` 'a.jpg': give an Original"),
        (
            derain.photos.encode,
            {"original": Original(GREY, "PNG"), "pixels": GREY[:4]},
            "`pixels`: has shape (4, 8, 3)",
        ),
        (
            derain.photos.encode,
            {"original": Original(GREY, "PNG"), "pixels": GREY, "to": "jpg"},
            "`to` jpg: choose JPEG",
        ),
        (derain.photos.without_results, {"files": "a.jpg"}, "`files`: give several, as in a list, not str"),
        (process, {"source": "a.mp4", "out": "b.mp4", "report": 5}, "`report` 5: give a function"),
        (Streaming, {"source": 5, "out": "-"}, "`source`: give a path, as str or Path, not int"),
        (Streaming, {"source": "-", "out": "b.ts", "settings": "x"}, "`settings` 'x': give a VideoSettings"),
        (StreamSettings, {"reconnect": -1}, "`reconnect` -1: give a number, 0 or more"),
        (about, {"weights": 5}, "`weights`: give a path, as str or Path, not int"),
        (save, {"model": "derain", "path": "a.safetensors"}, "`model`: give a network, such as derain.load(), not str"),
        (fingerprint, {"model": "derain"}, "`model`: give a network, such as derain.load(), not str"),
    ],
)
def test_python_refuses_what_the_command_line_refuses_as_soon_as_it_is_given(made, given, said):
    assert python(made, **given).startswith(said)


@pytest.mark.parametrize("jobs", ["a.jpg", ["a.jpg"], iter(["a.jpg"]), None, batch.Job("a.jpg", "b.jpg")])
def test_what_is_no_list_of_jobs_is_refused(jobs):
    assert python(lambda: list(batch.run(jobs, Darker()))).startswith("`jobs`: give ")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), av.error.OSError(errno.EDQUOT, "full")])
def test_a_full_disk_is_known_by_its_error_whoever_raises_it(error):
    assert unwritable(error) == "cannot be written (full); make room, then give the same command again"
    assert unwritable(OSError(errno.EFBIG, "big")).startswith(
        "cannot be written (beyond the largest size of a file); raise"
    )
    assert unwritable(PermissionError(errno.EPERM, "no")).endswith(
        "(no); change its permissions or its folder's, or write elsewhere"
    )
    assert unwritable(OSError(errno.EIO, os.strerror(errno.ENOSPC))) == "cannot be written (No space left on device)"


def test_of_a_long_list_the_first_are_named_and_the_others_counted():
    assert listed("abc") == "a, b, c" and listed("abcd") == "a, b, c and 1 more"
    assert listed("abcd", 2, "more places") == "a, b and 2 more places"
    assert listed(["\x1b[2J", 100 * "x"]) == f"'\\x1b[2J', '{56 * 'x'}..."


def test_names_do_for_paths(tmp_path):
    assert Target(output=str(tmp_path)) == Target(tmp_path)
    assert batch.Job("a.png", "b.png", below=".") == batch.Job(Path("a.png"), Path("b.png"), below=Path("."))
    save(derain.load(), str(tmp_path / "w.safetensors"))
    assert read_header(str(tmp_path / "w.safetensors"))["preset"] == "derain"
    for missing in (train, finetune):
        before = (TrainConfig(),) if missing is train else ()
        after = (str(tmp_path / "out"),) if missing is train else ()
        assert "folder of" in python(missing, *before, str(tmp_path / "no"), str(tmp_path / "x.safetensors"), *after)


def test_pixels_that_cannot_be_are_refused(tmp_path):
    layer = np.zeros((4, 5, 3), np.uint8)
    for wrong in (layer[:0], layer[..., :1], layer[..., 0], layer.astype(float), None):
        assert python(derain.photos.write_photo, tmp_path / "a.png", wrong).startswith(
            "`photo`: give an (H, W, 3) array"
        )
        assert python(amount, wrong).startswith("`rain`: give an (H, W, 3) array")
    derain.photos.write_photo(tmp_path / "a.png", layer)
    assert derain.photos.read_photo(str(tmp_path / "a.png")).flags.writeable


def test_a_library_that_is_there_and_broken_is_told_as_that(tmp_path, monkeypatch):
    (tmp_path / "torn.py").write_text("raise ImportError('libtorn.so is not there')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(extras.MODULES, "serve", ("json", "torn"))
    with pytest.raises(UsageError, match=r"^serve cannot load torn \(libtorn.so is not there\); reinstall it$"):
        extras.check_extra("serve", "serve")


@pytest.mark.skipif(os.name == "nt", reason="limits are others there")
def test_what_the_system_lacks_is_one_sentence():
    gone = "import os, tempfile\nos.chdir(tempfile.mkdtemp())\nos.rmdir(os.getcwd())\n"
    little = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (700_000_000, resource.RLIM_INFINITY))\n"
    library = "/home/me/my programs/libx.so"
    fails = "import derain.cli.app as it\ndef fail():\n    raise {}\nit.app = fail\n"
    wanted = {
        gone: (2, "the current folder does not exist any more; change to another"),
        little: (2, "torch does not fit into the 700 MB that `ulimit -v` allows; allow at least 1 GB"),
        fails.format('RuntimeError("can\'t start new thread")'): (
            1,
            "the system starts no more threads; raise the limits",
        ),
        fails.format("MemoryError"): (1, "there is not enough memory; close other programs"),
        fails.format(f'ImportError("Original error was: {library}: failed to map segment")'): (
            1,
            f"{library}: cannot be loaded, as there is not enough memory, or its file system allows no programs",
        ),
        fails.format('RuntimeError("another")'): (1, None),
    }
    for before, (code, sentence) in wanted.items():
        done = forks.command("score", "/a.jpg", before=before)
        assert done.returncode == code and ("Traceback" in done.stderr) is (sentence is None), done
        assert sentence is None or done.stderr.startswith(f"derain: {sentence}"), done


@pytest.mark.skipif(os.name == "nt", reason="limits are others there")
@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["run", "--help"], ["models", "list"], ["models", "path"]]
)
def test_what_needs_no_torch_needs_neither_memory_nor_a_folder(words):
    gone = "import os, tempfile\nos.chdir(tempfile.mkdtemp())\nos.rmdir(os.getcwd())\n"
    little = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (700_000_000, resource.RLIM_INFINITY))\n"
    done = forks.command(*words, before=gone + little)
    assert done.returncode == 0 and done.stdout and not done.stderr, done
