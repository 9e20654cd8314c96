"""`derain video`: every clip comes back whole, in time, resumable, and bad ones end in a sentence."""

import errno
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import derain
from derain.errors import PhotoError, UsageError
from derain.models.contract import Derainer
from derain.video import VideoSettings, frames, process, sample_frames
from derain.video.clock import Part, StreamClock
from derain.video.colour import Colours, from_rgb
from derain.video.containers.mp4_header import write_in_header
from derain.video.formats import choose_encoder, choose_pixel_format
from derain.video.joining import decoding_times
from derain.video.reading import Clip
from derain.video.timecodes import later
from tests.forks import command

QUARTER_TURN = struct.pack("=9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
FRAME_BY_FRAME = VideoSettings(temporal="off")


def save_photo(pixels: np.ndarray, path: Path, **options) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


class Identity(Derainer):
    """Finds no rain."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def layers(self, rainy):
        return rainy, torch.zeros_like(rainy)


class Darker(Identity):
    """Takes a fifth of everything for rain, and gets nothing back of that."""

    only_removes = False

    def layers(self, rainy):
        return rainy * 0.8, rainy * 0.2


def picture(index: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A smooth scene in which a square moves."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    scene = np.stack([60 + rows * 2, 90 + columns, 200 - rows - columns], axis=2).astype(np.uint8)
    scene[10:22, 4 + index : 16 + index] = (210, 60, 40)
    return scene


def make_clip(
    path: Path,
    count: int = 12,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (48, 64),
    base: Fraction = Fraction(1, 12800),
    times: list[int] | None = None,
    tags: dict | None = None,
    options: dict | None = None,
    sound: int = 0,
    subtitles: bool = False,
    draw: Callable[[int, tuple[int, int]], np.ndarray] = picture,
    muxing: dict | None = None,
) -> Path:
    """A clip of ``count`` frames at 25 a second, or at ``times`` in units of ``base``."""
    times = times or [index * round(Fraction(1, 25) / base) for index in range(count)]
    clock = {"video_track_timescale": str(base.denominator)} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=clock | (muxing or {})) as clip:
        clip.metadata["title"] = "Regen über Köln"
        video = clip.add_stream(codec, rate=25, options=options or {})
        video.height, video.width = size
        video.pix_fmt = pixel_format
        video.codec_context.time_base = base
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        tracks = [clip.add_stream("aac", rate=44100) for _ in range(sound)]
        for number, track in enumerate(tracks):
            track.metadata["language"] = ("deu", "eng")[number % 2]
        text = clip.add_mux_stream("subrip") if subtitles else None
        if text:
            text.time_base = Fraction(1, 1000)
            clip.set_chapters([{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {}}])
        for index, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(index, size), "rgb24").reformat(
                format=pixel_format, dst_color_range=(tags or {}).get("color_range"), dst_colorspace="itu709"
            )
            frame.pts, frame.time_base = pts, base
            clip.mux(video.encode(frame))
            if text and index == 3:
                line = av.Packet(b"Es regnet")
                line.stream, line.pts, line.dts, line.duration = text, 100, 100, 200
                line.time_base = Fraction(1, 1000)
                clip.mux(line)
        clip.mux(video.encode())
        for track in tracks:
            for block in range(len(times) * 44100 // 25 // 1024):
                tone = np.sin(np.arange(1024) / 9 + block).astype(np.float32)
                sample = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
                sample.sample_rate, sample.pts, sample.time_base = 44100, block * 1024, Fraction(1, 44100)
                clip.mux(track.encode(sample))
            clip.mux(track.encode())
    return path


def facts(path: Path) -> dict:
    """What has to be the same in source and result."""
    with av.open(str(path)) as clip:
        video = clip.streams.video[0]
        first: list = []
        shown = []
        for frame in clip.decode(video):
            first = first or [
                frame.rotation,
                frame.colorspace,
                frame.color_range,
                frame.color_trc,
                frame.color_primaries,
            ]
            shown.append(frame.pts * frame.time_base)
        found = {
            "length": round(clip.duration / av.time_base, 1),
            "times": shown,
            "size": (video.width, video.height),
            "rotation and colours": first,
            "streams": [(s.type, s.language) for s in clip.streams],
            "title": clip.metadata.get("title") or clip.metadata.get("TITLE"),
            "chapters": [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in clip.chapters()],
            "bits": max(c.bits for c in video.format.components),
        }
    with av.open(str(path)) as clip:
        packets: dict[int, list] = {}
        for packet in clip.demux():
            if packet.size and packet.stream.type != "video":
                packets.setdefault(packet.stream.index, []).append(
                    (bytes(packet), round(float(packet.pts * packet.time_base), 3))
                )
        found["packets"] = packets
    return found


def rotated(path: Path) -> Path:
    write_in_header(make_clip(path, sound=1), QUARTER_TURN)
    return path


BT709_FULL = {"color_range": 2, "colorspace": 1, "color_primaries": 1, "color_trc": 1}
HDR = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
UNEVEN = [0, 512, 1100, 1500, 2600, 2900, 3700, 4000, 5000, 5100, 6000, 6400]
CLIPS = {
    "plain.mp4": lambda p: make_clip(p, sound=1),
    "no sound.mov": make_clip,
    "variable rate.mp4": lambda p: make_clip(p, times=UNEVEN),
    "late start.mp4": lambda p: make_clip(p, times=[t + 6400 for t in UNEVEN], sound=1),
    "two languages.mp4": lambda p: make_clip(p, sound=2),
    "subtitles.mkv": lambda p: make_clip(p, base=Fraction(1, 1000), sound=1, subtitles=True),
    "turned.mp4": rotated,
    "odd.webm": lambda p: make_clip(p, codec="libvpx-vp9", size=(47, 63), base=Fraction(1, 1000)),
    "odd.mkv": lambda p: make_clip(p, size=(47, 63), pixel_format="yuv444p", base=Fraction(1, 1000)),
    "ten bits.mp4": lambda p: make_clip(p, codec="libx265", pixel_format="yuv420p10le", tags=HDR),
    "full range.mp4": lambda p: make_clip(p, tags=BT709_FULL),
    "slow clock.mov": lambda p: make_clip(p, base=Fraction(1, 600)),
    "one frame.mp4": lambda p: make_clip(p, count=1),
    "no b frames.avi": lambda p: make_clip(p, codec="mpeg4", base=Fraction(1, 25), times=list(range(12))),
}


@pytest.mark.parametrize("name", CLIPS)
def test_all_but_the_rain_comes_back(tmp_path, name):
    source = CLIPS[name](tmp_path / name)
    out = tmp_path / f"dry {name}"
    done = process(source, out, Identity())
    before, after = facts(source), facts(out)
    assert done.frames == len(before["times"])
    for what in before:
        assert after[what] == before[what], what
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, out.name])


@pytest.mark.parametrize("name", ["plain.mp4", "full range.mp4", "ten bits.mp4", "odd.webm", "turned.mp4"])
def test_a_network_that_finds_nothing_costs_no_more_than_two_grey_levels(tmp_path, name):
    source = CLIPS[name](tmp_path / name)
    process(source, tmp_path / f"dry {name}", Identity())
    pairs = list(zip(frames(source), frames(tmp_path / f"dry {name}"), strict=True))
    white = 65535 if "ten" in name else 255
    errors = [np.abs(a.pixels.astype(float) - b.pixels).mean() * 255 / white for a, b in pairs]
    assert np.mean(errors) <= 2, errors
    if name == "turned.mp4":
        assert pairs[0][0].pixels.shape == (64, 48, 3)


def test_the_network_sees_frames_upright(tmp_path):
    seen = []

    class Watching(Identity):
        def layers(self, rainy):
            seen.append(tuple(rainy.shape[-2:]))
            return rainy, torch.zeros_like(rainy)

    process(rotated(tmp_path / "a.mp4"), tmp_path / "b.mp4", Watching(), FRAME_BY_FRAME)
    assert set(seen) == {(64, 48)}


@pytest.mark.parametrize("layer, expected", [("background", 0.8), ("rain", 0.2)])
def test_the_layer_asked_for_is_written(tmp_path, layer, expected):
    source = make_clip(tmp_path / "a.mp4", count=3)
    process(source, tmp_path / "b.mp4", Darker(), VideoSettings(temporal="off", layer=layer))
    before, after = (next(iter(frames(p))).pixels.astype(float) for p in (source, tmp_path / "b.mp4"))
    assert after.mean() == pytest.approx(before.mean() * expected, rel=0.03)


def test_comparison_strength_and_preview(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=3)
    settings = VideoSettings(temporal="off", layer="compare", strength=0.5, preview=tmp_path / "now.png")
    process(source, tmp_path / "b.mp4", Darker(), settings)
    frame = next(iter(frames(tmp_path / "b.mp4"))).pixels.astype(float)
    assert frame.shape == (48, 128, 3) and (tmp_path / "now.png").is_file()
    assert frame[:, 64:].mean() == pytest.approx(frame[:, :64].mean() * 0.9, rel=0.03)


def test_neither_a_preview_nor_a_result_takes_the_place_of_what_is_read(tmp_path, rng, small_weights):
    frames_in = tmp_path / "frames"
    frames_in.mkdir()
    for n in range(2):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(frames_in / f"{n:05d}.png")
    before = [path.read_bytes() for path in sorted(frames_in.iterdir())]
    for source in (frames_in, frames_in / "%05d.png"):
        settings = VideoSettings(temporal="off", preview=frames_in / "00001.png")
        with pytest.raises(UsageError, match="00001.png: would replace what is read as `source`"):
            process(source, tmp_path / "dry", Darker(), settings)
    weights = small_weights.rename(tmp_path / "w.gif")
    kept = weights.read_bytes()
    Image.new("RGB", (64, 48)).save(tmp_path / "a.gif")
    for words in (["--output", weights, "--overwrite"], ["--preview", weights]):
        done = command("video", tmp_path / "a.gif", "--weights", weights, *words)
        assert done.returncode == 2 and "w.gif: would replace what is read as --weights" in done.stderr, done.stderr
    assert weights.read_bytes() == kept and before == [path.read_bytes() for path in sorted(frames_in.iterdir())]


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_hevc_is_named_as_apples_players_want_it(tmp_path, ending):
    clip = make_clip(tmp_path / f"a{ending}", codec="libx265", sound=1)
    process(clip, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    with av.open(str(tmp_path / f"b{ending}")) as result:
        assert result.streams.video[0].codec_context.codec_tag == "hvc1"
        assert len(list(result.decode(video=0))) == 12


def test_a_stretch_starts_at_zero_and_drops_the_rest(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=50, sound=1)
    done = process(source, tmp_path / "b.mp4", Identity(), VideoSettings(start=0.4, end=1.2, audio=True))
    found = facts(tmp_path / "b.mp4")
    assert done.frames == 20 and found["times"] == [Fraction(index, 25) for index in range(20)]
    last = max(time for _, time in found["packets"][1])
    assert 0.7 < last < 0.8
    silent = process(source, tmp_path / "c.mp4", Identity(), VideoSettings(end=1.0, audio=False, fps_limit=5))
    assert silent.frames == 5 and [s for s, _ in facts(tmp_path / "c.mp4")["streams"]] == ["video"]


def test_a_subtitle_that_shows_at_the_start_stays(tmp_path):
    source = CLIPS["subtitles.mkv"](tmp_path / "a.mkv")  # from 0.1 to 0.3 s
    process(source, tmp_path / "b.mkv", Identity(), VideoSettings(start=0.2))
    with av.open(str(tmp_path / "b.mkv")) as clip:
        lines = [packet for packet in clip.demux(subtitles=0) if packet.size]
        assert [(bytes(p), p.pts, p.duration) for p in lines] == [(b"Es regnet", 0, 100)]
    process(source, tmp_path / "c.mkv", Identity(), VideoSettings(start=0.32))
    with av.open(str(tmp_path / "c.mkv")) as clip:
        assert not [packet for packet in clip.demux(subtitles=0) if packet.size]


def test_streams_that_the_container_cannot_hold_are_said(tmp_path):
    said = []
    source = CLIPS["subtitles.mkv"](tmp_path / "a.mkv")
    process(source, tmp_path / "b.mp4", Identity(), say=said.append)
    assert any("srt" in line and "left out" in line for line in said)
    assert [kind for kind, _ in facts(tmp_path / "b.mp4")["streams"]] == ["video", "audio"]


@pytest.mark.parametrize("form", ["gray", "gray10le"])
@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_grey_clips_keep_their_contrast(tmp_path, form, ending):
    ramp = np.repeat(np.arange(0, 256, 4, np.uint8)[None], 64, axis=0)
    with av.open(str(tmp_path / "a.mkv"), "w") as clip:
        stream = clip.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, form
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(ramp, "gray")
            clip.mux(stream.encode(frame.reformat(format=form) if form != "gray" else frame))
        clip.mux(stream.encode())
    before = next(iter(frames(tmp_path / "a.mkv"))).pixels.astype(float)
    process(tmp_path / "a.mkv", tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    after = next(iter(frames(tmp_path / f"b{ending}"))).pixels.astype(float)
    assert np.abs(to_8(after) - to_8(before)).mean() < 1.5
    assert np.abs(to_8(before)[..., 0] - ramp).mean() < 1


@pytest.mark.parametrize("tags", [{}, {"color_range": 1, "colorspace": 1}])
def test_motion_jpeg_takes_any_clip_and_keeps_its_colours(tmp_path, tags):
    source = make_clip(tmp_path / "a.mp4", count=2, tags=tags, options={"qp": "1"})
    process(source, tmp_path / "b.mkv", Identity(), VideoSettings(temporal="off", codec="mjpeg"))
    for before, after in zip(frames(source), frames(tmp_path / "b.mkv"), strict=True):
        assert np.abs(after.pixels.astype(float) - before.pixels).mean() < 3


BY_NAME = "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow or placebo"


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"options": {"bogus": "1", "tune": "film"}}, "libx264 has no encoder option bogus; correct it or"),
        ({"crf": 99}, "libx264 takes `crf` from 0 to 51, not 99"),
        ({"crf": -9}, "libx264 takes `crf` from 0 to 51, not -9"),
        ({"preset": "nonsense", "crf": 20}, f"libx264 takes `preset` {BY_NAME}, not nonsense"),
        ({"preset": "99", "codec": "libsvtav1"}, "libsvtav1 takes `preset` from 0, which is slow, to 13, not 99"),
        (
            {"options": {"tune": "nonsense"}, "preset": "fast"},
            "libx264 does not take encoder option tune=nonsense (Invalid argument); give another value",
        ),
        ({"codec": "rawvideo", "options": {"tune": "film"}}, "rawvideo has no encoder option tune; correct it or"),
    ],
)
def test_options_that_the_encoder_does_not_know_or_take_are_refused_before_any_work(tmp_path, settings, said):
    source, asked = make_clip(tmp_path / "a.mp4", count=2), list[bool]()
    with pytest.raises(UsageError, match=re.escape(f"a.mp4: {said}")):
        process(source, tmp_path / "b.mkv", lambda: asked.append(True), VideoSettings(**settings))
    assert not asked and [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_quality_and_speed_that_an_encoder_has_not_are_told(tmp_path):
    source, said = make_clip(tmp_path / "a.mp4", count=2), list[str]()

    def done(**settings):
        return process(source, tmp_path / "b.mkv", Identity(), VideoSettings(**settings), True, say=said.append)

    done(options={"tune": "film"}, preset="fast", crf=20)
    done(codec="mjpeg", crf=5)
    assert not any("counts for nothing" in line for line in said)
    done(codec="ffv1", crf=5)
    assert f"{source}: ffv1 has no `crf`, so it counts for nothing" in said


@pytest.mark.parametrize("kind", ["pictures", "a clip", "a GIF"])
def test_options_of_encoders_and_decoders_are_told_where_pictures_have_none(tmp_path, kind):
    save_photo(picture(0), tmp_path / "frames" / "a.png")
    Image.fromarray(picture(0)).save(tmp_path / "a.gif", save_all=True, append_images=[Image.fromarray(picture(1))])
    makes = {
        "pictures": (tmp_path / "frames", tmp_path / "out"),
        "a clip": (make_clip(tmp_path / "a.mp4", 1), tmp_path / "out"),
        "a GIF": (tmp_path / "a.gif", tmp_path / "b.gif"),
    }
    has = "a GIF has" if kind == "a GIF" else "frames as pictures have"
    settings = VideoSettings("off", crf=20, preset="fast", options={"tune": "film"}, hwaccel=kind != "a clip")
    told = [f"{has} no {what}, so it counts for nothing" for what in ("`crf`", "`preset`", "encoder option tune")]
    told += ["pictures are decoded on the CPU, so `hwaccel` counts for nothing"] * settings.hwaccel
    assert process(*makes[kind], Identity(), settings).notes == told
    with pytest.raises(UsageError, match=f"{has} no `codec`; leave it out"):
        process(*makes[kind], Identity(), replace(settings, codec="ffv1"), overwrite=True)


def test_raw_frames_go_into_containers_that_hold_them_and_into_no_other(tmp_path):
    source, settings = make_clip(tmp_path / "a.mp4", 2, sound=1), VideoSettings("off", codec="rawvideo")
    for name in ("b.mkv", "b.avi"):
        process(source, tmp_path / name, Identity(), settings)
        for before, after in zip(frames(source), frames(tmp_path / name), strict=True):
            assert np.abs(after.pixels.astype(float) - before.pixels).mean() < 1  # its chroma is halved anew
    with pytest.raises(UsageError, match="mov cannot hold `codec` rawvideo; .*give a result in .mkv"):
        process(source, tmp_path / "b.mov", Identity(), settings)


def to_8(pixels: np.ndarray) -> np.ndarray:
    return pixels / 257 if pixels.max() > 255 else pixels


def test_interlaced_frames_are_deinterlaced_and_said(tmp_path):
    comb = make_clip(tmp_path / "a.mp4", options={"x264-params": "tff=1"})
    said = []
    done = process(comb, tmp_path / "b.mp4", Identity(), say=said.append)
    assert any("interlaced" in line for line in said) and done.frames == 12
    assert any("interlaced" in line for line in process(comb, tmp_path / "frames", Identity()).notes)
    assert facts(tmp_path / "b.mp4")["times"] == facts(comb)["times"]
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert not any(frame.interlaced_frame for frame in clip.decode(video=0))


def test_frames_that_are_interlaced_though_the_header_does_not_tell_are_said(tmp_path):
    smooth, comb = (
        make_clip(tmp_path / name, codec="mpeg2video", base=Fraction(1, 25), options=options)
        for name, options in (("smooth.ts", {}), ("comb.ts", {"flags": "+ildct+ilme", "top": "1"}))
    )
    (tmp_path / "a.ts").write_bytes(smooth.read_bytes() + comb.read_bytes())
    with Clip(tmp_path / "a.ts") as clip:
        assert not clip.interlaced
    notes = process(tmp_path / "a.ts", tmp_path / "b.mkv", Identity()).notes
    assert any("interlaced" in note for note in notes)


class Failing(Identity):
    """Fails at the third frame it sees."""

    only_removes = False

    def layers(self, rainy):
        self.seen = getattr(self, "seen", 0) + 1
        if self.seen == 3:
            raise PhotoError("not enough memory for it")
        return rainy * 0.5, rainy * 0.5


def test_a_frame_that_fails_stops_or_is_passed_through(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=5)
    with pytest.raises(PhotoError, match="frame 2: not enough memory.*`keep_going`"):
        process(source, tmp_path / "b.mp4", Failing(), FRAME_BY_FRAME)
    assert not (tmp_path / "b.mp4").exists()
    done = process(source, tmp_path / "c.mp4", Failing(), VideoSettings(temporal="off", keep_going=True))
    light = [frame.pixels.mean() for frame in frames(tmp_path / "c.mp4")]
    assert done.failed == [2] and light[2] > 1.7 * light[1] and light[3] < 0.6 * light[2]


def test_frames_that_failed_before_an_interruption_are_not_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 4)
    source, settings = make_clip(tmp_path / "a.mp4"), VideoSettings(temporal="off", keep_going=True)

    def interrupt(done, total, seconds):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(source, tmp_path / "b.mp4", Failing(), settings, report=interrupt)
    done = process(source, tmp_path / "b.mp4", Failing(), settings)
    assert done.failed == [2, 10]  # the third frame that either run sees; the first of the second is frame 8


def test_frames_that_failed_count_as_the_file_has_them(tmp_path, monkeypatch):
    """Fusion looks back at frames that are encoded already; a run may also fail after its last frame."""
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 4)
    source, settings = make_clip(tmp_path / "a.mp4"), VideoSettings(keep_going=True)
    network, other = Failing(), Failing()
    network.seen = -1  # fails at frame 3
    other.seen = 2  # fails at the first frame that is looked back at, and never again

    def interrupt(done, total, seconds):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(source, tmp_path / "b.mp4", network, settings, report=interrupt)
    with monkeypatch.context() as patch, pytest.raises(PhotoError):
        patch.setattr("derain.video.pipeline.join", full_disk)
        process(source, tmp_path / "b.mp4", other, settings)
    assert process(source, tmp_path / "b.mp4", Identity(), settings).failed == [3]


def full_disk(*arguments):
    raise PhotoError("no space left")


def test_bad_input_is_one_clear_sentence(tmp_path):
    good = make_clip(tmp_path / "good.mp4", sound=1)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"no clip" * 100)
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:700])
    with av.open(str(tmp_path / "sound.mp4"), "w") as clip:
        track = clip.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        silence.sample_rate = 44100
        clip.mux(track.encode(silence))
        clip.mux(track.encode())
    (tmp_path / "strange.mp4").write_bytes(good.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(PhotoError, match="strange.mp4: .*codec"):
        process(tmp_path / "strange.mp4", tmp_path / "out.mp4", Identity())
    for name in ("empty.mp4", "text.mp4", "cut.mp4", "missing.mp4"):
        with pytest.raises(PhotoError, match=name):
            process(tmp_path / name, tmp_path / "out.mp4", Identity())
    with pytest.raises(PhotoError, match="sound.mp4: holds no video"):
        process(tmp_path / "sound.mp4", tmp_path / "out.mp4", Identity())
    with pytest.raises(UsageError, match="must end in"):
        process(good, tmp_path / "out.txt", Identity())
    with pytest.raises(UsageError, match="is the source itself"):
        process(good, good, Identity(), overwrite=True)
    with pytest.raises(UsageError, match="`codec` nothing"):
        process(good, tmp_path / "out.mp4", Identity(), VideoSettings(codec="nothing"))
    with pytest.raises(UsageError, match="`precision` half: choose auto"):
        process(good, tmp_path / "out.mp4", Identity(), VideoSettings(precision="half"))
    with pytest.raises(UsageError, match="`end` 1"):
        process(good, tmp_path / "out.mp4", Identity(), VideoSettings(start=2, end=1))
    assert not list(tmp_path.glob("out.mp4*"))


def test_a_truncated_clip_leaves_no_half_result(tmp_path):
    whole = make_clip(tmp_path / "a.mkv", count=60, base=Fraction(1, 1000))
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    try:
        done = process(whole, tmp_path / "b.mkv", Identity())
    except PhotoError as error:
        assert "damaged" in str(error) and not (tmp_path / "b.mkv").exists()
    else:
        assert 0 < done.frames < 60  # a clip that just ends early is a shorter clip


def test_an_unfinished_run_of_other_settings_is_not_mixed_in(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)
    source = make_clip(tmp_path / "a.mp4")
    with pytest.raises(PhotoError):
        process(source, tmp_path / "b.mp4", Failing(), FRAME_BY_FRAME)
    half = VideoSettings(temporal="off", strength=0.5)
    with pytest.raises(UsageError, match="other settings; remove the folder, or give `overwrite`, to start over"):
        process(source, tmp_path / "b.mp4", Identity(), half)
    said = []
    done = process(source, tmp_path / "b.mp4", Identity(), half, overwrite=True, say=said.append)
    assert done.frames == 12 and not (tmp_path / "b.mp4.unfinished").exists()
    why = f"starting over, as {tmp_path / 'b.mp4.unfinished'} was begun with another source or other settings"
    assert said == [f"{source}: {why}"]


@pytest.mark.parametrize("method", ['"method": 0', '"weights of": "one without a method"'])
def test_an_unfinished_run_of_another_version_is_not_mixed_in(tmp_path, monkeypatch, method):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)
    source, begun, said = make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4.unfinished", []
    with pytest.raises(PhotoError):
        process(source, tmp_path / "b.mp4", Failing(), FRAME_BY_FRAME)
    manifest = begun / "manifest.json"
    manifest.write_text(re.sub(r'"method": \d+', method, manifest.read_text()))
    with pytest.raises(UsageError, match="was begun by another version of derain; remove the folder, or give"):
        process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME, overwrite=True, say=said.append)
    assert said == [f"{source}: starting over, as {begun} was begun by another version of derain"]


@pytest.mark.parametrize("remedy", [{"keep_going": True}, {"max_memory": 2e9}, {"preview": "p.jpg"}])
def test_a_frame_that_fails_costs_nothing_that_was_done_before(tmp_path, monkeypatch, remedy):
    """Not even where the run goes on with what its error advises."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)
    source, said = make_clip(tmp_path / "a.mp4"), []
    with pytest.raises(PhotoError):
        process(source, tmp_path / "b.mp4", Failing(), FRAME_BY_FRAME)
    done = process(source, tmp_path / "b.mp4", Identity(), replace(FRAME_BY_FRAME, **remedy), say=said.append)
    assert done.frames == 12 and f"{source}: continuing after 2 frames done before" in said


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_nobody_else_sees_the_pieces_of_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)
    source = make_clip(tmp_path / "a.mp4")
    with pytest.raises(PhotoError):
        process(source, tmp_path / "b.mp4", Failing(), FRAME_BY_FRAME)
    assert (tmp_path / "b.mp4.unfinished").stat().st_mode & 0o777 == 0o700


