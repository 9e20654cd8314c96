"""Clips on a cluster: the file that one process makes, whoever made which segment."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import derain
from derain import cluster as clusters
from derain.cluster.examining import Found, differences
from derain.errors import PhotoError, UsageError
from derain.video import VideoSettings, process
from derain.video.work import Work
from derain.weights import load, verified
from tests.test_damaged_clips import with_zeros
from tests.test_run import command
from tests.test_video import Darker, make_clip, picture

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
SIZE = (64, 96)
SETTINGS = VideoSettings(precision="float32")  # by auto each process measures for itself


def rainy(index, size):
    """A scene under streaks that are elsewhere in each frame."""
    streaks = np.random.default_rng(index).random((1, size[1], 1)) < 0.1
    return np.clip(picture(index % 40, size) + 80 * streaks, 0, 255).astype(np.uint8)


def white_at_13(index, size):
    return np.full((*size, 3), 255, np.uint8) if index == 13 else picture(index, size)


class FailsAtWhite(Darker):
    def layers(self, rainy):
        if rainy.mean() > 0.95:
            raise RuntimeError("too bright")
        return super().layers(rainy)


def clip_of(path, count, draws=rainy, **how):
    return make_clip(path, count, size=SIZE, draw=draws, options={"g": "12"}, **how)


@pytest.fixture
def short_segments(monkeypatch):
    monkeypatch.setattr(Work, "SEGMENT_FRAMES", 6)


@pytest.fixture(scope="module")
def elsewhere(cluster):
    with clusters.workers(cluster.address, "cpu") as found:
        yield found


def test_a_clip_of_forty_segments_is_the_file_of_one_process_though_a_node_dies(
    cluster, elsewhere, short_segments, tmp_path, small_weights
):
    source, model = clip_of(tmp_path / "clip.mp4", 236, sound=1), load(small_weights)
    alone = process(source, tmp_path / "alone.mp4", model, SETTINGS)
    fourth = cluster.add_node(node_name="four", num_cpus=1, object_store_memory=80 * 2**20)
    reported = []

    def report(done, total, seconds):
        reported.append(done)
        if len(reported) == 9:
            cluster.remove_node(fourth, allow_graceful=False)

    spread = process(source, tmp_path / "spread.mp4", model, SETTINGS, report=report, elsewhere=elsewhere)
    assert (tmp_path / "alone.mp4").read_bytes() == (tmp_path / "spread.mp4").read_bytes()
    assert alone.frames == spread.frames == reported[-1] == 236 and len(reported) == 40
    assert not (tmp_path / "spread.mp4.unfinished").exists()


@pytest.mark.parametrize("how", [{"start": 0.3, "end": 1.2, "fps_limit": 20}, {"temporal": "off"}])
def test_a_stretch_at_fewer_frames_a_second_is_cut_the_same(elsewhere, short_segments, tmp_path, small_weights, how):
    settings = replace(SETTINGS, **how)
    source, model = clip_of(tmp_path / "clip.mkv", 30), load(small_weights)
    process(source, tmp_path / "alone.mkv", model, settings)
    process(source, tmp_path / "spread.mkv", model, settings, elsewhere=elsewhere)
    assert (tmp_path / "alone.mkv").read_bytes() == (tmp_path / "spread.mkv").read_bytes()


def test_an_interrupted_clip_goes_on_with_all_segments_that_are_there(
    elsewhere, short_segments, tmp_path, small_weights
):
    source, model = clip_of(tmp_path / "clip.mp4", 45), load(small_weights)
    process(source, tmp_path / "alone.mp4", model, SETTINGS)

    def stop(done, total, seconds):
        if done >= 24:
            raise KeyboardInterrupt

    for result in ("again.mp4", "alone_again.mp4"):
        with pytest.raises(KeyboardInterrupt):
            process(source, tmp_path / result, model, SETTINGS, report=stop, elsewhere=elsewhere)
        folder = tmp_path / f"{result}.unfinished"
        kept = sorted(folder.glob("??????.json"))
        assert len(kept) >= 4
        for path in (kept[1], kept[1].with_suffix(".nut")):
            path.unlink()
        (folder / "000005.nut").write_bytes(b"cut short")
        others = elsewhere if result == "again.mp4" else None
        process(source, tmp_path / result, model, SETTINGS, elsewhere=others)
        assert (tmp_path / result).read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_frames_that_fail_are_passed_through_and_told_by_their_numbers(elsewhere, short_segments, tmp_path):
    source = clip_of(tmp_path / "clip.mp4", 20, draws=white_at_13)
    with pytest.raises(PhotoError, match="clip.mp4: cannot be derained .too bright"):
        process(source, tmp_path / "none.mp4", FailsAtWhite(), SETTINGS, elsewhere=elsewhere)
    keeping, said = replace(SETTINGS, keep_going=True), []
    alone = process(source, tmp_path / "alone.mp4", FailsAtWhite(), keeping)
    done = process(source, tmp_path / "out.mp4", FailsAtWhite(), keeping, say=said.append, elsewhere=elsewhere)
    assert done.failed == alone.failed == [13] and len([each for each in said if "passed through" in each]) == 1
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


@pytest.mark.parametrize("bad", [(25,), (3, 36)])
def test_a_damaged_clip_is_the_file_of_one_process_and_told_alike(
    elsewhere, short_segments, tmp_path, small_weights, bad
):
    source, model = clip_of(tmp_path / "clip.mp4", 40), load(small_weights)
    with_zeros(source, *bad)
    alone = process(source, tmp_path / "alone.mp4", model, SETTINGS)
    spread = process(source, tmp_path / "spread.mp4", model, SETTINGS, elsewhere=elsewhere)
    assert alone.damage and alone.damage == spread.damage and alone.frames == spread.frames
    assert (tmp_path / "alone.mp4").read_bytes() == (tmp_path / "spread.mp4").read_bytes()


def test_a_folder_that_a_node_does_not_see_is_named(elsewhere, short_segments, tmp_path, small_weights, monkeypatch):
    source, model = clip_of(tmp_path / "clip.mp4", 25), load(small_weights)
    monkeypatch.setattr(Work, "origin", property(lambda work: "another", lambda work, origin: None), False)
    with pytest.raises(UsageError, match=r"out\.mp4: node \w+ cannot see it"):
        process(source, tmp_path / "out.mp4", model, elsewhere=elsewhere)


def test_what_is_no_clip_of_one_file_is_refused(elsewhere, tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(UsageError, match="frames: is not a clip in one file, .* leave out `ray`"):
        process(tmp_path / "frames", tmp_path / "out.mp4", Darker(), elsewhere=elsewhere)


def test_the_command_makes_the_file_that_one_process_makes(cluster, tmp_path, small_weights):
    source = clip_of(tmp_path / "clip.mp4", 8)
    process(source, tmp_path / "alone.mp4", load(small_weights), SETTINGS)
    how = ("--weights", small_weights, "--precision", "float32")
    done = command("video", "--ray", cluster.address, "clip.mp4", "-o", "spread.mp4", "--json", *how, cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["output"] == "spread.mp4", done.stderr
    assert len(told["nodes"]) == 1 and set(told["nodes"]) < {"one", "two", "three"}
    assert (tmp_path / "alone.mp4").read_bytes() == (tmp_path / "spread.mp4").read_bytes()
    assert "joined the cluster at" in done.stderr and "8 frames in" in done.stderr


def test_doctor_tells_what_each_node_has_and_which_differ(cluster, elsewhere, monkeypatch):
    done = command("doctor", "--ray", cluster.address, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {each["node"] for each in found["nodes"]} == {"one", "two", "three"} and not found["differences"]
    for each in found["nodes"]:
        assert each["derain"] == derain.__version__ and each["torch"] == torch.__version__ and each["cpus"] == 1
        assert each["devices"] and each["weights"] == verified("derain").sha256 and each["memory"].endswith("GB free")
    monkeypatch.setattr(derain, "__version__", "9.9")
    seen = [replace(Found(**each), weights="other" if each["node"] == "two" else "") for each in found["nodes"]]
    said = differences(seen)
    assert len(said) == 4 and "node two: has other weights than most nodes; results may differ" in said
    assert any(sentence.startswith("node one: has derain ") and "not 9.9" in sentence for sentence in said)
