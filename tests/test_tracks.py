"""`derain video`: what a clip holds beside its first picture track comes back."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from derain.video import VideoSettings, process
from derain.video.gifs import read_pages
from tests.test_video import Darker, Identity, make_clip, picture

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


@pytest.fixture
def stickers(tmp_path) -> Path:
    """A GIF of which only a disc shows that moves and rests, with comments, a loop count and uneven times."""
    pages = []
    for place in (0, 10, 10, 20):
        page = Image.fromarray(picture(0)).convert("RGBA")
        rows, columns = np.mgrid[:48, :64]
        disc = (rows - 24) ** 2 + (columns - 20 - place) ** 2 < 200
        page.putalpha(Image.fromarray(np.where(disc, 255, 0).astype(np.uint8)))
        pages.append(page)
    how = {"duration": [100, 200, 50, 400], "disposal": 2, "loop": 3, "comment": "Regen über Köln".encode()}
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], **how)
    return tmp_path / "a.gif"


def test_a_transparent_gif_stays_transparent(tmp_path, stickers):
    process(stickers, tmp_path / "b.gif", Darker(), FRAME_BY_FRAME)
    with Image.open(stickers) as before, Image.open(tmp_path / "b.gif") as after:
        assert after.n_frames == before.n_frames
        for one, other in zip(ImageSequence.Iterator(before), ImageSequence.Iterator(after)):
            one, other = (np.asarray(page.convert("RGBA")).astype(int) for page in (one, other))
            assert np.array_equal(one[..., 3], other[..., 3]) and 0 < other[..., 3].mean() < 250
            shown = one[..., 3] > 0
            assert np.abs(0.8 * one[shown] - other[shown])[:, :3].mean() < 3


def test_what_a_gif_says_beside_its_pictures_comes_back(tmp_path, stickers):
    content = stickers.read_bytes()
    extension = b"\x21\xff\x0bXMP DataXMP\x04<x/>\0"
    at = content.index(b"\x21\xfe")  # the comment
    stickers.write_bytes(content[:at] + extension + content[at:-1] + b"\x21\xfe\x03end\0;")
    process(stickers, tmp_path / "b.gif", Identity(), FRAME_BY_FRAME)
    before, after = (read_pages(path.read_bytes())[1:] for path in (stickers, tmp_path / "b.gif"))
    assert before == after and extension in before[0][0].before and before[1] == b"\x21\xfe\x03end\0"


def test_pictures_of_a_gif_that_look_alike_all_stay(tmp_path):
    pages = [Image.fromarray(picture(number)).quantize(64) for number in range(2)]
    source = tmp_path / "a.gif"
    pages[0].save(source, save_all=True, append_images=pages[1:], duration=[30, 60])
    content = source.read_bytes()
    at = content.rindex(b"\x21\xf9")
    source.write_bytes(content[:-1] + content[at:])  # the second once more
    process(source, tmp_path / "b.gif", Identity(), FRAME_BY_FRAME)
    after = read_pages((tmp_path / "b.gif").read_bytes())[1]
    assert [page.delay for page in after] == [3, 6, 6]
