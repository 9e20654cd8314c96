"""`derain score`: how much rain there is, where, and which way it falls."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from derain.cli.app import app
from derain.cli.score import _pictures
from derain.evaluation.self_test import draw_scene
from derain.rain.amount import RAINY_SCORE, amount, coverage, visible
from derain.rain.clean import streak_line
from derain.rain.compose import add
from derain.rain.remaining import rain_left
from derain.rain.render import Kind, line_kernel, render
from tests.forks import command
from tests.test_tracks import remuxed
from tests.test_video import make_clip


@pytest.fixture
def streaked(rng):
    """A rain layer whose right half has streaks that lean to the right."""
    import cv2

    layer = cv2.filter2D((rng.random((128, 128)) < 0.01).astype(np.float32), -1, line_kernel(15, 20, 0.8))
    layer[:, :64] = 0
    return np.repeat((np.clip(layer / layer.max(), 0, 1) * 90).astype(np.uint8)[..., None], 3, axis=2)


def test_the_score_is_the_share_with_rain_and_the_grid_says_where(streaked):
    found = amount(streaked)
    assert found.score == pytest.approx((streaked[..., 0] > 2).mean())
    assert found.rainy
    grid = np.array(found.grid)
    assert grid.shape == (4, 4) and grid.mean() == pytest.approx(found.score, abs=0.01)
    assert grid[:, :2].max() == 0 and grid[:, 2:].min() > RAINY_SCORE


@pytest.mark.parametrize("most", [255, 65535])
def test_rain_in_a_single_colour_counts_from_the_height_at_which_it_is_seen(most):
    rain, height = np.zeros((6, 4, 3), np.min_scalar_type(most)), 2 * most // 255
    for channel in range(3):
        rain[channel, 0, channel], rain[3 + channel, 0, channel] = height, height + 1
    assert coverage(rain) == 3 / 24
    assert np.argwhere(visible(rain)).tolist() == [[3, 0], [4, 0], [5, 0]]


def test_streaks_have_their_direction_and_size(streaked):
    streaks = amount(streaked[:, 64:]).streaks
    assert streaks.degrees == pytest.approx(20, abs=6)
    assert 5 < streaks.length < 40 and streaks.width < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_a_layer_of_any_size_has_a_score(size):
    found = amount(np.zeros((*size, 3), np.uint16))
    assert found.score == 0 and not found.rainy and found.streaks is None


def write_clip(path, rng, count):
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("ffv1", rate=10, width=32, height=32, pix_fmt="bgr0")
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8), "rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())


def test_photos_and_clips_are_scored_and_nothing_is_written(small_weights, tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "nass ü.png")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    write_clip(tmp_path / "clip.mkv", rng, 5)
    before = sorted(tmp_path.iterdir())
    words = "clip.mkv", "nass ü.png", "broken.jpg", "--json", "--every", 2, "--weights", small_weights
    done = command("score", *words, cwd=tmp_path)
    assert done.returncode == 1 and "broken.jpg" in done.stderr and "Traceback" not in done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["input"], row.get("time")) for row in said] == [
        *(("clip.mkv", time) for time in (0.0, 0.2, 0.4)),
        ("nass ü.png", None),
        ("broken.jpg", None),
    ]
    assert all(0 <= row["score"] <= 1 and isinstance(row["rainy"], bool) for row in said[:4])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("given", [["mixed"], ["mixed/*"], ["mixed/b.mkv", "mixed/a.png"]])
def test_clips_of_folders_and_patterns_are_scored_too_and_all_in_the_order_given(small_weights, tmp_path, rng, given):
    folder = tmp_path / "mixed"
    folder.mkdir()
    write_clip(folder / "b.mkv", rng, 2)
    write_clip(folder / "b.derained.mkv", rng, 2)
    for name in ("a.png", "a.derained.png"):
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(folder / name)
    done = CliRunner().invoke(
        app, ["score", *(str(tmp_path / name) for name in given), "--weights", str(small_weights)]
    )
    scored = [Path(line.split("\t")[0]).name for line in done.stdout.splitlines()]
    assert done.exit_code == 0 and scored == (["b.mkv", "a.png"] if "b.mkv" in given[0] else ["a.png", "b.mkv"])
    assert ("a.derained.png is a result of a.png" in done.stderr) == ("b.mkv" not in given[0])


def test_a_folder_of_clips_alone_is_scored(small_weights, tmp_path, rng):
    write_clip(tmp_path / "b.mkv", rng, 2)
    done = CliRunner().invoke(app, ["score", str(tmp_path), "--weights", str(small_weights)])
    assert done.exit_code == 0 and done.stdout.startswith(f"{tmp_path / 'b.mkv'}\t0.00 s\t")


def test_a_name_breaks_no_table(small_weights, tmp_path, rng):
    names = ["a\tb.png", "a\nb.png", "a\x1b[31mb.png"]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    rows = command("score", *names, "--weights", small_weights, cwd=tmp_path).stdout.splitlines()
    assert [row.split("\t")[0] for row in rows] == [r"a\tb.png", r"a\nb.png", r"a\x1b[31mb.png"]
    small_weights.rename(tmp_path / "a\nb.safetensors")
    done = command("models", "verify", "./a\nb.safetensors", cwd=tmp_path)
    assert done.stdout.endswith("  ./a\\nb.safetensors: intact\n") and len(done.stdout.splitlines()) == 1


def test_only_rainy_photos_are_derained(small_weights, tmp_path, rng):
    photo = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(photo)
    score = float(command("score", photo, "--weights", small_weights, cwd=tmp_path).stdout.split("\t")[1])
    assert 0.01 < score < 1
    for threshold, untouched in ((score + 0.005, True), (score - 0.005, False)):
        words = "run", photo, "--weights", small_weights, "--json", "--overwrite", "--rainy-from", threshold
        said = json.loads(command(*words, cwd=tmp_path).stdout)
        assert said["untouched"] is untouched
        assert ((tmp_path / "photo.derained.png").read_bytes() == photo.read_bytes()) is untouched


def test_a_clip_that_is_cut_short_is_said_after_what_can_be_scored(small_weights, tmp_path, rng):
    clip = tmp_path / "cut.mkv"
    write_clip(clip, rng, 20)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    done = command("score", clip, "--every", 3, "--json", "--weights", small_weights, cwd=tmp_path)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "cut short" in done.stderr and str(clip) in done.stderr
    assert len(said) > 2 and said[0]["error"] is None and "cut short" in said[-1]["error"]
    assert said[-1]["score"] > 0 and "result" not in said[-1]["error"], "the last frame's line says what is wrong"


def test_what_cannot_be_scored_has_the_keys_of_what_can(small_weights, tmp_path, rng):
    write_clip(tmp_path / "clip.mkv", rng, 1)
    (tmp_path / "broken.mkv").write_bytes(b"no clip")
    names = [str(tmp_path / name) for name in ("broken.mkv", "clip.mkv", "missing.png")]
    done = CliRunner().invoke(app, ["score", *names, "--json", "--weights", str(small_weights)])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in rows] == names and rows[0].keys() == rows[1].keys() == rows[2].keys()


@pytest.mark.parametrize("bad", ["nosuch://x", "udp://127.0.0.1:70000", "odd.png"])
def test_whatever_goes_wrong_with_one_source_the_others_are_scored(small_weights, tmp_path, rng, monkeypatch, bad):
    def pictures_of(source, *given):
        if Path(source).name == "odd.png":
            raise RuntimeError("nobody expects it")
        yield from _pictures(source, *given)

    monkeypatch.setattr("derain.cli.score._pictures", pictures_of)
    monkeypatch.chdir(tmp_path)
    for name in ("odd.png", "good.png"):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(name)
    done = CliRunner().invoke(app, ["score", bad, "good.png", "--json", "--weights", str(small_weights)])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1 and [row["input"] for row in rows] == [bad, "good.png"], done
    assert rows[0]["error"].startswith(f"{bad}: ") and rows[1]["error"] is None and rows[1]["score"] >= 0


@pytest.fixture(scope="module")
def seen_through_rain():
    """A scene and the same under heavy streaks, 8 bits."""
    rng = np.random.default_rng(3)
    clean = draw_scene(rng, 320)
    heavy = Kind(slant=5, oblique=0, length=(20, 40), width=(0.7, 1.0), strength=(0.7, 0.9), curtains=0)
    rainy = add(clean, render(rng, 320, heavy)[..., None])
    return [(picture * 255 + 0.5).astype(np.uint8) for picture in (clean, rainy)]


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.1, 0, 0), (0.5, 0.4, 0.6), (0.7, 0.6, 0.8)])
@pytest.mark.parametrize("enlarged", [1, 5])
def test_rain_that_is_evidently_left_is_told_at_any_size(seen_through_rain, share, least, most, enlarged):
    clean, rainy = (np.kron(part, np.ones((enlarged, enlarged, 1), np.uint8)) for part in seen_through_rain)
    background = (clean * (1 - share) + rainy * share).astype(np.uint8)
    assert least <= rain_left(rainy, background) <= most


def test_what_a_caller_makes_of_numbers_next_to_nothing_plays_no_part(streaked, seen_through_rain):
    told = amount(streaked), rain_left(*seen_through_rain[::-1])
    streak_line.cache_clear()
    with np.errstate(all="raise"):
        assert (amount(streaked), rain_left(*seen_through_rain[::-1])) == told


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (700, 2)])
def test_a_photo_of_any_size_is_looked_at_for_rain_left(size):
    assert rain_left(np.zeros((*size, 3), np.uint16), np.zeros((*size, 3), np.uint16)) == 0


@pytest.mark.parametrize(("strength", "left"), [("1", 0.42), ("0.5", None)])  # half of it is left by wish
def test_photos_with_rain_left_say_so_in_json_and_when_asked(
    seen_through_rain, small_weights, tmp_path, monkeypatch, strength, left
):
    Image.fromarray(seen_through_rain[1]).save(tmp_path / "wet.png")
    monkeypatch.setattr("derain.batch.running.rain_left", lambda photo, background: 0.42)
    monkeypatch.setattr("derain.batch.running.coverage", lambda rain: 0.5)
    options = ["-v", "--json", "--weights", str(small_weights), "--strength", strength]
    done = CliRunner().invoke(app, ["run", str(tmp_path / "wet.png"), *options])
    assert json.loads(done.stdout)["rain_left"] == left, done.stderr
    assert ("42% of it left" in done.stderr) == (left is not None)
    options.remove("--json")
    by_pipe = CliRunner().invoke(app, ["run", "-", *options], input=(tmp_path / "wet.png").read_bytes())
    assert ("42% of it left" in by_pipe.stderr) == (left is not None), by_pipe.stderr


def test_a_step_between_frames_is_told_where_there_are_none(small_weights, tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    write_clip(tmp_path / "b.mkv", rng, 1)
    for given, told in (("a.png", True), ("b.mkv", False)):
        done = command("score", given, "--every", 2, "--weights", small_weights, cwd=tmp_path)
        assert done.returncode == 0 and ("--every counts for nothing" in done.stderr) == told, done.stderr


def test_of_several_picture_tracks_only_one_is_looked_at_and_that_is_told(small_weights, tmp_path):
    two = remuxed([make_clip(tmp_path / "a.mp4", 1), make_clip(tmp_path / "b.mp4", 1)], tmp_path / "two.mkv")
    done = command("score", two, "--weights", small_weights, cwd=tmp_path)
    assert done.stderr == f"{two}: only the first of its 2 picture tracks is looked at\n"
    assert len(done.stdout.splitlines()) == 1