def test_what_somebody_put_among_the_pieces_of_a_result_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)
    source, folder = make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4.unfinished"
    with pytest.raises(PhotoError):
        process(source, tmp_path / "b.mp4", Failing(), FRAME_BY_FRAME)
    (folder / "holiday").mkdir()
    for name in ("holiday/a.jpg", "notes.txt"):
        (folder / name).write_bytes(b"mine")
    half = VideoSettings(temporal="off", strength=0.5)
    process(source, tmp_path / "b.mp4", Identity(), half, overwrite=True)
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert left == ["holiday", "holiday/a.jpg", "notes.txt"]


def test_a_run_that_replaces_a_result_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)
    source, once_failing, said = make_clip(tmp_path / "a.mp4"), Failing(), []
    with pytest.raises(PhotoError):
        process(source, tmp_path / "b.mp4", once_failing, FRAME_BY_FRAME, overwrite=True)
    process(source, tmp_path / "b.mp4", once_failing, FRAME_BY_FRAME, overwrite=True, say=said.append)
    assert said and "continuing after" in said[0]


RUN = """
import os, sys
from derain.video import process
from derain.video.work import Work
from tests.forks import killed_after
from tests.test_video import Darker
Work.SEGMENT_FRAMES = 8
for moment in sys.argv[3:]:  # one child after the other, each killed after so many frames and seconds
    if not (child := os.fork()):
        process(sys.argv[1], sys.argv[2], Darker(), report=killed_after(moment))
        os._exit(0)
    print(ended := os.waitpid(child, 0)[1], flush=True)
    if not ended:
        break
sys.exit()
"""


