"""Clips and what is around them: two runs at once, folders that vanish, names."""

import errno
import json
import os
import shlex
import shutil
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from derain import batch
from derain.cli import app as cli
from derain.cli.app import app
from derain.cli.which_clips import clips_of
from derain.errors import PhotoError, UsageError
from derain.files.writing import alone
from derain.finetuning.finetune import finetune
from derain.restoring.restorer import Restorer
from derain.training.config import TrainConfig
from derain.training.loop import train
from derain.video import Done, VideoSettings, process
from derain.video.naming import best_suffix, default_result, folders_of_clips
from derain.video.reading import Clip
from tests.forks import command
from tests.test_video import Identity, frames, make_clip, picture, save_photo

FRAME_BY_FRAME = VideoSettings(temporal="off")
LONG = "ü" * 125  # 250 bytes


@pytest.mark.parametrize("out", ["b.mp4", "frames"])
def test_a_second_run_of_the_same_says_that_another_is_at_it(tmp_path, out):
    source, second = make_clip(tmp_path / "a.mp4"), []

    def start_another(done, total, seconds):
        if done == 2:
            second.append(command("video", source, "-o", tmp_path / out, "--overwrite"))

    assert process(source, tmp_path / out, Identity(), FRAME_BY_FRAME, report=start_another).frames == 12
    assert second[0].returncode == 1 and second[0].stdout == ""
    assert (
        second[0]
        .stderr.strip()
        .splitlines()[-1]
        .endswith("another run is writing it; wait until that ends, or give another -o")
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", out]


@pytest.mark.parametrize(
    "out, made",
    [("new/", "new/a.mp4"), ("v1.5/", "v1.5/a.mp4"), ("there", "there/a.mp4"), ("frames", "frames/00000.png")],
)
def test_a_folder_gets_the_clip_and_one_of_frames_its_frames(tmp_path, small_weights, out, made):
    make_clip(tmp_path / "a.mp4", count=2)
    (tmp_path / "there").mkdir()
    words = ["video", "a.mp4", "-o", out, "--temporal", "off", "--weights", small_weights]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / made).is_file(), done.stderr
    assert ("gets the frames as pictures" in done.stderr) is (out == "frames")
    again = command(*words, cwd=tmp_path)  # means the same once the folder is there
    assert again.returncode == 0 and f"a.mp4: skipped because {made} exists" in again.stderr and not again.stdout


