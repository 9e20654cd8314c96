"""`derain eval`: scores that equal the field's, pictures matched by name, nothing dropped silently."""

import csv
import io
import json
import math
import os
import re
import shutil
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from typer.testing import CliRunner

import derain
from derain.cli.app import app
from derain.cli.tables import scores_tables, speed_table
from derain.errors import UsageError
from derain.evaluation import evaluate as evaluation
from derain.evaluation import scores as table_of_scores
from derain.evaluation.benchmark import Speed, as_markdown, benchmark, large_photos
from derain.evaluation.evaluate import Evaluation, evaluate
from derain.evaluation.matching import find_candidates, match
from derain.evaluation.metrics import luma, psnr, ssim, values
from derain.evaluation.no_truth import Sequel, Unpaired, flicker, motion
from derain.evaluation.pictures import read_picture
from derain.evaluation.report import Gallery, as_html
from derain.evaluation.results import as_csv, as_json, formatted, verdict
from derain.evaluation.samples import INPUT, Sample, Samples, open_samples
from derain.evaluation.scores import SCORES, Score, paired_scores, unpaired_scores
from derain.evaluation.self_test import draw_scene, rendered_samples
from derain.evaluation.statistics import Estimate, estimated
from derain.rain.render import line_kernel
from derain.restoring import devices
from derain.restoring.restorer import Restorer
from tests.conftest import SMALL


def bytes_of(picture):
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


@pytest.fixture
def pair(rng):
    clean = bytes_of(draw_scene(rng, 96))
    return np.clip(clean + rng.normal(0, 12, clean.shape), 0, 255).astype(np.uint8), clean


# metrics


def test_scores_equal_scikit_image(pair):
    rainy, clean = pair
    scores = paired_scores(rainy, clean)
    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert scores["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(clean, rainy, data_range=255), abs=1e-6)
    assert scores["ssim_rgb"] == pytest.approx(structural_similarity(clean, rainy, channel_axis=2, **how), abs=1e-6)
    one, other = luma(rainy), luma(clean)
    assert scores["psnr_luma"] == pytest.approx(peak_signal_noise_ratio(other, one, data_range=255), abs=1e-6)
    assert scores["ssim_luma"] == pytest.approx(structural_similarity(other, one, **how), abs=1e-6)
    assert scores["mae"] == pytest.approx(np.abs(rainy.astype(float) - clean).mean())


def test_ssim_is_the_papers_formula_in_every_window(rng):
    """Wang et al. 2004 by plain loops over the 11x11 windows that lie inside."""
    one, other = rng.random((2, 14, 13)) * 255
    weight = np.outer(*[np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))] * 2)
    weight /= weight.sum()
    c1, c2, found = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for row in range(4):
        for column in range(3):
            x, y = (p[row : row + 11, column : column + 11] for p in (one, other))
            mx, my = (weight * x).sum(), (weight * y).sum()
            vx, vy = (weight * x * x).sum() - mx**2, (weight * y * y).sum() - my**2
            cov = (weight * x * y).sum() - mx * my
            found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert ssim(one, other) == pytest.approx(np.mean(found), abs=1e-9)


@pytest.mark.parametrize(
    "colour, expected",  # MATLAB: rgb2ycbcr(uint8(cat(3, r, g, b)))(1)
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 235),
        ((255, 0, 0), 81),
        ((0, 255, 0), 145),
        ((0, 0, 255), 41),
        ((90, 90, 90), 93),
    ],
)
def test_luma_is_matlabs(colour, expected):
    assert luma(np.array([[colour]], np.uint8)).tolist() == [[expected]]


def test_identical_constant_and_tiny_pictures(rng):
    flat = np.full((20, 20, 3), 90, np.uint8)
    assert psnr(values(flat), values(flat)) == math.inf
    assert paired_scores(flat, flat) == {"psnr_luma": 100, "ssim_luma": 1, "psnr_rgb": 100, "ssim_rgb": 1, "mae": 0}
    off = paired_scores(flat, flat + 10)
    assert off["psnr_rgb"] == pytest.approx(10 * math.log10(255**2 / 100)) and off["ssim_rgb"] < 1
    one_pixel = paired_scores(flat[:1, :1], flat[:1, :1] + 10)
    assert one_pixel["psnr_rgb"] == pytest.approx(off["psnr_rgb"]) and 0.9 < one_pixel["ssim_rgb"] < 1
    assert paired_scores(flat[:1, :1], flat[:1, :1])["ssim_luma"] == 1


