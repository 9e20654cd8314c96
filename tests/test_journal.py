"""A run that replaces photos or results is cut off, and the same command goes on."""

import os
import shutil

import pytest
from PIL import Image
from typer.testing import CliRunner

from derain import batch
from derain.batch import Target, planning, running
from derain.batch.journal import FOLDER, Keys, NothingLeft, digest, journal_of
from derain.cli.app import app
from tests.conftest import scene, stripes

NAMES = ("a.png", "b.jpg", "c.bmp", "d.tif", "e.png")


@pytest.fixture
def trip(tmp_path, rng):
    """Photos that all show rain, and in a folder below a black one, which shows none."""
    (tmp_path / "trip" / "day").mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(stripes(rng, scene(rng, 32, 48))).save(tmp_path / "trip" / name)
    Image.new("RGB", (30, 20)).save(tmp_path / "trip" / "day" / "black.png")
    return tmp_path / "trip"


@pytest.fixture
def derain(small_weights):
    def run(*words):
        words = ["run", "-r", *map(str, words), "--weights", str(small_weights), "--device", "cpu"]
        return CliRunner().invoke(app, words, terminal_width=1000)

    return run


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cut_off(monkeypatch, name, at, when):
    """Have a function of the run end it, as Ctrl-C does, just before or after its work for the ``at``-th time."""
    calls, work = [], getattr(running, name)

    def ends(*given):
        calls.append(given)
        if len(calls) == at and when == "before":
            raise KeyboardInterrupt
        found = work(*given)
        if len(calls) == at:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(running, name, ends)


@pytest.mark.parametrize("many", [planning.MANY, 3])
@pytest.mark.parametrize("when, done", [("before", 3), ("after", 4)])
def test_in_place_no_photo_is_derained_twice(trip, tmp_path, derain, monkeypatch, many, when, done):
    monkeypatch.setattr(planning, "MANY", many)
    assert derain(trip, "-o", tmp_path / "once").exit_code == 0
    with monkeypatch.context() as patched:
        cut_off(patched, "replace_bytes", 4, when)
        assert derain(trip, "--in-place").exit_code == 130
    changed = [path for path, content in contents(tmp_path / "once").items() if contents(trip)[path] == content]
    assert len(changed) == done + 1  # and the one without rain, be it done or not
    again = derain(trip, "--in-place", "--max-memory", 1)
    assert again.exit_code == 0 and "continuing" in again.stderr, again.stderr
    assert contents(trip) == contents(tmp_path / "once") and not (trip / FOLDER).exists()


def test_in_place_one_photo_that_fails_leaves_the_others_alone_when_the_command_is_given_again(trip, tmp_path, derain):
    assert derain(trip, "-o", tmp_path / "once").exit_code == 0
    (trip / "bad.jpg").write_bytes(b"\xff\xd8\xff none")
    for _ in range(3):
        done = derain(trip, "--in-place")
        assert done.exit_code == 1 and "give the same command again" in done.stderr, done.stderr
    assert "continuing: 5 of 7 were done by an earlier run" in done.stderr  # one more is known when it is read
    for path in ("a.png", "day/black.png"):
        assert (trip / path).read_bytes() == (tmp_path / "once" / path).read_bytes()
    (trip / "bad.jpg").unlink()
    assert derain(trip, "--in-place").exit_code == 0 and contents(trip) == contents(tmp_path / "once")


def test_where_nothing_could_be_done_nothing_is_left_behind(trip, derain, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running, "replace_bytes", full)
    before = contents(trip)
    done = derain(trip, "--in-place")
    assert done.exit_code == 1 and "6 of 6 photos failed" in done.stderr
    assert contents(trip) == before and not (trip / FOLDER).exists()


def test_in_place_another_command_within_the_folder_knows_and_adds_to_what_is_done(trip, tmp_path, derain, monkeypatch):
    assert derain(trip, "-o", tmp_path / "once").exit_code == 0
    with monkeypatch.context() as patched:
        cut_off(patched, "replace_bytes", 3, "after")
        assert derain(trip, "--in-place").exit_code == 130
    assert derain(trip / "e.png", trip / "a.png", "--in-place").exit_code == 0
    moved = trip.rename(tmp_path / "moved")
    again = derain(moved, "--in-place")
    assert again.exit_code == 0 and contents(moved / "day") == contents(tmp_path / "once" / "day"), again.stderr
    assert {path: contents(moved)[path] for path in contents(tmp_path / "once")} == contents(tmp_path / "once")


def test_in_place_a_photo_that_was_put_back_is_derained_again(trip, tmp_path, derain, monkeypatch):
    shutil.copy2(trip / "a.png", tmp_path / "before.png")
    with monkeypatch.context() as patched:
        cut_off(patched, "replace_bytes", 3, "after")
        assert derain(trip, "--in-place").exit_code == 130
    once = (trip / "a.png").read_bytes()
    shutil.copy2(tmp_path / "before.png", trip / "a.png")
    assert derain(trip, "--in-place").exit_code == 0 and (trip / "a.png").read_bytes() == once


