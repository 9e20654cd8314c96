"""What a newcomer meets first: help, the page of options, completion, doctor."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from derain.batch.outcome import UNTOLD
from derain.cli import json_keys
from derain.cli.app import app
from derain.cli.clips import nothing_of
from derain.cli.options_page import options_page
from derain.rain.amount import Amount, row_of
from derain.video.streams.streaming import Streamed

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_help_and_import_leave_torch_alone():
    code = "import sys, derain, derain.cli.app; assert 'torch' not in sys.modules, 'torch'; derain.cli.app.main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout and "train" in done.stdout


def test_import_derain_offers_what_the_readme_names_and_loads_it_when_used():
    code = (
        "import sys, derain\n"
        "heavy = {'torch', 'numpy', 'cv2', 'PIL', 'av'}\n"
        "assert not heavy & set(sys.modules)\n"
        "assert {'batch', 'load', 'photos', 'restore', 'video'} <= set(derain.__all__) & set(dir(derain))\n"
        "print(derain.photos.__name__, derain.batch.run.__name__, derain.video.frames.__name__)\n"
        "print(derain.load.__name__, derain.restore.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["derain.photos", "run", "frames", "load", "restore"], done.stderr


def test_help_needs_no_library_that_computes():
    code = (
        "import sys; from derain.cli.app import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'numpy', 'cv2', 'PIL', 'av'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_types_are_there_for_those_who_use_derain():
    import derain

    assert (Path(derain.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_has_a_help_text(name):
    commands = getattr(COMMANDS[name], "commands", {name: COMMANDS[name]}).values()
    assert all(option.help for command in commands for option in command.params if option.param_type_name == "option")
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_the_page_of_options_says_what_help_says():
    written = (ROOT / "OPTIONS.md").read_text(encoding="utf-8")
    assert written == options_page(), "run: python -m derain.cli.options_page > OPTIONS.md"


def test_the_page_of_options_names_every_key_of_json():
    amount = row_of("a.png", None, Amount(0.0, (), None))
    told = [
        (json_keys.PHOTO, {*UNTOLD, "node"}),
        (json_keys.CLIP, {*nothing_of(Path("a.mp4"), None), "nodes"}),
        (json_keys.STREAM, {"input", "output", *(field.name for field in fields(Streamed))} - {"source", "out"}),
        (json_keys.PICTURE, set(amount)),
    ]
    page = options_page()
    for keys, names in told:
        assert keys.meanings.keys() == names
        assert all(f"\n| `{name}` | {keys.meanings[name]} |\n" in page for name in names)


def test_the_page_of_options_names_every_command_and_option():
    page = options_page()
    for name, command in COMMANDS.items():
        for one in getattr(command, "commands", {name: command}).values():
            assert f"## derain {name}{f' {one.name}' if one is not command else ''}\n" in page
            options = [option for option in one.params if option.param_type_name == "option"]
            assert all(f"`{word}`" in page and option.help in page for option in options for word in option.opts)


WHOLE_NAMES = [
    [name, *rest]
    for name, one in COMMANDS.items()
    for rest in ([[member] for member in one.commands] if hasattr(one, "commands") else [[]])
]


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("command", [[], *WHOLE_NAMES], ids=" ".join)
def test_help_breaks_no_word_and_names_no_type_of_python(command, width):
    shown = CliRunner().invoke(app, [*command, "--help"], terminal_width=width - 2).stdout
    assert max(map(len, shown.splitlines())) <= width
    assert "..." not in shown.partition("\n")[2]
    assert not re.search(r"<\w+", shown)
    about = COMMANDS.get(command[0]) if command else typer.main.get_command(app)
    about = about.commands[command[1]] if len(command) > 1 else about
    words = " ".join([about.help, *(parameter.help for parameter in about.params)]).split()
    assert set(words) <= set(shown.split())


@pytest.mark.parametrize("command", WHOLE_NAMES, ids=" ".join)
def test_help_ends_with_two_examples_that_the_command_line_takes(command):
    shown = CliRunner().invoke(app, [*command, "--help"]).stdout
    examples = [line.strip() for line in shown.partition("Examples:")[2].splitlines() if line.strip()]
    assert len(examples) == 2 and f"derain {' '.join(command)}" in examples[0]
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])[1:]
        name, group = words[0], COMMANDS[words[0]]
        taken = group.commands[words[1]] if hasattr(group, "commands") else group
        taken.make_context(name, words[2:] if hasattr(group, "commands") else words[1:])  # raises if it does not


@pytest.mark.parametrize("typed", [[], ["run"], ["models", "list"]], ids=" ".join)
def test_h_is_short_for_help(typed):
    long, short = (CliRunner().invoke(app, [*typed, word]) for word in ("--help", "-h"))
    assert short.exit_code == 0 and short.stdout == long.stdout


@pytest.mark.parametrize(
    "typed, said",
    [
        (["photo.jpg", "b c.png"], "derain run photo.jpg 'b c.png'"),
        (["clip.MP4", "--start", "3"], "derain video clip.MP4 --start 3"),
        (["."], "`derain run .` derains its photos, `derain video .` its clips"),
        (["mine.safetensors"], "--weights mine.safetensors"),
        (["vidoe", "clip.mp4"], "Did you mean 'video'?"),
        (["--strength", "0.5", "photo.jpg"], "`derain run --strength`"),
    ],
)
def test_who_leaves_out_the_command_is_told_it(typed, said):
    done = CliRunner().invoke(app, typed)
    assert done.exit_code == 2 and said in done.stderr


WITHOUT_TORCH = """
import gc, json, os, sys
import derain.batch.planning, derain.evaluation.samples, derain.photos.formats, derain.serve.listening
import derain.training.config, derain.video.formats, derain.video.naming, derain.video.streams
from derain.cli.app import main
may = os.access
os.access = lambda path, mode: may(path, mode) and not (mode & os.W_OK and str(path) == "locked")
gc.freeze()
gc.disable()
for words in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.dup2(writing, 2)
        os.close(writing)
        sys.argv, code = ["derain", *words], 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        sys.stderr.flush()
        os._exit(99 if {"torch", "scipy"} & set(sys.modules) else code)
    os.close(writing)
    said = open(reading).read()
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), said]))
"""
LOCKED = ": cannot be written because you may not write in locked"
TRAIN = "train --rainy photos --clean moving --out"
WRONG_INPUTS = {
    "run phoot.jpg": (1, "phoot.jpg: no such file; did you mean photo.jpg?"),
    "run clip.mp4": (2, "clip.mp4: is a clip; `derain video clip.mp4` removes its rain"),
    "run empty": (2, "no photos found"),
    "run": (2, "no photos given"),
    "run moving": (2, "no photos found, but clips: moving/clip.mp4: is a clip"),
    "run photo.jpg -o photo.jpg": (2, "photo.jpg: is the photo itself; give another -o, or only --in-place"),
    "run photo.jpg -o photo.jpg/x": (1, "photo.jpg is not a folder"),
    "run photo.jpg --weights nowhere": (2, "nowhere: no bundled weights of that name"),
    "video clipp.mp4": (1, "clipp.mp4: no such file; did you mean clip.mp4?"),
    "video no.mp4 nothing.mp4": (1, "0 of 2 clips done"),
    "video photo.jpg": (2, "photo.jpg: is a photo; use `derain run`"),
    "video empty": (2, "empty: holds no pictures"),
    "video clip.mp4 -o clip.mp4": (2, "clip.mp4: is the source itself; give another -o"),
    "video clip.mp4 -o a.txt": (2, "a.txt: the result must end in one of .mp4"),
    "video clip.mp4 -o photo.jpg/a.mp4": (1, "photo.jpg is not a folder; write elsewhere with -o"),
    "video clip.mp4 --weights nowhere": (2, "nowhere: no bundled weights of that name"),
    "video rtsp://camera/1": (2, "is a stream; use --output"),
    "score phoot.jpg no.mp4": (1, "phoot.jpg: no such file; did you mean photo.jpg?"),
    "score photo.jpg --weights nowhere": (2, "nowhere: no bundled weights of that name"),
    "finetune nowhere": (2, "nowhere: no such file or folder; give a folder of rainy photos or clips"),
    "finetune empty": (2, "empty: holds no photos or clips"),
    "finetune moving -o a.txt": (2, "a.txt: the result is a weights file"),
    "finetune moving --push me": (2, "me: give a repository on the Hub as OWNER/REPO"),
    "train --rainy moving --clean empty --out r": (2, "empty: holds no photos or clips"),
    "eval --rainy nowhere": (2, "nowhere: no such file or folder"),
    "eval --rainy empty": (2, "empty: no photos in it"),
    "eval --rainy moving --clean photo.jpg": (2, "compare folders with folders"),
    "eval --rainy photo.jpg --csv clip.mp4": (2, "clip.mp4: already exists"),
    "models verify nowhere": (2, "nowhere: no bundled weights"),
    "export onnx --weights nowhere.safetensors": (2, "nowhere.safetensors: no such weights file"),
    "export onnx -o a.txt": (2, "a.txt: not the name of an ONNX file"),
    "export onnx --weights hf:me": (2, "hf:me: give weights on the Hub as hf:OWNER/REPO"),
    "run photo.jpg --precision half": (2, "--precision half: choose auto"),
    "video clip.mp4 --temporal maybe": (2, "--temporal maybe: choose auto"),
    "video clip.mp4 --start 3 --end 1": (2, "--end 1: must be after --start 3"),
    "video clip.mp4 --codec other": (2, "--codec other: no such encoder"),
    "eval --self-test --device tpu": (2, "--device tpu: choose auto"),
    "serve --weights no.safetensors": (2, "no.safetensors: no such weights file"),
    "finetune moving --strength-of-change huge": (2, "--strength-of-change huge: choose one of low"),
    "finetune photos": (2, "photos: holds 1 photo; give 4 or more"),
    f"{TRAIN} r --config no.toml": (2, "no.toml: cannot be read"),
    f"{TRAIN} r --config a.toml": (2, "a.toml: batch = 0: must be"),
    f"{TRAIN} r --resume": (2, "checkpoint.pt: no checkpoint to resume; leave out --resume"),
    f"{TRAIN} begun": (2, "begun: already holds a run; give --resume"),
    f"{TRAIN} clip.mp4": (2, "clip.mp4: is not a folder; give another --out"),
    "finetune moving --push me/mine": (1, "hf:me/mine: cannot be written without a token; set HF_TOKEN"),
    "run photo.jpg -o locked": (1, f"photo.jpg{LOCKED}; write elsewhere with -o"),
    "video clip.mp4 -o locked/a.mp4": (1, f"a.mp4{LOCKED}; write elsewhere with -o"),
    "eval --rainy photo.jpg --csv locked/a.csv": (1, f"a.csv{LOCKED}; write it elsewhere"),
    "eval --benchmark --json locked/a.json": (1, f"a.json{LOCKED}; write it elsewhere"),
    "export onnx -o locked/a.onnx": (1, f"locked/a.onnx{LOCKED}; give another -o"),
    "finetune moving -o locked/a.safetensors": (1, f"a.safetensors{LOCKED}; give another -o"),
    f"{TRAIN} locked": (1, f"checkpoint.pt{LOCKED}; give another --out"),
    f"{TRAIN} locked/deeper/run": (1, f"checkpoint.pt{LOCKED}; give another --out"),
    "video clip.mp4 -o - --json": (2, "--json: the pictures go to stdout; leave --json out"),
    "video clip.mp4 -o udp://127.0.0.1:9 --start 3": (2, "--start: a stream begins when it is opened"),
    "video clip.mp4 -o udp://127.0.0.1:9 --overwrite": (2, "--overwrite: udp://127.0.0.1:9 is no file"),
    "video clip.mp4 -o new/a.ts --reconnect 5": (2, "clip.mp4: cannot be reconnected; leave out --reconnect"),
    "video - -o - -f mpegts --weights nowhere": (2, "nowhere: no bundled weights of that name"),
    "video clip.mp4 other.mp4 -o new --live": (2, "--live: for one stream or clip, not for several"),
    "video clip.mp4 other.mp4 -o new --compare --rain": (2, "choose either --compare or --rain"),
    "video clip.mp4 other.mp4 -o new --end 3 --start 5": (2, "--end 3: must be after --start 5"),
    "video clip.mp4 other.mp4 -o new --weights nowhere": (2, "nowhere: no bundled weights of that name"),
    "video clip.mp4 --ray --device cuda:1": (2, "--device cuda:1: on a cluster choose auto"),
    "video photos --ray": (2, "photos: is not a clip in one file, and --ray takes nothing else"),
    "video a.gif --only-if-rainy": (2, "a.gif: is a GIF, for which --only-if-rainy and --rainy-from do not work"),
    "run - --format gif": (2, "--format gif: choose one of jpg"),
    "run --files-from no.txt --in-place -o new": (2, "--in-place cannot be combined with -o"),
    "run photo.jpg --ray --device mps": (2, "--device mps: on a cluster choose auto"),
    "eval --benchmark --weights nowhere --csv a.csv": (2, "--benchmark scores no pictures"),
    "eval --benchmark --workers 2": (2, "leave out --report, --csv and --workers"),
    "eval --benchmark --weights none": (2, "--weights none: goes with neither other weights nor --benchmark"),
    "eval --self-test --weights none --weights nlcl": (2, "--weights none: goes with neither other weights nor"),
    "eval --self-test --overwrite": (2, "--overwrite: no file is written that could replace another"),
    "run photo.jpg --strength nan": (2, "'--strength': give a number from 0 to 1"),
    "run photo.jpg --quality much": (2, "'--quality': give a whole number from 1 to 100"),
    "run photo.jpg --max-memory 0": (2, "'--max-memory': give a number, 0.1 or more"),
    f"{TRAIN} r --lr fast": (2, "'--lr': give a number"),
    "run photo.jpg -q -v": (2, "choose either --quiet or --verbose"),
    "video clip.mp4 -o new --codec libx265": (2, "new: frames as pictures have no --codec; leave it out, or give"),
    "video photos -o new --codec ffv1": (2, "new: frames as pictures have no --codec; leave it out"),
    "video a.gif --codec libx264": (2, "a.gif: a GIF has no --codec; leave it out"),
    "video clip.mp4 -o - -f rawvideo --codec ffv1": (2, "stdout: rawvideo has no --codec ffv1; leave it out"),
    "video clip.mp4 --rate 5": (2, "clip.mp4: is by its name no file of raw frames; leave out --rate"),
    "video moving --rate 5": (2, "moving: is a folder and no file of raw frames; leave out --rate"),
    "video f/%05d.png -o b.mp4 --rate 5": (2, "f/%05d.png: names pictures, which only become pictures, and no raw"),
    "video clip.mp4 -o b.mkv --pixel-format rgb24 --size 8x8": (2, "clip.mp4: is by its name no file of raw frames"),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, so that a case takes no start of Python")
def test_what_is_wrong_with_the_input_is_told_before_torch_is_loaded(tmp_path):
    for name in ("empty", "moving", "photos", "begun", "locked"):
        (tmp_path / name).mkdir()
    for name in ("photo.jpg", "clip.mp4", "other.mp4", "moving/clip.mp4", "photos/1.jpg", "begun/checkpoint.pt"):
        (tmp_path / name).touch()
    Image.new("L", (9, 9)).save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("L", (9, 9), 9)])
    (tmp_path / "a.toml").write_text("batch = 0")
    words = json.dumps([typed.split() for typed in WRONG_INPUTS])
    nobody = os.environ | {"HF_HOME": str(tmp_path / "empty"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
    call = [sys.executable, "-c", WITHOUT_TORCH, words]
    done = subprocess.run(call, cwd=tmp_path, env=nobody, capture_output=True, text=True)
    found = dict(zip(WRONG_INPUTS, map(json.loads, done.stdout.splitlines()), strict=True))
    for typed, (code, sentence) in WRONG_INPUTS.items():
        ended, said = found[typed]
        assert (ended, sentence in said) == (code, True), (typed, found[typed])
        assert "Traceback" not in said and "weights derain" not in said, said
    assert not (tmp_path / "new").exists()


def test_the_readme_names_every_command():
    assert all(f"derain {name}" in README for name in COMMANDS)


@pytest.mark.parametrize("typed, completed", [("derain ru", "run"), ("derain run --stren", "--strength")])
def test_the_shell_completes(typed, completed):
    code = "import sys; from derain.cli.app import main; sys.argv = ['derain']; main()"
    asked = {"_DERAIN_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked)
    assert completed in done.stdout.split(), done.stderr


def test_doctor_finds_device_codecs_and_weights(monkeypatch):
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    monkeypatch.setattr("derain.doctor._speed", lambda device: "as fast as before")
    assert "megapixels/s" in found["device cpu"] and "JPEG yes" in found["codecs"] and "BMP yes" in found["codecs"]
    assert re.match(r"(1 thread|\d{2,} threads|[2-9] threads), ", found["device cpu"]), found["device cpu"]
    assert "intact" in found["weights derain"] and "torch" in found["libraries"]
    table = CliRunner().invoke(app, ["doctor"]).stdout.splitlines()
    assert len(table) == len(found) + 2 and all(line.startswith("| ") for line in table)


def test_doctor_reports_unusable_weights(tmp_path, monkeypatch):
    from derain import doctor

    (tmp_path / "derain.safetensors").write_bytes(b"no weights")
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  derain.safetensors\n")
    monkeypatch.setattr("derain.weights.bundled.bundled_folder", lambda: tmp_path)
    found = dict(doctor.examine())
    assert found["weights derain"].startswith("unusable: ") and "fails" in found["device cpu"]


@pytest.mark.parametrize("said, counts", [({}, "1000"), ({"OMP_WAIT_POLICY": "active"}, "None")])
def test_threads_that_wait_leave_the_cores_to_others_unless_the_user_says_otherwise(said, counts):
    code = (
        "import os, sys; from derain.cli import app\n"
        "app.app = lambda: print('torch' in sys.modules, os.environ.get('GOMP_SPINCOUNT'))\n"
        "app.main()"
    )
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run([sys.executable, "-c", code], env=quiet | said, capture_output=True, text=True)
    assert done.stdout.split() == ["False", counts], done.stderr
