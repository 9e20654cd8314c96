"""What is read and written where: only files, never through links, whole, and with what a file had before."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import derain
from derain import batch
from derain.cli import outputs
from derain.cli.inputs import check_pictures
from derain.cli.left_out import LeftOut
from derain.errors import PhotoError, TrainingError, UsageError, WeightsError
from derain.evaluation import results
from derain.evaluation.evaluate import Evaluation
from derain.evaluation.samples import open_samples
from derain.files import parts
from derain.files import writing as files
from derain.files.attributes import keep
from derain.files.writing import atomic, put, write_bytes, write_named
from derain.finetuning.material import usable_files
from derain.finetuning.run import begin
from derain.models import build
from derain.photos import read_photo
from derain.text import as_json, cell, encoded, printable
from derain.training.config import load_config
from derain.training.crops import Crops
from derain.training.loop import train
from derain.video import VideoSettings, process
from derain.video.naming import list_pictures
from derain.weights import load
from tests.conftest import SMALL
from tests.forks import command
from tests.test_video import make_clip

posix = pytest.mark.skipif(os.name != "posix", reason="has no such files")
OWN = "user.rating"
DENIED = "cannot be read (Permission denied); change its permissions or its folder's"


@pytest.fixture
def rainy_model():
    """Untrained, and sees rain everywhere."""
    model = build("derain", SMALL).eval()
    torch.nn.init.constant_(model.tail.bias, 0.05)
    return model


def picture(path: Path, rng) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(60, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return path


def derained(model, *inputs: Path, overwrite: bool = False, **target) -> dict[str, str]:
    """Errors by the photo's name."""
    jobs = batch.plan(inputs, batch.Target(**target), recursive=True)
    outcomes = batch.run(jobs, model, batch.Treatment(overwrite=overwrite))
    return {outcome.job.source.name: str(outcome.error or "") for outcome in outcomes}


# read


@pytest.fixture(params=["pipe", "socket", "device"])
def special(request, tmp_path):
    """Makes a path something that is no file."""

    def make(path: Path) -> Path:
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                at = os.getcwd()
                os.chdir(path.parent)  # such names are short
                try:
                    made.bind(path.name)
                finally:
                    os.chdir(at)
        else:
            path.symlink_to("/dev/zero")
        return path

    return make


@posix
def test_what_is_no_file_costs_itself_and_holds_nothing_up(tmp_path, rng, rainy_model, special):
    folder = tmp_path / "in"
    picture(folder / "a.jpg", rng)
    given = special(tmp_path / "x.jpg")
    inside = special(folder / "y.jpg")
    found = derained(rainy_model, given, folder, output=tmp_path / "out")
    assert "derain reads only regular files" in found["x.jpg"] and found["a.jpg"] == ""
    assert (
        inside.is_symlink() or "derain reads only regular files" in found["y.jpg"]
    )  # links do not lead out of the folder
    matched = derained(rainy_model, f"{tmp_path}/*.jpg", output=tmp_path / "again")
    assert "derain reads only regular files" in matched["x.jpg"]


@posix
def test_no_command_waits_for_what_is_no_file(tmp_path, folders, special):
    clip, gif, photo = (special(tmp_path / f"x.{suffix}") for suffix in ("mp4", "gif", "png"))
    for source in (clip, gif):
        with pytest.raises(PhotoError, match="derain reads only regular files"):
            process(source, source.with_stem("out"), object())
    special(folders[0] / "x.png")
    said: list[str] = []
    assert len(usable_files(folders[0], said.append)) == 4 and "x.png: not a regular file" in said[0]
    assert any("derain reads only regular files" in why for why in Crops(folders[0], 48).skipped.values())
    scored = open_samples(photo)
    assert list(scored.samples) == [] and "derain reads only regular files" in scored.problems[0]
    with pytest.raises(PhotoError, match="derain reads only regular files"):
        list(open_samples(clip).samples)
    for weights in (special(tmp_path / "w.safetensors"), special(tmp_path / "w.pth")):
        with pytest.raises(WeightsError, match="derain reads only regular files"):
            load(weights)
    with pytest.raises(TrainingError, match="derain reads only regular files"):
        load_config(special(tmp_path / "c.toml"))
    with pytest.raises(UsageError, match="derain reads only regular files"):
        batch.read_list(special(tmp_path / "list"))