def test_killed_again_and_again_it_has_exactly_the_frames_of_an_undisturbed_run(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=250, times=[t * 512 + (t % 3) * 40 for t in range(250)], sound=1)

    def run(out: str, *moments: str) -> list[str]:
        done = command(source, tmp_path / out, *moments, before=RUN)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    rng = random.Random(0)
    moments = ["0/0.05", *(f"{rng.randrange(5, 25)}/{rng.uniform(0, 0.02)}" for _ in range(8))]
    ends = run("killed.mp4", *moments, "never")
    assert ends[-1] == "0" and set(ends[:-1]) == {"9"} and len(ends) > 4
    run("whole.mp4", "never")
    one, other = ([(f.pts, f.pixels.tobytes()) for f in frames(tmp_path / n)] for n in ("killed.mp4", "whole.mp4"))
    assert len(one) == 250 and one == other
    assert facts(tmp_path / "killed.mp4") == facts(tmp_path / "whole.mp4")


def test_a_full_disk_is_a_sentence_and_leaves_nothing_under_the_name(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=40)
    code = (
        "import resource, signal, sys, torch\n"
        "from derain.errors import DerainError\n"
        "from derain.video import process\n"
        "from tests.test_video import Darker\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n    process(sys.argv[1], sys.argv[2], Darker())\n"
        "except DerainError as error:\n    sys.exit(f'said: {error}')\n"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "b.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 1 and done.stderr.startswith("said: "), done.stderr
    assert not (tmp_path / "b.mp4").exists()


def test_frames_are_read_and_sampled(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=50)
    times = [frame.time for frame in derain.video.frames(source)]
    assert len(times) == 50 and times[25] == pytest.approx(1.0)
    assert len(list(sample_frames(source, 4))) == 4
    assert len(list(sample_frames(make_clip(tmp_path / "b.mp4", count=3), 10))) == 1


@pytest.mark.parametrize(
    "source, ending, codec",
    [
        ("h264", ".mp4", "libx264"),
        ("hevc", ".mov", "libx265"),
        ("prores", ".mov", "prores_ks"),
        ("prores", ".mp4", "libx264"),
        ("ffv1", ".avi", "ffv1"),
        ("h264", ".webm", "libvpx-vp9"),
    ],
)
def test_the_clip_keeps_its_codec_where_it_can(source, ending, codec):
    assert choose_encoder(source, ending, None) == codec


def test_pixel_formats_keep_depth_and_odd_sizes():
    assert choose_pixel_format("libx264", "yuv420p", (64, 48)) == "yuv420p"
    assert choose_pixel_format("libx264", "yuv420p", (63, 47)) == "yuv444p"
    assert choose_pixel_format("libx265", "yuv420p10le", (64, 48)) == "yuv420p10le"
    assert choose_pixel_format("libvpx-vp9", "yuv420p", (63, 47)) == "yuv420p"


def test_the_command_writes_beside_the_clip(tmp_path):
    source = make_clip(tmp_path / "mein 100% clip ü.mp4", count=2)
    call = ["video", source, "--encoder-option", "g=1"]
    done = command(*call)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "mein 100% clip ü.derained.mp4"
    assert done.stdout.strip() == str(out) and len(list(frames(out))) == 2
    refused = command("video", source, "--encoder-option", "foo=1", "--overwrite")
    assert refused.returncode == 2 and "libx264 has no encoder option foo" in refused.stderr


def test_a_folder_of_pictures_becomes_another_and_goes_on_where_it_was(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(6):
        save_photo(picture(index), tmp_path / "in" / f"bild {index}.jpg", quality=90, dpi=(72, 72))
    first = process(tmp_path / "in", tmp_path / "out", Darker())
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert first.frames == 6 and names == [f"bild {index}.jpg" for index in range(6)]
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    for name in names[3:]:
        (tmp_path / "out" / name).unlink()
    said = []
    process(tmp_path / "in", tmp_path / "out", Darker(), say=said.append)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before and "3 pictures" in said[0]
    with Image.open(tmp_path / "out" / names[0]) as result:
        assert result.info["dpi"] == (72, 72) and result.size == (64, 48)


def test_patterns_count_pictures_in_and_out(tmp_path):
    for index in range(3):
        save_photo(picture(index), tmp_path / f"a{index + 1:03d}.png")
    process(tmp_path / "a%03d.png", tmp_path / "new" / "b%02d.png", Identity())
    results = sorted((tmp_path / "new").iterdir())
    assert [p.name for p in results] == ["b00.png", "b01.png", "b02.png"]
    assert np.array_equal(np.asarray(Image.open(results[0])), picture(0))


def test_a_clip_becomes_pictures(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=4)
    done = process(source, tmp_path / "frames", Identity())
    assert done.frames == 4 and len(list((tmp_path / "frames").glob("*.png"))) == 4
    with pytest.raises(UsageError, match="exists"):
        process(source, tmp_path / "frames", Identity())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "frames"]


ONE = 1 << 16
MIRRORS = {
    "left to right": ((-ONE, 0, 0, ONE), lambda pixels: pixels[:, ::-1]),
    "top to bottom": ((ONE, 0, 0, -ONE), lambda pixels: pixels[::-1]),
    "at the diagonal": ((0, ONE, ONE, 0), lambda pixels: pixels.swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", MIRRORS)
def test_a_mirrored_clip_stays_mirrored_and_its_pictures_are_so(tmp_path, name):
    (right, down, up, left), mirror = MIRRORS[name]
    plain = make_clip(tmp_path / "a.mp4", count=2)
    content = bytearray(plain.read_bytes())
    struct.pack_into(">9i", content, content.find(b"tkhd") + 44, right, down, 0, up, left, 0, 0, 0, 1 << 30)
    (tmp_path / "m.mp4").write_bytes(content)
    expected = mirror(next(frames(plain)).pixels)
    assert np.array_equal(next(frames(tmp_path / "m.mp4")).pixels, expected)
    process(tmp_path / "m.mp4", tmp_path / "%d.png", Identity(), FRAME_BY_FRAME)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "0.png")), expected)
    process(tmp_path / "m.mp4", tmp_path / "n.mp4", Darker(), replace(FRAME_BY_FRAME, crf=1))
    result = next(frames(tmp_path / "n.mp4"))
    assert result.matrix == next(frames(tmp_path / "m.mp4")).matrix
    assert np.corrcoef(result.pixels.ravel(), expected.ravel())[0, 1] > 0.97  # only darker


