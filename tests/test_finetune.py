"""`derain finetune`: better on one's own camera or honestly no better, and safe from kills and bad input."""

import json
import math
import random
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import derain
from derain.arrays import to_bytes
from derain.cli.app import app
from derain.cli.inputs import check_pictures
from derain.errors import PhotoError, TrainingError, UsageError, WeightsError
from derain.evaluation.self_test import draw_scene
from derain.finetuning.best import Best, described
from derain.finetuning.chance import interval
from derain.finetuning.finetune import Result, finetune
from derain.finetuning.guide import load_guide
from derain.finetuning.handing_back import HandedBack, handed_back
from derain.finetuning.judge import Extent, Judge, Scores, readable, trials
from derain.finetuning.material import (
    HELD_OUT_FOLDER,
    LEAST_JUDGING,
    Material,
    Reading,
    Source,
    _share_out,
    at_the_scale_of_its_rain,
    forget,
    jpeg_quality,
    prepare,
    remove_copies,
    usable_files,
)
from derain.finetuning.places import LEAST_PHOTOS, work_folder
from derain.finetuning.run import Run
from derain.finetuning.summary import notes
from derain.finetuning.verdict import verdict
from derain.photos import find_photos, read_photo
from derain.rain.amount import amount
from derain.rain.compose import add
from derain.rain.render import Kind, render
from derain.restoring.restorer import Restorer
from derain.training.clock import Clock
from derain.training.crops import Crops
from derain.training.discovery import Tries, find_rain
from derain.weights import about, bundled_folder, load, locate, save
from tests.conftest import Ticking
from tests.forks import command, preload
from tests.score_finetune import coarse

FEW = {"batch": 1, "crop": 48, "bank": 2, "tries": 1, "rounds": 1}
QUICK = FEW | {"save_every": 2, "log_every": 1, "seed": 3, "device": "cpu"}
HEAVY = Kind(slant=5, oblique=0, length=(15, 30), width=(0.6, 0.9), strength=(0.3, 0.5), curtains=0)


def sure(monkeypatch) -> None:
    """Whatever the judge prefers is no chance."""
    monkeypatch.setattr("derain.finetuning.verdict.Verdict.better", True)


def rainy_picture(seed: int, kind: Kind = HEAVY, size: int = 144) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = add(draw_scene(rng, size), render(rng, size, kind)[..., None])
    return (picture * 255 + 0.5).astype(np.uint8)