@posix
def test_a_list_may_come_from_what_the_shell_puts_in_its_place(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"a.jpg\nb.jpg\n")
    os.close(writing)
    assert list(batch.read_list(Path(f"/dev/fd/{reading}"))) == ["a.jpg", "b.jpg"]
    os.close(reading)


def test_memory_that_runs_out_as_a_photo_is_read_costs_that_photo(tmp_path, rng, rainy_model, monkeypatch):
    for name in "abc":
        picture(tmp_path / f"{name}.png", rng)
    read = files.read_file

    def scarce(path):
        if path.name == "b.png":
            raise MemoryError
        return read(path)

    monkeypatch.setattr("derain.photos.reading.read_file", scarce)
    found = derained(rainy_model, tmp_path)
    assert "not enough memory" in found["b.png"] and found["a.png"] == found["c.png"] == ""


# written


@posix
@pytest.mark.parametrize("to", ["elsewhere/mine", "elsewhere/nothing"])
def test_results_are_not_written_through_links(tmp_path, rng, rainy_model, to):
    photo = picture(tmp_path / "a.png", rng)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("mine")
    for name in ("a.derained.png", "a.rain.png", "a.compare.png"):
        (tmp_path / name).symlink_to(tmp_path / to)
    said = derained(rainy_model, photo, rain=True, compare=True)["a.png"]
    assert ("broken link" in said) == to.endswith("nothing")
    assert derained(rainy_model, photo, rain=True, compare=True, overwrite=True) == {"a.png": ""}
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["mine"]
    assert (tmp_path / "elsewhere" / "mine").read_text() == "mine"
    assert not (tmp_path / "a.derained.png").is_symlink() and read_photo(tmp_path / "a.derained.png").shape[0] == 20


@posix
def test_folders_of_results_are_not_links_either(tmp_path, rng, rainy_model):
    for name in ("in/a.png", "in/day/b.png"):
        picture(tmp_path / name, rng)
    for folder in ("elsewhere", "out"):
        (tmp_path / folder).mkdir()
    (tmp_path / "out" / "day").symlink_to(tmp_path / "elsewhere")
    found = derained(rainy_model, tmp_path / "in", output=tmp_path / "out")
    assert found["a.png"] == "" and "not written through links" in found["b.png"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "clip.derained.mp4.unfinished").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(PhotoError, match="not written through links"),
        files.alone(tmp_path / "clip.derained.mp4.unfinished", tmp_path / "clip.derained.mp4"),
    ):
        pass


@posix
def test_a_folder_of_results_that_nobody_named_is_no_link(tmp_path, rng, small_weights):
    for number in range(2):
        picture(tmp_path / "trip" / f"{number}.png", rng)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "trip.derained").symlink_to(tmp_path / "elsewhere")
    call = ["video", "trip", "--weights", small_weights, "-q"]
    done = command(*call, cwd=tmp_path)
    assert done.returncode == 2 and "trip.derained: is a link" in done.stderr and "-o" in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []
    done = command(*call, "-o", "trip.derained", cwd=tmp_path)
    assert done.returncode == 0 and len(list((tmp_path / "elsewhere").glob("*.png"))) == 2