def test_what_pictures_of_a_clip_do_not_tell_is_told(tmp_path):
    tags = {"sample_aspect_ratio": Fraction(4, 3), "color_primaries": 9, "color_trc": 16}
    source = make_clip(tmp_path / "a.mp4", 2, tags=tags)
    assert process(source, tmp_path / "%d.png", Identity(), FRAME_BY_FRAME).notes == [
        "its colours are BT.2020 and HDR (PQ), which pictures do not tell, so that viewers show them pale",
        "its pixels have the shape 4:3, which pictures do not tell; stretch them accordingly",
    ]


def test_pictures_that_are_no_frames_of_a_sequence_are_told(tmp_path):
    for number in (1, 2, 4, 5):
        save_photo(picture(number), tmp_path / "gap" / f"{number:03d}.png")
    (tmp_path / "gap" / "006.exr").touch()
    done = process(tmp_path / "gap" / "%03d.png", tmp_path / "a", Identity(), FRAME_BY_FRAME)
    assert done.frames == 2 and done.notes == ["003.png is missing; 2 pictures after it left out"]
    done = process(tmp_path / "gap", tmp_path / "b", Identity(), FRAME_BY_FRAME)
    (note,) = done.notes
    assert done.frames == 4 and "006.exr: left out because it is a picture in OpenEXR format" in note


