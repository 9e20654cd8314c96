"""Frames that a GPU takes several at once come out as one after the other."""

import numpy as np
import pytest

from derain.video import VideoSettings, process
from derain.video.treatment import Network
from tests.test_video import Darker, make_clip


class Picky(Darker):
    """Fails on some frames."""

    def layers(self, rainy):
        if float(rainy[0, 0, 10:22].mean()) > 0.5 + 0.001:
            raise ValueError("too bright")
        return super().layers(rainy)


def brightening(index, size):
    return np.full((*size, 3), (60, 200)[index in (2, 5, 6)], np.uint8) + np.uint8(index)


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
