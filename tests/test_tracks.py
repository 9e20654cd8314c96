"""`derain video`: what a clip holds beside its first picture track comes back."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from derain.video import VideoSettings, process
from tests.test_video import Darker, Identity, make_clip

FRAME_BY_FRAME = VideoSettings(temporal="off")


def remuxed(sources: list[Path], out: Path, change: Callable[[list], None] = lambda streams: None, **options) -> Path:
    """The streams of all sources in one file, after ``change`` was made to them."""
    files = [av.open(str(source)) for source in sources]
    with av.open(str(out), "w", options=options) as clip:
        streams = [{s.index: clip.add_stream_from_template(s, opaque=True) for s in file.streams} for file in files]
        change([new for found in streams for new in found.values()])
        packets = [(p, found[p.stream.index]) for file, found in zip(files, streams) for p in file.demux() if p.size]
        for packet, stream in sorted(packets, key=lambda pair: pair[0].dts * pair[0].time_base):
            packet.stream = stream
            clip.mux(packet)
    return out


def brightness(path: Path) -> list[list[float]]:
    """Of every frame of every picture track."""
    found = []
    for track in range(len(av.open(str(path)).streams.video)):
        with av.open(str(path)) as clip:
            found.append([frame.to_ndarray(format="gray").mean() for frame in clip.decode(video=track)])
    return found


@pytest.fixture
def two_cameras(tmp_path) -> Callable[[str], Path]:
    """Front and rear, the sound between them, with other clocks, sizes and numbers of frames."""

    def made(ending: str) -> Path:
        def named(streams: list) -> None:
            for stream, name in zip(streams, ("Front", "Ton", "Heck")):
                stream.metadata["title"], stream.metadata["language"] = name, "deu"
            streams[2].disposition = 1 << 2 if ending == ".mkv" else 0

        front = make_clip(tmp_path / "front.mp4", sound=1, base=Fraction(1, 12800))
        rear = make_clip(tmp_path / "rear.mp4", count=9, size=(32, 48), base=Fraction(1, 15000))
        return remuxed([front, rear], tmp_path / f"a{ending}", named)

    return made


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_every_picture_track_is_derained_and_stays_where_it_was(tmp_path, two_cameras, ending):
    source, out = two_cameras(ending), tmp_path / f"b{ending}"
    assert process(source, out, Darker(), FRAME_BY_FRAME).frames == 12 + 9
    for before, after in zip(brightness(source), brightness(out), strict=True):
        assert len(before) == len(after)
        assert sum(after) == pytest.approx(0.8 * sum(before), rel=0.1)
    with av.open(str(source)) as before, av.open(str(out)) as after:
        for one, other in zip(before.streams, after.streams, strict=True):
            assert (one.type, one.time_base, one.disposition) == (other.type, other.time_base, other.disposition)
            told = ("title", "language", "handler_name")
            assert [one.metadata.get(key) for key in told] == [other.metadata.get(key) for key in told]


def test_a_run_interrupted_in_the_second_track_goes_on_there(tmp_path, two_cameras):
    source, out, seen = two_cameras(".mp4"), tmp_path / "b.mp4", []

    def interrupt(done, total, seconds):
        seen.append((done, total))
        if done == 12 + 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(source, out, Identity(), FRAME_BY_FRAME, report=interrupt)
    said = []
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    assert seen[-1] == (17, 21) and "goes on after 12 frames" in said[0]
    assert [len(track) for track in brightness(out)] == [12, 9]
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_stretch_is_taken_of_every_picture_track(tmp_path, two_cameras):
    process(two_cameras(".mkv"), tmp_path / "b.mkv", Identity(), VideoSettings(temporal="off", start=0.2, end=0.4))
    assert [len(track) for track in brightness(tmp_path / "b.mkv")] == [5, 4]