def test_depth_and_grey_do_not_change_the_score(pair):
    rainy, clean = pair
    deep = [p.astype(np.uint16) * 257 for p in pair]
    for score, value in paired_scores(rainy, clean).items():
        assert paired_scores(*deep)[score] == pytest.approx(value, abs=0.02)
        assert paired_scores(deep[0], clean)[score] == pytest.approx(value, abs=0.02)
    grey, grey_truth = rainy[..., 0], clean[..., 0]
    as_colour = np.repeat(grey[..., None], 3, axis=2)
    assert paired_scores(as_colour, grey_truth) == pytest.approx(paired_scores(grey, grey_truth))
    assert paired_scores(grey, clean) == pytest.approx(paired_scores(as_colour, clean))


def test_pictures_are_read_at_their_depth(tmp_path, rng):
    deep = rng.integers(0, 65536, (8, 9, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    Image.fromarray(deep[..., 0]).save(tmp_path / "deep grey.tif")
    Image.fromarray(deep[..., 0].astype(np.uint8)).save(tmp_path / "grey.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png"), deep)
    assert np.array_equal(read_picture(tmp_path / "deep grey.tif"), deep[..., 0])
    assert np.array_equal(read_picture(tmp_path / "grey.png"), deep[..., 0].astype(np.uint8))


def test_rain_left_falls_with_the_rain(rng):
    clean = draw_scene(rng, 192)
    rain = cv2.filter2D((rng.random((192, 192)) < 0.004).astype(np.float32), -1, line_kernel(25, 15, 0.5) * 8)
    rainy, half = (bytes_of(clean + share * rain[..., None]) for share in (1, 0.5))
    left = {name: unpaired_scores(p, rainy) for name, p in (("all", rainy), ("half", half), ("none", bytes_of(clean)))}
    assert left["all"]["streaks_left"] == pytest.approx(1)
    assert 0.35 < left["half"]["streaks_left"] < 0.65 and left["none"]["streaks_left"] < 0.2
    assert (
        left["none"]["sharpness_kept"] > 0.9 > 0.5 > unpaired_scores(cv2.blur(rainy, (5, 5)), rainy)["sharpness_kept"]
    )
    tinted = bytes_of(clean + np.array([0.1, 0, 0], np.float32))
    assert unpaired_scores(tinted, bytes_of(clean))["colour_shift"] > 5 > left["none"]["colour_shift"]
    assert left["none"]["change_outside"] < 0.3 * unpaired_scores(bytes_of(0.8 * clean), rainy)["change_outside"]
    assert math.isnan(unpaired_scores(bytes_of(clean * 0 + 0.5), bytes_of(clean * 0 + 0.5))["streaks_left"])


def test_flicker_sees_rain_and_not_motion(rng):
    wide = bytes_of(cv2.GaussianBlur(draw_scene(rng, 160), (0, 0), 2))
    before, after = wide[:, :-4], wide[:, 4:]
    streaks = (rng.random((160, 156, 1)) < 0.03) * np.uint8(60)
    assert flicker(Sequel(after, before, motion(after, before))) < 2.5
    steady, still = flicker(Sequel(wide, wide, motion(wide, wide))), motion(wide[:, 4:], wide[:, 4:])
    assert steady == 0 and flicker(Sequel(wide[:, 4:] // 2 + streaks, wide[:, 4:] // 2, still)) > 1.5


# statistics


def test_interval_covers_the_mean_and_says_noise(rng):
    sure, unsure = estimated(list(rng.normal(2, 1, 50))), estimated(list(rng.normal(0.05, 1, 50)))
    assert sure.low < sure.mean < sure.high and sure.high - sure.low == pytest.approx(2 * 1.96 / 50**0.5, rel=0.35)
    assert unsure.is_noise and not sure.is_noise
    handfuls = [estimated(list(rng.normal(0, 1, 4))) for _ in range(1000)]  # of which one in twenty is no noise
    assert 20 < sum(not few.is_noise for few in handfuls) < 90
    assert estimated([1.0, math.nan, 3.0]).n == 2 and estimated([5.0]).is_noise and estimated([]).n == 0


# matching


@pytest.mark.parametrize(
    "rainy, clean",
    [
        (["a", "b"], ["a", "b"]),
        (["rain-001", "rain-002"], ["norain-001", "norain-002"]),
        (["rain-001x2", "rain-002x2"], ["norain-001", "norain-002"]),
        (["1_1", "1_14", "2_1"], ["1", "1", "2"]),
        (["7_in", "8_in"], ["7_gt", "8_gt"]),
        (["7_rain", "8_rain"], ["7_clean", "8_clean"]),
        (["000", "001"], ["000gt", "001gt"]),
        (["1_1_rain", "1_2_rain"], ["1_1", "1_2"]),  # never both to scene 1
        (["photo.derained"], ["photo"]),
        (["7_in", "8_in"], ["7_in.derained", "8_in_restored"]),
        (["rain-001x2"], ["rain-001x2.derained"]),
        (["000", "7"], ["000restored", "7derained"]),
    ],
)
def test_the_fields_naming_schemes(tmp_path, rainy, clean):
    here, there = ([tmp_path / f"{stem}.png" for stem in stems] for stems in (rainy, clean))
    assert find_candidates(here, sorted(set(there))) == {photo: [twin] for photo, twin in zip(here, there)}
    assert find_candidates([tmp_path / "cabin.png"], [tmp_path / "cab.png"]) == {tmp_path / "cabin.png": []}
    assert find_candidates([tmp_path / "rainy.png"], [tmp_path / "clean.png"])[tmp_path / "rainy.png"]


def test_what_has_no_twin_is_listed(tmp_path):
    for name in ("rainy/1.png", "rainy/2.png", "clean/1.jpg", "clean/3.png", "tool/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 12)).save(tmp_path / name)
    entries, problems = match(tmp_path / "rainy", tmp_path / "clean", {"tool": tmp_path / "tool"})
    assert [entry.name for entry in entries] == ["1.png"] and entries[0].restored
    assert len(problems) == 2 and "2.png: no ground truth" in problems[0] and "3.png: no rainy photo" in problems[1]
    with pytest.raises(UsageError, match="matches"):
        match(tmp_path / "tool", tmp_path / "empty" if (tmp_path / "empty").mkdir() else _only(tmp_path, "9.png"))


def test_an_exact_name_decides_and_what_no_name_decides_is_said(tmp_path):
    for name in (
        "rainy/1.jpg",
        "rainy/1.png",
        "rainy/2.png",
        "clean/1.jpg",
        "clean/1.png",
        "clean/2.bmp",
        "clean/2.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 12)).save(tmp_path / name)
    entries, problems = match(tmp_path / "rainy", tmp_path / "clean", {"tool": tmp_path / "clean"})
    assert [(entry.name, entry.clean.name, entry.restored["tool"].name) for entry in entries] == [
        ("1.jpg", "1.jpg", "1.jpg"),
        ("1.png", "1.png", "1.png"),
    ]
    assert len(problems) == 1 and "2.png: more than one ground truth" in problems[0] and "2.bmp, 2.jpg" in problems[0]


def test_results_beside_their_photos_are_no_rainy_photos(tmp_path):
    (tmp_path / "rainy").mkdir()
    for name in ("a", "b", "a.derained", "a.rain", "b.compare"):
        Image.new("RGB", (12, 12)).save(tmp_path / "rainy" / f"{name}.png")
    for clean in (tmp_path / "rainy", None):
        entries, _ = match(tmp_path / "rainy", clean)
        assert [entry.name for entry in entries] == ["a.png", "b.png"]


def _only(tmp_path, name):
    Image.new("RGB", (12, 12)).save(tmp_path / "empty" / name)
    return tmp_path / "empty"


# evaluations


def test_results_do_not_depend_on_workers(small_weights):
    models = {"small": derain.load(small_weights)}
    one, many = (evaluate(rendered_samples(5), models, workers=n) for n in (1, 7))
    assert one.rows == many.rows and list(one.rows) == list(many.rows) and len(one.rows) == 5
    assert one.methods == [INPUT, "small"]


def test_pictures_are_read_only_as_they_are_needed():
    """A thousand pairs take the memory of a few."""
    alive = high = 0

    def count(sample, outputs, scores):
        nonlocal alive
        alive -= 1

    def samples():
        nonlocal alive, high
        for index in range(200):
            alive += 1
            high = max(high, alive)
            yield Sample(str(index), np.full((4, 4, 3), index, np.uint8), np.full((4, 4, 3), 7, np.uint8))

    found = evaluate(Samples(samples(), []), {}, workers=2, watch=count)
    assert len(found.rows) == 200 and high <= 6


@pytest.mark.parametrize("room, expected", [(0.2, 1), (1.9, 1), (3.0, 3)])
def test_large_pictures_wait_for_memory(monkeypatch, room, expected):
    """There are never more pictures on their way than there is room for, however many threads there are."""
    needed = 64 * 64 * evaluation.METRICS_BYTES_PER_PIXEL / devices.FREE_MEMORY_SHARE
    monkeypatch.setattr(devices, "free_memory", lambda device: room * needed)
    read, scored, most = 0, 0, 0

    def count(sample, outputs, scores):
        nonlocal scored
        scored += 1

    def samples():
        nonlocal read, most
        for index in range(8):
            most, read = max(most, read - scored), read + 1
            yield Sample(str(index), np.zeros((64, 64, 3), np.uint8), np.ones((64, 64, 3), np.uint8))

    assert len(evaluate(Samples(samples(), []), {}, workers=4, watch=count).rows) == 8 and most == expected


def test_tiny_frames_and_failing_metrics_leave_the_other_scores(monkeypatch, rng):
    frames = [Sample(str(index), rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for index in range(3)]
    found = evaluate(Samples(iter(frames), [], in_sequence=True), {})
    assert found.problems == [] and "flicker" in found.rows["1"][INPUT]
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "unpaired_scores", failing_once(evaluation.unpaired_scores))
        found = evaluate(Samples(iter(frames), []), {}, workers=1)
    assert found.problems == ["0: input: not enough memory"] and found.rows["1"] and found.rows["2"]
    flickering = table_of_scores.SCORES["flicker"]
    failing = replace(flickering, function=failing_once(flickering.function))
    for of, name, changed in (
        (vars(evaluation), "motion", failing_once(evaluation.motion)),
        (table_of_scores.SCORES, "flicker", failing),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(of, name, changed)
            found = evaluate(Samples(iter(frames), [], in_sequence=True), {}, workers=1)
        assert len(found.problems) == 1 and "not enough memory" in found.problems[0]
        assert "streaks_left" in found.rows["1"][INPUT] and "flicker" in found.rows["2"][INPUT]


def test_a_new_score_is_one_row(monkeypatch, rng):
    """It stands in the terminal's table, JSON, CSV and report, with its explanation and its verdict."""
    count = Score("dark pixels", "px", False, Unpaired, lambda photo: float((photo.after < 8).sum()), {"dark": "few"})
    monkeypatch.setitem(SCORES, "dark_pixels", count)
    photos = [rng.integers(9, 255, (16, 16, 3), dtype=np.uint8) for _ in range(3)]
    samples = [Sample(str(n), photo, restored={"tool": photo // 255}) for n, photo in enumerate(photos)]
    found = evaluate(Samples(iter(samples), [], ["tool"]), {})
    with Console(width=200, file=io.StringIO()) as console:
        console.print(*scores_tables(found, 80))
    assert all(word in console.file.getvalue() for word in ("dark", "pixels", "worse"))
    written = json.loads(as_json(found))
    assert written["methods"]["tool"]["dark_pixels"]["mean"] == 16 * 16 * 3 and written["settings"]["dark"] == "few"
    assert [row["dark_pixels"] for row in csv.DictReader(io.StringIO(as_csv(found)))] == ["0.0", "768.0"] * 3
    page = as_html(found, Gallery(), "title", {})
    assert "<th>dark pixels<br><small>px</small></th>" in page and "<dt>dark</dt><dd>few</dd>" in page


def failing_once(real):
    first = iter([True])

    def fails(*arguments):
        if next(first, False):
            raise MemoryError
        return real(*arguments)

    return fails


@pytest.mark.parametrize(
    "low, high, score, against, said",
    [
        (1.0, 2.0, "flicker", INPUT, "worse"),
        (-1.0, 2.0, "flicker", INPUT, "noise"),
        (0.001, 0.004, "flicker", INPUT, "equal"),
        (0.001, 0.007, "flicker", "other", "equal"),
        (-0.007, -0.001, "psnr_rgb", INPUT, "equal"),
        (1.0, 2.0, "colour_shift", INPUT, ""),
        (1.0, 2.0, "change_outside", INPUT, ""),
        (1.0, 2.0, "colour_shift", "other", "worse"),
    ],
)
def test_a_verdict_is_about_what_is_shown_and_what_could_be_otherwise(low, high, score, against, said):
    assert verdict(Estimate((low + high) / 2, low, high, 5), score, against) == said
    assert formatted(-0.001, score, sign=True) == "+0.00"


def test_differences_are_paired(rng):
    """Scores that spread widely between pictures, but always 1 dB apart: a sure gain."""

    def samples():
        for index in range(8):
            clean = np.full((16, 16, 3), 100, np.uint8)
            worse = clean + np.uint8(4 * index + 8)
            yield Sample(str(index), worse, clean, {"tool": clean + np.uint8(4 * index + 7)})

    found = evaluate(Samples(samples(), [], ["tool"]), {})
    difference, summary = found.difference("tool", INPUT, "psnr_rgb"), found.summary("tool")["psnr_rgb"]
    assert difference.low > 0 and summary.low < found.summary(INPUT)["psnr_rgb"].mean


@pytest.fixture(scope="module")
def rendered_once(tmp_path_factory):
    made = tmp_path_factory.mktemp("rendered")
    for name in ("rainy", "clean", "tool a", "tool b"):
        (made / name).mkdir()
    for index, sample in enumerate(rendered_samples(3).samples):
        Image.fromarray(sample.rainy).save(made / "rainy" / f"rain-{index}.png")
        Image.fromarray(sample.clean).save(made / "clean" / f"norain-{index}.png")
        Image.fromarray(sample.clean // 2 + sample.rainy // 2).save(made / "tool a" / f"rain-{index}.png")
        Image.fromarray(cv2.blur(sample.rainy, (9, 9))).save(made / "tool b" / f"rain-{index}.derained.png")
    return made


@pytest.fixture
def paired_folders(rendered_once, tmp_path):
    return shutil.copytree(rendered_once, tmp_path, dirs_exist_ok=True)


def call(*arguments):
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def test_two_other_tools_in_one_command_and_one_report(paired_folders, small_weights):
    where = paired_folders
    done = call(
        *("--rainy", where / "rainy", "--clean", where / "clean", "--weights", small_weights),
        *("--restored", where / "tool a", "--restored", f"Ünlü <b>={where / 'tool b'}"),
        *("--report", where / "report.html", "--csv", where / "scores.csv", "--json", "-"),
    )
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found["methods"]) == ["input", "small", "tool a", "Ünlü <b>"]
    assert found["methods"]["tool a"]["psnr_luma"]["mean"] > found["methods"]["input"]["psnr_luma"]["mean"] + 2
    pairs = {(d["method"], d["against"]) for d in found["differences"]}
    assert {("tool a", "input"), ("small", "tool a"), ("small", "Ünlü <b>")} <= pairs
    rows = list(csv.DictReader((where / "scores.csv").open(encoding="utf-8")))
    assert len(rows) == 12 and {row["picture"] for row in rows} == {"rain-0.png", "rain-1.png", "rain-2.png"}
    page = (where / "report.html").read_text(encoding="utf-8")
    assert "Ünlü &lt;b&gt;" in page and "Ünlü <b>" not in page
    assert page.count("data:image/jpeg;base64,") == 3 * 6  # each picture once: four methods, truth, rain
    assert "<script" not in page and "http" not in page and "SHA-256" in page


def test_what_cannot_be_scored_is_named_and_counted(paired_folders):
    where = paired_folders
    (where / "rainy" / "rain-0.png").write_bytes(b"\x89PNG broken")
    Image.new("RGB", (9, 9)).save(where / "tool a" / "rain-1.png")
    (where / "clean" / "norain-2.png").unlink()
    done = call(
        "--rainy", where / "rainy", "--clean", where / "clean", "--weights", "none", "--restored", where / "tool a"
    )
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    for said in (
        "rain-0.png",
        "rain-1.png: tool a is 9x9 px",
        "rain-2.png: no ground truth",
        "3 problems, 1 picture scored",
    ):
        assert said in done.stderr.replace("\n", " "), said


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "give one of --rainy"),
        (["--self-test", "--benchmark"], "give one of --rainy"),
        (["--rainy", "missing"], "missing: no such file or folder"),
        (["--rainy", "{rainy}", "--clean", "{rainy}/rain-0.png"], "folders with folders"),
        (["--rainy", "{rainy}", "--clean", "{rainy}/rain-0.png"], "rain-0.png: is a photo, but "),
        (["--rainy", "a.mp4", "--clean", "{rainy}/rain-0.png"], "rain-0.png: is a photo, but a.mp4 is a clip"),
        (["--rainy", "{rainy}", "--csv", "{rainy}/../old"], "old: already exists"),
        (["--rainy", "{rainy}", "--report", "{rainy}", "--overwrite"], "rainy: is a folder; give the name of a file"),
        (["--rainy", "{rainy}", "--restored", "x={rainy}", "--restored", "x={rainy}"], "two methods are called x"),
        (["--rainy", "{rainy}", "--restored", "={rainy}"], "give PATH or NAME=PATH"),
        (["--rainy", "{rainy}", "--restored", "x="], "--restored x=: a part is empty"),
        (["--rainy", "{rainy}", "--restored", "truth={rainy}"], "two methods are called truth"),
        (["--rainy", "{rainy}", "--csv", "{rainy}/new", "--json", "{rainy}/../rainy/new"], "cannot hold two outputs"),
        (["--rainy", "{rainy}", "--csv", "-", "--json", "-"], "cannot hold two outputs"),
        (["--benchmark", "--csv", "{rainy}/new"], "leave out"),
        (["--self-test", "--clean", "{rainy}"], "belong to --rainy"),
        (["--benchmark", "--frames", "3"], "belong to --rainy"),
        (["--rainy", "{rainy}", "--frames", "3"], "is no clip; leave out `frames`"),
    ],
)
def test_wrong_usage_is_one_sentence(paired_folders, monkeypatch, arguments, said):
    monkeypatch.chdir(paired_folders)
    for name in ("old", "a.mp4"):
        (paired_folders / name).touch()
    done = call(*(a.format(rainy=paired_folders / "rainy") for a in arguments))
    assert isinstance(done.exception, UsageError) and said in str(done.exception)


def test_a_folder_of_results_may_have_a_sign_of_equality_in_its_name(paired_folders):
    (paired_folders / "tool a").rename(paired_folders / "alpha=3")
    given = ("--rainy", paired_folders / "rainy", "--weights", "none", "--restored", paired_folders / "alpha=3")
    done = call(*given, "--json", "-")
    assert done.exit_code == 0 and list(json.loads(done.stdout)["methods"]) == ["input", "alpha=3"]


def test_what_is_measured_is_never_replaced(paired_folders, small_weights, monkeypatch):
    monkeypatch.chdir(paired_folders)
    pictures = [path for folder in ("rainy", "clean", "tool a") for path in Path(folder).iterdir()]
    Path("link.json").symlink_to(pictures[0])
    os.link(pictures[0], "twin.json")
    given = ["--rainy", "rainy", "--clean", "clean", "--restored", "tool a", "--weights", small_weights, "--overwrite"]
    before = {path: path.read_bytes() for path in [*pictures, small_weights]}
    for option, out in zip(cycle(("--json", "--csv", "--report")), [*before, "link.json", "twin.json"]):
        done = call(*given, option, out)
        assert isinstance(done.exception, UsageError) and f"{out}: would replace what is read" in str(done.exception)
    assert isinstance(call("--rainy", pictures[0], "--json", pictures[0], "--overwrite").exception, UsageError)
    assert isinstance(call("--benchmark", *given[-3:], "--json", small_weights).exception, UsageError)
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_that_cannot_be_written_costs_only_itself_and_is_no_wrong_usage(paired_folders):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a device that is always full")
    given = ("--rainy", paired_folders / "rainy" / "rain-0.png", "--weights", "none")
    done = call(*given, "--json", "/dev/full", "--report", paired_folders / "a.html")
    assert done.exit_code == 1 and "/dev/full: cannot be written (No space" in done.stderr
    assert (paired_folders / "a.html").is_file()


def test_the_table_goes_to_stdout_unless_a_script_reads_it(paired_folders):
    given = ("--rainy", paired_folders / "rainy", "--clean", paired_folders / "clean", "--weights", "none")
    done, piped = call(*given), call(*given, "--csv", "-")
    assert "PSNR" in done.stdout and "PSNR" not in done.stderr
    assert "PSNR" in piped.stderr and piped.stdout.startswith("picture,method,")


def test_a_picture_without_a_score_is_not_counted_and_told_once(paired_folders):
    Image.new("RGB", (9, 9)).save(paired_folders / "odd.png")
    given = ("--clean", paired_folders / "odd.png", "--restored", paired_folders / "tool a" / "rain-0.png")
    done = call("--rainy", paired_folders / "rainy" / "rain-0.png", *given, "--weights", "none")
    sizes = "rain-0.png: input and rain-0.png are 320x320 px, but its ground truth has 9x9"
    assert done.stderr.splitlines() == [f"not scored: {sizes}", "1 problem, 0 pictures scored"]


def test_only_a_wrong_size_is_told_as_what_a_picture_is(paired_folders, monkeypatch):
    def fail(*given):
        raise ValueError("cannot reshape it")

    monkeypatch.setattr("derain.evaluation.evaluate.paired_scores", fail)
    given = ("--clean", paired_folders / "clean" / "norain-0.png", "--weights", "none")
    done = call("--rainy", paired_folders / "rainy" / "rain-0.png", *given)
    assert "not scored: rain-0.png: input: cannot reshape it\n" in done.stderr


def test_a_picture_that_a_network_cannot_do_is_named_and_the_others_are_scored(paired_folders):
    class Failing(derain.models.contract.Derainer):
        """Has no memory for the second picture."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), 0

        def layers(self, rainy):
            self.seen += 1
            if self.seen == 2:
                raise MemoryError
            return rainy, torch.zeros_like(rainy)

    given = open_samples(paired_folders / "rainy", paired_folders / "clean")
    found = evaluate(given, {"it": Failing()})
    assert list(found.column("it", "psnr_rgb")) == ["rain-0.png", "rain-2.png"]
    assert len(found.problems) == 1 and "rain-1.png: it: not enough memory" in found.problems[0]


def test_sixteen_bits_are_scored_as_sixteen(tmp_path, rng):
    deep = rng.integers(0, 65536, (20, 24, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    model = derain.models.build("derain", SMALL).eval()
    torch.nn.init.constant_(model.tail.bias, -1.0)  # finds nothing
    found = evaluate(open_samples(tmp_path / "deep.png", tmp_path / "deep.png"), {"it": model})
    assert found.summary("it")["psnr_rgb"].mean == 100


@pytest.mark.parametrize("scores", [["psnr_luma", "ssim_luma", "psnr_rgb", "ssim_rgb", "mae"], [*SCORES][5:]])
def test_tables_break_nothing_in_eighty_columns(scores):
    values = [0.012345, 0.9876, 0.5]
    methods = [INPUT, "derain", "a_method_of_a_colleague_with_a_long_name"]
    found = Evaluation(methods)
    found.rows = {
        f"{n}.png": {m: dict.fromkeys(scores, value + n / 9) for m in methods} for n, value in enumerate(values)
    }
    text = io.StringIO()
    for table in scores_tables(found, 80):
        Console(file=text, width=80).print(table)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    cells = {cell.strip() for line in lines for cell in re.split("[│┃]", line)}
    for score in scores:
        estimate = found.summary("derain")[score]
        assert {*SCORES[score].heading.rsplit(" ", 1), SCORES[score].unit} - {""} <= cells
        numbers = {formatted(value, score) for value in (estimate.mean, estimate.high)}
        assert numbers | {formatted(estimate.low, score) + " to"} <= cells
    assert "equal" in cells


def test_a_speed_table_breaks_nothing_in_eighty_columns():
    speed = Speed(
        "derain", "cuda:0", "bfloat16", 0.0123, 1234.56, 12345, 5, "NVIDIA H100 80GB HBM3", 345.67, 678.9, 8.9
    )
    text = io.StringIO()
    Console(file=text, width=80).print(speed_table([speed]))
    assert "1234.56" in text.getvalue() and "12345" in text.getvalue() and "bfloat16" in text.getvalue()


def test_no_interval_holds_what_a_score_cannot_be():
    found = Evaluation([INPUT])
    shares = {"psnr_luma": [20.0, 100.0], "ssim_luma": [0.0, 1.0], "mae": [0.1, 9.0], "streaks_left": [0.0, 0.9]}
    found.rows = {str(n): {INPUT: {name: each[n] for name, each in shares.items()}} for n in range(2)}
    for name, estimate in found.summary(INPUT).items():
        least, most = SCORES[name].bounds
        assert least <= estimate.low <= estimate.mean <= estimate.high <= most
    assert found.difference(INPUT, INPUT, "mae").low == 0  # differences may be of either sign


def test_a_self_test_has_enough_pictures_to_tell_five_decibels_from_chance():
    given = rendered_samples()
    gains = np.random.default_rng(0).normal(5, 8.5, (200, given.total or 0))  # as different pictures gain
    assert np.mean([estimated(list(each)).is_noise for each in gains]) < 0.1


def test_rainy_photos_alone_and_self_test(paired_folders, small_weights, monkeypatch):
    done = call("--rainy", paired_folders / "rainy", "--weights", small_weights, "--json", "-")
    assert done.exit_code == 0, done.stderr
    scores = json.loads(done.stdout)["methods"]["small"]
    assert {"streaks_left", "change_outside", "colour_shift", "sharpness_kept", "repasted"} == scores.keys()
    assert scores["repasted"]["n"] == 2  # the first has no rain to borrow
    monkeypatch.setattr("derain.evaluation.self_test.rendered_samples", partial(rendered_samples, 8))
    done = call("--self-test", "--json", "-")
    found = json.loads(done.stdout)
    assert found["methods"]["derain"]["psnr_luma"]["mean"] > found["methods"]["input"]["psnr_luma"]["mean"] + 2


def test_benchmark_measures_each_precision(small_weights, monkeypatch):
    monkeypatch.setattr("derain.evaluation.benchmark.PICTURE_SIDE", 256)
    monkeypatch.setattr("derain.evaluation.benchmark.FRAME", (108, 192, 3))
    found = benchmark([str(small_weights)], torch.device("cpu"), runs=1)
    assert [speed.precision for speed in found] == ["float32", "bfloat16"]
    assert all(s.seconds_per_megapixel > 0 and 50 < s.peak_memory_mb < 2000 for s in found)
    assert all(s.megapixels_per_second == pytest.approx(1 / s.seconds_per_megapixel) for s in found)
    assert all(s.photo_megapixels_per_second > 0 and "thread" in s.machine for s in found)
    assert all(s.dry_photo_megapixels_per_second > 0 for s in found)
    rows = as_markdown(found).splitlines()[2:]
    minutes = [f"{speed.seconds_a_minute_of_1080p:.0f}" for speed in found]
    assert [row.split(" | ")[-2] for row in rows] == minutes and all(float(minute) > 1 for minute in minutes)
    shown = speed_table(found)
    assert shown.row_count == 2 and found[0].machine in str(shown.caption)


def test_the_rain_of_the_benchmark_is_seen_by_the_default_network(monkeypatch):
    monkeypatch.setattr("derain.evaluation.benchmark.PICTURE_SIDE", 400)
    monkeypatch.setattr("derain.restoring.confirming.LEAST_CONFIRMED", 0)
    model, seen = derain.load(), []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
    monkeypatch.setattr(Restorer, "quick", None)  # which would see instead
    for photo, is_seen in zip(large_photos(), (True, False)):
        seen.clear()
        Restorer(model, "float32", tile=0).layers(photo)
        assert (len(photo) in seen) == is_seen


@pytest.mark.parametrize("name, codec", [("a.MTS", "libx264"), ("a.ts", "mpeg2video"), ("a.gif", "gif")])
def test_what_every_command_takes_for_a_clip_is_scored_as_one(tmp_path, rng, name, codec):
    pixel_format = "rgb8" if codec == "gif" else "yuv420p"
    with av.open(str(tmp_path / name), "w") as clip:
        stream = clip.add_stream(codec, rate=25, width=64, height=64, pix_fmt=pixel_format)
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(bytes_of(draw_scene(rng, 64)), format="rgb24")
            clip.mux(stream.encode(picture.reformat(format=pixel_format)))
        clip.mux(stream.encode())
    given = open_samples(tmp_path / name, frames=3)
    assert given.in_sequence and [sample.rainy.shape for sample in given.samples] == [(64, 64, 3)] * 3


def test_clips_are_scored_frame_by_frame(tmp_path, rng, small_weights):
    scene = bytes_of(draw_scene(rng, 64))
    for name, count in (("rainy", 5), ("still", 4)):
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as clip:
            stream = clip.add_stream("ffv1", rate=10, width=64, height=64, pix_fmt="bgr0")
            for _ in range(count):
                noise = rng.integers(0, 60, scene.shape[:2])[..., None] * (name == "rainy")
                frame = av.VideoFrame.from_ndarray(np.clip(scene + noise, 0, 255).astype(np.uint8), format="rgb24")
                clip.mux(stream.encode(frame.reformat(format="bgr0")))
            clip.mux(stream.encode())
    given = open_samples(tmp_path / "rainy.mkv", None, {"still": tmp_path / "still.mkv"})
    found = evaluate(given, {})
    assert (
        len(found.rows) == 4 and found.summary("still")["flicker"].mean < 0.2 < 5 < found.summary(INPUT)["flicker"].mean
    )
    assert found.summary(INPUT)["flicker"].n == 3
    assert found.problems == [f"{tmp_path / 'still.mkv'}: ends after 4 frames, before the others"]
    done = call("--rainy", tmp_path / "rainy.mkv", "--frames", "1", "--weights", small_weights)
    assert done.exit_code == 0 and done.stderr.count("frame by frame, without fusion; to score") == 1, done.stderr
    both = call(
        *("--rainy", tmp_path / "rainy.mkv", "--restored", tmp_path / "still.mkv"),
        *("--frames", "1", "--weights", small_weights),
    )
    assert "frame by frame, without fusion" in both.stderr and "give --restored" not in both.stderr
    assert "compare only results of one kind" in " ".join(done.stdout.split())