@pytest.mark.parametrize(
    "source, out",
    [
        ("a.mp4", None),
        ("a.mp4", "b.mp4"),
        ("a.mp4", "p%03d.png"),
        ("a.mp4", "frames"),
        ("a.gif", "b.gif"),
        ("in", "out"),
        ("in", None),
        ("in/%d.png", "p%03d.png"),
    ],
)
def test_a_clip_whose_result_is_there_is_skipped_unless_a_run_of_it_goes_on(tmp_path, small_weights, source, out):
    if source.startswith("in"):
        (tmp_path / "in").mkdir()
        for number in range(2):
            Image.new("RGB", (64, 48)).save(tmp_path / "in" / f"{number}.png")
    elif source == "a.gif":
        Image.new("RGB", (64, 48)).save(tmp_path / source)
    else:
        make_clip(tmp_path / source, count=2)
    words = ["video", source, *(["-o", out] if out else []), "--temporal", "off", "--weights", small_weights, "--json"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["skipped"] is None, done.stderr
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = command(*words, cwd=tmp_path)
    assert again.returncode == 0 and "(--overwrite replaces it)" in again.stderr
    told = json.loads(again.stdout)
    assert told["skipped"] == "its result exists" and told["output"] == json.loads(done.stdout)["output"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files
    assert command(*words, "--weights", "nowhere", cwd=tmp_path).returncode == 2
    assert json.loads(command(*words, "--overwrite", cwd=tmp_path).stdout)["skipped"] is None


def test_where_no_result_can_be_written_each_of_several_clips_says_what_to_do(tmp_path):
    locked = "import os; may = os.access; os.access = lambda path, mode: may(path, mode) and not mode & os.W_OK"
    (tmp_path / "in").mkdir()
    for name in "ab":
        make_clip(tmp_path / "in" / f"{name}.mp4", count=1)
    done = command("video", "in", cwd=tmp_path, before=locked)
    why = "cannot be written because you may not write in in; write elsewhere with -o"
    assert done.returncode == 1 and all(f"in/{name}.derained.mp4: {why}" in done.stderr for name in "ab")


def test_a_folder_with_a_slash_holds_several_clips_whatever_its_name(tmp_path):
    clips = [str(make_clip(tmp_path / name, count=1)) for name in ("a.mp4", "b.mp4")]
    assert [out for _, out in clips_of(clips, f"{tmp_path}/v1.5/")] == [tmp_path / "v1.5"] * 2
    with pytest.raises(UsageError, match="give a folder"):
        clips_of(clips, f"{tmp_path}/v1.6")
    assert len(clips_of([clips[0], *clips], f"{tmp_path}/out/")) == 2  # one that is named twice is done once
    with pytest.raises(PhotoError, match="a.mp4"):  # a file, below which no folder can be made
        clips_of(clips, f"{clips[0]}/dry/")


def test_pictures_and_gifs_are_made_by_one_run_at_a_time(tmp_path):
    for name in ("in/0.png", "in/1.png"):
        save_photo(picture(0), tmp_path / name)
    save_photo(picture(0), tmp_path / "a.gif")
    for source, out in [("in", "out"), ("a.gif", "b.gif")]:
        with alone(tmp_path / f"{out}.unfinished", tmp_path / out), pytest.raises(PhotoError, match="another run"):
            process(tmp_path / source, tmp_path / out, Identity())
        process(tmp_path / source, tmp_path / out, Identity())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "b.gif", "in", "out"]


@pytest.mark.parametrize("when", [1, 5, 12])
@pytest.mark.parametrize("gone", ["b.mp4.unfinished", "."])
def test_a_folder_that_vanishes_is_a_sentence(tmp_path, monkeypatch, gone, when):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 4)
    source = make_clip(tmp_path / "a.mp4")

    def remove(done, total, seconds):
        if done == when:
            shutil.rmtree(tmp_path / "out" / gone)

    with pytest.raises(PhotoError, match=r"b\.mp4.*: cannot be (read or )?written"):
        process(source, tmp_path / "out" / "b.mp4", Identity(), FRAME_BY_FRAME, report=remove)
    assert not (tmp_path / "out" / "b.mp4").exists()
    process(source, tmp_path / "out" / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert len(list(frames(tmp_path / "out" / "b.mp4"))) == 12


def test_a_segment_that_vanishes_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 4)
    source, out = make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4"

    def interrupt(done, total, seconds):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(source, out, Identity(), FRAME_BY_FRAME, report=interrupt)
    (tmp_path / "b.mp4.unfinished" / "000000.nut").unlink()
    assert process(source, out, Identity(), FRAME_BY_FRAME).frames == len(list(frames(out))) == 12


@pytest.mark.parametrize("other", [True, False])
def test_a_clip_that_is_removed_or_replaced_meanwhile_lends_nothing_of_another(tmp_path, other):
    source, out, aside = make_clip(tmp_path / "a.mp4", sound=1), tmp_path / "b.mp4", tmp_path / "aside.mp4"
    if other:
        make_clip(tmp_path / "other.mp4", sound=1, count=20)

    def take_away(done, total, seconds):
        if done == 5:
            source.rename(aside)
            if other:
                (tmp_path / "other.mp4").rename(source)

    with pytest.raises(
        PhotoError, match="a.mp4: was removed or replaced while it was derained; put it back, then give"
    ):
        process(source, out, Identity(), FRAME_BY_FRAME, report=take_away)
    assert not out.exists()
    aside.rename(source)
    done = process(source, out, Identity(), FRAME_BY_FRAME)
    assert done.frames == len(list(frames(out))) == 12 and not done.damage