@posix
def test_training_writes_through_no_link_either(folders, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    quick = load_config(None, model=SMALL, steps=1, batch=1, crop=48, save_every=1, log_every=1, device="cpu")
    (out / "previews").symlink_to(elsewhere)
    with pytest.raises(PhotoError, match="not written through links"):
        train(quick, *folders, out)
    (out / "previews").unlink()
    (out / "log.jsonl").symlink_to(elsewhere / "log")
    with pytest.raises(PhotoError, match="log.jsonl: cannot be written"):
        train(quick, *folders, out)
    (out / "log.jsonl").unlink()
    (out / "derain.safetensors").symlink_to(elsewhere / "weights")
    with pytest.raises(TrainingError, match="derain.safetensors: exists and would be replaced"):
        train(quick, *folders, out)
    assert list(elsewhere.iterdir()) == []


def test_two_photos_for_one_result_are_told_whichever_comes_first(tmp_path, rng, rainy_model):
    """Two runs with one -o: what has come to be since a run was planned is never replaced, nor taken for its result."""
    out, others = tmp_path / "out.png", [picture(tmp_path / name / "a.png", rng) for name in ("one", "two")]
    first, second = (batch.plan([photo], batch.Target(out, compare=True)) for photo in others)
    assert [outcome.error for outcome in batch.run(first, rainy_model)] == [None]
    made = out.read_bytes()
    (outcome,) = batch.run(second, rainy_model)
    assert "out.compare.png: exists and holds something else" in str(outcome.error) and out.read_bytes() == made
    assert "`overwrite` would replace what is there" in str(outcome.error)
    assert [outcome.error for outcome in batch.run(first, rainy_model)] == [None]  # the same once more

    def come(*_):
        out.write_bytes(b"another's")

    for path in (out, tmp_path / "out.compare.png"):
        path.unlink()
    handle = rainy_model.register_forward_hook(come)
    (outcome,) = batch.run(batch.plan([others[0]], batch.Target(out)), rainy_model)
    handle.remove()
    assert "out.png: exists and holds something else" in str(outcome.error) and out.read_bytes() == b"another's"


@posix
def test_a_folder_that_may_not_be_read_is_said_to_be_one(tmp_path, rng, monkeypatch, rainy_model):
    picture(tmp_path / "open" / "a.png", rng)
    (tmp_path / "open" / "locked").mkdir()
    look = os.scandir

    def refused(path="."):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr("derain.batch.finding.find_photos", lambda folder: [Path(e.path) for e in refused(folder)])
    found = derained(rainy_model, tmp_path / "open")
    assert found["a.png"] == "" and found["locked"].endswith(f"locked: {DENIED}")


@posix
def test_what_is_no_file_is_never_replaced(tmp_path, rng, rainy_model):
    photo, pipe = picture(tmp_path / "a.png", rng), tmp_path / "a.derained.png"
    os.mkfifo(pipe)
    assert "is a pipe" in derained(rainy_model, photo, overwrite=True)["a.png"] and pipe.is_fifo()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_named(pipe, b"scores")
    assert os.read(reader, 99) == b"scores" and pipe.is_fifo()
    os.close(reader)
    outputs.refuse_unwritable([Path(os.devnull), pipe], overwrite=False, read={})
    outputs.write(Path(os.devnull), "scores")
    outputs.write(tmp_path / "new" / "folder" / "scores.csv", "scores")
    assert not Path(os.devnull).is_file()
    with pytest.raises(PhotoError, match="cannot be written"):
        write_named(tmp_path / "no" / "folder", b"")


@posix
@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EINVAL])
def test_a_share_that_refuses_rights_times_and_attributes_gets_its_results(
    tmp_path, rng, rainy_model, monkeypatch, refusal
):
    photo = picture(tmp_path / "a.png", rng)
    photo.chmod(0o644)

    def refuse(*_, **__):
        raise OSError(refusal, os.strerror(refusal))

    for name in ("chmod", "fchmod", "chown", "utime", "setxattr", "listxattr", "link"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    umask = os.umask(0o022)
    try:
        for overwrite in (False, True):
            assert derained(rainy_model, photo, overwrite=overwrite, compare=True) == {"a.png": ""}
        jobs = batch.plan([photo], batch.Target(in_place=True))
        (outcome,) = batch.run(jobs, rainy_model)
    finally:
        os.umask(umask)
    assert (tmp_path / "a.derained.png").stat().st_mode & 0o777 == photo.stat().st_mode & 0o777 == 0o644
    assert outcome.error is None
    monkeypatch.undo()
    os.utime(photo, (1, 1))
    monkeypatch.setattr(os, "utime", refuse)
    (outcome,) = batch.run(jobs, rainy_model)
    assert outcome.error is None and outcome.notes == ("could not preserve its modification time",)


@posix
@pytest.mark.parametrize("mode, made", [(0o600, 0o600), (0o664, 0o640), (0o444, 0o440)])
def test_what_is_made_of_a_private_file_is_private(tmp_path, rng, rainy_model, mode, made):
    """As `cp` has it; what is replaced keeps its own permissions."""
    photo = picture(tmp_path / "a.png", rng)
    clips = make_clip(tmp_path / "b.mp4", count=2), tmp_path / "c.gif", picture(tmp_path / "in" / "0.png", rng)
    Image.new("RGB", (8, 8)).save(clips[1])
    for source in (photo, *clips):
        source.chmod(mode)
    umask = os.umask(0o027)
    try:
        assert derained(rainy_model, photo, rain=True, compare=True) == {"a.png": ""}
        results = [tmp_path / f"a.{what}.png" for what in ("derained", "rain", "compare")]
        for source, out in ((clips[0], "d.mp4"), (clips[0], "d/%05d.png"), (clips[1], "d.gif"), (tmp_path / "in", "e")):
            preview = tmp_path / f"{len(results)}.png"
            process(source, tmp_path / out, rainy_model, VideoSettings(temporal="off", preview=preview))
            results.append(preview)
        results += [tmp_path / name for name in ("d.mp4", "d/00000.png", "d.gif", "e/0.png")]
        assert {path.name: path.stat().st_mode & 0o777 for path in results} == {path.name: made for path in results}
        results[0].chmod(0o604)
        assert derained(rainy_model, photo, overwrite=True) == {"a.png": ""}
    finally:
        os.umask(umask)
    assert results[0].stat().st_mode & 0o777 == 0o604


@posix
def test_what_shows_private_photos_is_private(tmp_path, rng, monkeypatch):
    names = "in", "open"
    for name, mode in (("in/a.png", 0o640), ("in/b.png", 0o600), ("open/a.png", 0o644)):
        picture(tmp_path / name, rng).chmod(mode)
    words = ("--weights", "none", "--report", tmp_path / "a.html", "--csv", tmp_path / "a.csv")
    umask = "import os\nos.umask(0o022)"
    assert command("eval", "--rainy", tmp_path / "in", *words, before=umask).returncode == 0
    assert command("eval", "--rainy", tmp_path / "open", *words[:3], tmp_path / "b.html", before=umask).returncode == 0
    (tmp_path / "open" / ".DS_Store").touch(0o600)
    (tmp_path / "derain").mkdir()
    (tmp_path / "derain" / "a.png").touch(0o600)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    try:
        works = [begin(Path(f"{name}.safetensors"), (Path(name),), Path("derain"), False, False) for name in names]
    finally:
        os.umask(before)
    made = [tmp_path / "a.html", tmp_path / "a.csv", tmp_path / "b.html", *works]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o600, 0o644, 0o644, 0o700, 0o755]


