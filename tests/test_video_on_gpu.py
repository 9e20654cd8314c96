"""Clips on a GPU: several frames at once come out as one after the other; hardware that is not there is said."""

import av
import cv2
import numpy as np
import pytest
import torch

from derain.errors import PhotoError, UsageError
from derain.video import VideoSettings, process, treatment
from derain.video.encoding import encoder_options
from derain.video.formats import choose_pixel_format
from derain.video.treatment import Network
from tests.test_video import Darker, Identity, make_clip


class Picky(Darker):
    """Fails on some frames."""

    def layers(self, rainy):
        if float(rainy[:, 0, 10:22].mean((1, 2)).max()) > 0.5 + 0.001:
            raise ValueError("too bright")
        return super().layers(rainy)


def brightening(index, size):
    return np.full((*size, 3), (60, 200)[index in (2, 5, 6)], np.uint8) + np.uint8(index)


def test_opencv_has_its_threads_back_after_a_clip_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "at_once", 2)
    before, during = cv2.getNumThreads(), []
    clip = make_clip(tmp_path / "a.mp4", 5)
    process(clip, tmp_path / "b.mp4", Darker(), report=lambda *_: during.append(cv2.getNumThreads()))
    assert set(during) == {1} and cv2.getNumThreads() == before


@pytest.mark.parametrize("temporal", ["on", "off"])
def test_several_frames_at_once_give_the_same_clip_and_the_same_failures(tmp_path, monkeypatch, temporal):
    source = make_clip(tmp_path / "a.mp4", 10, draw=brightening)
    settings = VideoSettings(temporal=temporal, keep_going=True)
    found = []
    for at_once in (1, 4):
        monkeypatch.setattr(Network, "at_once", at_once)
        done = process(source, tmp_path / f"{at_once}.mp4", Picky(), settings)
        found.append((done.path.read_bytes(), done.failed))
    assert found[0] == found[1] and found[0][1] == [2, 5, 6]


@pytest.mark.parametrize("temporal", ["on", "off"])
def test_frames_in_one_pass_give_the_same_clip_and_the_same_failures(tmp_path, monkeypatch, temporal):
    source = make_clip(tmp_path / "a.mp4", 10, draw=brightening)
    settings = VideoSettings(temporal=temporal, keep_going=True)
    expected = process(source, tmp_path / "alone.mp4", Picky(), settings)
    passes = []
    monkeypatch.setattr(
        Network, "most_together", property(lambda network: 4, lambda network, count: None), raising=False
    )
    real = treatment.backgrounds_on_device
    monkeypatch.setattr(
        treatment,
        "backgrounds_on_device",
        lambda restorer, photos: passes.append(len(photos)) or real(restorer, photos),
    )
    done = process(source, tmp_path / "together.mp4", Picky(), settings)
    assert passes == [4, 4, 2] and done.failed == expected.failed == [2, 5, 6]
    assert done.path.read_bytes() == expected.path.read_bytes()


def test_frames_that_do_not_fit_in_together_are_taken_by_fewer(tmp_path, monkeypatch):
    passes = []

    def full(restorer, photos):
        passes.append(len(photos))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(treatment, "backgrounds_on_device", full)
    monkeypatch.setattr(treatment, "most_at_once", lambda restorer, photo: 4)
    source = make_clip(tmp_path / "a.mp4", 12)
    expected = process(source, tmp_path / "b.mp4", Darker(), VideoSettings(temporal="off"))
    real = Network.__init__

    def on_gpu(network, *given):
        real(network, *given)
        network.most_together = None

    monkeypatch.setattr(Network, "__init__", on_gpu)
    done = process(source, tmp_path / "c.mp4", Darker(), VideoSettings(temporal="off"))
    assert passes[0] == 4 and passes[-1] == 2 and done.path.read_bytes() == expected.path.read_bytes()


def test_hardware_that_is_not_there_is_said_before_any_work(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "a.mp4", 3)
    without_gpu(monkeypatch)
    with pytest.raises(UsageError, match=r"a\.mp4: no GPU decodes it here \(.+\); leave out `hwaccel`"):
        process(clip, tmp_path / "b.mp4", Identity(), VideoSettings(hwaccel=True))
    odd = make_clip(tmp_path / "a.mov", 3, codec="prores_ks", pixel_format="yuv422p10le")
    with pytest.raises(UsageError, match="it does not know prores"):
        process(odd, tmp_path / "b.mov", Identity(), VideoSettings(hwaccel=True))
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "a.mov"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="its GPU may encode")
def test_a_gpu_that_cannot_encode_is_said_and_leaves_nothing(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", 3)
    with pytest.raises(PhotoError, match=r"cannot be encoded as h264_nvenc \(.+\); it needs an NVIDIA GPU"):
        process(clip, tmp_path / "b.mp4", Identity(), VideoSettings(codec="h264_nvenc"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("source", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuva444p", "rgb24", "gray"])
@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_a_gpu_that_encodes_gets_frames_that_every_such_gpu_takes(codec, source):
    form = choose_pixel_format(codec, source, (64, 48))
    assert form in {"yuv420p", "yuv444p"} or (form == "p010le" and codec != "h264_nvenc" and "10" in source)


def test_a_gpu_that_encodes_keeps_quality_and_no_bit_rate():
    assert encoder_options("h264_nvenc", 25, "p6", {}) == {"rc": "vbr", "cq": "25", "b": "0", "preset": "p6"}


def without_gpu(monkeypatch):
    """A machine with one decodes; what then fails is the same as elsewhere."""
    real = av.open

    def opened(*given, hwaccel=None, **named):
        if hwaccel and str(given[0]).endswith(".mp4"):
            raise av.error.PermissionError(1, "Operation not permitted")
        return real(*given, hwaccel=hwaccel, **named)

    monkeypatch.setattr(av, "open", opened)