def test_what_could_not_be_joined_leaves_the_disk_to_the_next_try(tmp_path, monkeypatch):
    source, out = make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4"

    def fills(tracks, whole, *_):
        whole.write_bytes(b"half")
        raise PhotoError("full")

    with monkeypatch.context() as patch, pytest.raises(PhotoError):
        patch.setattr("derain.video.pipeline.join", fills)
        process(source, out, Identity(), FRAME_BY_FRAME)
    left = {path.name for path in (tmp_path / "b.mp4.unfinished").iterdir()}
    assert "000000.nut" in left and "whole.mp4" not in left
    process(source, out, Identity(), FRAME_BY_FRAME)
    assert len(list(frames(out))) == 12


def test_a_clip_that_goes_on_is_computed_as_it_began(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 4)
    source, out, used = make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4", []

    def interrupt(done, total, seconds):
        if done == 5:
            raise KeyboardInterrupt

    def noted(model, precision, *others):
        used.append(precision)
        return Restorer(model, precision, *others)

    monkeypatch.setattr("derain.video.treatment.Restorer", noted)
    for faster in (True, False):
        monkeypatch.setattr("derain.restoring.devices.half_is_faster", lambda *_, half=faster: half)
        with suppress(KeyboardInterrupt):
            process(source, out, Identity(), FRAME_BY_FRAME, report=interrupt if faster else None)
    assert used == ["bfloat16"] * 2 and len(list(frames(out))) == 12


def test_the_default_name_is_always_one_that_works(tmp_path, monkeypatch):
    save_photo(picture(0), tmp_path / "trip.2024" / "0.png")
    clip = make_clip(tmp_path / "clip.mkv", count=2, base=Fraction(1, 1000), sound=1, subtitles=True)
    clip.rename(tmp_path / "clip")
    make_clip(tmp_path / "00001.MTS.ts", count=2, sound=1).rename(tmp_path / "00001.MTS")
    make_clip(tmp_path / "v.flv", count=2, base=Fraction(1, 1000))
    make_clip(tmp_path / "C.MP4", count=2)
    expected = {
        "trip.2024": "trip.2024.derained",
        "clip": "clip.derained.mkv",
        "00001.MTS": "00001.derained.mp4",
        "v.flv": "v.derained.mp4",
        "C.MP4": "C.derained.MP4",
    }
    for name, result in expected.items():
        assert default_result(tmp_path / name) == tmp_path / result
        process(tmp_path / name, tmp_path / result, Identity(), FRAME_BY_FRAME)
        assert (tmp_path / result).exists()
    monkeypatch.chdir(tmp_path / "trip.2024")
    assert default_result(Path(".")) == tmp_path / "trip.2024.derained"
    assert default_result(Path("%d.png")).name == "%d.derained.png"


def test_streams_that_mp4_cannot_hold_go_to_matroska(tmp_path):
    make_clip(tmp_path / "a.mkv", count=2, base=Fraction(1, 1000), subtitles=True)
    with Clip(tmp_path / "a.mkv") as clip:
        assert best_suffix(clip) == ".mkv"
    make_clip(tmp_path / "a.ts", count=2, sound=1)
    with Clip(tmp_path / "a.ts") as clip:
        assert best_suffix(clip) == ".mp4"