@posix
def test_what_cannot_be_replaced_is_told_before_it_is_made_anew(tmp_path, rng, small_weights):
    shared = tmp_path / "shared"
    for name in ("a.png", "a.derained.png", "b.png"):
        picture(shared / name, rng)
    (shared / "b.derained.png").mkdir()
    make_clip(shared / "c.mp4", count=2)
    (shared / "c.derained.mp4").touch()
    shared.chmod(0o1777)
    other = "import os\nos.geteuid = lambda: 54321\n"
    end = "belongs to another user, and in shared only owners replace files;"
    wanted = [
        (("run", "shared/a.png", "--overwrite"), f"shared/a.derained.png: {end} write elsewhere with -o"),
        (
            ("run", "shared/a.png", "--in-place"),
            f"shared/a.png: {end} leave out --in-place and write elsewhere with -o",
        ),
        (("run", "shared/b.png", "--overwrite"), "shared/b.derained.png: is a folder; write elsewhere with -o"),
        (("run", "shared/b.png"), "shared/b.derained.png: is a folder; write elsewhere with -o"),
        (("run", "shared/b.png", "--rain"), "shared/b.derained.png: is a folder; write elsewhere with -o"),
        (("video", "shared/c.mp4", "--overwrite"), f"shared/c.derained.mp4: {end} write elsewhere with -o"),
        (("eval", "--rainy", "shared/a.png", "--csv", "shared/b.png", "--overwrite"), f"shared/b.png: {end} write it"),
    ]
    for words, sentence in wanted:
        more = () if words[0] == "eval" else ("--weights", small_weights)
        done = command(*words, *more, cwd=tmp_path, before=other)
        assert done.returncode == 1 and sentence in done.stderr, done
    assert command("run", "shared/a.png", cwd=tmp_path, before=other).returncode == 0  # its result exists


