"""Clips of a fixed camera among rainy photos: time finds their rain, which is pasted and taught."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from derain.errors import TrainingError
from derain.evaluation.self_test import draw_scene
from derain.finetuning.guide import load_guide
from derain.finetuning.judge import Judge, judging_moments
from derain.finetuning.material import HELD_OUT_FOLDER, Material, Source
from derain.photos import write_photo
from derain.rain.compose import fade, fading_by_colour
from derain.rain.render import Kind, render
from derain.training.clips import Footage, found_by_time
from derain.training.clock import Clock
from derain.training.config import TrainConfig, load_config
from derain.training.crops import Crops
from derain.training.distil import Batch, Distil
from derain.training.loop import train
from derain.training.pairs import Pair, RainBank, pair
from derain.weights import load

STREAKS = Kind(
    slant=5, oblique=0, length=(12, 25), width=(0.6, 1.2), strength=(0.3, 0.5), curtains=0, cover=(0.02, 0.03)
)
SMALL = {"preset": "derain", "model": {"widths": [4], "blocks": [1]}, "crop": 32, "batch": 2, "bank": 2, "tries": 1}
SMALL |= {"warm": 0.0, "clips": 6, "timed": 0.5, "timed_pasted": 0.5, "save_every": 2, "log_every": 1, "workers": 0}
SMALL |= {"device": "cpu", "precision": "float32"}


def film(path: Path, pace: int, frames: int = 27) -> Path:
    """A rainy clip whose camera pans by so many px a frame."""
    rng, wide = np.random.default_rng(0), 0.6 * draw_scene(np.random.default_rng(0), 128 + pace * frames)
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "bgr0"
        for n in range(frames):
            seen = wide[:128, pace * n : pace * n + 128] + render(rng, 128, STREAKS)[..., None]
            picture = np.ascontiguousarray((seen.clip(0, 1) * 255).astype(np.uint8))
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        clip.mux(stream.encode())
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rainy, clean = tmp_path / "rainy", tmp_path / "clean"
    rainy.mkdir()
    clean.mkdir()
    film(rainy / "fixed.mkv", 0)
    film(rainy / "pans.mkv", 6)
    write_photo(clean / "a.png", (draw_scene(np.random.default_rng(5), 96) * 255).astype(np.uint8))
    return rainy, clean


def test_training_says_in_which_clips_time_found_rain_and_resumes_with_it(folders, tmp_path):
    said: list[str] = []
    settings = load_config(None, steps=4, **SMALL)

    def stop(step: int, *_: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, *folders, tmp_path / "out", report=stop, say=said.append)
    (sentence,) = [line for line in said if "by time" in line]
    assert "rain found by time in 1 of 2 clips: fixed.mkv (still in 3 of 3 moments" in sentence
    assert "pans.mkv (its camera never stands still)" in sentence
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert {"said": sentence} in lines
    train(settings, *folders, tmp_path / "out", resume=True, say=said.append)
    train(settings, *folders, tmp_path / "whole")
    losses = [[json.loads(line) for line in (tmp_path / run / "log.jsonl").open()][-1] for run in ("out", "whole")]
    assert len([line for line in said if "by time" in line]) == 1
    assert losses[0]["pixels"] == losses[1]["pixels"]


def test_frames_of_clips_are_photos_too(folders):
    crops = Crops(folders[0], 32)
    assert len(crops.photos) > 4 and crops.sample(np.random.default_rng(0)).shape == (32, 32, 3)
    with pytest.raises(TrainingError, match="no photo of at least 160"):
        Crops(folders[0], 160)


def test_what_is_kept_of_the_end_of_a_clip_is_never_looked_at(tmp_path):
    clip = film(tmp_path / "a.mkv", 0, 36)
    looked = [
        found_by_time(Footage(clip, since, until), np.random.default_rng(0), 32, 4, Clock(), 1e9).looked
        for since, until in ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0))
    ]
    assert looked == [4, 2, 2]


def test_all_moments_of_the_clips_judge_but_no_more_of_one_than_of_the_other(tmp_path):
    clips = [Footage(film(tmp_path / f"{n}.mkv", 0, 54)) for n in range(2)]
    judging = judging_moments(clips, Clock(), 24)
    assert len(judging) == 12 and all(1 <= len(one.crops) <= 2 for one in judging)
    assert all(crop.rainy.shape == (128, 128, 3) and crop.rain.max() > 0.2 for one in judging for crop in one.crops)
    few, first = (judging_moments(of, Clock(), 6) for of in (clips, clips[:1]))
    assert len(few) == len(first) == 6
    assert len({one.crops[0].rainy.tobytes() for one in few}) == 3  # both clips show the same
    assert {one.clip for one in few} == {"0.mkv", "1.mkv"}
    moving = Footage(film(tmp_path / "pans.mkv", 6))
    assert judging_moments([moving], Clock(), 24) == []


def test_streaks_that_seem_to_be_left_count_only_where_time_does_not_tell_the_truth(tmp_path):
    """A network may make a scene's own bright shapes visible again, which looks like rain that is left."""
    clip = film(tmp_path / "a.mkv", 0, 54)
    material, network = Material(tmp_path, []), load()
    material.held_out.mkdir()
    for n, name in enumerate(("a.mkv", "photo.png")):
        rng = np.random.default_rng(n)
        rainy = draw_scene(rng, 128) + render(rng, 128, STREAKS)[..., None]
        picture = (rainy.clip(0, 1) * 255).astype(np.uint8)
        write_photo(material.held_out / f"{n}.png", picture)
        material.sources.append(Source(name, 0, f"{HELD_OUT_FOLDER}/{n}.png", 1, True, None))
    write_photo(tmp_path / "clean.png", picture)
    judge = Judge(network, material, [tmp_path / "clean.png"], load_guide(), 1, None, None, [Footage(clip)])
    assert [np.isnan(left) for left in judge.start.each["streaks_left"]] == [True, False]
    assert len(judge.start.each["timed"]) == 6