def wide(seed: int) -> list[np.ndarray]:
    """Truth and rainy picture: blurred streaks wider than the bundled weights know, 8 to 13 px."""
    rng = np.random.default_rng(seed)
    return [
        cv2.resize(part.astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        for part in coarse(rng, draw_scene(rng, 88))
    ]


@pytest.fixture
def camera(finds_streaks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of six rainy photos, whose streaks are thin enough for quick default weights and to be looked for once.

    Its path has a space and a letter that is not ASCII.
    """
    monkeypatch.setattr("derain.weights.bundled.bundled_folder", lambda: finds_streaks)
    monkeypatch.setattr("derain.finetuning.recipe.SCALES", 1)
    folder = tmp_path / "my rainy häuser"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(rainy_picture(index)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    (tmp_path / "bank").mkdir()
    for index in range(2):
        scene = draw_scene(np.random.default_rng(100 + index), 144)
        Image.fromarray((scene * 255).astype(np.uint8)).save(tmp_path / "bank" / f"{index}.png")
    return tmp_path / "bank"


def test_the_result_runs_and_says_what_it_is(camera, bank, tmp_path):
    out, said = tmp_path / "mine.safetensors", []
    found = finetune(camera, out, bank, steps=5, say=said.append, **QUICK)
    background, rain = load(out)(torch.rand(1, 3, 40, 50))
    assert background.shape == rain.shape == (1, 3, 40, 50)
    training = about(out)["training"]
    assert training["start"] == "derain" and training["finetuned"]["photos"] == 6
    assert training["steps"] == found.steps and found.summary.read_text().startswith("<!doctype html>")
    assert ">–<" not in found.summary.read_text()  # columns without a score
    assert list((work_folder(out) / "previews").glob("*.jpg")) and not (work_folder(out) / "checkpoint.pt").exists()
    assert any("1 of them held out" in line for line in said)


@pytest.mark.slow
def test_finetuning_learns_to_take_what_the_network_leaves_of_streaks(bank, tmp_path, monkeypatch):
    """A network that takes half of the height of every streak learns from its own finds to take nearly all.

    In so few steps the rest suffers, so of the judgement only that on rain like the camera's counts here.
    """
    monkeypatch.setattr(Judge, "gain", lambda judge, scores: scores.matched - judge.start.matched)
    pairs = [heavy(seed) for seed in range(16)]
    (tmp_path / "close").mkdir()
    for index, (_, rainy) in enumerate(pairs[:6]):
        Image.fromarray(to_bytes(rainy)).save(tmp_path / "close" / f"{index}.png")
    start, weights = tmp_path / "half.safetensors", tmp_path / "mine.safetensors"
    save(half_as_high(load()), start, {})
    small = {"batch": 4, "crop": 64, "bank": 12, "tries": 1, "lr": 5e-4, "save_every": 40}
    settings = small | {"precision": "float32"}  # alike on all processors
    sure(monkeypatch)
    found = finetune(tmp_path / "close", weights, bank, steps=40, start=str(start), change="high", **settings)
    assert found.better and found.after.matched > found.before.matched + 2
    tuned, before = (np.mean([streaks_left(load(w), *pair) for pair in pairs[10:]]) for w in (weights, start))
    assert before > 0.4 and tuned < before - 0.15


def heavy(seed: int) -> list[np.ndarray]:
    """Truth and rainy picture."""
    rng = np.random.default_rng(seed)
    truth = draw_scene(rng, 176)
    return [truth, add(truth, render(rng, 176, HEAVY)[..., None])]


def half_as_high(network):
    """The network, which now finds half of the height of the rain."""
    with torch.no_grad():
        network.tail.weight[:4] /= 2  # of a pixel-shuffled output the first four channels are the heights
        network.tail.bias[:4] /= 2
    return network


def streaks_left(network, truth: np.ndarray, rainy: np.ndarray) -> float:
    """Share of the light of the streaks that the network leaves where they are."""
    streaks = (rainy - truth).mean(axis=2)
    left = (derain.restore(network, to_bytes(rainy))[0] / 255 - truth).mean(axis=2)
    where = streaks > 0.05
    return float(left[where].mean() / streaks[where].mean())


def test_without_improvement_the_starting_weights_come_back(camera, bank, tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "gain", lambda judge, scores: -1.0)
    said: list[str] = []
    found = finetune(camera, tmp_path / "mine.safetensors", bank, steps=4, say=said.append, **QUICK)
    assert not found.better and any("starting weights back" in line for line in said)
    ours, start = load_file(found.weights), load_file(locate("derain"))
    assert all(torch.equal(ours[name], start[name]) for name in start)


def test_training_stops_when_nothing_improves(camera, bank, tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "gain", lambda judge, scores: -1.0)
    monkeypatch.setattr("derain.finetuning.best.PATIENCE", 2)
    finetune(camera, tmp_path / "mine.safetensors", bank, steps=50, **QUICK)
    log = (work_folder(tmp_path / "mine.safetensors") / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == 4


def scores(**changes: float) -> Scores:
    return Scores(
        **(
            {
                "repasted": 25.0,
                "matched": 26.0,
                "streaks_left": 0.5,
                "cleanness": 0.5,
                "unchanged": 48.0,
                "rendered": 28.0,
            }
            | changes
        )
    )


def test_scores_of_older_checkpoints_are_read():
    new = asdict(scores()) | {"each": {"streaks_left": [0.5], "photos": [48.0]}}
    older = {name: value for name, value in new.items() if name != "streaks_left"} | {"rain_left": 0.5}
    older["each"] = {"rain_left": [0.5], "photos": [48.0]}
    assert asdict(Scores.noted(older)) == asdict(Scores.noted(new)) == new


@pytest.mark.parametrize(
    "changes, better",
    [
        ({"repasted": 26.0}, True),
        ({"matched": 26.5}, True),
        ({"streaks_left": 0.3}, True),
        ({"unchanged": 46.0}, False),
        ({"repasted": 26.0, "unchanged": 40.0}, False),
        ({"repasted": 26.0, "rendered": 26.0}, False),
        ({"streaks_left": float("nan"), "repasted": 26.0}, True),
    ],
)
def test_what_counts_as_better(changes, better):
    judge = Judge.__new__(Judge)
    judge.start = scores()
    assert (judge.gain(scores(**changes)) > 0) == better


def judged(gains: list[float], pictures: int = 4) -> tuple[Scores, Scores]:
    """Scores before and after of so many photos and clean pictures, with these gains on each photo's pasted rain."""
    photos = len(gains)
    each = {"streaks_left": [0.5] * photos, "photos": [48.0] * photos, "pictures": [48.0] * pictures}
    each |= {"matched": [26.0] * pictures, "rendered": [28.0] * pictures}
    before = {"repasted": [25.0 + n for n in range(photos)]}
    after = {"repasted": [one + gain for one, gain in zip(before["repasted"], gains)]}
    means = [{"repasted": float(np.mean(one["repasted"]))} for one in (before, after)]
    return scores(**means[0], each=each | before), scores(**means[1], each=each | after)


@pytest.mark.parametrize(
    "gains, better, said",
    [
        ([1.0, 1.2, 0.9, 1.1], True, "better than the starting weights: +0.5"),
        ([3.0, -1.5, 2.0, -1.0], False, "no better than the starting weights: the difference may be chance"),
        ([-1.0, -1.2, -0.9, -1.1], False, "no better than"),
        ([1.0, 1.1], False, "only 2 photos judged, and 3 are needed; give 12 photos or more"),
        ([1.0], False, "only 1 photo judged"),
    ],
)
def test_better_is_only_what_is_no_chance_on_enough_photos(gains, better, said):
    worth = verdict(*judged(gains))
    assert worth.better == better and said in str(worth)
    assert worth.gain.low <= worth.gain.mean <= worth.gain.high


@pytest.mark.parametrize(
    "pictures, held_out, unseen, judged, lack",
    [
        (16, 4, 0, 1, "more minutes"),
        (8, 2, 0, 2, "12 photos or more, or longer clips"),
        (8, 2, 0, 1, "12 photos or more, or longer clips, and more minutes"),
        (8, 2, 9, 2, "more minutes"),
    ],
)
def test_where_few_pictures_judge_what_they_lack_is_named(tmp_path, pictures, held_out, unseen, judged, lack):
    places = [f"{HELD_OUT_FOLDER if n < held_out else 'training'}/{n}.png" for n in range(pictures)]
    material = Material(tmp_path, [Source("a.png", 0, place, 1, True, None) for place in places], unseen)
    run = Run(None, tmp_path, tmp_path, tmp_path, {}, 1, [], None, {}, print, material=material)
    run.judge = SimpleNamespace(trials=[None] * judged)
    assert run.lack == lack


def test_moments_of_clips_judge_too_for_time_tells_their_truth():
    before, after = judged([1.0, 1.1])
    for found, truth in ((before, [35.0, 36.0, 37.0]), (after, [37.0, 38.1, 38.9])):
        found.each["timed"] = truth
    assert not verdict(*judged([1.0, 1.1])).better
    assert verdict(replace(before, timed=36.0), replace(after, timed=38.0)).better


def moments_gained(gains: list[float], before: Scores) -> Scores:
    """Scores of weights that gained so much on each of the moments of a clip, and nothing else."""
    timed = [one + gain for one, gain in zip(before.each["timed"], gains)]
    return replace(before, timed=float(np.mean(timed)), each=before.each | {"timed": timed})


@pytest.fixture
def clip_judged() -> Scores:
    """Of the starting weights, by three frames, clean pictures, and twelve moments of a clip."""
    before, _ = judged([0.0] * 3)
    return replace(before, timed=36.0, each=before.each | {"timed": [36.0] * 12})


def test_gains_on_every_picture_are_no_chance_however_uneven_they_are(clip_judged):
    uneven = [15.0, 0.5, 0.4, 0.7, 12.0, 0.3, 0.6, 0.5, 0.8, 0.4, 0.5, 25.0]
    worth = verdict(clip_judged, moments_gained(uneven, clip_judged))
    assert worth.better and worth.gain.low < worth.gain.mean / 2
    mixed = [gain * sign for gain, sign in zip(uneven, [1, -1, -1, 1, 1, -1, 1, 1, -1, 1, -1, -1])]
    assert not verdict(clip_judged, moments_gained(mixed, clip_judged)).better


def test_the_best_of_many_lucky_weights_are_seen_to_be_lucky(clip_judged):
    """A hundred weights no better than the first: the luckiest of them would alone be called better, among them not."""
    rng = np.random.default_rng(4)
    tried = [moments_gained(list(rng.normal(size=12)), clip_judged) for _ in range(100)]
    luckiest = max(tried, key=lambda scores: scores.timed)
    assert verdict(clip_judged, luckiest).better
    assert not verdict(clip_judged, luckiest, tried).better
    sure = moments_gained(list(rng.normal(2, 1, 12)), clip_judged)
    assert verdict(clip_judged, sure, [*tried, sure]).better


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Of gains that are about a decibel in the mean and skewed, of three photos, four pictures and eight moments."""
    rng, sizes = np.random.default_rng(0), (3, 4, 8)
    missed = 0
    for _ in range(30):
        groups = [rng.gamma(2, 0.5, size) - 0.5 * (size == 4) for size in sizes]
        bounds = interval(groups, [], few=False)
        missed += not bounds.low <= 2.5 <= bounds.high
        assert bounds.low <= sum(group.mean() for group in groups) <= bounds.high
    assert missed <= 5


def test_what_may_be_chance_gives_the_starting_weights_back_and_is_told_on_the_page(
    camera, bank, tmp_path, monkeypatch
):
    before, after = judged([3.0, -1.5, 2.0, -1.0])

    def lucky(run):
        return HandedBack(load().state_dict(), before, after, 5, judged=True)

    monkeypatch.setattr("derain.finetuning.handing_back.best_of", lucky)
    said = list[str]()
    found = finetune(camera, tmp_path / "mine.safetensors", bank, steps=1, say=said.append, **QUICK)
    assert not found.better and found.verdict in said and "may be chance" in found.verdict
    page = found.summary.read_text()
    assert found.verdict.partition(" (")[0] in page
    assert "5.png" in page and "0005.png" not in page  # the user's names


def test_the_judge_knows_a_worse_network(camera, bank, tmp_path):
    """One that leaves half of the rain, and one that darkens everything."""
    network = load()
    material = prepare(camera, tmp_path / "material", network, scales=1)
    judge = Judge(network, material, find_photos(bank), load_guide(), scales=1)

    class Half(torch.nn.Module):
        def forward(self, image):
            background, rain = network(image)
            return background + rain / 2, rain / 2

    class Dark(torch.nn.Module):
        def forward(self, image):
            return network(image)[0] * 0.8, image

    for wrap in (Half, Dark):
        worse = wrap()
        worse.network = network
        assert judge.gain(judge.scores(worse)) < 0 == judge.gain(judge.start)


def test_the_guide_tells_clean_from_rainy():
    guide, bank = load_guide(), find_photos(bundled_folder() / "finetune" / "clean")
    right = 0
    for index, path in enumerate(bank):
        rng = np.random.default_rng(index)
        clean = np.asarray(Image.open(path).convert("RGB"), np.float32)[:256, :256] / np.float32(255)
        side = min(clean.shape[:2])
        rainy = add(clean[:side, :side], render(rng, side, HEAVY)[..., None])
        one, other = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None] for p in (clean[:side, :side], rainy))
        right += float(guide.cleanness(one)) > float(guide.cleanness(other))
    assert right >= 0.8 * len(bank) >= 5


def test_wide_streaks_are_found_on_the_reduced_crop():
    crop, restorer = wide(0)[1], Restorer(load())
    assert find_rain(restorer, crop, scales=3).layer.sum() > 2 * find_rain(restorer, crop, scales=1).layer.sum()


def test_large_photos_are_reduced_to_the_scale_of_their_rain():
    small = rainy_picture(5, size=288)
    large = np.asarray(Image.fromarray(small).resize((1152, 1152), Image.Resampling.BICUBIC))
    look = at_the_scale_of_its_rain(load(), large, scales=1)
    assert look.factor in (2, 4) and look.rainy  # the network knows streaks up to twice as wide as these were
    assert look.photo.shape == (1152 // look.factor, 1152 // look.factor, 3)
    assert at_the_scale_of_its_rain(load(), small, scales=1).factor == 1


def test_a_photo_that_counts_as_rainy_is_never_called_free_of_rain(camera, tmp_path):
    """Drizzle everywhere and no streaks: nothing to learn from, but rain all the same."""

    class Drizzle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, rainy):
            drops = torch.zeros_like(rainy)
            drops[..., ::2, ::2] = 0.02 * (rainy.amax() > 0)
            return rainy - drops, drops

    Image.new("RGB", (144, 144)).save(camera / "black.png")
    sources = []
    for path in sorted(camera.iterdir()):
        look = at_the_scale_of_its_rain(Drizzle(), read_photo(path), 1)
        layer = (255 * Drizzle()(torch.from_numpy(read_photo(path) / 255))[1]).round().byte().numpy()
        assert not look.rainy and look.seen == amount(layer).rainy
        sources.append(Source(path.name, 0, path.name, 1, look.rainy, None, look.seen))
    said = notes(Material(tmp_path, sources))
    assert said["no rain found in"] == "black.png" and "0.png" in said["rain but no clear streaks to learn from in"]


@pytest.mark.parametrize("quality", [25, 40, 75, 92])
def test_the_quality_of_a_jpeg_is_read_off_its_tables(tmp_path, quality):
    Image.fromarray(rainy_picture(0)).save(tmp_path / "a.jpg", quality=quality)
    assert abs(jpeg_quality(Image.open(tmp_path / "a.jpg").quantization) - quality) <= 1


def test_photos_are_held_out_and_clips_give_frames(camera, tmp_path):
    with av.open(str(camera / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("libx264", rate=10)
        stream.width = stream.height = 144
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(rainy_picture(20 + index % 5), format="rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())
    for index in range(6):
        (camera / f"{index}.png").rename(camera / f"{index}.heic.png")
    Image.fromarray(rainy_picture(0)).save(camera / "a.jpg", quality=40)
    material = prepare(camera, tmp_path / "material", load(), scales=1)
    frames = [source for source in material.sources if source.name == "clip.mp4"]
    assert [s.file.startswith("held out") for s in frames] == [False] * 13 + [True] * 3
    held, training = find_photos(material.held_out), find_photos(material.training)
    assert len(held) + len(training) == 23 and 4 <= len(held) <= 5
    share, quality = material.jpeg
    assert share == pytest.approx(1 / 23) and quality == (40, 40)
    before = {path.name: path.read_bytes() for path in (*held, *training)}
    remove_copies(material.folder)
    assert not material.training.exists() and not material.held_out.exists()
    assert prepare(camera, tmp_path / "material", load(), scales=1) == material  # an interrupted run's, without a look
    again = (*find_photos(material.held_out), *find_photos(material.training))
    assert {path.name: path.read_bytes() for path in again} == before


def test_short_clips_and_few_photos_leave_some_to_judge(camera, tmp_path):
    with av.open(str(camera / "!.mp4"), "w") as clip:  # three frames are taken of it
        stream = clip.add_stream("libx264", rate=25)
        stream.width = stream.height = 144
        for _ in range(25):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(rainy_picture(20), format="rgb24")))
        clip.mux(stream.encode())
    for index in (4, 5):
        (camera / f"{index}.png").unlink()
    material = prepare(camera, tmp_path / "material", load(), scales=1)
    assert len(material.sources) == 7 and len(find_photos(material.held_out)) == 1
    assert all((material.folder / source.file).is_file() for source in material.sources)


def test_of_a_dozen_photos_enough_judge(camera, tmp_path):
    sources = [Source(f"{n}.png", 0, f"training/{n:04d}.png", 1, rainy=n > 1, jpeg=None) for n in range(12)]
    material = Material(tmp_path, sources)
    for part in (material.training, material.held_out):
        part.mkdir()
    for source in sources:
        (tmp_path / source.file).touch()
    _share_out(material)
    assert len(list(material.held_out.iterdir())) == LEAST_JUDGING and all(s.rainy for s in sources if s.held_out)


def test_a_photo_with_rain_in_it_judges(camera, bank, tmp_path):
    def dry(index: int) -> None:
        Image.fromarray(np.full((150, 150, 3), 90 + index, np.uint8)).save(camera / f"{index}.png")

    for index in (2, 3, 4):  # the third by name alone would have judged
        dry(index)
    material = prepare(camera, tmp_path / "material", load(), scales=1)
    assert sorted((source.file, source.rainy) for source in material.sources if source.file.startswith("held")) == [
        ("held out/0001.png", True),
        ("held out/0002.png", False),
    ]
    judge = Judge(load(), material, find_photos(bank), load_guide(torch.device("cpu")), 1)
    assert None not in judge.start.as_dict().values()
    for index in range(6, 9):
        dry(index)
    (camera / "1.png").rename(camera / "7.png")
    (camera / "0.png").rename(camera / "2.png")  # now both that are rainy would have judged
    found = prepare(camera, tmp_path / "two", load(), scales=1)
    assert sorted(source.held_out for source in found.sources if source.rainy) == [False, True]
    dry(7)
    with pytest.raises(TrainingError, match="found in one of . photos; give 2"):
        prepare(camera, tmp_path / "other", load(), scales=1)


def test_rainy_photos_judge_before_dry_ones(camera, bank, tmp_path, monkeypatch):
    monkeypatch.setattr("derain.finetuning.judge.MOST_PHOTOS", 1)
    material = prepare(camera, tmp_path / "material", load(), scales=1)
    dry = [replace(source, rainy=False) for source in material.sources]
    last = replace(dry[-1], rainy=True, file=f"held out/{Path(dry[-1].file).name}")
    (material.folder / dry[-1].file).replace(material.folder / last.file)
    judge = Judge(load(), Material(material.folder, [*dry[:-1], last]), find_photos(bank), load_guide("cpu"), 1)
    shown = read_photo(material.folder / last.file).astype(np.float32) / np.float32(255)
    assert len(judge.trials) == 1 and np.array_equal(judge.trials[0].photo, shown)


def test_the_rain_of_a_single_photo_is_not_judged_where_it_was(camera):
    photo = rainy_picture(0).astype(np.float32) / 255
    found = find_rain(Restorer(load()), photo)
    (trial,) = trials([photo], [found], (0.0, (100, 100)))
    assert (trial.pasted & (found.layer > 2 / 255)).sum() < 0.5 * trial.pasted.sum()


def test_results_beside_their_photos_are_no_rainy_photos(camera, tmp_path):
    for mark in ("derained", "rain", "compare"):
        (camera / f"1.{mark}.png").write_bytes((camera / "1.png").read_bytes())
    Image.fromarray(rainy_picture(9)).save(camera / "sleet.rain.png")  # of nothing that is here
    material = prepare(camera, tmp_path / "material", load(), scales=1)
    names = [source.name for source in material.sources]
    assert names == [*(f"{index}.png" for index in range(6)), "sleet.rain.png"]
    assert [path.name for path in Crops(camera, 48).photos] == names


def test_what_is_given_is_never_removed(camera, bank, tmp_path):
    """The folder beside the weights may be that of the photos, or hold something else."""
    mine = camera.rename(tmp_path / "cam.finetune")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="cam.finetune beside it"):
            finetune(mine, tmp_path / "cam.safetensors", bank, steps=1, overwrite=overwrite, **QUICK)
        with pytest.raises(UsageError, match="cam.finetune beside it"):
            finetune(bank, tmp_path / "cam.safetensors", mine, steps=1, overwrite=overwrite, **QUICK)
    assert len(find_photos(mine)) == 6
    work = tmp_path / "other.finetune"
    (work / "photos").mkdir(parents=True)
    (work / "photos" / "mine.png").write_bytes(b"mine")
    finetune(mine, tmp_path / "other.safetensors", bank, steps=1, **QUICK)
    assert (work / "photos" / "mine.png").read_bytes() == b"mine"
    (tmp_path / "file.finetune").write_bytes(b"mine")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UsageError, match="folder.safetensors: is a folder"):
        finetune(mine, tmp_path / "folder.safetensors", bank, steps=1, overwrite=True, **QUICK)
    with pytest.raises(UsageError, match="file.finetune: is not a folder"):
        finetune(mine, tmp_path / "file.safetensors", bank, steps=1, **QUICK)
    with pytest.raises(UsageError, match="replace .*other.safetensors"):
        start = str(tmp_path / "other.safetensors")
        finetune(mine, tmp_path / "other.safetensors", bank, start=start, overwrite=True, steps=1, **QUICK)


def test_a_damaged_clean_photo_is_passed_over_and_weights_of_nlcl_are_refused(camera, bank, tmp_path):
    (bank / "0.png").write_bytes(b"nothing")
    assert finetune(camera, tmp_path / "a.safetensors", bank, steps=1, **QUICK).weights.is_file()
    with pytest.raises(WeightsError, match="nlcl: is of preset 'nlcl'; only"):
        finetune(camera, tmp_path / "a.safetensors", bank, start="nlcl", overwrite=True, **QUICK)
    assert (tmp_path / "a.safetensors").is_file() and work_folder(tmp_path / "a.safetensors").is_dir()


def test_the_same_picture_counts_once_so_that_none_judges_its_own_training(camera, tmp_path):
    shutil.copy(camera / "0.png", camera / "0 (copy).png")
    Image.open(camera / "1.png").save(camera / "1 saved again.tif")
    said = list[str]()
    material = prepare(camera, tmp_path / "material", load(), scales=1, say=said.append)
    assert len(material.sources) == 6 and sum("shows the same as" in line for line in said) == 2
    prepare(camera, tmp_path / "material", load(), scales=1)  # goes on with the same
    copied = find_photos(camera)
    assert len(readable(copied, len(copied))) == 6  # of photos without rain each judges once, too
    for index in range(6):
        (camera / f"{index}.png").unlink()
    for index in range(5):
        shutil.copy(camera / "0 (copy).png", camera / f"{index}.png")
    with pytest.raises(TrainingError, match="2 usable photos; .*shows the same as 0"):
        prepare(camera, tmp_path / "other", load(), scales=1)


def test_where_more_time_would_find_no_more_photos_that_is_said(tmp_path):
    for index in range(8):
        Image.fromarray(rainy_picture(index)[:90, :90]).save(tmp_path / f"{index}.png")
    with pytest.raises(TrainingError, match="0 usable photos; .*90x90 px is too small"):
        prepare(tmp_path, tmp_path / "material", load(), scales=1, clock=Clock(1, began=time.monotonic() - 60))


def clip_of(path: Path, frames: int, codec: str = "mpeg4", pixel_format: str = "yuv420p") -> None:
    """Of twenty frames a second."""
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream(codec, rate=20, width=128, height=128, pix_fmt=pixel_format)
        for index in range(frames):
            picture = np.ascontiguousarray(rainy_picture(index)[:128, :128])
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)))
        clip.mux(stream.encode())


@pytest.mark.parametrize(
    "name, codec", [("a.MTS", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mpeg4"), ("a.gif", "gif")]
)
def test_what_every_command_takes_for_a_clip_is_learned_from(tmp_path, name, codec):
    clip_of(tmp_path / name, frames=40, codec=codec, pixel_format="rgb8" if codec == "gif" else "yuv420p")
    check_pictures(tmp_path, "rainy photos", clips=True)
    assert [path.name for path in usable_files(tmp_path)] == [name]
    assert len(list(Reading(pytest.fail).pictures(tmp_path / name, 0))) >= LEAST_PHOTOS
    assert [footage.path.name for footage in Crops(tmp_path, 64).footage] == [name]


def test_a_clip_that_is_too_short_is_told_as_a_clip_and_how_long_it_must_be(tmp_path):
    clip_of(tmp_path / "short.mp4", frames=30)
    with pytest.raises(TrainingError, match="3 usable photos, counting moments of clips; .* a clip of 2 seconds"):
        prepare(tmp_path, tmp_path / "material", load(), scales=1)
    clip_of(tmp_path / "short.mp4", frames=40)
    assert len(list(Reading(pytest.fail).pictures(tmp_path / "short.mp4", 0))) >= LEAST_PHOTOS


def test_scores_that_were_not_measured_are_not_told():
    before = scores(matched=math.nan, streaks_left=math.nan)
    after = scores(matched=math.nan, streaks_left=0.4, timed=36.0)
    assert described(before, after).startswith("re-pasted rain 25.00 -> 25.00 dB, unchanged elsewhere")
    assert "nan" not in described(before, after)


def test_bad_input_is_one_clear_sentence(camera, tmp_path):
    out = tmp_path / "mine.safetensors"
    few, dry, small = (tmp_path / name for name in ("few", "dry", "small"))
    for folder in (few, dry, small):
        folder.mkdir()
    for index in range(5):
        flat = np.full((150, 150, 3), 40 * index, np.uint8)
        Image.fromarray(flat).save(dry / f"{index}.png")
        Image.fromarray(rainy_picture(index)[:90, :90]).save(small / f"{index}.png")
    Image.fromarray(rainy_picture(0)).save(few / "one.png")
    (few / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    (few / "broken.mp4").write_bytes(b"nothing")
    for folder, sentence in (
        (
            few,
            "1 usable photo, counting moments of clips; finetuning needs 4 rainy ones, and .* 2 seconds .*broken",
        ),
        (dry, "no rain found in any of its 5 photos"),
        (small, "0 usable photos.*90x90 px is too small"),
        (tmp_path / "missing", "not a folder"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            finetune(folder, out, steps=1, **QUICK)  # nothing stands in the way of the next attempt
        assert not work_folder(out).exists()
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="mine.safetensors: exists"):
        finetune(camera, out, steps=1, **QUICK)
    assert out.read_bytes() == b"mine"
    for nothing in (tmp_path / "missing", tmp_path):
        with pytest.raises(TrainingError, match=f"{nothing.name}: holds no photos"):
            finetune(camera, out, clean=nothing, steps=1, overwrite=True, **QUICK)
    assert out.read_bytes() == b"mine"
    with pytest.raises(UsageError, match="low, medium, high"):
        finetune(camera, tmp_path / "b.safetensors", change="huge", **QUICK)
    with pytest.raises(UsageError, match="ends in .safetensors"):
        finetune(camera, tmp_path / "b.pth", **QUICK)


def test_several_processes_are_refused_at_once(tmp_path, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(UsageError, match="finetuning runs as one process; start it without torchrun"):
        finetune(tmp_path / "missing", tmp_path / "mine.safetensors")


def test_the_best_weights_survive_in_the_checkpoint():
    judge = Judge.__new__(Judge)
    judge.start, judge.network, judge.clock, judge.extent = scores(), load(), Clock(), Extent(1, 1)
    one, other = (Best(judge, [1.0], print) for _ in range(2))
    one.tensors, one.step, one.gain, one.waited, one.scores = {"w": torch.ones(2)}, 7, 0.5, 3, scores(repasted=26.0)
    other.load_state(one.state())
    assert (other.step, other.gain, other.waited, other.scores) == (7, 0.5, 3, one.scores)
    assert torch.equal(other.tensors["w"], torch.ones(2))


@pytest.mark.parametrize("tick, judged", [(0.3, True), (2.0, None), (100.0, False)])
def test_minutes_hold_however_slow_the_machine_is(camera, bank, tmp_path, monkeypatch, tick, judged):
    """Each look at the clock takes a tick, so that a machine can be as slow as you like."""
    clock = Ticking(tick)
    monkeypatch.setattr("derain.training.clock.monotonic", clock)
    stages, said = [], []
    found = finetune(
        camera,
        tmp_path / "mine.safetensors",
        bank,
        minutes=1,
        say=said.append,
        watch=lambda *at: stages.append(at),
        **QUICK,
    )
    assert clock.now < 60 + 12 * tick
    assert [share for _, share in stages] == sorted(share for _, share in stages) and stages[-1][1] <= 1
    assert found.weights.is_file() and found.summary.is_file() and load(found.weights).config == load().config
    assert judged is None or found.judged == judged
    assert found.judged or (not found.better and any("too little time to learn anything" in line for line in said))
    assert not (work_folder(found.weights) / "photos").exists()


def test_where_the_time_is_short_the_photos_looked_at_are_from_all_over_the_folder(monkeypatch):
    monkeypatch.setattr("derain.training.clock.monotonic", lambda: now)
    now, seen = 0.0, []
    clock = Clock(1)
    for item in clock.affordable(list(range(100)), 20, "looking"):
        seen.append(item)
        now += 1
        if clock.spent >= 20:
            break
    assert len(set(seen)) == 20 and seen[:10] == sorted(seen[:10]) and seen[0] == 0 and max(seen) > 80
    assert list(Clock().affordable([1, 2, 3], 0, "looking")) == [1, 2, 3]


def test_photos_that_were_not_looked_at_and_those_without_rain_are_told(camera, tmp_path, monkeypatch):
    for index in range(6, 30):
        Image.fromarray(np.full((150, 150, 3), 90 + index, np.uint8)).save(camera / f"{index}.png")
    said: list[str] = []
    material = prepare(camera, tmp_path / "material", load(), scales=1)
    assert set(material.dry) >= {f"{index}.png" for index in range(6, 30)}
    assert notes(material)["no rain found in"].endswith(f", 13.png, 14.png and {len(material.dry) - 5} more")
    forget(material.folder)
    monkeypatch.setattr("derain.training.clock.monotonic", Ticking(0.4))
    material = prepare(camera, tmp_path / "material", load(), 1, said.append, Clock(1))
    assert material.unseen > 10 and "no time" in notes(material)["not looked at"]


def test_where_nothing_was_begun_there_is_nothing_to_resume(camera, tmp_path):
    words = ["finetune", str(camera), "-o", str(tmp_path / "mine.safetensors"), "--steps", "1", "--resume"]
    done = CliRunner().invoke(app, words)
    assert "mine.finetune: no such folder, so there is nothing to resume; leave out --resume" in str(done.exception)


def test_a_run_goes_on_only_with_the_photos_that_it_began_with(camera, bank, tmp_path):
    def interrupt(step, progress, losses):
        raise KeyboardInterrupt

    out = tmp_path / "mine.safetensors"
    assert finetune(camera, out, bank, steps=3, report=interrupt, **QUICK).interrupted
    assert not list(work_folder(out).glob("photos/*/*"))
    photo, other = camera / "2.png", camera / "new.png"
    content = photo.read_bytes()
    grown = content + b"\0"
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    for write, said in (
        (lambda: photo.write_bytes(grown), "2.png has changed"),
        (lambda: photo.write_bytes(changed), "2.png has changed"),
        (lambda: photo.rename(other), "2.png is missing, new.png is new"),
    ):
        write()
        with pytest.raises(UsageError, match=f"not the photos that the run began with .{said}.; give `overwrite`"):
            finetune(camera, out, bank, steps=3, resume=True, **QUICK)
        other.unlink(missing_ok=True)
        photo.write_bytes(content)
    assert not finetune(camera, out, bank, steps=3, resume=True, **QUICK).interrupted
    assert not (work_folder(out) / "photos").exists()


def test_after_a_failed_run_no_copies_of_the_photos_stay(camera, bank, tmp_path, monkeypatch):
    out, left = tmp_path / "mine.safetensors", work_folder(tmp_path / "mine.safetensors") / "photos"

    def fail(*arguments):
        assert list(left.glob("training/*.png"))
        raise TrainingError("training diverged")

    with monkeypatch.context() as patch:
        patch.setattr("derain.finetuning.finetune.train", fail)
        with pytest.raises(TrainingError, match="diverged"):
            finetune(camera, out, bank, steps=1, **QUICK)
    assert not left.exists()  # there is no checkpoint to go on from with the same photos
    (left / "training").mkdir(exist_ok=True, parents=True)
    (left / "training" / "0099.png").write_bytes(b"of a run that was killed")
    finetune(camera, out, bank, steps=1, **QUICK)
    assert not left.exists()


def test_settings_are_checked_before_anything_is_looked_at(tmp_path):
    (tmp_path / "photos").mkdir()
    for wrong in ({"minutes": float("nan")}, {"crop": 10**9}, {"scales": 0}, {"psnr": float("nan")}):
        with pytest.raises(UsageError, match=f"{next(iter(wrong))} = .*: must be from"):
            finetune(tmp_path / "photos", tmp_path / "mine.safetensors", start="missing", **wrong)


MODULES = ("torch._dynamo", "derain.finetuning.finetune", "derain.training.distil")


def default_weights(folder: Path) -> str:
    """Python that takes the bundled weights from a folder."""
    return f"import pathlib, derain.weights.bundled as b; b.bundled_folder = lambda: pathlib.Path({str(folder)!r})"


RUN = """
import os, sys
from pathlib import Path
from derain.finetuning.finetune import finetune
from derain.finetuning.judge import Judge
from derain.finetuning.verdict import Verdict
from tests.forks import killed_after
Judge.gain, Verdict.better = lambda judge, scores: scores.repasted, True  # what was trained counts
rainy, bank, out = map(Path, sys.argv[1:4])
options = dict(steps=10, batch=1, crop=48, bank=2, tries=1, save_every=2, log_every=1, seed=3, device="cpu")
for moment in sys.argv[4:]:  # one child after the other, each killed after so many steps and seconds
    if not (child := os.fork()):
        finetune(rainy, out, bank, resume=True, report=killed_after(moment), **options)
        os._exit(0)
    print(ended := os.waitpid(child, 0)[1], flush=True)
    if not ended:
        break
sys.exit()
"""


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_undisturbed(camera, bank, finds_streaks, tmp_path):
    """The kills fall anywhere: while photos are prepared, trained on, judged, or the checkpoint is written."""
    preload(*MODULES)

    def run(out: str, *moments: str) -> list[str]:
        done = command(camera, bank, tmp_path / out, *moments, before=default_weights(finds_streaks) + RUN)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    rng = random.Random(1)
    moments = ["0/0.1", "0/0.3", *(f"{rng.randrange(2, 5)}/{rng.uniform(0, 0.1)}" for _ in range(3))]
    ends = run("killed.safetensors", *moments, "never")
    assert ends[-1] == "0" and set(ends[:-1]) == {"9"} and len(ends) > 3
    run("whole.safetensors", "never")
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert any(not torch.equal(other[name], tensor) for name, tensor in load().state_dict().items())
    logs = ((tmp_path / f"{name}.finetune" / "log.jsonl").read_text().splitlines() for name in ("killed", "whole"))
    one, other = ([json.loads(line) | {"seconds": 0} for line in log] for log in logs)
    assert one == other and len(one) == 10


NOTHING_FOUND = "from derain.training import discovery, distil; distil.discover = lambda *_: discovery.Tries('', 0, 0)"


def test_what_was_best_survives_further_interruptions(camera, bank, tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "gain", lambda judge, scores: 1.0)  # whatever is judged is better
    sure(monkeypatch)
    out, other = tmp_path / "mine.safetensors", load()

    def interrupt(step, progress, losses):
        if step == 3:
            raise KeyboardInterrupt

    def interrupt_at_once(*arguments):
        raise KeyboardInterrupt

    first = finetune(camera, out, bank, steps=9, report=interrupt, **QUICK)
    assert first.interrupted and first.better
    best = load_file(out)
    with monkeypatch.context() as patch:
        patch.setattr("derain.finetuning.finetune.train", interrupt_at_once)
        again = finetune(camera, out, bank, steps=9, resume=True, **QUICK)
    assert again.interrupted and again.better and all(torch.equal(best[n], t) for n, t in load_file(out).items())
    torch.nn.init.zeros_(other.tail.bias)
    save(other, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="mine.finetune: was begun with weights other"):
        finetune(camera, out, bank, steps=9, resume=True, start=str(tmp_path / "other.safetensors"), **QUICK)
    assert not finetune(camera, out, bank, steps=4, resume=True, **QUICK).interrupted


def test_interrupted_it_keeps_the_best_and_exits_with_130(camera, bank, finds_streaks, tmp_path):
    preload(*MODULES)
    before = (
        f"{NOTHING_FOUND}\n{default_weights(finds_streaks)}\n"
        "import os, signal\n"
        "from functools import partial\n"
        "import derain.finetuning.recipe as recipe\n"
        "import derain.finetuning.finetune as tuning\n"
        "recipe.load_config = partial(recipe.load_config, crop=48, batch=1, log_every=1)\n"
        "made, pressed = tuning.Run, lambda step, *_: step == 3 and os.kill(os.getpid(), signal.SIGINT)\n"
        "tuning.Run = lambda *given: made(*given[:-1], pressed)\n"
    )
    done = command(
        *("finetune", camera, "-o", tmp_path / "mine.safetensors", "--clean", bank, "--minutes", "5"), before=before
    )
    out, said = done.stdout.strip(), done.stderr
    assert done.returncode == 130 and "Traceback" not in said, said
    assert out == str(tmp_path / "mine.safetensors") and "--resume" in said
    assert "before anything was judged" in said and "no better than" not in said
    assert load(out).config == load().config
    settings = QUICK | {"seed": 0, "steps": 4, "resume": True}
    gone_on = finetune(camera, out, bank, **settings)
    log = [json.loads(line)["step"] for line in (work_folder(gone_on.weights) / "log.jsonl").open()]
    assert not gone_on.interrupted and log == [1, 2, 3, 4]
    with pytest.raises(UsageError, match="is finished"):
        finetune(camera, out, bank, **settings)


@pytest.mark.parametrize(
    "steps, interrupted, code, said",
    [(5, False, 0, "uploaded to"), (0, False, 0, "no better"), (5, True, 130, "interrupt")],
)
def test_only_better_weights_of_a_whole_run_are_uploaded(camera, monkeypatch, steps, interrupted, code, said):
    found = Result(Path("w"), Path("s"), scores(), scores(), steps, interrupted)
    uploaded = []
    monkeypatch.setattr("derain.finetuning.finetune.finetune", lambda *arguments, **options: found)
    monkeypatch.setattr("derain.cli.finetune.check_push", lambda repo: None)
    monkeypatch.setattr("derain.weights.publish.push", lambda repo, weights: uploaded.append(repo) or repo)
    done = CliRunner().invoke(app, ["finetune", str(camera), "--push", "me/mine"])
    assert done.exit_code == code and uploaded == (["me/mine"] if said == "uploaded to" else [])
    assert said in done.stderr and ("not uploaded" in done.stderr) == (uploaded == [])


def test_where_no_copy_of_a_photo_fits_that_is_no_fault_of_the_photo_and_nothing_is_left(camera, bank, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    out, said = tmp_path / "new" / "deeper" / "mine.safetensors", list[str]()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(PhotoError, match="0000.png: cannot be written") as failed:
            finetune(camera, out, bank, steps=1, say=said.append, **QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.value.exit_code == 1 and not any("skipped" in line for line in said)
    assert not (tmp_path / "new").exists()


def test_results_that_could_not_be_written_are_made_by_resuming(camera, bank, tmp_path, monkeypatch):
    monkeypatch.setattr("derain.training.distil.discover", lambda *_: Tries(tmp_path, 0, 0))  # it takes long
    out = tmp_path / "mine.safetensors"

    def full(path, content):
        raise PhotoError(f"{path}: cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr("derain.finetuning.summary.write_bytes", full)
        with pytest.raises(PhotoError, match="No space left on device.; `resume` tries again"):
            finetune(camera, out, bank, steps=1, **QUICK)
    assert finetune(camera, out, bank, steps=1, resume=True, **QUICK).summary.is_file()


def test_a_full_disk_is_one_sentence(camera, bank, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("derain.training.distil.discover", lambda *_: Tries(tmp_path, 0, 0))  # it takes long
    out, large = tmp_path / "mine.safetensors", bundled_folder() / "derain.safetensors"
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, limits[1]))
    try:
        with pytest.raises(PhotoError, match=r"mine.finetune/checkpoint.pt: cannot be written \(beyond the largest"):
            finetune(camera, out, bank, steps=1, start=large, **QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not out.exists() and not list(work_folder(out).glob("*.pt"))


@pytest.mark.parametrize(
    ("reached", "limited", "expected"), [(3, True, "only 3 steps"), (40, True, "no better"), (3, False, "no better")]
)
def test_a_few_steps_are_not_called_no_better(reached, limited, expected):
    said, judge = list[str](), SimpleNamespace(start=Scores.unknown(), clock=SimpleNamespace(limited=limited))
    best = SimpleNamespace(
        tensors=None, judge=judge, scores=judge.start, step=0, looked=True, reached=reached, tried=[]
    )
    handed_back(SimpleNamespace(memory={}, say=said.append, interrupted=False, best=best))
    assert len(said) == 1 and said[0].startswith(expected) and "starting weights back" in said[0]