@posix
def test_a_result_is_there_though_its_first_name_cannot_be_removed(tmp_path, monkeypatch):
    def denied(path, missing_ok=False):
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", denied)
    files.write_new(tmp_path / "a.png", b"whole")
    assert (tmp_path / "a.png").read_bytes() == b"whole"


@posix
def test_in_place_only_the_picture_changes(tmp_path, rng, rainy_model):
    photo = picture(tmp_path / "a.png", rng)
    photo.chmod(0o640)
    if os.getuid() == 0:
        os.chown(photo, 1234, 4321)
    os.utime(photo, ns=(10**18, 10**18 + 123_000_000))
    try:
        os.setxattr(photo, OWN, b"5")
    except (OSError, AttributeError):
        rated = False
    else:
        rated = True
    before, content = photo.stat(), photo.read_bytes()
    (outcome,) = batch.run(batch.plan([photo], batch.Target(in_place=True)), rainy_model)
    after = photo.stat()
    assert outcome.error is None and outcome.notes == () and photo.read_bytes() != content
    for name in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"):
        assert getattr(after, name) == getattr(before, name), name
    assert not rated or os.getxattr(photo, OWN) == b"5"


@posix
def test_a_write_protected_photo_is_replaced_only_if_asked(tmp_path, rng, rainy_model):
    photo = picture(tmp_path / "a.png", rng)
    content = photo.read_bytes()
    photo.chmod(0o444)
    assert "write-protected; give `overwrite`" in derained(rainy_model, photo, in_place=True)["a.png"]
    assert photo.read_bytes() == content
    assert derained(rainy_model, photo, in_place=True, overwrite=True) == {"a.png": ""}
    assert photo.read_bytes() != content and photo.stat().st_mode & 0o777 == 0o444


@posix
def test_a_photo_that_may_not_be_read_is_told_with_what_to_do_and_not_called_write_protected(
    tmp_path, rng, rainy_model, monkeypatch
):
    photo = picture(tmp_path / "a.png", rng)
    photo.chmod(0)

    def refused(path, limit=-1):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr("derain.photos.reading.read_file", refused)
    for in_place in (True, False):
        assert derained(rainy_model, photo, in_place=in_place) == {"a.png": f"{photo}: {DENIED}"}


@posix
@pytest.mark.parametrize("lost", [["owner"], ["group"], ["owner", "group"], []])
def test_it_is_told_whether_the_owner_the_group_or_both_are_lost(tmp_path, monkeypatch, lost):
    old, new, look = tmp_path / "old", tmp_path / "new", os.lstat
    old.touch()
    new.touch()

    def seen(path):
        found = list(look(path))
        if path == old:
            found[4] += "owner" in lost
            found[5] += "group" in lost
        return os.stat_result(found)

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "lstat", seen)
    monkeypatch.setattr(os, "chown", refuse)
    assert keep(old, new) == lost