def test_in_place_two_runs_of_a_command_at_once_are_refused_and_others_are_not(trip, derain):
    before = contents(trip)
    with journal_of([trip], Target(in_place=True), True, False, "").kept():
        done = derain(trip, "--in-place")
        other = derain(trip / "a.png", "--in-place")
    assert done.exit_code == 1 and "another run is writing it; wait until that ends" in str(done.exception)
    assert other.exit_code == 0, other.stderr
    assert [path.name for path, content in contents(trip).items() if before[path] != content] == ["a.png"]


def test_in_place_a_command_may_be_spelled_in_another_way(trip, tmp_path, derain, monkeypatch):
    assert derain(trip, "-o", tmp_path / "once").exit_code == 0
    shutil.copytree(trip, tmp_path / "rainy")
    for other in (f"{trip}/", "."):
        with monkeypatch.context() as patched:
            cut_off(patched, "replace_bytes", 3, "after")
            assert derain(trip, "--in-place").exit_code == 130
        monkeypatch.chdir(trip)
        again = derain(other, "--in-place")
        assert again.exit_code == 0 and "continuing" in again.stderr, again.stderr
        assert contents(trip) == contents(tmp_path / "once")
        shutil.copytree(tmp_path / "rainy", trip, dirs_exist_ok=True)


def test_in_place_another_photo_of_the_size_of_a_result_is_not_taken_for_it(trip):
    def journal():
        return journal_of([trip], Target(in_place=True), True, False, "")

    photo = trip / "a.png"
    before, time = photo.read_bytes(), photo.stat().st_mtime_ns
    journal().note_replacement(photo, before, after := before + b"smaller or larger")
    photo.write_bytes(after)
    for later in (0, 10**9):
        os.utime(photo, ns=(time + later, time + later))
        assert journal().is_done(NothingLeft(photo)) == (not later)


def test_in_place_two_names_of_a_photo_among_many_are_told(trip, derain, monkeypatch):
    monkeypatch.setattr(planning, "MANY", 3)
    os.symlink(trip / "a.png", trip / "link.png")
    done = derain(trip, "--in-place")
    assert done.exit_code == 1
    assert f"belongs to {trip / 'a.png'}; rename one" in " ".join(done.stderr.split()), done.stderr


@pytest.mark.parametrize("where", ["beside", "elsewhere"])
def test_overwriting_goes_on_where_it_was_cut_off_and_begins_anew_when_all_was_done(
    trip, tmp_path, derain, monkeypatch, where
):
    words = [trip, "--overwrite", *(["-o", tmp_path / "out"] if where == "elsewhere" else [])]
    assert len(derain(*words).stdout.splitlines()) == 6
    with monkeypatch.context() as patched:
        cut_off(patched, "_write", 4, "before")
        assert derain(*words).exit_code == 130
    (result,) = [path for path in tmp_path.rglob("b*.jpg") if path.parent != trip or "derained" in path.name]
    result.write_bytes(b"another's")
    (trip / "c.bmp").touch()
    again = derain(*words)
    assert again.exit_code == 0 and "continuing: 1 of 6 were done" in again.stderr, again.stderr
    assert len(again.stdout.splitlines()) == 5 and result.read_bytes() != b"another's"
    assert len(derain(*words).stdout.splitlines()) == 6 and not list(tmp_path.rglob(FOLDER))


def with_trouble(named, target, recursive, overwrite, *settings):
    found = journal_of(named, target, recursive, overwrite, "")
    if found:
        found.trouble = "Read-only file system"
    return found


@pytest.mark.parametrize("words", [[], ["--overwrite"], ["--in-place"]])
@pytest.mark.parametrize("noted", [True, False])
def test_ctrl_c_says_how_a_run_goes_on_if_it_does(trip, derain, monkeypatch, words, noted):
    monkeypatch.setattr("sys.argv", ["derain", "run", "it's here"])
    cut_off(monkeypatch, "_write", 2, "before")
    if not noted:
        monkeypatch.setattr("derain.cli.run._journal", with_trouble)
    done = derain(trip, *words)
    assert done.exit_code == 130 and "interrupted" in done.stderr
    assert ("interrupted; to continue: derain run 'it'" in done.stderr) == (noted or not words)