def test_what_a_picture_format_cannot_hold_of_a_clip_is_told(tmp_path):
    deep = make_clip(tmp_path / "a.mkv", 2, codec="ffv1", pixel_format="yuv420p10le")
    (note,) = process(deep, tmp_path / "%d.jpg", Identity(), FRAME_BY_FRAME).notes
    assert note.startswith("0.jpg: it was reduced to 8 bits a channel, the most that this JPEG can hold")
    clear = make_clip(tmp_path / "b.mkv", 2, codec="ffv1", pixel_format="yuva420p")
    with pytest.raises(PhotoError, match="new/0.jpg: JPEG cannot hold transparency; choose PNG"):
        process(clear, tmp_path / "new" / "%d.jpg", Identity(), FRAME_BY_FRAME)
    assert not (tmp_path / "new").exists()


def test_an_interrupted_run_to_pictures_goes_on_and_only_with_the_same_settings(tmp_path):
    source, out = make_clip(tmp_path / "a.mp4", count=6), tmp_path / "100% frames" / "%03d.png"

    def interrupt(done, total, seconds):
        if done == 4:
            raise KeyboardInterrupt

    process(source, tmp_path / "whole", Darker())
    with pytest.raises(KeyboardInterrupt):
        process(source, out, Darker(), report=interrupt)
    with pytest.raises(UsageError, match="exists"):
        process(source, out, Darker(), VideoSettings(strength=0.5))
    said = []
    assert process(source, out, Darker(), say=said.append).frames == 6 and "4 pictures" in said[0]
    with pytest.raises(KeyboardInterrupt):
        process(source, out, Darker(), VideoSettings(strength=0.5), overwrite=True, report=interrupt)
    process(source, out, Darker(), VideoSettings(strength=0.5))  # nothing is left of the run before
    half = [np.asarray(Image.open(path)) for path in sorted(out.parent.iterdir())]
    assert min(picture.mean() for picture in half) > 0.85 * max(picture.mean() for picture in half)
    process(source, out, Darker(), overwrite=True)
    results = sorted(out.parent.iterdir())
    assert [p.name for p in results] == [f"{index:03d}.png" for index in range(6)]
    for ours, theirs in zip(results, sorted((tmp_path / "whole").iterdir())):
        assert np.array_equal(np.asarray(Image.open(ours)), np.asarray(Image.open(theirs)))


def test_a_picture_in_the_way_of_a_frame_is_never_taken_for_one(tmp_path):
    source, out = make_clip(tmp_path / "a.mp4", count=6), tmp_path / "out" / "%03d.png"
    process(source, tmp_path / "whole", Darker())
    out.parent.mkdir()
    own = out.parent / "003.png"
    Image.new("RGB", (64, 48)).save(own)
    content = own.read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match="003.png: exists"):
            process(source, out, Darker())
        assert own.read_bytes() == content
    own.unlink()
    (out.parent / "002.png").unlink()  # the last that was done: it is made again
    assert process(source, out, Darker()).frames == 6
    for ours, theirs in zip(sorted(out.parent.iterdir()), sorted((tmp_path / "whole").iterdir()), strict=True):
        assert np.array_equal(np.asarray(Image.open(ours)), np.asarray(Image.open(theirs)))
    assert not (tmp_path / "out" / "%03d.png.unfinished").exists()


def test_a_stretch_of_pictures_and_no_picture_replaced_by_its_own_result(tmp_path):
    for index in range(6):
        save_photo(picture(index), tmp_path / "in" / f"{index}.png")
    cut = VideoSettings(start=0.04, end=0.2, fps_limit=12.5, preview=tmp_path / "p.png")  # of 25 a second
    seen = []
    done = process(tmp_path / "in", tmp_path / "out", Identity(), cut, report=lambda *a: seen.append(a))
    assert done.frames == 2 and sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1.png", "3.png"]
    assert seen[-1][:2] == (2, 2) and (tmp_path / "p.png").exists()
    for source, out in [("in", "in"), ("in/%d.png", "in/%d.png")]:
        with pytest.raises(UsageError, match="one of the pictures themselves"):
            process(tmp_path / source, tmp_path / out, Darker(), overwrite=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "in" / "0.png")), picture(0))
    with pytest.raises(PhotoError, match="between `start` and `end`"):
        process(tmp_path / "in", tmp_path / "none", Identity(), VideoSettings(start=9))


def test_a_gif_keeps_its_times_and_its_loop(tmp_path):
    pages = [Image.fromarray(picture(index)) for index in range(4)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=[40, 80, 120, 40], loop=0)
    process(tmp_path / "a.gif", tmp_path / "b.gif", Identity())
    with Image.open(tmp_path / "a.gif") as before, Image.open(tmp_path / "b.gif") as after:
        assert after.n_frames == before.n_frames and after.info["loop"] == 0
        for index in range(after.n_frames):
            before.seek(index)
            after.seek(index)
            assert after.info["duration"] == before.info["duration"]
            pair = (np.asarray(page.convert("RGB")).astype(int) for page in (before, after))
            assert np.abs(np.subtract(*pair)).mean() < 2


def test_a_stretch_of_a_gif_keeps_its_pace(tmp_path):
    pages = [Image.fromarray(picture(index)) for index in range(5)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=[40, 80, 120, 40, 100])
    process(tmp_path / "a.gif", tmp_path / "b.gif", Identity(), VideoSettings(start=0.04, end=0.28, fps_limit=5))
    with Image.open(tmp_path / "b.gif") as result:
        durations = [page.info["duration"] for page in ImageSequence.Iterator(result)]
    assert durations == [200, 40]  # the second and the fourth page, the third's time with the second
    with pytest.raises(UsageError, match="source itself"):
        process(tmp_path / "a.gif", tmp_path / "a.gif", Identity(), overwrite=True)