@posix
def test_everything_is_on_the_disk_before_it_bears_its_name(tmp_path, monkeypatch):
    events: list[str] = []
    sync = os.fsync

    def note_sync(handle):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        sync(handle)

    def note_replace(part, target):
        events.append("named")
        os.replace(part, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_bytes(tmp_path / "a", b"a")
    derain.weights.save(build("derain", SMALL), tmp_path / "b.safetensors")
    (tmp_path / "part").write_bytes(b"c")
    put(tmp_path / "part", tmp_path / "c")
    assert events == ["file", "named", "folder"] * 3


def test_a_full_disk_found_out_as_it_is_synced_is_no_success(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PhotoError, match="No space left on device.; make room, then give the same command again"):
        write_bytes(tmp_path / "a", b"a")
    assert list(tmp_path.iterdir()) == []


# temporary files


@posix
def test_temporary_files_of_the_dead_are_swept_and_no_others(tmp_path):
    code = "import os, sys; from pathlib import Path; from derain.files.writing import atomic\n"
    code += "atomic(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")])
    (dead,) = tmp_path.iterdir()
    other, alive = ".derain-ffffffff-1", f".derain-{parts.machine()}-{os.getppid()}"
    kept = [f"{alive}-00000000.part", f"{other}-00000000.part", ".derain-mine.part", "b.part"]
    old = f"{other}-00000001.part"
    for name in (*kept, old):
        (tmp_path / name).write_bytes(b"")
    long_ago = time.time() - 2 * parts.ABANDONED_AFTER
    for name in (old, ".derain-mine.part", "b.part"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    with atomic(tmp_path / "b") as part:
        part.write_bytes(b"b")
    assert not dead.exists() and {path.name for path in tmp_path.iterdir()} == {*kept, "b"}


def test_a_part_of_this_process_survives_its_own_sweeping(tmp_path):
    with atomic(tmp_path / "a") as part:
        part.write_bytes(b"a")
        parts.sweep(tmp_path)
        write_bytes(tmp_path / "b", b"b")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


# which photos


def test_results_are_left_out_beside_their_photo_alone_and_that_is_said(tmp_path, rng):
    names = ("storm.rain.jpg", "cmp.compare.jpg", "a.jpg", "a.rain.png", "a.derained.jpg", "moved.derained.jpg")
    for name in names:
        picture(tmp_path / name, rng)
    left: dict[str, str] = {}
    for given in (tmp_path, f"{tmp_path}/*.jpg", f"{tmp_path}/*.*"):
        left.clear()
        jobs = batch.plan([given], leave=lambda path, why: left.__setitem__(path.name, why))
        assert [job.source.name for job in jobs] == ["a.jpg", "cmp.compare.jpg", "storm.rain.jpg"]
        assert left["a.derained.jpg"] == "a result of a.jpg" and "by its name" in left["moved.derained.jpg"]
    assert left["a.rain.png"] == "a result of a.jpg"
    with pytest.raises(UsageError, match="results of earlier runs, such as"):
        batch.plan([f"{tmp_path}/*.png"])


def test_raw_files_of_a_folder_are_told_and_a_folder_of_them_alone_as_such(tmp_path, rng):
    for name in ("a.CR2", "b.nef", ".c.nef"):
        (tmp_path / name).write_bytes(b"II*\0")
    for given in (tmp_path, f"{tmp_path}/*", f"{tmp_path}/*.CR2"):
        with pytest.raises(UsageError, match="no photos found; .*a.CR2 is a camera's raw file; develop it"):
            batch.plan([given])
    with pytest.raises(
        UsageError, match="no photos in it; 2 raw files left out, such as .*a.CR2: develop them to TIFF"
    ):
        open_samples(tmp_path)
    with pytest.raises(UsageError, match="holds no photos or clips; 2 raw files left out, such as"):
        check_pictures(tmp_path, "rainy photos", clips=True)
    picture(tmp_path / "a.jpg", rng)
    left = LeftOut()
    assert len(batch.plan([tmp_path], leave=left.add)) == 1
    (sentence,) = left.sentences("derain", "")
    assert sentence == f"2 raw files left out, such as {tmp_path / 'a.CR2'}: develop them to TIFF, PNG or JPEG first"
    assert open_samples(tmp_path).left_out == [sentence]
    said = list[str]()
    assert len(usable_files(tmp_path, said.append)) == 1 and said == [sentence]


def test_pictures_in_formats_that_are_not_read_are_told_with_theirs(tmp_path, rng):
    for name in ("a.exr", "b.DPX", ".c.dpx"):
        (tmp_path / name).write_bytes(b"SDPX")
    for given in (tmp_path, f"{tmp_path}/*", f"{tmp_path}/*.exr"):
        with pytest.raises(
            UsageError, match="no photos found; .*a.exr is a picture in OpenEXR format, which derain does"
        ):
            batch.plan([given])
    told = f"2 pictures left out, which derain does not read, such as {tmp_path / 'a.exr'}: convert them to TIFF, PNG"
    for look in (check_pictures, lambda folder, _: list_pictures(folder), lambda folder, _: open_samples(folder)):
        nothing = "holds no photos|holds no pictures that derain reads|no photos in it"
        with pytest.raises(UsageError, match=f"({nothing}); {told}"):
            look(tmp_path, "rainy photos")
    picture(tmp_path / "a.jpg", rng)
    left = LeftOut()
    assert len(batch.plan([tmp_path], leave=left.add)) == 1
    assert left.sentences("derain", "") == open_samples(tmp_path).left_out == [f"{told} or JPEG first"]


def test_clips_among_pictures_that_are_scored_are_told(folders):
    (folders[0] / "a.mp4").touch()
    told = f"1 clip left out, such as {folders[0] / 'a.mp4'}: give each clip by itself"
    assert open_samples(*folders).left_out == [told]


def test_what_finetuning_left_among_the_photos_is_no_photo(tmp_path, rng):
    (tmp_path / "trip.finetune" / "previews").mkdir(parents=True)
    picture(tmp_path / "trip.finetune" / "previews" / "0000001.jpg", rng)
    (tmp_path / "trip.safetensors").write_bytes(b"weights")
    photo, left = picture(tmp_path / "a.jpg", rng), LeftOut()
    assert [job.source for job in batch.plan([tmp_path], recursive=True, leave=left.add)] == [photo]
    assert "trip.finetune is a folder of `derain finetune`, which is left out" in left.sentences("", "")[0]
    assert Crops(tmp_path, 16).skipped == {}
    assert len(batch.plan([tmp_path / "trip.finetune"], recursive=True)) == 1  # named by itself


def test_scoring_and_training_say_what_they_leave_out(folders):
    rainy = folders[0]
    (rainy / "0.derained.png").write_bytes((rainy / "0.png").read_bytes())
    given = open_samples(rainy)
    assert given.total == 4 and "0.derained.png: left out because it is a result of 0.png" in given.left_out[0]
    crops = Crops(rainy, 48)
    assert len(crops.photos) == 4 and "is a result of 0.png" in crops.skipped[rainy / "0.derained.png"]
    said: list[str] = []
    assert len(usable_files(rainy, said.append)) == 4 and "is a result of 0.png" in said[0]


# names


def test_names_do_nothing_to_a_terminal():
    assert printable("a\x1b]0;title\x07\n\r\x9b2J\u202e.jpg") == r"a\x1b]0;title\x07\n\r\x9b2J\u202e.jpg"
    assert printable("caf\udce9 été 雨 👩\u200d🚒") == "caf\\xe9 été 雨 👩\u200d🚒"
    assert printable(os.fsdecode("été".encode()).encode("utf-8").decode("ascii", "surrogateescape")) == "été"


def test_json_csv_and_pages_are_valid_whatever_the_names():
    name = "caf\udce9\x1b[2J\x9b\u2028.png"
    dumped = as_json({name: [float("nan"), "雨"]})
    assert json.loads(dumped.encode("utf-8")) == {name: [None, "雨"]} and dumped.isprintable()
    assert encoded(f"<p>{name}</p>").decode().startswith("<p>caf\\xe9")
    rows = {name: {"input": {"psnr_luma": -1.5}}, "=cmd|' /C calc'!A0": {"@tool": {"psnr_luma": 2.0}}}
    lines = results.as_csv(Evaluation(["input", "@tool"], rows)).splitlines()
    assert lines[-1] == "'=cmd|' /C calc'!A0,'@tool,2.0" and lines[-2].endswith(",input,-1.5")
    for start in "=+-@\t\r":
        assert cell(f"{start}1") == f"'{start}1"
    assert cell("a=1") == "a=1"