@pytest.fixture
def coloured() -> RainBank:
    """A bank with one crop of bluish rain, of whose lower half nothing is known."""
    bank, rain = RainBank(2, faithful=1.0, gain=(1.0, 1.01)), np.zeros((64, 64, 3), np.float32)
    rain[:, ::8] = [0.1, 0.2, 0.4]
    trust = np.ones((64, 64), np.float32)
    trust[32:] = 0
    bank.add(np.full((64, 64, 3), 0.3, np.float32) + rain, rain, rain, trust=trust)
    return bank


def test_layers_found_by_time_keep_their_colour(coloured):
    truth = np.full((48, 48, 3), 0.2, np.float32)
    made = pair(np.random.default_rng(0), truth, TrainConfig(timed=0, timed_pasted=1, jpeg=0), timed=coloured)
    added = (made.rainy - made.clean).max(axis=(0, 1))
    assert added == pytest.approx([0.1, 0.2, 0.4], abs=0.02)


def test_only_where_the_truth_is_known_is_it_taught(coloured):
    config = load_config(None, **SMALL)
    taught = Pair.of(coloured.taught(np.random.default_rng(0), 64))
    learner = Distil(config, torch.device("cpu"))
    wrong = taught.clean.copy()
    wrong[34:] += 0.3
    losses = [
        float(next(learner.losses(Batch.of([p], None)))[1]["pixels"].detach())
        for p in (taught, taught._replace(clean=wrong))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_colours_of_rain_tell_how_it_fades():
    rng = np.random.default_rng(0)
    background = (np.array([0.4, 0.6, 0.1]) * rng.uniform(0.5, 1.2, (500, 1))).astype(np.float32)
    rain = np.asarray(fade(background, rng.uniform(0.05, 0.2, (500, 1)).astype(np.float32), 1.2) - background)
    assert fading_by_colour(rain, background) == pytest.approx(1.2, abs=0.11)
    assert fading_by_colour(rain, np.full_like(rain, 0.3)) != pytest.approx(1.2, abs=0.05)


def test_hard_crops_are_more_textured(tmp_path):
    (tmp_path / "clean").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    for name, picture in (("a", noise), ("b", np.full_like(noise, 90)), ("c", np.full_like(noise, 60))):
        write_photo(tmp_path / "clean" / f"{name}.png", picture)
    crops = Crops(tmp_path / "clean", 32)
    textured = [crops.batch(np.random.default_rng(1), 60, hard).std(axis=(1, 2)).mean() for hard in (0.0, 1.0)]
    assert textured[1] > 1.4 * textured[0]