def test_what_cannot_be_is_said_before_weights_are_loaded(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", count=2)
    save_photo(picture(0), tmp_path / "in" / "0.png")
    save_photo(picture(0), tmp_path / "a.gif")

    def weights():
        raise AssertionError("loaded")

    wrong = [
        ("in/0.png", "b.mp4", "derain run"),
        ("in", "b.mp4", "picture files"),
        ("in", "in", "pictures themselves"),
        ("a.gif", "b.mp4", "can only become a GIF"),
        ("a.gif", "a.gif", "is the source itself"),
        ("a.mp4", "b.txt", "must end in"),
        ("a.mp4", "a.mp4", "is the source itself"),
        ("a.mp4", f"{LONG}.mp4", "name is too long"),
        ("in", LONG, "name is too long"),
        ("in", "n" * 250, r"too long for this file system with \.unfinished, .* give a shorter one with `out`"),
    ]
    for source, out, said in wrong:
        with pytest.raises(UsageError, match=said):
            process(tmp_path / source, tmp_path / out, model=weights)
    with pytest.raises(UsageError, match="`codec` nothing"):
        process(clip, tmp_path / "b.mp4", settings=VideoSettings(codec="nothing"), model=weights)
    with pytest.raises(PhotoError, match="cannot be read"):
        process(tmp_path / f"{LONG}{LONG}.mp4", tmp_path / "b.mp4", model=weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "a.mp4", "in"]


@pytest.mark.parametrize(
    ("codec", "out", "advice"), [("libx265", "b.avi", "ffv1"), ("ffv1", "b.mov", ".mkv"), ("vp9", "b.mov", ".mp4")]
)
def test_a_codec_that_the_container_cannot_hold_is_refused_before_any_work(tmp_path, codec, out, advice):
    clip = make_clip(tmp_path / "a.mp4", count=2)
    words = ["video", str(clip), "--codec", codec, "-o", str(tmp_path / out)]
    for more in ([], ["--live", "--format", "avi" if out.endswith("avi") else "mov"]):
        done = CliRunner().invoke(app, [*words[:1], *(["-"] if more else words[1:2]), *words[2:], *more])
        assert isinstance(done.exception, UsageError), done.exception
        assert str(done.exception).startswith(f"{tmp_path / out}: ") and f"`codec` {codec}" in str(done.exception)
        assert more or advice in str(done.exception)
    with pytest.raises(UsageError, match=f"{out}: .* cannot hold"):
        process(clip, tmp_path / out, Identity(), VideoSettings(codec=codec))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("option", ["--encoder-option", "--source-option", "--output-option"])
def test_an_option_without_a_value_is_wrong_usage(tmp_path, option):
    done = CliRunner().invoke(app, ["video", str(make_clip(tmp_path / "a.mp4", count=1)), option, "tune"])
    assert isinstance(done.exception, UsageError) and "tune: is no option with a value" in str(done.exception)


def test_a_gif_given_to_run_is_refused_before_anything_is_computed(tmp_path):
    save_photo(picture(0), tmp_path / "a.gif")
    save_photo(picture(0), tmp_path / "b.png")
    shutil.copy(tmp_path / "b.png", tmp_path / "c")
    with pytest.raises(UsageError, match="a.gif.*derain video"):
        batch.plan([tmp_path / "a.gif"])
    looked = []

    class Looking(Identity):
        def layers(self, rainy):
            looked.append(rainy.shape)
            return super().layers(rainy)

    jobs = batch.plan([tmp_path / "a.gif", tmp_path / "c", tmp_path / "b.png"])
    gif, unnamed, photo = batch.run(jobs, Looking())
    assert "derain video" in str(gif.error) and "give `format` png" in str(unnamed.error) and not photo.error
    assert {shape[-2:] for shape in looked} == {(48, 64)} and not (tmp_path / "a.derained.gif").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["run", LONG + LONG + ".jpg"],
        ["video", LONG + LONG + ".mp4"],
        ["finetune", LONG + LONG],
        ["train", "--rainy", ".", "--clean", ".", "--out", LONG + LONG],
        ["finetune", ".", "-o", f"{LONG}.safetensors"],
    ],
)
def test_names_that_no_file_system_takes_are_a_sentence(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    for name in "abcd":
        save_photo(picture(0), tmp_path / f"{name}.png")
    monkeypatch.setattr(sys, "argv", ["derain", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code in (1, 2) and "long" in said.lower() and "Traceback" not in said


def test_training_and_finetuning_the_same_twice(tmp_path, folders):
    rainy, clean = folders
    with alone(tmp_path / "out", tmp_path / "out"), pytest.raises(PhotoError, match="out: another run"):
        train(TrainConfig(steps=1, crop=32), rainy, clean, tmp_path / "out")
    weights = tmp_path / "w.safetensors"
    with alone(tmp_path / "w.safetensors.unfinished", weights), pytest.raises(PhotoError, match="another run"):
        finetune(rainy, weights, steps=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "rainy"]


def test_what_a_result_lacks_is_among_its_notes_after_an_interruption_too(tmp_path, monkeypatch):
    source, out, said = (
        make_clip(tmp_path / "a.mkv", count=6, codec="ffv1", pixel_format="gray"),
        tmp_path / "b.mp4",
        [],
    )
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)

    def interrupt(done, total, seconds):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(source, out, Identity(), FRAME_BY_FRAME, report=interrupt)
    done = process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    assert [note.partition(":")[0] for note in done.notes] == ["libx264", "the result is a different kind of file"]
    assert f"{source}: {done.notes[1]}" in said


def test_a_damaged_clip_has_an_error_in_json_and_is_counted_as_written_with_faults(tmp_path, small_weights):
    for name in ("a.mkv", "b.mkv"):
        make_clip(tmp_path / name, 12, "ffv1", "bgr0", base=Fraction(1, 1000))
    content = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(content[: len(content) * 2 // 3])
    words = ["video", str(tmp_path), "-o", str(tmp_path / "out"), "--json", "--temporal", "off"]
    done = CliRunner().invoke(app, [*words, "--weights", str(small_weights)])
    damaged, whole = map(json.loads, done.stdout.splitlines())
    assert done.exit_code == 1 and "cut short" in damaged["error"] and damaged["output"] and damaged["notes"] == []
    assert whole["error"] is None and "1 of 2 clips done" in done.stderr and ", 1 written with faults" in done.stderr


def test_clips_in_folders_of_a_folder_are_told(tmp_path, small_weights):
    card = tmp_path / "DCIM"
    (card / "100ACME").mkdir(parents=True)
    make_clip(card / "100ACME" / "a.mp4", count=3)
    words = ["-o", str(card / "dry/"), "--weights", str(small_weights), "--temporal", "off"]
    with pytest.raises(UsageError, match="DCIM: holds neither clips nor pictures but folders of clips; give .*100ACME"):
        CliRunner().invoke(app, ["video", str(card), *words], catch_exceptions=False)
    make_clip(card / "b.mp4", count=3)
    for out in ("dry/", "dry/", "anew/"):  # of which those after the first find results
        done = CliRunner().invoke(app, ["video", str(card), "-o", str(card / out), *words[2:]])
        assert f"1 folder with clips left out, such as {card / '100ACME'}: name it, too\n" in done.stderr
    done = CliRunner().invoke(app, ["video", str(card), str(card / "100ACME"), *words])
    assert "left out" not in done.stderr


def test_a_folder_that_may_not_be_read_hides_no_other_with_clips(tmp_path, monkeypatch):
    for name in ("a", "closed", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").touch()
    names_in = os.listdir

    def refuse(folder):
        if os.path.basename(folder) == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return names_in(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    assert folders_of_clips(tmp_path) == [tmp_path / "a", tmp_path / "z"]


def test_several_clips_and_folders_of_clips_in_one_go(tmp_path, small_weights):
    clips, out = tmp_path / "clips", tmp_path / "dry"
    clips.mkdir()
    for name in ("a.mp4", "b.mkv", "old.derained.mp4"):
        make_clip(clips / name, count=3)
    (clips / "broken.mp4").write_bytes(b"no clip")
    for name in ("still.jpg", "still.derained.jpg"):
        (clips / name).touch()
    make_clip(tmp_path / "c.mp4", count=3)
    words = ["video", str(clips), str(tmp_path / "c.mp4"), "-o", str(out), "--json", "--weights", str(small_weights)]
    done = CliRunner().invoke(app, [*words, "--temporal", "off"])
    objects = {Path(one["input"]).name: one for one in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 1 and list(objects) == ["a.mp4", "b.mkv", "broken.mp4", "c.mp4"], done.stderr
    assert {path.name for path in out.iterdir() if path.is_file()} == {"a.mp4", "b.mkv", "c.mp4"}
    assert "broken.mp4" in objects["broken.mp4"]["error"] and "3 of 4 clips done" in done.stderr
    assert f"{clips / 'a.mp4'}: 3 frames in" in done.stderr
    assert f"1 photo left out, such as {clips / 'still.jpg'}: `derain run` is for photos\n" in done.stderr
    again = CliRunner().invoke(app, [*words, "--temporal", "off"])
    told = [json.loads(line) for line in again.stdout.splitlines()]
    assert [bool(one["skipped"]) for one in told] == [True, True, False, True] and len({*map(tuple, told)}) == 1
    assert "0 of 4 clips done" in again.stderr and ", 3 skipped" in again.stderr
    refused = CliRunner().invoke(app, [*words[:3], "-o", str(tmp_path / "one.mp4")])
    assert refused.exit_code != 0 and "give a folder" in str(refused.exception)


@pytest.mark.parametrize("out, names", [([], ["a.derained.mp4"]), (["-o", "dry"], ["a.mp4"]), (["-o", "."], [])])
def test_no_result_takes_the_place_of_another_clip(tmp_path, small_weights, monkeypatch, out, names):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "a.flv"):
        make_clip(tmp_path / name, count=2, base=Fraction(1, 1000))
    before = Path("a.mp4").read_bytes()
    words = ["video", "a.mp4", "a.flv", *out, "--overwrite", "--temporal", "off", "--weights", str(small_weights)]
    done = CliRunner().invoke(app, words, terminal_width=1000)
    assert done.exit_code == 1 and "a.flv: its result would be" in done.stderr, done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == names and Path("a.mp4").read_bytes() == before


def test_of_two_clips_with_one_name_for_their_results_only_the_second_fails(tmp_path, small_weights):
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
        make_clip(tmp_path / name / ("b.mp4" if name == "z" else "a.mp4"), count=2)
    words = ["video", *(str(tmp_path / name) for name in "xyz"), "-o", str(tmp_path / "dry"), "--temporal", "off"]
    done = CliRunner().invoke(app, [*words, "--weights", str(small_weights)], terminal_width=1000)
    assert done.exit_code == 1 and [Path(line).name for line in done.stdout.splitlines()] == ["a.mp4", "b.mp4"]
    assert f"{tmp_path / 'y/a.mp4'}: its result would be" in done.stderr, done.stderr


def test_two_clips_of_one_name_that_cannot_be_read_are_each_told_why(tmp_path, small_weights):
    for name in ("a.h264", "a.264"):
        make_clip(tmp_path / name, count=2)
    words = ["video", str(tmp_path / "a.h264"), str(tmp_path / "a.264"), "--weights", str(small_weights)]
    done = CliRunner().invoke(app, words, terminal_width=1000)
    assert done.exit_code == 1 and done.stderr.count("its frames have no timestamps; remux it") == 2, done.stderr


def test_clips_that_mp4_has_no_name_for_go_to_a_folder_in_a_container_that_can_be_written(tmp_path, small_weights):
    make_clip(tmp_path / "00001.flv", count=2, base=Fraction(1, 1000))
    make_clip(tmp_path / "00002.ts", count=2, sound=1).rename(tmp_path / "00002.MTS")
    words = ["video", *map(str, sorted(tmp_path.glob("0*"))), "-o", str(tmp_path / "dry"), "--temporal", "off"]
    done = CliRunner().invoke(app, [*words, "--weights", str(small_weights)])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "dry" / name) for name in ("00001.mp4", "00002.mp4")]


def test_a_clip_that_is_named_twice_is_one(tmp_path, small_weights):
    clip = make_clip(tmp_path / "a.mp4", count=2)
    (tmp_path / "dry").mkdir()
    done = command("video", clip, "./a.mp4", clip, "-o", "dry", "--weights", small_weights, cwd=tmp_path)
    assert done.returncode == 0 and os.listdir(tmp_path / "dry") == ["a.mp4"], done.stderr


def test_a_clash_of_clips_is_nothing_to_try_again(tmp_path, small_weights):
    for name in ("in/a.mp4", "b/a.mp4"):
        (tmp_path / name).parent.mkdir()
        make_clip(tmp_path / name, count=1)
    done = command("video", "in", "b", "-o", "dry", "--overwrite", "--weights", small_weights, cwd=tmp_path)
    assert done.returncode == 1 and "belongs to in/a.mp4" in done.stderr
    assert os.listdir(tmp_path / "dry") == ["a.mp4"], done.stderr


def test_patterns_that_no_shell_expanded_are_clips(tmp_path, small_weights):
    for name in ("w 1.mp4", "w 2.mp4", "other.mp4"):
        make_clip(tmp_path / name, count=1)
    (tmp_path / "w 3.txt").touch()
    done = command("video", "w*", "--weights", small_weights, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines() == ["w 1.derained.mp4", "w 2.derained.mp4"], done.stderr
    again = command("video", "*.txt", "--weights", small_weights, "--device", "cpu", cwd=tmp_path)
    assert again.returncode == 1 and "*.txt: matches no file of the right kind" in again.stderr


def test_results_of_an_earlier_run_among_named_clips_are_left_out(tmp_path, small_weights):
    for name in ("a.mp4", "a.derained.mp4", "b.derained.mp4"):
        make_clip(tmp_path / name, count=2)
    words = ["video", *map(str, sorted(tmp_path.glob("*.mp4"))), "--json", "--temporal", "off"]
    done = CliRunner().invoke(app, [*words, "--weights", str(small_weights)])
    assert done.exit_code == 0, done.stderr
    skipped = [json.loads(line)["skipped"] for line in done.stdout.splitlines()]
    assert skipped == ["a result of a.mp4", "its result exists", None]
    assert (tmp_path / "b.derained.derained.mp4").exists()  # nothing says that it is a result of another


def test_an_interrupted_clip_says_how_to_go_on(tmp_path, small_weights, monkeypatch):
    def interrupt(*given):
        raise KeyboardInterrupt

    make_clip(tmp_path / "a b.mp4", count=3)
    monkeypatch.setattr("derain.video.process", interrupt)
    words = ["video", str(tmp_path / "a b.mp4"), "--weights", str(small_weights)]
    monkeypatch.setattr("sys.argv", ["derain", *words])
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 130 and f"to continue: derain {shlex.join(words)}" in done.stderr


@pytest.mark.parametrize("option, left", [("--overwrite", ["c.mp4"]), ("--only-if-rainy", ["b.mp4", "c.mp4"])])
def test_several_clips_go_on_after_those_that_were_replaced_or_are_dry(
    tmp_path, small_weights, monkeypatch, option, left
):
    worked_at = []

    def pretend(source, out, *given):
        worked_at.append(source.name)
        if source.name == "c.mp4" and not again:
            raise KeyboardInterrupt
        if source.name == "a.mp4":
            return Done(out, 0, 0.0, [], dry=True)
        out.write_bytes(b"of this run")
        return Done(out, 3, 0.1, [])

    monkeypatch.setattr("derain.video.process", pretend)
    out, again = tmp_path / "out", False
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_clip(tmp_path / name, count=1)
    words = ["video", str(tmp_path), "-o", str(out), option, "--weights", str(small_weights), "--json"]
    assert CliRunner().invoke(app, words).exit_code == 130 and worked_at == ["a.mp4", "b.mp4", "c.mp4"]
    if option == "--only-if-rainy":
        (out / "b.mp4").unlink()
    again, worked_at[:] = True, []
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and worked_at == left and "was done by an earlier run" in done.stderr, done.stderr
    assert [json.loads(line)["skipped"] for line in done.stdout.splitlines()][0] == "an earlier run did it"
    if option == "--overwrite":
        worked_at[:] = []
        assert CliRunner().invoke(app, words).exit_code == 0 and len(worked_at) == 3


@pytest.mark.parametrize("several", [True, False])
def test_an_error_that_nobody_expects_ends_only_its_own_of_several_clips(tmp_path, small_weights, monkeypatch, several):
    def pretend(source, out, *given):
        if source.name == "a.mp4":
            raise RuntimeError("cuDNN error: it failed")
        return Done(out, 3, 0.1, [])

    monkeypatch.setattr("derain.video.process", pretend)
    clips = [str(make_clip(tmp_path / name, count=1)) for name in ("a.mp4", "b.mp4")[: 1 + several]]
    done = CliRunner().invoke(app, ["video", *clips, "--weights", str(small_weights), "--json"])
    if not several:
        assert "cuDNN" in str(done.exception)
        return
    said = f"{clips[0]}: cannot be derained (cuDNN error: it failed)"
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == [said, None]
    assert done.exit_code == 1 and f"derain: {said}\n" in done.stderr and "1 of 2 clips done" in done.stderr


def animated(path: Path, form: str, plays: int | None = None) -> Path:
    pictures = [Image.fromarray(picture(number)) for number in range(3)]
    told = {} if plays is None else {"loop": plays}
    pictures[0].save(path, form, save_all=True, append_images=pictures[1:], duration=100, **told)
    return path


@pytest.mark.parametrize(("name", "form"), [("a.png", "PNG"), ("a.webp", "PNG"), ("a.apng", "PNG"), ("a.png", "GIF")])
def test_what_is_animated_is_a_clip_whatever_its_name(tmp_path, small_weights, name, form):
    source = animated(tmp_path / name, form)
    done = command("video", source, "--temporal", "off", "--weights", small_weights)
    assert done.returncode == 0, done.stderr
    assert len(list(frames(tmp_path / "a.derained.mp4"))) == 3


@pytest.mark.parametrize("source", ["a.mp4", "in"])
@pytest.mark.parametrize("name", ["00000.png", "00002.png", "00009.png"])
@pytest.mark.parametrize("out", ["out", "out/%05d.png"])
def test_frames_replace_nothing_but_pictures(tmp_path, source, name, out):
    for number in range(10):
        save_photo(picture(number), tmp_path / "in" / f"{number:05d}.png")
    make_clip(tmp_path / "a.mp4", count=3)  # fewer frames than there are names: what is left of earlier ones goes, too
    (tmp_path / "out").mkdir()
    weights = tmp_path / "out" / name
    weights.write_bytes(b"weights")
    for overwrite in (True, False):
        with pytest.raises(UsageError, match=f"{name}: is no picture, and so no earlier result; move it away"):
            process(tmp_path / source, tmp_path / out, Identity(), FRAME_BY_FRAME, overwrite)
    assert weights.read_bytes() == b"weights" and [p.name for p in (tmp_path / "out").iterdir()] == [name]
    weights.unlink()
    for _ in range(2):
        process(tmp_path / source, tmp_path / out, Identity(), FRAME_BY_FRAME, overwrite=True)


def test_frames_do_not_replace_the_animation_they_come_from(tmp_path):
    source = animated(tmp_path / "00001.png", "PNG")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="00001.png: is the source itself; give another `out`"):
        process(source, tmp_path, Identity(), FRAME_BY_FRAME, overwrite=True)
    assert source.read_bytes() == before


def test_a_raw_file_is_told_as_one(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.CR2")
    with pytest.raises(UsageError, match="a.CR2: is a camera's raw file; develop it to TIFF"):
        process(tmp_path / "a.CR2", tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_what_is_animated_and_cannot_be_read_is_not_sent_in_a_circle(tmp_path, form):
    for name in (f"a.{form.lower()}", "a.mp4"):
        source = animated(tmp_path / name, form)
        with pytest.raises(UsageError, match=f"{name}: is an animated {form}.*convert it to an animated PNG or a GIF"):
            process(source, tmp_path / "b.mp4", Identity())
    (refused,) = batch.run(batch.plan([animated(tmp_path / "c.png", "PNG")]), Identity())
    assert "`derain video`" in str(refused.error)


@pytest.mark.parametrize(
    ("form", "loop", "said"), [("PNG", 0, "endlessly"), ("PNG", 1, ""), ("PNG", 3, "3 times"), ("GIF", 2, "3 times")]
)
def test_how_often_an_animation_plays_is_told_where_the_result_does_not(tmp_path, form, loop, said):
    done = process(animated(tmp_path / "a.png", form, loop), tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    told = [note for note in done.notes if "plays" in note]
    assert len(told) == bool(said) and all(f"plays {said}, which .mp4" in note for note in told)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_with_a_frames_name_is_not_read(tmp_path):
    make_clip(tmp_path / "a.mp4", count=3)
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "00000.png")
    with pytest.raises(UsageError, match="00000.png: is no picture"):
        process(tmp_path / "a.mp4", tmp_path / "out", Identity(), FRAME_BY_FRAME)
