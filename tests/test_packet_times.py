"""Times of a clip's frames, told by its packets: those that decoding tells, or none."""

from fractions import Fraction

import pytest

from derain.video.packet_times import UntoldError, told_times
from derain.video.reading import Clip
from tests.test_damaged_clips import make
from tests.test_video import make_clip

UNEVEN = [index * 40 + 7 * (index % 3) for index in range(30)]


@pytest.mark.parametrize("since", [None, 0.5])
@pytest.mark.parametrize(
    "name, how",
    [
        ("b_frames.mp4", {"count": 60, "options": {"g": "12", "bf": "3", "b-pyramid": "normal"}}),
        ("uneven.mkv", {"times": UNEVEN, "base": Fraction(1, 1000)}),
        ("hidden.webm", {"count": 30, "codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
    ],
)
def test_packets_tell_the_times_of_the_frames_that_are_decoded(tmp_path, name, how, since):
    with Clip(make_clip(tmp_path / name, **how)) as clip:
        assert list(told_times(clip, since)) == list(clip.times(since))


@pytest.mark.parametrize("name", ["cut.mkv", "decoded.avi"])
def test_where_packets_do_not_tell_that_is_said(tmp_path, name):
    path = make(tmp_path / name)
    if name == "cut.mkv":
        path.write_bytes(path.read_bytes()[:-2000])
    with Clip(path) as clip, pytest.raises(UntoldError):
        list(told_times(clip))