def test_chapters_and_a_timecode_in_mp4_come_back(tmp_path):
    """Their streams have no codec, and no container takes them as they are."""
    make_clip(tmp_path / "plain.mp4", sound=1)
    with av.open(str(tmp_path / "plain.mp4")) as plain, av.open(str(tmp_path / "a.mp4"), "w") as clip:
        streams = {stream.index: clip.add_stream_from_template(stream) for stream in plain.streams}
        streams[0].metadata["timecode"] = "01:00:00:00"
        streams[0].codec_context.framerate = 25
        halves = [{"id": n, "start": 240 * n, "end": 240 * n + 240, "time_base": Fraction(1, 1000)} for n in range(2)]
        clip.set_chapters([half | {"metadata": {"title": f"Teil {half['id']}"}} for half in halves])
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                clip.mux(packet)
    process(tmp_path / "a.mp4", tmp_path / "b.mp4", Identity())
    for stretch in ("c.mp4", "d.mkv"):
        process(tmp_path / "a.mp4", tmp_path / stretch, Identity(), VideoSettings(start=0.24))
    process(tmp_path / "d.mkv", tmp_path / "e.mkv", Identity(), VideoSettings(start=0.04))
    for stretch, first in (("c.mp4", "01:00:00:06"), ("d.mkv", "01:00:00:06"), ("e.mkv", "01:00:00:07")):
        with av.open(str(tmp_path / stretch)) as clip:
            told = {key.lower(): tag for key, tag in clip.streams.video[0].metadata.items()}
            assert told["timecode"] == first
    before, after = facts(tmp_path / "a.mp4"), facts(tmp_path / "b.mp4")
    assert before["chapters"] == after["chapters"] and len(after["chapters"]) == 2
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert clip.streams.video[0].metadata["timecode"] == "01:00:00:00" and clip.streams.audio


def test_tags_with_apples_names_come_back(tmp_path):
    make_clip(tmp_path / "plain.mov")
    tags = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.location.ISO6709": "+47.5+008.7/"}
    with (
        av.open(str(tmp_path / "plain.mov")) as plain,
        av.open(str(tmp_path / "a.mov"), "w", options={"movflags": "use_metadata_tags"}) as clip,
    ):
        video = clip.add_stream_from_template(plain.streams.video[0])
        clip.metadata.update(tags)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = video
                clip.mux(packet)
    process(tmp_path / "a.mov", tmp_path / "b.mov", Identity())
    with av.open(str(tmp_path / "b.mov")) as clip:
        assert tags.items() <= clip.metadata.items()


@pytest.mark.parametrize(
    "timecode, frames, rate, expected",
    [
        ("10:00:00:00", 25, Fraction(25), "10:00:01:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59:29", 1, Fraction(30000, 1001), "00:01:00:00"),
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),
        ("00:08:59;59", 1, Fraction(60000, 1001), "00:09:00;04"),
        ("00:09:59;59", 1, Fraction(60000, 1001), "00:10:00;00"),
        ("00:00:59;23", 1, Fraction(24000, 1001), "00:01:00;00"),
        ("01:00:00;24", 1, Fraction(25), "01:00:01;00"),
        ("01:00:00:99", 1, Fraction(100), "01:00:01:00"),
        ("01:00:00:00", 150, Fraction(120), None),
        ("noon", 1, Fraction(25), None),
    ],
)
def test_timecodes_count_frames_and_drop_numbers_where_they_say_so(timecode, frames, rate, expected):
    assert later(timecode, frames, rate) == expected


def test_chapters_that_come_along_are_not_said_to_be_left_out(tmp_path):
    source, said = make_clip(tmp_path / "a.mp4"), []
    with av.open(str(source)) as film, av.open(str(tmp_path / "b.mp4"), "w") as clip:
        video = clip.add_stream_from_template(film.streams.video[0])
        clip.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "A"}}]
        )
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                clip.mux(packet)
    process(tmp_path / "b.mp4", tmp_path / "c.mkv", Identity(), say=said.append)
    assert facts(tmp_path / "c.mkv")["chapters"] == facts(tmp_path / "b.mp4")["chapters"] != []
    assert not any("stream" in line for line in said)


def test_av1_stays_av1(tmp_path):
    source = make_clip(tmp_path / "a.mkv", count=3, codec="libsvtav1", size=(64, 64), base=Fraction(1, 1000))
    process(source, tmp_path / "b.mkv", Identity())
    with av.open(str(tmp_path / "b.mkv")) as clip:
        assert clip.streams.video[0].codec_context.codec.canonical_name == "av1"
        assert clip.streams.video[0].average_rate == 25 and len(list(clip.decode(video=0))) == 3


def test_h264_in_avi_has_all_its_frames(tmp_path):
    source = make_clip(tmp_path / "a.avi", base=Fraction(1, 25), times=list(range(12)), options={"bf": "2"})
    assert process(source, tmp_path / "b.mkv", Identity()).frames == 12
    rows = (frame.pixels[16].astype(int) for frame in frames(tmp_path / "b.mkv"))
    places = [np.flatnonzero(row[:, 0] - row[:, 1] > 60).mean() for row in rows]  # of the square, which is red
    assert np.allclose(np.diff(places), 1, atol=0.6)


@pytest.mark.parametrize("name", ["plain.mp4", "full range.mp4"])
def test_an_avi_has_the_same_colours_and_times_though_it_cannot_name_them(tmp_path, name):
    source = (
        CLIPS[name](tmp_path / name) if name != "plain.mp4" else make_clip(tmp_path / name, base=Fraction(1, 90000))
    )
    process(source, tmp_path / "b.avi", Identity())
    pairs = list(zip(frames(source), frames(tmp_path / "b.avi"), strict=True))
    assert max(np.abs(a.pixels.astype(float) - b.pixels).mean() for a, b in pairs) < 4


@pytest.mark.parametrize("name, base", [("a.mp4", Fraction(1, 12800)), ("a.mkv", Fraction(1, 1000))])
def test_an_avi_has_no_empty_frames_between_those_of_an_even_clip(tmp_path, name, base):
    times = [round(Fraction(index, 25) / base) + index % 2 for index in range(12)]
    process(make_clip(tmp_path / name, base=base, times=times, sound=1), tmp_path / "b.avi", Identity())
    with av.open(str(tmp_path / "b.avi")) as clip:
        assert clip.streams.video[0].average_rate == 25 and clip.streams.video[0].frames <= 13


def test_a_clip_whose_rate_is_not_told_goes_into_mp4(tmp_path):
    with av.open(str(tmp_path / "a.dv"), "w", format="dv") as clip:
        video = clip.add_stream("dvvideo", rate=25)
        video.width, video.height, video.pix_fmt = 720, 576, "yuv420p"
        for _ in range(3):
            clip.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((576, 720, 3), np.uint8), "rgb24")))
    process(tmp_path / "a.dv", tmp_path / "b.mp4", Identity(), VideoSettings(temporal="off"))
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert clip.streams.video[0].average_rate == 25


def test_a_stretch_counts_from_where_the_clip_begins(tmp_path):
    source = make_clip(tmp_path / "a.mp4", times=[64_000 + 512 * index for index in range(12)])
    cut = VideoSettings(start=0.08, end=0.24)
    assert process(source, tmp_path / "b.mp4", Identity(), cut).frames == 4
    assert facts(tmp_path / "b.mp4")["times"][0] == 0
    assert process(source, tmp_path / "frames", Identity(), cut).frames == 4


def test_clips_put_one_after_the_other_are_taken_whole(tmp_path):
    piece = make_clip(tmp_path / "a.ts", count=40, sound=1)
    (tmp_path / "both.ts").write_bytes(piece.read_bytes() * 2)
    done = process(tmp_path / "both.ts", tmp_path / "b.mkv", Identity())
    assert done.frames > 75
    with av.open(str(tmp_path / "b.mkv")) as clip:
        assert 3.0 < clip.duration / av.time_base < 3.5


def test_only_times_that_go_back_begin_anew():
    signs = StreamClock(Fraction(1, 1000))
    assert [signs.moved(at, length) for at, length in ((500, 6000), (1000, 500), (3000, 500), (7000, 10))] == [0] * 4
    joined = StreamClock(Fraction(1, 1000))
    assert [joined.moved(at, 40) for at in (0, 40, 2000, 0, 40)] == [0, 0, 0, 2040, 2040]


