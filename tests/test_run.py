"""`derain run` as a user meets it."""

import errno
import io
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import derain
from derain import batch, extras
from derain.batch import listing, planning, running
from derain.batch.reasons import Kind, Reason
from derain.cli.app import app
from derain.cli.left_out import LeftOut
from derain.cli.options import to_output
from derain.cli.run import target_of
from derain.cli.terminal import with_options
from derain.cli.which_clips import clips_in
from derain.errors import PhotoError, UsageError, WeightsError
from derain.files.writing import atomic
from derain.finetuning.material import usable_files
from derain.models import build, describe
from derain.photos import decode, read_original, read_photo, write_photo
from derain.restoring import devices, tiling
from derain.restoring.restorer import Restorer
from derain.weights import bundled_folder, load, locate
from tests.conftest import SMALL
from tests.forks import command, piped

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def photo(tmp_path, rng) -> Path:
    path = tmp_path / "été with spaces 雨.jpg"
    Image.fromarray(rng.integers(60, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    return path


def test_one_photo_becomes_one_beside_it(photo, small_weights):
    before = photo.read_bytes()
    done = command("run", photo, "--weights", small_weights, "--device", "cpu")
    result = photo.with_name("été with spaces 雨.derained.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(result)
    assert read_photo(result).shape == (50, 70, 3)
    assert photo.read_bytes() == before


@pytest.mark.parametrize("planned", [batch.plan, batch.plan_as_found])
def test_a_slash_at_its_end_makes_a_folder_of_a_name(photo, tmp_path, planned):
    target = target_of(to_output(f"{tmp_path}/dry.jpg/"))
    assert [job.background for job in planned([photo], target)] == [tmp_path / "dry.jpg" / photo.name]
    (job,) = batch.plan([photo], target_of(to_output(f"{tmp_path}/dry.jpg")))
    assert job.background == tmp_path / "dry.jpg"


def test_a_photo_goes_into_the_folder_that_is_named_with_a_slash(photo, tmp_path, small_weights):
    done = command("run", photo, "-o", "dry.jpg/", "--weights", small_weights, cwd=tmp_path)
    assert done.stdout.strip() == os.path.join("dry.jpg", photo.name) and (tmp_path / "dry.jpg" / photo.name).is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("export", "onnx", "-o", "it.onnx/"),
        ("finetune", "photos", "-o", "it.safetensors/"),
        ("eval", "--self-test", "--json", "it.json/"),
        ("eval", "--self-test", "--csv", "it.csv/"),
        ("eval", "--self-test", "--report", "it.html/"),
        ("video", "clip.mp4", "--preview", "it.jpg/"),
        ("video", "frames", "-o", "it.mp4/"),
    ],
)
def test_a_file_that_is_named_as_a_folder_is_refused(tmp_path, words):
    (tmp_path / "frames").mkdir()
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 2 and f"derain: {words[-1]}: ends as a folder's name does" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_the_rain_layer_has_all_the_bits_of_its_photo(small_weights, tmp_path, rng):
    deep = rng.integers(0, 2**16, (50, 70, 3), dtype=np.uint16)
    photo, result = tmp_path / "deep.png", tmp_path / "result.png"
    write_photo(photo, deep)
    done = command("run", photo, "-o", result, "--rain", "--weights", small_weights, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    background, rain = (read_original(path).pixels for path in (result, tmp_path / "result.rain.png"))
    assert rain.dtype == np.uint16 and rain.any()
    assert np.array_equal(background.astype(int) + rain, deep)


def test_layers_and_comparison(photo, small_weights, tmp_path):
    out = tmp_path / "new" / "result.png"
    done = command("run", photo, "-o", out, "--rain", "--compare", "--weights", small_weights, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    source, background, rain = (read_photo(p).astype(int) for p in (photo, out, out.with_name("result.rain.png")))
    assert np.array_equal(background + rain, source)
    assert rain.max() > 0
    assert read_photo(out.with_name("result.compare.png")).shape == (50 + 4 + 70, 144, 3)
    background = np.zeros((40, 1000, 3), np.uint8)
    panorama = background.copy()
    panorama[35, 600] = 255
    compared = batch.comparison(panorama, background)
    assert compared.shape == (40 + 4 + 62, 2004, 3) and compared[-62:, :1000].max() > 100


def test_one_bad_file_does_not_stop_the_others(photo, small_weights, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(photo.read_bytes()[:300])
    done = command("run", tmp_path, tmp_path / "missing.png", "-o", tmp_path / "out", "--weights", small_weights)
    assert done.returncode == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == [photo.name]
    assert "bad.jpg" in done.stderr and "missing.png: no such file" in done.stderr
    assert "1 of 3 photos done at" in done.stderr and "; 2 failed" in done.stderr and "Traceback" not in done.stderr


def test_existing_results_are_skipped_unless_overwritten(photo, small_weights):
    result = photo.with_name(f"{photo.stem}.derained.jpg")
    result.write_bytes(b"mine")
    skipped = command("run", photo, "--weights", small_weights)
    assert skipped.returncode == 0 and "--overwrite" in skipped.stderr and result.read_bytes() == b"mine"
    replaced = command("run", photo, "--weights", small_weights, "--overwrite")
    assert replaced.returncode == 0 and result.read_bytes() != b"mine"


def test_two_photos_of_one_name_with_one_folder_are_told_what_overwriting_costs(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "one/a.png", "two/a.png", "two/b.png")
    call = ("run", "-r", "-o", tmp_path / "out", "--weights", small_weights)
    assert command(*call, tmp_path / "one").returncode == 0
    skipped = command(*call, tmp_path / "two")
    assert skipped.returncode == 0 and "even if it is another photo's; another -o keeps both" in skipped.stderr
    skipped = command(*call, tmp_path / "two")
    assert "2 skipped: results of their names exist" in skipped.stderr


@pytest.mark.parametrize("many", [1, 5000])
@pytest.mark.parametrize("read", ["--weights", "--files-from"])
def test_no_result_takes_the_place_of_what_the_command_reads(tmp_path, rng, small_weights, monkeypatch, many, read):
    """Be it that it is named as a photo, through a link, or as the second result of one."""
    monkeypatch.setattr(planning, "MANY", many)
    pictures(tmp_path, rng, "in/a.png", "in/b.png")
    (tmp_path / "out").mkdir()
    weights, photos = (tmp_path / "out" / name for name in ("b.rain.png", "a.png"))
    weights.write_bytes(small_weights.read_bytes())
    photos.write_text(str(tmp_path / "in" / "b.png"))
    kept = weights.read_bytes(), photos.read_bytes()
    (tmp_path / "linked").symlink_to(photos)
    given = {"--weights": small_weights, "--files-from": tmp_path / "in" / "list"}
    given["--files-from"].write_text(str(tmp_path / "in" / "b.png"))
    given[read] = weights if read == "--weights" else tmp_path / "linked"
    words = ["run", tmp_path / "in", "--rain", "-o", tmp_path / "out", "--overwrite"]
    done = CliRunner().invoke(app, [str(w) for w in (*words, *(w for pair in given.items() for w in pair))])
    assert isinstance(done.exception, UsageError)
    assert f"would replace what is read as `{read[2:].replace('-', '_')}`" in str(done.exception)
    assert (weights.read_bytes(), photos.read_bytes()) == kept and len(list((tmp_path / "out").iterdir())) == 2


def test_the_end_of_a_run_says_each_thing_once_and_no_speed_where_nothing_was_done(tmp_path):
    job, tally = batch.Job(tmp_path / "a.png", tmp_path / "b.png"), batch.Tally()
    failed = running.Outcome(job, PhotoError("b.png: cannot be written"), 1000, 1000, 1.0)
    tally.add(failed)
    assert str(tally) == "1 of 1 photos failed"
    tally.add(running.Outcome(job, notes=("was done before",)))
    tally.add(running.Outcome(job, None, 1000, 1000, 1.0))
    assert str(tally) == "2 of 3 photos done at 1.0 MP/s; 1 failed"
    tally = batch.Tally()
    tally.add(running.Outcome(job, notes=("was done before",)))
    assert tally.pace == "" and str(tally) == "1 of 1 photos done"


def test_what_exists_is_kept_when_another_result_is_asked_for(photo, small_weights):
    result, comparison = (photo.with_name(photo.stem + end) for end in (".derained.jpg", ".compare.png"))
    result.write_bytes(b"retouched")
    assert command("run", photo, "--rain", "--weights", small_weights).returncode == 0
    assert result.read_bytes() == b"retouched" and photo.with_name(f"{photo.stem}.rain.png").exists()
    comparison.write_bytes(b"the photo as it was")
    done = command("run", photo, "--in-place", "--compare", "--weights", small_weights)
    assert done.returncode == 0
    assert comparison.read_bytes() == b"the photo as it was"
    assert "results of a photo existed and were kept, and may not fit it\n" in done.stderr
    assert "--overwrite" not in done.stderr  # which would lose it, as the photo is gone


def test_results_that_are_kept_are_told_and_not_listed_as_written(photo, small_weights, tmp_path):
    words = ("run", tmp_path, "--weights", small_weights, "-o", tmp_path / "out")
    assert command(*words, "--strength", "0.3").returncode == 0
    done = command(*words, "--rain")
    assert "results of a photo existed and were kept (--overwrite makes all anew" in done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == [f"{photo.stem}.rain.png"]
    done = command(*words, "--rain", "--compare", "--json")
    kept = photo.name, f"{photo.stem}.rain.png"
    assert json.loads(done.stdout)["notes"] == [f"{name} existed and was kept" for name in kept]
    done = command(*words, "--rain", "--overwrite")
    assert "were kept" not in done.stderr and len(done.stdout.splitlines()) == 2


def test_results_of_an_earlier_run_are_not_inputs(photo, small_weights, tmp_path):
    for _ in range(2):
        assert command("run", tmp_path, "--compare", "--weights", small_weights).returncode == 0
    assert len(list(tmp_path.glob("*.jpg"))) == 2
    named = sorted(tmp_path.iterdir())  # as the shell expands *
    assert [job.source for job in batch.plan([p for p in named if p.suffix != ".safetensors"])] == [photo]
    alone = photo.with_name(f"{photo.stem}.derained.jpg")
    assert [job.source for job in batch.plan([alone])] == [alone]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--weights", "nonsense"], "no bundled weights of that name"),
        (["--weights", "gone.safetensors"], "no such weights file"),
        (["--weights", "{photo}"], "not a checkpoint that derain wrote"),
        (["--weights", "{photo}.safetensors"], "not a checkpoint that derain wrote"),
        (["--weights", "{photo}.pth"], "not the public NLCL weights"),
        (["--device", "cuda:99"], "--device cuda:99: not available"),
        (["-o", "{photo}"], "is the photo itself"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(photo, arguments, sentence):
    for suffix in (".safetensors", ".pth"):
        Path(f"{photo}{suffix}").write_bytes(b"no weights")
    done = command("run", photo, *(a.format(photo=photo) for a in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert len(list(photo.parent.glob("*.derained.*"))) == 0


@pytest.mark.parametrize(
    "words, sentence", [(("--weights", "nope"), "nope: no bundled weights"), (("--ray",), "--ray needs an extra; ")]
)
def test_wrong_usage_is_told_be_it_that_all_results_are_there(photo, monkeypatch, words, sentence):
    photo.with_name(f"{photo.stem}.derained.jpg").touch()
    monkeypatch.setitem(extras.MODULES, "ray", ("ray_is_not_there",))
    monkeypatch.setitem(sys.modules, "torch", None)
    done = CliRunner().invoke(app, ["run", str(photo), *words])
    assert isinstance(done.exception, UsageError | WeightsError), done.stderr
    assert with_options(str(done.exception)).startswith(sentence)


def test_two_results_in_one_place_are_refused_before_any_work(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "x.png")
    with pytest.raises(UsageError, match="x.png"):
        batch.plan([tmp_path / "a", tmp_path / "b"], batch.Target(tmp_path / "out"))
    with pytest.raises(UsageError, match="one file cannot hold 2 photos"):
        batch.plan([tmp_path / "a", tmp_path / "b"], batch.Target(tmp_path / "out.png"))
    with pytest.raises(UsageError, match="no photos"):
        batch.plan([])


def rainy_model():
    """Untrained, and sees rain everywhere."""
    model = derain.models.build("derain", SMALL).eval()
    torch.nn.init.constant_(model.tail.bias, 0.05)
    return model


def test_orientation_profile_and_exif_survive(tmp_path, rng):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    picture.save(tmp_path / "turned.jpg", exif=exif, icc_profile=b"profile", quality=95)
    result = tmp_path / "result.jpg"
    (outcome,) = batch.run([batch.Job(tmp_path / "turned.jpg", result)], rainy_model())
    assert outcome.error is None and outcome.rain_coverage > 0.5
    with Image.open(result) as image:
        assert image.size == (60, 40)  # as it was stored
        assert image.getexif()[0x0112] == 6 and image.getexif()[0x010F] == "A camera"
        assert image.info["icc_profile"] == b"profile"


def test_what_is_replaced_keeps_its_permissions_and_its_links(tmp_path, rng):
    pictures(tmp_path, rng, "far/photo.png")
    photo, link = tmp_path / "far" / "photo.png", tmp_path / "link.png"
    photo.chmod(0o600)
    link.symlink_to(photo)
    before = photo.read_bytes()
    (outcome,) = batch.run(batch.plan([link], batch.Target(in_place=True)), rainy_model())
    assert outcome.error is None and link.is_symlink() and photo.read_bytes() != before
    assert photo.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_or_read_does_not_stop_the_others(tmp_path, rng, monkeypatch):
    pictures(tmp_path, rng, "a.png", "day/b.png", "lost/c.png")
    wide = tmp_path / "wide.png"
    Image.new("RGB", (17_000, 2), "grey").save(wide)  # WebP ends at 16383
    long = tmp_path / ("é" * 122 + ".png")  # whose result's name is longer than any may be
    (tmp_path / "a.png").rename(long)
    seen = listing.scan

    def scan(folder):
        if folder.name == "lost":
            raise PermissionError
        return seen(folder)

    monkeypatch.setattr(listing, "scan", scan)
    jobs = batch.plan([tmp_path, long], batch.Target(format="webp"), recursive=True)
    outcomes = list(batch.run(batch.pending(jobs), rainy_model()))
    failed = {outcome.job.source.name: str(outcome.error) for outcome in outcomes if outcome.error}
    assert failed.keys() == {"lost", long.name, "wide.png"}
    assert "cannot be read" in failed["lost"] and "cannot be written as WEBP" in failed["wide.png"]
    assert {p.name for p in tmp_path.iterdir()} == {"day", "lost", "wide.png", long.name}
    assert (tmp_path / "day" / "b.derained.webp").exists()


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "kept.png").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(tmp_path / "kept.png") as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["kept.png"] and (tmp_path / "kept.png").read_bytes() == b"old"
    with pytest.raises(PhotoError, match="cannot be written"):
        write_photo(tmp_path / "nowhere" / "x.png", np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PhotoError, match="cannot be written"):
        write_photo(tmp_path / "folder.png", np.zeros((2, 2, 3), np.uint8))
    assert not list(tmp_path.glob(".derain*"))


def test_what_is_being_written_as_ctrl_c_comes_is_named(tmp_path, rng):
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(tmp_path / name)

    def interrupt(job: batch.Job, doing: str) -> None:
        if job.source.name == "b.png":
            raise KeyboardInterrupt

    done = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in batch.run(batch.plan([tmp_path]), rainy_model(), watch=interrupt):
            done += outcome.job.outputs
    assert done == [tmp_path / "a.derained.png"] == list(tmp_path.glob("*.derained.png"))


def test_animated_pictures_are_refused(tmp_path):
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(PhotoError, match="animated"):
        read_photo(tmp_path / "moving.webp")


@pytest.mark.parametrize("name", ["derain", "nlcl"])
def test_bundled_weights_load_and_are_checked(name, tmp_path, monkeypatch):
    assert describe(load(name))[0] == name
    (tmp_path / f"{name}.safetensors").write_bytes(locate(name).read_bytes() + b"x")
    (tmp_path / "SHA256SUMS").write_text((bundled_folder() / "SHA256SUMS").read_text())
    monkeypatch.setattr("derain.weights.bundled.bundled_folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match="SHA-256"):
        load(name)


def test_default_weights_remove_rain_from_the_example(tmp_path):
    """The example was rendered over a clean picture that is beside it."""
    rainy, clean = (read_photo(REPOSITORY / "examples" / f"{name}.jpg").astype(float) for name in ("rainy", "clean"))
    background = derain.restore(derain.load(), rainy.astype(np.uint8))[0]
    error_input, error_output = (float(np.mean((x - clean) ** 2)) for x in (rainy, background))
    assert error_output < 0.5 * error_input


def test_default_weights_leave_no_seams():
    photo = read_photo(REPOSITORY / "examples" / "rainy.jpg")
    model = derain.load()
    whole, tiled = (derain.restore(model, photo, tile)[0].astype(int) for tile in (0, 160))
    assert np.abs(whole - tiled).max() <= 1


def test_python_in_three_lines():
    import torch

    model = derain.load()
    image = torch.rand(1, 3, 40, 50)
    background, rain = model(image)
    torch.testing.assert_close(background + rain, image)


# what a batch takes and gives


def pictures(folder: Path, rng, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(60, 256, (20, 24, 3), dtype=np.uint8)).save(path)


def test_what_is_left_out_is_told_apart_by_its_kind_whatever_the_words():
    left = LeftOut()
    for name, kind, words in (
        ("a", Kind.LINK, "symbolic, to b"),
        ("c", Kind.LINK, "a clip's link"),
        ("d", Kind.CLIP, ""),
        ("e", Kind.LINKED_FOLDER, ""),
    ):
        left.add(Path(name), Reason(kind, words))
    assert left.sentences("derain", "elsewhere") == [
        "2 links left out: a is symbolic, to b",
        "1 clip left out, such as d: elsewhere",
        "1 link left out: e is a link to a folder; to derain what is there, name the link",
    ]


def test_a_quality_that_no_photo_of_a_batch_can_have_is_told_once(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "in/a.png", "in/b.png", "in/c.jpg", "in/d.bmp")
    words = ["run", str(tmp_path / "in"), "--quality", "80", "--weights", str(small_weights), "--json"]
    done = CliRunner().invoke(app, words)
    assert [line for line in done.stderr.splitlines() if line.startswith("--quality")] == [
        "--quality: was not set where the result is a PNG, which loses nothing",
        "--quality: was not set where the result is a BMP, which loses nothing",
    ]
    notes = {Path(told["input"]).name: told["notes"] for told in map(json.loads, done.stdout.splitlines())}
    assert (
        notes["a.png"] == notes["b.png"] == ["its quality was not set because PNG loses nothing"] and not notes["c.jpg"]
    )


def test_a_photo_that_keeps_its_file_is_called_untouched(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "a.png")
    (outcome,) = batch.run(batch.plan([tmp_path / "a.png"]), load(str(small_weights)), batch.Treatment(rainy_from=1.0))
    assert outcome.untouched
    assert outcome.job.background.read_bytes() == (tmp_path / "a.png").read_bytes()


def results(jobs, below: Path) -> list[str]:
    return sorted(job.background.relative_to(below).as_posix() for job in jobs)


def test_a_tree_is_mirrored_and_links_do_not_lead_out(tmp_path, rng):
    pictures(tmp_path, rng, "trip/a.png", "trip/day 1/a.png", "trip/day 1/b.derained.png", "else/c.png")
    (tmp_path / "trip" / "day 2").symlink_to(tmp_path / "else")
    (tmp_path / "trip" / "link.png").symlink_to(tmp_path / "else" / "c.png")
    out = tmp_path / "out"
    assert results(batch.plan([tmp_path / "trip"], batch.Target(out), recursive=True), out) == ["a.png", "day 1/a.png"]
    assert results(batch.plan([tmp_path / "trip"], batch.Target(out)), out) == ["a.png"]
    pictures(tmp_path, rng, "trip/dry/a.png")
    again = batch.plan([tmp_path / "trip"], batch.Target(tmp_path / "trip" / "dry"), recursive=True)
    assert results(again, tmp_path / "trip" / "dry") == ["a.png", "day 1/a.png"]
    above = batch.plan([tmp_path / "trip"], batch.Target(tmp_path, format="jpg"), recursive=True)
    assert results(above, tmp_path) == ["a.jpg", "day 1/a.jpg", "dry/a.jpg"]
    (tmp_path / "trip" / "loop.png").symlink_to(tmp_path / "trip" / "loop.png")
    assert results(batch.plan([tmp_path / "trip"]), tmp_path) == ["trip/a.derained.png"]


def test_many_photos_are_planned_as_they_are_found(tmp_path, rng, monkeypatch, small_weights):
    """The same jobs as of a plan that is made first; only what would be written twice is found out on the way."""
    pictures(tmp_path, rng, "in/a.png", "in/b/a.png", "in/b/a.compare.png", "in/b/c.derained.png", "in/z/a.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "in" / "a.png")
    target, left = batch.Target(tmp_path / "out", rain=True), []
    found = list(batch.plan_as_found([tmp_path / "in"], target, True, lambda path, why: left.append(path.name)))
    assert found == batch.plan([tmp_path / "in"], target, recursive=True) and len(found) == 4
    assert left == ["a.compare.png", "c.derained.png"]
    monkeypatch.setattr(planning, "MANY", 3)
    (tmp_path / "in" / "a.tif").write_bytes(b"")  # its rain layer is to be the one of a.png
    words = ["run", "-r", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--rain", "--weights", str(small_weights)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and "4 of 5 photos done" in done.stderr
    assert "belongs to" in done.stderr and "rename one of the two" in done.stderr
    assert "2 left out" in done.stderr and len(done.stdout.splitlines()) == 8  # with their rain layers
    (tmp_path / "in" / "a.tif").unlink()
    (tmp_path / "out" / "z" / "a.rain.png").unlink()
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0 and "3 skipped" in again.stderr and "1 of 1 photos done" in again.stderr


def test_a_long_list_is_planned_name_by_name_without_the_results_in_it(tmp_path, rng, monkeypatch):
    pictures(tmp_path, rng, "a.png", "a.derained.png", "b.jpg", "c.compare.png", "day/a.png")
    named, left = [str(path) for path in sorted(tmp_path.rglob("*.*g"))] * 2, []
    found = list(batch.plan_as_found(named, batch.Target(), False, lambda path, why: left.append((path.name, why))))
    assert found == batch.plan(named) and len(found) == 4
    assert left == [("a.derained.png", "a result of a.png")] * 2
    (tmp_path / "list").write_text("\n\n".join(named) + "\n \n")
    listed = batch.read_list(tmp_path / "list")
    assert list(listed) == named and len(listed) == 10 and listed[1] == named[1] and listed[-2:] == named[-2:]
    monkeypatch.setattr(planning, "MANY", 10)
    assert batch.is_long(named, batch.Target(), False) and not batch.is_long(named[:9], batch.Target(), False)


def test_photos_are_replaced_on_the_way_only_where_none_of_them_can_be_found_later(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(planning, "MANY", 1)
    pictures(tmp_path, rng, "in/a.png")
    for target, is_long in (
        (batch.Target(), True),
        (batch.Target(suffix="", format="jpg"), False),
        (batch.Target(tmp_path / "out"), True),
        (batch.Target(tmp_path / "in"), False),
        (batch.Target(tmp_path / "in" / "out"), False),
        (batch.Target(tmp_path), False),
        (batch.Target(in_place=True), True),
    ):
        assert batch.is_long([tmp_path / "in"], target, True, overwrite=True) == is_long, target
        assert batch.is_long([tmp_path / "in"], target, True)


def test_patterns_lists_suffix_and_format(tmp_path, rng):
    pictures(tmp_path, rng, "a [1].png", "b.jpg", "c.webp")
    jobs = batch.plan([f"{tmp_path}/*.[jw]*"], batch.Target(suffix="-dry", format="tiff"))
    assert results(jobs, tmp_path) == ["b-dry.tif", "c-dry.tif"]
    assert results(batch.plan([f"{tmp_path}/a [1].png"]), tmp_path) == ["a [1].derained.png"]  # a name, not a pattern
    (tmp_path / "list").write_text(f"\ufeff{tmp_path}/b.jpg\n\n{tmp_path}/c.webp\n", encoding="utf-8")
    assert len(batch.plan(batch.read_list(tmp_path / "list"))) == 2
    (tmp_path / "list").write_text(f"{tmp_path}/b.jpg\0{tmp_path}/c.webp\0", encoding="utf-8")
    assert len(batch.plan(batch.read_list(tmp_path / "list"))) == 2
    with pytest.raises(UsageError, match="cannot be read as a list"):
        batch.read_list(tmp_path / "b.jpg")
    (tmp_path / "list").write_text(f"{tmp_path}/b.jpg\n{tmp_path}/c.webp\n", encoding="utf-16")
    assert len(batch.plan(batch.read_list(tmp_path / "list"))) == 2
    for wrong in (
        batch.Target(format="gif"),
        batch.Target(tmp_path, in_place=True),
        batch.Target(suffix=".x", in_place=True),
        batch.Target(suffix=""),
        batch.Target(suffix="dry/x"),
    ):
        with pytest.raises(UsageError):
            batch.plan([tmp_path], wrong)
    for output, form in (("res.gif", None), ("res.ico", None), ("res.png", "webp")):
        with pytest.raises(UsageError, match=output):
            batch.plan([tmp_path / "b.jpg"], batch.Target(tmp_path / output, format=form))
    heic = tmp_path / "res.heic"  # whether or not what reads HEIC is there yet
    assert batch.plan([tmp_path / "b.jpg"], batch.Target(heic))[0].background == heic
    with pytest.raises(UsageError, match="a name is empty"):  # not the folder that one is in
        batch.plan([""], batch.Target(in_place=True))


@pytest.mark.parametrize("words", [("nope*.png", "a.png"), ("nope*.png",), ("nope*.mp4",), ("*.txt",)])
def test_a_pattern_that_matches_no_photo_fails_by_name_and_the_others_go_on(tmp_path, rng, small_weights, words):
    pictures(tmp_path, rng, "a.png")
    (tmp_path / "note.txt").touch()
    for name, more in (("run", ("-o", "out")), ("score", ())):
        done = command(name, *words, *more, "--weights", small_weights, "--device", "cpu", cwd=tmp_path)
        assert done.returncode == 1, (name, done)
        assert f"derain: {words[0]}: matches no file{' of the right kind' * ('.txt' in words[0])}\n" in done.stderr
        assert ("a.png" in done.stdout) == ("a.png" in words)


def test_folders_without_photos_and_links_that_lead_nowhere_are_told(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "in/a.png", "deeper/day/b.png", "out.png")
    (tmp_path / "empty").mkdir()
    for name, to in (("gone", "nothing.png"), ("loop", "loop.png"), ("away", "../out.png")):
        (tmp_path / "in" / f"{name}.png").symlink_to(to)
    (tmp_path / "in" / "more").symlink_to(tmp_path / "deeper")
    for name in ("round", "round.mp4"):  # is nothing to look at, and hides nothing beside it
        (tmp_path / "in" / name).symlink_to(name)
    left: dict[str, str] = {}
    jobs = batch.plan([tmp_path / "in"], recursive=True, leave=lambda path, why: left.__setitem__(path.name, why))
    assert len(jobs) == 1 and left == {
        "gone.png": "a link to nothing.png, which is missing",
        "loop.png": "a link that leads back to itself",
        "away.png": "a link out of the folder",
        "more": "a link to a folder",
    }
    (tmp_path / "picks").mkdir()
    (tmp_path / "picks" / "a.png").symlink_to("../out.png")
    picks = command("run", "picks", cwd=tmp_path)
    assert picks.returncode == 2 and "found: picks/a.png is a link out of the folder; to derain such" in picks.stderr
    for name, doing in (("run", "derain"), ("score", "score")):
        done = command(name, "in", "empty", "deeper", "--weights", small_weights, cwd=tmp_path)
        told = [
            "1 link left out: in/away.png is a link out of the folder; "
            f"to {doing} such links, name them, or give 'in/*.png'",
            "2 links left out: in/gone.png is a link to nothing.png, which is missing",
        ]
        assert done.returncode == 0 and all(f"{sentence}\n" in done.stderr for sentence in told)
        assert "empty is a folder without photos, and so is 1 more" in done.stderr
    (tmp_path / "deeper" / "c.png").symlink_to("../out.png")
    ways = {("in", "--in-place"): 1, ("in", "deeper"): 2}  # of which a pattern names others, and not all
    for words, count in ways.items():
        left_out = f"{count} link{'s' * (count > 1)} left out: in/away.png is a link out of the folder"
        done = command("run", *words, "--weights", small_weights, cwd=tmp_path)
        assert f"{left_out}; to derain such links, name them\n" in done.stderr
    (tmp_path / "deeper" / "c.png").unlink()
    (tmp_path / "picks" / "b.jpg").symlink_to("../out.png")
    picks = command("run", "picks", cwd=tmp_path)
    assert picks.stderr.endswith("picks/a.png is a link out of the folder; to derain such links, name them\n")
    alone = command("run", "deeper", cwd=tmp_path)
    assert alone.returncode == 2 and "deeper is a folder without photos of its own (-r includes" in alone.stderr
    for name in ("run", "score", "video"):
        named = command(name, "in/gone.png", cwd=tmp_path)
        assert named.returncode == 1
        assert "derain: in/gone.png: is a link to nothing.png, which is missing\n" in named.stderr
    (tmp_path / "empty" / "gone.mp4").symlink_to("nothing.mp4")
    clip = command("video", "empty", cwd=tmp_path)
    assert clip.returncode == 1 and "empty/gone.mp4: is a link to nothing.mp4, which is missing\n" in clip.stderr


def test_a_link_into_a_folder_that_may_not_be_entered_hides_nothing_beside_it(tmp_path, rng, monkeypatch):
    pictures(tmp_path, rng, "a.png", "elsewhere/b.png")
    (tmp_path / "a.mp4").touch()
    for name in ("b.png", "b.mp4", "b"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)
    ask = os.stat

    def closed(path, *given, **options):
        if str(path).startswith(f"{tmp_path}/b") and options.get("follow_symlinks", True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return ask(path, *given, **options)

    monkeypatch.setattr("os.stat", closed)
    for named in (tmp_path, tmp_path / "*.png"):
        assert tmp_path / "a.png" in [job.source for job in batch.plan([named])]
    assert [path.name for path in clips_in(tmp_path)] == ["a.mp4", "b.mp4"]
    said: list[str] = []
    assert [path.name for path in usable_files(tmp_path, said.append)] == ["a.mp4", "a.png"]
    assert said == [f"skipped {tmp_path / name}: not a regular file" for name in ("b.mp4", "b.png")]


def test_a_name_that_hides_the_format_is_told_with_what_to_do(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "a.png")
    (tmp_path / "a.png").rename(tmp_path / "photo")
    words = "run", "photo", "--weights", small_weights
    for more, said in ((), "; rename it to end in .png, or give --format png"), (("--in-place",), " .png"):
        done = command(*words, *more, cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.split("\n")[1].endswith(said)
        assert "derain: photo: its name does not end as that of a photo" in done.stderr
    assert command(*words, "--format", "png", cwd=tmp_path).returncode == 0
    assert read_photo(tmp_path / "photo.derained.png").shape == (20, 24, 3)


def test_an_empty_photo_is_called_empty(tmp_path, small_weights):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a.mp4").touch()
    for name, file in (("run", "a.jpg"), ("score", "a.jpg"), ("score", "a.mp4"), ("video", "a.mp4")):
        done = command(name, file, "--weights", small_weights, cwd=tmp_path)
        assert done.returncode == 1 and f"derain: {file}: is empty\n" in done.stderr
    assert b"derain: stdin: is empty\n" in piped(b"", "run", "-", "--weights", small_weights).stderr


def test_a_result_whose_name_is_too_long_is_told_before_any_work(tmp_path, rng):
    name = "a" * 251 + ".png"
    pictures(tmp_path, rng, name)
    done = CliRunner().invoke(app, ["run", str(tmp_path / name)])
    assert done.exit_code == 1 and "its name is too long for this file system; write elsewhere with -o" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs hard links")
def test_hard_links_that_a_photo_loses_in_place_are_told(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "a.png")
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    before = (tmp_path / "a.png").read_bytes()
    done = command("run", "a.png", "--in-place", "--weights", small_weights, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0 and "a.png: other hard links to it keep the photo as it was\n" in done.stderr
    assert (tmp_path / "b.png").read_bytes() == before != (tmp_path / "a.png").read_bytes()


def test_a_photo_that_failed_is_described_as_that(tmp_path, rng):
    pictures(tmp_path, rng, "a.png")
    job = batch.plan([tmp_path / "a.png"])[0]
    assert batch.describe(batch.Outcome(job, PhotoError("a.png: is empty"))) == "failed: a.png: is empty"
    assert batch.describe(batch.Outcome(job, notes=("an earlier run did it",))) == "an earlier run did it"


def test_weights_whose_header_lacks_something_are_refused(tmp_path):
    save_file(
        {"w": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"derain": '{"format": "1", "preset": "derain"}'}
    )
    with pytest.raises(WeightsError, match="w.safetensors: not a checkpoint that derain wrote"):
        load(tmp_path / "w.safetensors")


@pytest.mark.parametrize("end", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("planned", [batch.plan, batch.plan_as_found])
@pytest.mark.parametrize("named", [".", "*", None])
def test_a_result_is_called_that_of_the_photo_that_ends_alike(tmp_path, rng, monkeypatch, planned, named, end):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path, rng, "a.jpg", "a.png", "a.tif", f"a.derained{end}")
    left: list[str] = []
    inputs = [named] if named else sorted(os.listdir())
    found = list(planned(inputs, batch.Target(Path("dry")), leave=lambda path, why: left.append(why)))
    assert len(found) == 3 and left == [f"a result of a{end}"]


def test_a_suffix_hides_no_other_photos(tmp_path, rng):
    pictures(tmp_path, rng, "IMG_0001.png", "IMG_0002.png")
    jobs = batch.plan([tmp_path], batch.Target(suffix="2"))
    assert results(jobs, tmp_path) == ["IMG_00012.png", "IMG_00022.png"]
    pictures(tmp_path, rng, "IMG_00012.png")
    assert results(batch.plan([tmp_path], batch.Target(suffix="2")), tmp_path) == ["IMG_00012.png", "IMG_00022.png"]


@pytest.mark.parametrize("end", [b"\n", b"\0"])
@pytest.mark.parametrize("controls", [b"", b"n\x01\x7f.png"])
def test_names_in_a_list_need_not_be_utf_8(tmp_path, monkeypatch, end, controls):
    names = os.fsencode(tmp_path) + b"/caf\xe9.png" + end + "été.png".encode() + end
    names += controls and controls + end
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(names), encoding="cp1252"))
    (tmp_path / "list").write_bytes(names)
    for place in (Path("-"), tmp_path / "list"):
        assert list(batch.read_list(place)) == [os.fsdecode(name) for name in names.split(end)[:-1]]


def test_in_place_replaces_the_photo_and_nothing_else(tmp_path, rng, small_weights):
    pictures(tmp_path, rng, "a.png", "b.png")
    before = (tmp_path / "b.png").read_bytes()
    done = command("run", tmp_path / "a.png", "--in-place", "--weights", small_weights)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".png") == ["a.png", "b.png"]
    assert read_photo(tmp_path / "a.png").mean() < read_photo(tmp_path / "b.png").mean() - 3
    assert (tmp_path / "b.png").read_bytes() == before


def test_stdin_to_stdout(photo, small_weights):
    call, content = ["run", "-", "--weights", small_weights], photo.read_bytes()
    kept = piped(content, *call)
    assert decode(kept.stdout).format == "JPEG" and decode(kept.stdout).pixels.shape == (50, 70, 3)
    changed = piped(content, *call, "--format", "png")
    assert decode(changed.stdout).format == "PNG"
    astray = piped(content, *call, "-o", "dry.jpg")
    assert astray.returncode == 2 and astray.stdout == b"" and b"leave out --output" in astray.stderr
    failed = piped(b"nothing", *call)
    assert failed.returncode == 1 and failed.stdout == b"" and b"stdin: not a photo" in failed.stderr


@pytest.mark.parametrize("words", ["-r", "--suffix .x", "--overwrite", "--in-place", "-o b.jpg", "--json"])
def test_options_that_mean_nothing_in_a_pipe_are_refused_by_name(words):
    done = piped(b"", "run", "-", *words.split(), "--strength", "0.5")
    assert done.returncode == 2 and done.stdout == b""
    (option,) = re.findall(rb"goes to stdout; leave out (--[a-z-]+)\n$", done.stderr)
    assert option.decode().startswith(f"--{words.split()[0].lstrip('-')[0]}")


def test_a_pipe_tells_of_its_photo_as_a_batch_does(photo, small_weights):
    call, content = ["run", "-", "--weights", small_weights, "--strength", "0"], photo.read_bytes()
    said, quiet = piped(content, *call), piped(content, *call, "--quiet")
    assert b"stdin: " in said.stderr and b"copied unchanged" in said.stderr and said.stdout == content
    assert quiet.stderr == b"" and quiet.stdout == content


@pytest.mark.parametrize("side", ["63", "0", "-5", "many"])
def test_a_tile_that_is_too_small_is_refused_with_the_limit(photo, side):
    done = command("run", photo, "--tile", side)
    assert done.returncode == 2 and f"--tile {side}: give auto, none, or a side of 64 px or more" in done.stderr


@pytest.mark.parametrize("taken", [batch.Treatment, partial(Restorer, build("derain"))], ids=["batch", "Restorer"])
def test_a_tile_that_is_too_small_is_refused_in_python_too(taken):
    with pytest.raises(UsageError, match="`tile` 63: give a side of 64 px or more"):
        taken(tile=63)
    assert taken(tile=64).tile == 64 and taken(tile=0).tile == 0


def test_options_that_others_leave_nothing_to_do_are_told(photo, tmp_path, small_weights):
    words = ["run", str(photo), "-o", str(tmp_path / "dry"), "--suffix", ".x", "--weights", str(small_weights)]
    said = CliRunner().invoke(app, [*words, "--tile", "64", "--max-memory", "9"]).stderr
    assert "--suffix .x: is added only to results that go beside their photos" in said
    assert "--max-memory: does not bound what the network takes, as --tile decides that" in said


@pytest.mark.parametrize(
    "words, first, second, other",
    [
        (("in/x", "in/y", "-o", "out"), "in/x/a.png", "in/y/a.png", "in/x/a.png"),
        (("in/x", "-o", "out", "--format", "jpg"), "in/x/a.png", "in/x/a.tif", "in/x/a.png"),
        (("in/x", "--rain"), "in/x/a.png", "in/x/a.tif", "in/x/a.png"),
        (
            ("in/x/a.tif", "in/x/b.jpg", "in/x/a.png", "-o", "in/x", "--format=png"),
            "in/x/b.jpg",
            "in/x/a.tif",
            "in/x/a.png",
        ),
        (("in/x/b.jpg", "in/x/link.jpg", "--in-place"), "in/x/b.jpg", "in/x/link.jpg", "in/x/b.jpg"),
    ],
)
def test_a_clash_of_names_fails_its_photo_alone(tmp_path, rng, small_weights, words, first, second, other):
    pictures(tmp_path, rng, "in/x/a.png", "in/x/a.tif", "in/x/b.jpg", "in/y/a.png", "in/y/c.png")
    (tmp_path / "in/x/link.jpg").symlink_to("b.jpg")
    call = ("run", *words, "--json", "--weights", small_weights)
    done = command(*call, cwd=tmp_path)
    found = {said["input"]: said for said in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1 and found[first]["error"] is None and Path(tmp_path, found[first]["output"]).is_file()
    assert found[second]["error"].startswith(f"{second}: ") and f"belongs to {other}; rename" in found[second]["error"]
    assert found[second]["output"] is None and f"{second}: " in done.stderr and " done" in done.stderr
    again = command(*call, cwd=tmp_path)
    assert again.returncode == 1 and second in again.stderr


def test_a_photo_that_is_named_in_two_ways_is_replaced_once(photo, tmp_path, small_weights):
    done = command("run", photo.name, photo, "--in-place", "--weights", small_weights, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines() == [photo.name]


@pytest.mark.parametrize(
    "format, ending",
    [("JPG", ".jpg"), ("jfif", ".jpg"), ("tif", ".tif"), ("Tiff", ".tif"), ("HEIF", ".heic"), ("hif", ".heic")],
)
def test_a_format_is_asked_for_in_any_spelling(photo, monkeypatch, format, ending):
    if ending == ".heic":
        monkeypatch.setitem(extras.MODULES, "heic", ("os",))
    (job,) = batch.plan([photo], batch.Target(format=format))
    assert job.background == photo.with_name(f"{photo.stem}.derained{ending}")
    named = photo.with_name("out.hif" if ending == ".heic" else f"out{ending}")
    assert batch.plan([photo], batch.Target(named, format=format))[0].background == named
    with pytest.raises(UsageError, match="does not match `format`"):
        batch.plan([photo], batch.Target(Path("out.png"), format=format))


def test_a_format_that_needs_an_extra_is_refused_with_its_name(photo, monkeypatch):
    monkeypatch.setitem(extras.MODULES, "heic", ("heic_is_not_there",))
    with pytest.raises(
        UsageError, match=r"`format` heic needs an extra; install it with: pip install 'derain\[heic\]'"
    ):
        batch.plan([photo], batch.Target(format="heic"))


def test_a_suffix_that_is_also_that_of_the_rain_layer_is_refused(photo):
    done = command("run", photo, "--suffix", ".rain", "--rain")
    assert done.returncode == 2 and "--suffix .rain: is also that of --rain; give another" in done.stderr


@pytest.mark.parametrize("words", [["-", "{photo}"], ["{photo}", "-o", "-"]], ids=" ".join)
def test_a_pipe_is_not_taken_for_a_photo_or_folder(photo, monkeypatch, words):
    monkeypatch.chdir(photo.parent)
    done = command("run", *(word.format(photo=photo.name) for word in words))
    assert done.returncode == 2 and "one photo goes from stdin to stdout" in done.stderr
    assert list(photo.parent.iterdir()) == [photo]


def test_any_name_comes_out_as_it_is(photo, small_weights):
    name = os.fsencode(photo.parent) + b"/\xe9t\xe9.jpg"  # Latin-1
    try:
        os.rename(photo, name)
    except OSError:
        pytest.skip("these names must be UTF-8")
    code = "import torch; torch.set_num_threads(1)\nfrom derain.cli.app import main\nmain()"
    call = [sys.executable, "-c", code, "run", name, "--weights", str(small_weights)]
    done = subprocess.run(
        call, capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"}
    )
    assert done.returncode == 0 and done.stdout.strip() == name.replace(b".jpg", b".derained.jpg")


def test_json_is_one_object_a_photo(photo, small_weights, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"bad")
    done = command("run", tmp_path, "--json", "-q", "--weights", small_weights)
    bad, good = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 1 and bad["output"] is None and "bad.png" in bad["error"]
    assert good["error"] is None and Path(good["output"]).exists()
    assert (good["width"], good["height"]) == (70, 50) and good["rain_coverage"] > 0 and good["seconds"] > 0
    assert done.stderr.count("\n") == 1  # the error alone


def test_a_dry_photo_comes_back_bit_for_bit(photo, tmp_path):
    model = rainy_model()
    torch.nn.init.constant_(model.tail.bias, -0.05)
    (outcome,) = batch.run([batch.Job(photo, tmp_path / "out.jpg")], model)
    assert outcome.untouched and "no rain" in batch.describe(outcome)
    assert (tmp_path / "out.jpg").read_bytes() == photo.read_bytes()
    (outcome,) = batch.run([batch.Job(photo, tmp_path / "out.png")], model)
    assert np.array_equal(read_photo(tmp_path / "out.png"), read_photo(photo))
    assert not outcome.untouched and batch.describe(outcome) == "no rain found, only saved anew"
    (outcome,) = batch.run([batch.Job(photo, tmp_path / "small.jpg")], model, batch.Treatment(quality=30))
    assert not outcome.untouched and (tmp_path / "small.jpg").stat().st_size < photo.stat().st_size
    (outcome,) = batch.run([batch.Job(photo, tmp_path / "any.jpg")], model, batch.Treatment(rainy_from=0))
    assert outcome.untouched and (tmp_path / "any.jpg").read_bytes() == photo.read_bytes()


def test_a_photo_that_nothing_is_taken_from_comes_back_bit_for_bit(photo, tmp_path):
    (outcome,) = batch.run([batch.Job(photo, tmp_path / "out.jpg")], rainy_model(), batch.Treatment(strength=0))
    assert outcome.untouched and (tmp_path / "out.jpg").read_bytes() == photo.read_bytes()
    assert batch.describe(outcome) == f"rain on {outcome.rain_coverage:.0%}, copied unchanged"


def test_strength_is_a_share_of_the_rain(photo):
    original, model = read_original(photo), rainy_model()
    layers = (batch.separate(original, Restorer(model), share) for share in (1, 0.5, 0))
    whole, half, none = (found.rain.astype(int) for found in layers)
    assert np.abs(half - whole / 2).max() <= 0.5 and none.max() == 0 and whole.max() > 5


def test_16_bit_rain_is_finer_than_8_bit_steps(rng):
    deep = rng.integers(20000, 60000, (40, 40, 3), dtype=np.uint16)
    background, rain = derain.restore(rainy_model(), deep)
    assert background.dtype == np.uint16 and np.array_equal(background + rain, deep)
    assert len(np.unique(rain)) > 256


GIANT = 20_000, 20_000, 1_200_000_000  # height, width, bytes


def seen_by(restorer: Restorer) -> int:
    """Pixels of the largest tile of a giant, with what is around it."""
    windows = tiling.tiles(*GIANT[:2], restorer.first_tile(*GIANT), restorer.model)
    return max((rows.stop - rows.start) * (columns.stop - columns.start) for _, (rows, columns) in windows)


@pytest.mark.parametrize("free", [0.5e9, 1e9, 4e9, 64e9])
def test_a_tile_with_what_is_around_it_takes_its_share_of_the_memory(monkeypatch, free):
    monkeypatch.setattr(devices, "free_memory", lambda device: free)
    seen = seen_by(Restorer(load())) * tiling.NETWORK_BYTES_PER_PIXEL
    assert 0.8 * devices.FREE_MEMORY_SHARE * free < seen < 0.45 * free


def test_a_tile_takes_no_more_than_what_derain_may_take_still_leaves(monkeypatch):
    monkeypatch.setattr(devices, "free_memory", lambda device: 64e9)
    monkeypatch.setattr("derain.restoring.restorer.used_memory", lambda device: 1e9)
    monkeypatch.setattr("derain.restoring.restorer.LATER_BYTES", 0)
    assert 0.8e9 < seen_by(Restorer(load(), max_memory=2e9)) * tiling.NETWORK_BYTES_PER_PIXEL <= 1e9
    assert Restorer(load(), max_memory=0.5e9).first_tile(*GIANT) == (256, 256)


def test_the_most_memory_is_told_in_gb(photo, tmp_path, small_weights, monkeypatch):
    told = []
    real = Restorer.first_tile
    monkeypatch.setattr(Restorer, "first_tile", lambda self, *size: told.append(self.max_memory) or real(self, *size))
    options = ["--weights", str(small_weights), "--max-memory", "1.5", "-o", str(tmp_path / "out.png")]
    assert CliRunner().invoke(app, ["run", str(photo), *options]).exit_code == 0
    assert set(told) == {1.5e9}


@pytest.mark.parametrize(
    "words, said",
    [
        (["--max-memory", "0.2"], "--max-memory 0.2: cannot be kept on a processor, where 0.4 GB are needed, beside"),
        (["--max-memory", "0.41"], "été with spaces 雨.jpg: --max-memory 0.41: cannot be kept"),
        (["--max-memory", "1"], ""),
        (["--max-memory", "0.2", "--quiet"], ""),
    ],
)
def test_memory_that_cannot_be_kept_is_told_once(photo, tmp_path, small_weights, monkeypatch, words, said):
    monkeypatch.setattr("derain.cli.options.MEMORY_A_PIXEL", 1e4)
    pictures(tmp_path, np.random.default_rng(0), "b.png")
    call = ["run", str(photo), str(tmp_path / "b.png"), "-o", str(tmp_path / "dry"), "--weights", str(small_weights)]
    stderr = CliRunner().invoke(app, [*call, *words], terminal_width=1000).stderr
    assert stderr.count("cannot be kept") == bool(said) and said in stderr, stderr


def test_the_advice_for_a_large_photo_works(rng):
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (1030, 1020, 3), dtype=np.uint8)).save(content, "PNG")
    with pytest.raises(PhotoError, match="1.1 megapixels; give `max_megapixels` 2 to allow"):
        decode(content.getvalue(), max_megapixels=1)
    assert decode(content.getvalue(), max_megapixels=2).pixels.shape == (1030, 1020, 3)


def test_out_of_memory_halves_the_tile(monkeypatch, rng):
    photo, model, sides = rng.integers(0, 256, (400, 400, 3), dtype=np.uint8), rainy_model(), []
    expected = derain.restore(model, photo)[0]
    real = Restorer.results

    def limited(restorer, image):
        sides.append(max(image.shape[-2:]))
        if sides[-1] > 350:
            raise torch.OutOfMemoryError("out of memory") if len(sides) % 2 else MemoryError
        return real(restorer, image)

    monkeypatch.setattr(Restorer, "results", limited)
    assert np.abs(derain.restore(model, photo)[0].astype(int) - expected).max() <= 1
    assert sides[0] == 400 and min(sides) <= 350
    monkeypatch.setattr(Restorer, "results", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(PhotoError, match="not enough memory"):
        derain.restore(model, photo)


def test_bfloat16_that_overflows_is_done_again(monkeypatch):
    model, photo = rainy_model(), np.full((32, 32, 3), 200, np.uint8)
    expected, real = derain.restore(model, photo)[0], model.layers
    monkeypatch.setattr(
        model, "layers", lambda x: tuple(t / 0 if torch.is_autocast_enabled("cpu") else t for t in real(x))
    )
    assert np.array_equal(derain.restore(model, photo, precision="bfloat16")[0], expected)


def test_killed_in_the_middle_no_result_is_half(tmp_path, rng, small_weights):
    for index in range(30):
        pictures(tmp_path, rng, f"in/{index:02d}.png")
    code = "import torch; torch.set_num_threads(1)\nfrom derain.cli.app import main\nmain()"
    options = ["run", tmp_path / "in", "-o", tmp_path / "out", "--weights", small_weights]
    call = [sys.executable, "-c", code, *map(str, options)]
    running = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    for _ in range(3):
        running.stdout.readline()
    running.kill()
    running.wait()
    left = [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]
    assert len(left) >= 3
    assert all(read_photo(p).shape == (20, 24, 3) for p in left)
    done = command("run", tmp_path / "in", "-o", tmp_path / "out", "--weights", small_weights)
    assert done.returncode == 0 and "skipped" in done.stderr
    assert len([p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]) == 30


def test_a_full_disk_is_a_sentence_and_leaves_nothing(photo, small_weights, tmp_path):
    """A limit on the size of files stands for the disk."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    done = command("run", photo, "-o", tmp_path / "out", "--weights", small_weights, before=limit)
    assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_told_with_what_to_do_whatever_found_it_out(tmp_path, rng, monkeypatch):
    pictures(tmp_path, rng, "a.png", "b.png")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    advice = "cannot be written (No space left on device); make room, then give the same command again"
    for where, name, in_place in ((Path, "write_bytes", False), (running, "replace_bytes", True)):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, full)
            outcomes = list(batch.run(batch.plan([tmp_path], batch.Target(in_place=in_place)), rainy_model()))
        assert [str(o.error) for o in outcomes] == [f"{o.job.background}: {advice}" for o in outcomes] and outcomes


@pytest.mark.slow
def test_two_thousand_damaged_files_in_one_batch(tmp_path, rng, small_weights):
    """Truncated, bit-flipped and mislabelled files: each is an output or one sentence, and the good ones are done."""
    picture, whole = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)), []
    for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"):
        content = io.BytesIO()
        picture.save(content, format=name, **({"exif": b"Exif\0\0"} if name == "JPEG" else {}))
        whole.append((content.getvalue(), name.lower()))
    folder = tmp_path / "all kinds"
    folder.mkdir()
    for index in range(36 + 2250):
        content, suffix = whole[index % 6]
        damaged = bytearray(content)
        if index < 36:
            suffix = whole[index // 6][1]
        elif index // 6 % 3 == 0:
            damaged = damaged[: rng.integers(0, len(damaged))]
        else:
            for place in rng.integers(0, len(damaged), rng.integers(1, 8)):
                damaged[place] ^= 1 << rng.integers(0, 8)
        (folder / f"{index}.{suffix}").write_bytes(damaged)
    done = command("run", folder, "-o", tmp_path / "out", "--weights", small_weights, "--json", "--max-megapixels", 1)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 36 + 2250
    good = [report for report in reports if not report["error"]]
    assert {Path(report["output"]) for report in good} == set((tmp_path / "out").iterdir())
    mislabelled = [report for report in reports if int(Path(report["input"]).stem) < 36]
    assert not any(report["error"] for report in mislabelled) and 400 < len(good) < 1500
    assert all(report["error"].startswith(report["input"]) for report in reports if report["error"])