def test_what_another_command_has_noted_is_told(trip, tmp_path, derain, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        cut_off(patched, "_write", 2, "before")
        assert derain(trip / "a.png", trip / "b.jpg", "-o", out, "--overwrite").exit_code == 130
    done = derain(trip / "e.png", "-o", out, "--overwrite")
    assert f"{out / FOLDER}: has the progress of another command" in done.stderr
    for path in (out / FOLDER).iterdir():
        path.rename(path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")))
    done = derain(trip / "e.png", "-o", out, "--overwrite")
    assert f"{out / FOLDER}: another command is at work there" in done.stderr and "remove" not in done.stderr
    assert "another command" not in derain(trip / "a.png", trip / "b.jpg", "-o", out, "--overwrite").stderr
    assert not (out / FOLDER).exists()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    "words", [["--in-place", "--rain"], ["--overwrite", "-o", "out", "--format=png"]], ids=" ".join
)
def test_a_clash_of_names_is_nothing_to_try_again(trip, derain, monkeypatch, words, cut):
    monkeypatch.chdir(trip.parent)
    shutil.copyfile(trip / "b.jpg", trip / "a.jpg")
    if cut:
        with monkeypatch.context() as patched:
            cut_off(patched, "_write", 3, "before")
            assert derain("trip", *words).exit_code == 130
    done = derain("trip", *words)
    assert done.exit_code == 1 and "belongs to trip/a." in done.stderr and "same command again" not in done.stderr
    assert not list(trip.parent.rglob(FOLDER))


@pytest.mark.parametrize("there", [True, False])
def test_a_result_with_a_name_of_its_own_is_overwritten_without_more_ado(trip, derain, there):
    result = trip.parent / "out.png"
    if there:
        result.write_bytes(b"another's")
    ran = derain(trip / "a.png", "-o", result, "--overwrite")
    assert ran.exit_code == 0 and "cannot be recorded" not in ran.stderr, ran.stderr
    assert result.read_bytes() != b"another's" and not list(trip.parent.rglob(FOLDER))


def test_other_settings_overwrite_all(trip, derain, monkeypatch):
    with monkeypatch.context() as patched:
        cut_off(patched, "_write", 4, "before")
        assert derain(trip, "--overwrite").exit_code == 130
    assert len(derain(trip, "--overwrite", "--strength", 0.5).stdout.splitlines()) == 6


def test_a_record_that_is_cut_short_counts_for_nothing(trip):
    photo = trip / "a.png"
    target = batch.Target(in_place=True)
    journal = journal_of([trip], target, True, False, "")
    journal.note_replacement(photo, b"before", photo.read_bytes())
    (record,) = (trip / FOLDER).iterdir()
    record.write_bytes(record.read_bytes() + b"cut short")
    (job,) = batch.plan([photo], target)
    later = journal_of([trip], target, True, False, "")
    assert later.is_done(job) and later.is_result(photo, photo.read_bytes())
    record.write_bytes(record.read_bytes()[:20])
    later = journal_of([trip], target, True, False, "")
    assert not later.is_done(job) and not later.is_result(photo, photo.read_bytes())


def test_in_place_a_worker_that_outlives_its_run_is_heard_of(trip):
    target = batch.Target(in_place=True)
    outlives, later = (journal_of([trip], target, True, False, "") for _ in range(2))
    outlives.note_replacement(trip / "a.png", b"before", b"after")
    assert later.is_result(trip / "a.png", b"after") and not later.is_result(trip / "b.jpg", b"of b")
    outlives.note_replacement(trip / "b.jpg", b"before", b"of b")
    assert later.is_result(trip / "b.jpg", b"of b") and not outlives.is_result(trip / "b.jpg", b"of b")


def test_keys_are_a_set():
    keys = [bytes.fromhex(digest(str(index))) for index in range(200)]
    found = Keys(b"".join(keys[:100]))
    assert [key in found for key in keys] == [True] * 100 + [False] * 100 and len(found) == 100
    assert not len(Keys()) and keys[0] not in Keys()


@pytest.mark.parametrize("words", [["--in-place"], ["--overwrite"]], ids=" ".join)
def test_a_file_with_the_name_of_the_hidden_folder_is_named(trip, derain, words):
    (trip / FOLDER).write_text("somebody's own")
    done = derain(trip, *words)
    said = f"{done.stderr}{done.exception}"
    assert f"{trip / FOLDER}" in said and "rename or remove it" in said
    assert done.exit_code == (1 if words == ["--in-place"] else 0)
    assert (trip / FOLDER).read_text() == "somebody's own"


@pytest.mark.parametrize("in_place", [True, False])
def test_a_folder_that_may_not_be_written_is_told_with_what_can_be_done(trip, monkeypatch, in_place):
    monkeypatch.setattr(planning.os, "access", lambda path, mode: not mode & os.W_OK)
    (job,) = batch.plan([trip / "a.png"], Target(in_place=in_place))
    said = str(batch.obstacle(job))
    assert f"you may not write in {trip}; " in said and said.endswith("write elsewhere with `output`")
    assert ("leave out `in_place`" in said) == in_place