def broadcast(path: Path, begins: float, **how) -> Path:
    """A clip of a second whose clock begins then."""
    return make_clip(path, count=25, sound=1, muxing={"output_ts_offset": str(begins)}, **how)


def times_of(path: Path) -> tuple[list[float], list[float]]:
    """When pictures are shown, and when sound is heard."""
    found = facts(path)
    return [float(at) for at in found["times"]], [at for _, at in found["packets"][1]]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("name", ["a.ts", "a.flv"])
def test_a_clock_that_may_begin_anywhere_begins_at_0_where_files_count_from_there(tmp_path, name, ending):
    how = {"base": Fraction(1, 1000)} if name == "a.flv" else {}
    source = broadcast(tmp_path / name, 40_000, **how)
    process(source, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    before, after = times_of(source), times_of(tmp_path / f"b{ending}")
    begins = min(map(min, before))
    for one, other in zip(before, after):
        assert other == pytest.approx([at - begins for at in one], abs=0.002)
    with av.open(str(tmp_path / f"b{ending}")) as clip:
        assert clip.start_time == 0 and clip.duration / av.time_base < 1.1
    silent = VideoSettings(temporal="off", audio=False)
    process(source, tmp_path / f"c{ending}", Identity(), silent)
    assert facts(tmp_path / f"c{ending}")["times"][0] == 0


@pytest.mark.parametrize("begins", [(500, 0), (500, 90_000, 0), (90_000, 0), (0, 30_000)])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_what_follows_a_jump_of_the_clock_comes_right_there_picture_and_sound_alike(tmp_path, begins, ending):
    parts = [broadcast(tmp_path / f"{begin}.ts", begin) for begin in begins]
    (tmp_path / "all.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    done = process(tmp_path / "all.ts", tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    assert done.frames == 25 * len(parts) and "its clock jumps after 1.0" in "".join(done.notes) and not done.damage
    shown, heard = times_of(tmp_path / f"b{ending}")
    assert max(np.diff(shown)) < 0.1 and max(np.diff(heard)) < 0.1 and min(np.diff(heard)) > 0
    first, length = (times_of(parts[0])[kind][0] for kind in (0, 1)), len(heard) // len(parts)
    apart = np.subtract(*first)
    for number in range(len(parts)):
        assert shown[25 * number] - heard[length * number] == pytest.approx(apart, abs=0.002)
    with av.open(str(tmp_path / f"b{ending}")) as clip:
        assert clip.duration / av.time_base < 1.1 * len(parts)


def test_a_clip_whose_clock_jumps_is_as_long_as_its_parts_and_can_be_cut_in_the_last(tmp_path):
    parts = [broadcast(tmp_path / f"{begin}.ts", begin) for begin in (500, 0)]
    (tmp_path / "all.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with Clip(tmp_path / "all.ts") as clip:
        assert clip.seconds == pytest.approx(2.05, abs=0.1)
    cut = VideoSettings(temporal="off", start=1.5)
    assert 12 <= process(tmp_path / "all.ts", tmp_path / "b.mp4", Identity(), cut).frames <= 15
    assert facts(tmp_path / "b.mp4")["length"] < 0.7


@pytest.mark.parametrize("damaged", [0, 1], ids=["a picture", "sound"])
def test_a_time_that_is_damaged_is_no_jump_of_the_clock(tmp_path, damaged):
    source = broadcast(tmp_path / "a.ts", 500)
    process(source, tmp_path / "whole.mp4", Identity(), FRAME_BY_FRAME)
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as clip:
        places = sorted({packet.pos for packet in clip.demux(clip.streams[damaged]) if packet.pos})
    place = content.index(b"\0\0\1", places[len(places) // 2])  # of what holds its times
    for time in (9, 14)[: 1 + (content[place + 7] >> 6 & 1)]:
        content[place + time + 1] ^= 8
    source.write_bytes(content)
    done = process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert done.frames == 25 and not done.notes
    for one, other in zip(times_of(tmp_path / "whole.mp4"), times_of(tmp_path / "b.mp4")):
        assert other == pytest.approx(one, abs=0.03)


def test_a_clock_that_turns_over_goes_on(tmp_path):
    source = broadcast(tmp_path / "a.ts", 2**33 / 90_000 - 2)
    done = process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert done.frames == 25 and not done.notes
    assert np.diff(times_of(tmp_path / "b.mp4")[0]) == pytest.approx(0.04, abs=0.001)


def test_a_stream_that_is_silent_for_long_finds_the_part_of_the_clip(tmp_path):
    parts = [Part({0: (0, 9000), 1: (50, 50)}), Part({0: (3000, 8000), 1: (7000, 7000)}, shift=Fraction(6))]
    titles = StreamClock(Fraction(1, 1000), 1)
    assert [titles.moved(at, 10, parts) for at in (50, 7000)] == [0, 6000]


def test_a_gap_in_time_makes_no_picture_wait_before_it(tmp_path):
    even = [0, 80, 40, 160, 120]
    assert decoding_times(even) == [-40, 0, 40, 80, 120]
    assert decoding_times([*even, 20_040, 200, 20_000]) == [-40, 0, 40, 80, 120, 160, 200, 20_000]
    source = make_clip(tmp_path / "a.mp4", times=[512 * index + 256_000 * (index > 9) for index in range(12)])
    process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    with av.open(str(tmp_path / "b.mp4")) as clip:
        decoded = [packet.dts * packet.time_base for packet in clip.demux(video=0) if packet.size]
    assert -0.16 <= decoded[0] < 0 and facts(tmp_path / "b.mp4")["times"] == facts(source)["times"]


def test_tags_of_any_bytes_and_colons_in_names(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "a.avi", codec="mpeg4", base=Fraction(1, 25), times=list(range(4)))
    title = "Regen über Köln".encode()
    latin = clip.read_bytes().replace(title, "Regen über Köln".encode("latin-1").ljust(len(title), b"\0"))
    monkeypatch.chdir(tmp_path)
    Path("2024-05-01T10:30:00.avi").write_bytes(latin)
    process("2024-05-01T10:30:00.avi", "50%dry:1.avi", Identity())  # and that is no pattern
    assert "Regen über Köln".encode("latin-1") in Path("50%dry:1.avi").read_bytes()


def test_a_clip_whose_frames_change_their_size_keeps_that_of_the_first(tmp_path):
    large = make_clip(tmp_path / "large.ts", times=[512 * index for index in range(5)])
    small = make_clip(tmp_path / "small.ts", times=[512 * index for index in range(5, 9)], size=(32, 64))
    (tmp_path / "both.ts").write_bytes(large.read_bytes() + small.read_bytes())
    for result in ("dry.mkv", "frames"):
        notes = process(tmp_path / "both.ts", tmp_path / result, Identity()).notes
        assert any("pictures of 64x32 are stored in the first one's size, 64x48" in note for note in notes)
    begin = VideoSettings(temporal="off", end=0.16)
    for result in ("begin.mkv", "begin"):
        assert process(tmp_path / "both.ts", tmp_path / result, Identity(), begin).notes == []
    shapes = [frame.pixels.shape for frame in frames(tmp_path / "dry.mkv")]
    assert len(shapes) > 5 and set(shapes) == {(48, 64, 3)}


def test_rgb_stays_the_same_colours_in_yuv(tmp_path):
    rgb = {"colorspace": 0, "color_range": 2}
    source = make_clip(tmp_path / "a.mkv", codec="libx264rgb", pixel_format="rgb24", base=Fraction(1, 1000), tags=rgb)
    process(source, tmp_path / "b.mkv", Identity())
    pairs = list(zip(frames(source), frames(tmp_path / "b.mkv"), strict=True))
    assert {b.colours.matrix for _, b in pairs} == {5}  # players take 0 for channels of green, blue and red
    assert max(np.abs(a.pixels.astype(float) - b.pixels).mean() for a, b in pairs) < 3


def test_frames_of_a_folder_are_its_pictures_in_order_with_their_times(tmp_path):
    for number, name in enumerate(["b.png", "c.jpg", "a.png"]):
        save_photo(picture(number), tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    shown = list(frames(tmp_path / "in"))
    assert [frame.pts for frame in shown] == [0, 1, 2] and shown[2].time == pytest.approx(2 / 25)
    assert np.array_equal(shown[0].pixels, picture(2)) and np.array_equal(shown[1].pixels, picture(0))
    for number in range(3):
        save_photo(picture(number), tmp_path / "counted" / f"{number + 1}.png")
    assert [f.pixels.tolist() for f in frames(str(tmp_path / "counted" / "%d.png"))] == [
        picture(number).tolist() for number in range(3)
    ]
    save_photo(picture(3, (40, 40)), tmp_path / "in" / "d.png")
    with pytest.raises(PhotoError, match="d.png: its size differs"):
        list(frames(tmp_path / "in"))


def test_kinds_that_do_not_go_together_are_said(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=2)
    (tmp_path / "empty").mkdir()
    save_photo(picture(0), tmp_path / "0.png")
    save_photo(picture(0, (40, 40)), tmp_path / "1.png")
    with pytest.raises(UsageError, match="can only become a GIF"):
        process(source, tmp_path / "b.gif", Identity())
    with pytest.raises(UsageError, match="holds no pictures"):
        process(tmp_path / "empty", tmp_path / "out", Identity())
    with pytest.raises(PhotoError, match="nowhere: no such file"):
        process(tmp_path / "nowhere", tmp_path / "out", Identity())
    with pytest.raises(UsageError, match="can only become picture files"):
        process(tmp_path / "%d.png", tmp_path / "out.mp4", Identity())
    with pytest.raises(PhotoError, match="1.png: its size differs"):
        process(tmp_path / "%d.png", tmp_path / "out", Identity())
    (tmp_path / "bad.gif").write_bytes(b"GIF89a nothing")
    with pytest.raises(PhotoError, match="bad.gif: cannot be read"):
        process(tmp_path / "bad.gif", tmp_path / "c.gif", Identity())


def test_what_is_no_rgb_is_not_tagged_as_rgb():
    """Pictures with grey pixels, PNGs in a MOV, bear RGB's code for the matrix."""
    colours = Colours("gray16be", 0, 2, 2, 2, 16, 64)
    frame = from_rgb(np.full((64, 64, 3), 90, np.uint16), colours, "yuv420p10le")
    assert frame.colorspace == 5 and frame.color_range == 2  # BT.601, full


@pytest.mark.parametrize("form", ["clip", "pictures"])
def test_a_clip_is_derained_only_if_it_rains_in_a_quarter_of_it(tmp_path, form):
    source, out = make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    if form == "pictures":
        source, out = tmp_path / "in", tmp_path / "out"
        for index in range(12):
            save_photo(picture(index), source / f"{index:02d}.png")
    only_if_rainy = VideoSettings(temporal="off", rainy_from=0.1)
    said = list[str]()
    done = process(source, out, Identity(), only_if_rainy, say=said.append)
    assert (
        done.dry
        and not out.exists()
        and said == [f"{source}: skipped because it is dry (0 of 8 frames looked at are rainy)"]
    )
    assert not any("unfinished" in path.name for path in tmp_path.iterdir())
    wet = process(source, out, Darker(), only_if_rainy)
    assert not wet.dry and wet.frames == 12 and out.exists()


@pytest.mark.parametrize("form", ["clip", "pictures"])
def test_a_stretch_without_frames_is_told_and_not_called_dry(tmp_path, form):
    source, out = tmp_path / "a.mp4", tmp_path / "b.mp4"
    if form == "pictures":
        source, out = tmp_path / "in", tmp_path / "out"
        save_photo(picture(0), source / "0.png")
    else:
        make_clip(source)
    with pytest.raises(PhotoError, match="holds no frame between `start` and `end`"):
        process(source, out, Identity(), VideoSettings(start=100, rainy_from=0.1))


@pytest.mark.parametrize("form", ["7 frames", "1 frame", "one picture", "a stretch", "no length told"])
def test_a_short_clip_is_judged_by_all_that_it_has(tmp_path, form):
    """Among them what is shown within the stretch alone, and of a length that nobody tells."""
    source, out = tmp_path / "a.mp4", tmp_path / "b.mp4"
    stretch = {"start": 0.2, "end": 0.4} if form == "a stretch" else {}
    if form == "one picture":
        source, out = tmp_path / "in", tmp_path / "out"
        save_photo(picture(0), source / "0.png")
    elif form == "no length told":
        source = make_clip(tmp_path / "a.mkv", 20, muxing={"live": "1"})
    else:
        make_clip(source, {"7 frames": 7, "1 frame": 1}.get(form, 30))
    only_if_rainy, said = VideoSettings(temporal="off", rainy_from=0.1, **stretch), list[str]()
    assert process(source, out, Identity(), only_if_rainy, say=said.append).dry
    looks = {"7 frames": 7, "1 frame": 1, "one picture": 1, "a stretch": 5, "no length told": 5}[form]
    assert said[-1].endswith(f"(0 of {looks} frames looked at are rainy)"), said
    assert not process(source, out, Darker(), only_if_rainy).dry


@pytest.mark.parametrize("codec", ["ffv1", "libx264", "libx265"])  # of which the last two write messages into pictures
@pytest.mark.parametrize("model, strength", [(Identity, 1.0), (Identity, 0.5), (Darker, 0.0)])
def test_a_frame_in_which_nothing_is_found_is_encoded_as_it_was_decoded(tmp_path, monkeypatch, codec, model, strength):
    """And not by way of RGB, which changes a value here and there."""
    quiet = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    clip = make_clip(tmp_path / "a.mkv", 6, codec=codec, pixel_format="yuv420p", options=quiet)
    monkeypatch.setattr("derain.video.encoder.from_rgb", None)
    process(clip, tmp_path / "b.mkv", model(), VideoSettings(codec="ffv1", strength=strength))
    with av.open(str(clip)) as before, av.open(str(tmp_path / "b.mkv")) as after:
        assert all(
            np.array_equal(a.to_ndarray(), b.to_ndarray())
            for a, b in zip(before.decode(video=0), after.decode(video=0), strict=True)
        )


def grey_clip(path: Path, form: str = "gray") -> Path:
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, form
        for shift in range(3):
            levels = np.add.outer(np.arange(48), np.arange(64) * 3).astype(np.uint8) + np.uint8(shift)
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(levels, "gray").reformat(format=form)))
        clip.mux(stream.encode())
    return path


@pytest.mark.parametrize("model", [Identity, Darker])
def test_a_grey_clip_stays_grey_level_by_level(tmp_path, model):
    clip, out = grey_clip(tmp_path / "grey.mkv"), tmp_path / "dry.mkv"
    said = list[str]()
    process(clip, out, model(), FRAME_BY_FRAME, say=said.append)
    with av.open(str(clip)) as before, av.open(str(out)) as after:
        for old, new in zip(before.decode(video=0), after.decode(video=0), strict=True):
            wanted = old.to_ndarray() if model is Identity else np.rint(old.to_ndarray() * np.float32(0.8))
            assert new.format.name == "gray" and new.color_range == old.color_range
            assert np.array_equal(new.to_ndarray(), wanted)
    assert not said


@pytest.mark.parametrize("form, ending, stored", [("gray", ".mp4", "yuv420p"), ("gray10le", ".mkv", "yuv420p10le")])
def test_it_is_told_that_grey_becomes_something_else(tmp_path, form, ending, stored):
    clip, said = grey_clip(tmp_path / "grey.mkv", form), list[str]()
    process(clip, tmp_path / f"dry{ending}", Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("grey" in sentence and stored in sentence for sentence in said)


def test_a_full_disk_is_told_of_the_result_and_frames_go_on_as_frames(tmp_path, monkeypatch):
    source, real = make_clip(tmp_path / "a.mp4", count=3), Path.write_bytes

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for out in ("b.mp4", "dry"):
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(PhotoError, match=rf"{out}: cannot be written \(No space.*make room, then give the same"):
            process(source, tmp_path / out, Darker(), FRAME_BY_FRAME)
        monkeypatch.setattr(Path, "write_bytes", real)
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]  # an empty folder would be one for clips
        process(source, tmp_path / out, Darker(), FRAME_BY_FRAME)
        shutil.rmtree(tmp_path / out, ignore_errors=True)
        (tmp_path / out).unlink(missing_ok=True)
