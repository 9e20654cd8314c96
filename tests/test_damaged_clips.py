"""Clips that are damaged come out as players show them, and reading may begin in the middle."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from derain.errors import PhotoError
from derain.video import VideoSettings, process
from derain.video.containers.structure import structure
from derain.video.reading import Clip
from tests.forks import command
from tests.test_video import Darker, Identity, frames, make_clip

FRAME_BY_FRAME = VideoSettings(temporal="off")
EVERY_TEN = {"g": "10", "bf": "2"}


def packets(path: Path) -> list[av.Packet]:
    with av.open(str(path)) as clip:
        return [packet for packet in clip.demux(video=0) if packet.size]


def with_zeros(path: Path, *numbers: int) -> list[float]:
    """Put zeros into packets, as a card's bad sectors do; returns their times."""
    content, times = bytearray(path.read_bytes()), []
    for number, packet in enumerate(packets(path)):
        if number in numbers:
            place = content.index(bytes(packet))
            content[place : place + packet.size] = bytes(packet.size)
            times.append(float(packet.pts * packet.time_base))
    path.write_bytes(content)
    return times


def make(path: Path, count: int = 60, **given: object) -> Path:
    base = {".avi": Fraction(1, 25), ".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000)}.get(path.suffix)
    at_base = {"base": base} if base else {}
    return make_clip(path, count=count, **({"options": EVERY_TEN} | at_base | given))


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("damaged, left", [((25,), 59), ((0,), 50), ((59,), 59), ((20, 21, 45), 50)])
def test_a_damaged_frame_is_left_out_and_all_others_keep_their_times(tmp_path, ending, damaged, left):
    """Of a damaged keyframe those that are made from it are lost, too."""
    clip = make(tmp_path / f"a{ending}", options={"g": "10", "bf": "0"})
    times = [frame.time for frame in frames(clip)]
    gone = with_zeros(clip, *damaged)
    done = process(clip, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    shown = [frame.time for frame in frames(tmp_path / f"b{ending}")]
    with Clip(clip) as source:
        whole = [frame.time for frame in source.frames()]
        lost = [float(at * source.time_base) for at in source.damage.lost]
    assert len(shown) == done.frames == left and sorted(whole + lost) == pytest.approx(times, abs=0.002)
    assert shown == pytest.approx(whole, abs=0.002) or 0 in damaged  # a player begins with the first that there is
    (sentence,) = done.damage
    assert f"{60 - left} frame" in sentence and f"{gone[0]:.2f}" in sentence and f"{damaged[0]}" in sentence
    assert ") and left out: number" in sentence


@pytest.mark.parametrize("damaged", [(), (25,), (0,), (59,), (20, 21, 45)])
def test_pictures_that_are_decoded_at_once_are_the_same_and_so_is_what_is_lost(tmp_path, damaged):
    clip = make(tmp_path / "a.mp4")
    with_zeros(clip, *damaged)
    found = []
    for decoders in (1, 4):
        for since in (None, 1.3):
            with Clip(clip) as source:
                shown = [(frame.pts, frame.pixels.tobytes()) for frame in source.frames(since, decoders=decoders)]
                found.append((shown, source.damage))
    assert found[:2] == found[2:] and len(found[0][0]) == 60 - len(found[0][1].lost)


def test_many_damaged_frames_are_said_once_and_the_exit_code_is_1(tmp_path):
    clip = make(tmp_path / "a.mp4", options={"g": "1"})
    with_zeros(clip, *range(1, 60, 2))
    done = command("video", clip, "--temporal", "off", "-q")
    assert done.returncode == 1 and done.stdout.strip() == str(tmp_path / "a.derained.mp4")
    assert (
        done.stderr.count("\n") == 1
        and "30 frames are damaged" in done.stderr
        and "and 25 more stretches" in done.stderr
    )
    assert len(list(frames(tmp_path / "a.derained.mp4"))) == 30


def test_damage_that_was_met_before_an_interruption_is_said_too(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 10)
    clip = make(tmp_path / "a.mp4")
    with_zeros(clip, 5)
    whole = process(clip, tmp_path / "whole.mp4", Darker())

    def interrupt(done, total, seconds):
        if done == 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process(clip, tmp_path / "b.mp4", Darker(), report=interrupt)
    assert process(clip, tmp_path / "b.mp4", Darker()).damage == whole.damage != []
    pair = [[(f.pts, f.pixels.tobytes()) for f in frames(tmp_path / name)] for name in ("whole.mp4", "b.mp4")]
    assert pair[0] == pair[1]


def test_damage_outside_the_stretch_is_not_said(tmp_path):
    clip = make(tmp_path / "a.mp4", options={"g": "1"})
    with_zeros(clip, 2, 50)
    assert not process(clip, tmp_path / "b.mp4", Identity(), VideoSettings(start=0.4, end=1.6)).damage


def test_a_clip_of_which_nothing_can_be_decoded_is_refused(tmp_path):
    clip = make(tmp_path / "a.mp4", count=5)
    with_zeros(clip, *range(5))
    with pytest.raises(PhotoError, match="a.mp4: is damaged"):
        process(clip, tmp_path / "b.mp4", Identity())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def joined(path: Path) -> Path:
    piece = make(path.with_name("piece.ts"))
    path.write_bytes(piece.read_bytes() * 2)
    return path


def of_two_sizes(path: Path) -> Path:
    large = make(path.with_name("large.ts"), times=[512 * index for index in range(40)])
    small = make(path.with_name("small.ts"), times=[512 * index for index in range(40, 80)], size=(32, 64))
    path.write_bytes(large.read_bytes() + small.read_bytes())
    return path


UNEVEN = [512 * index + (index % 3) * 150 for index in range(60)]
SOUGHT: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": make,
    "open.mp4": lambda p: make(p, options=EVERY_TEN | {"x264-params": "open-gop=1:bframes=3"}),
    "open.ts": lambda p: make(p, options=EVERY_TEN | {"x264-params": "open-gop=1:bframes=3"}),
    "late.ts": lambda p: make(p, times=[512 * (index + 25_000) for index in range(60)]),
    "uneven.mkv": lambda p: make(p, base=Fraction(1, 12800), times=UNEVEN),
    "interlaced.mp4": lambda p: make(p, options=EVERY_TEN | {"x264-params": "tff=1"}),
    "refreshed.ts": lambda p: make(p, options=EVERY_TEN | {"x264-params": "intra-refresh=1"}),
    "frames b.avi": make,
    "mpeg.mpg": lambda p: make(p, codec="mpeg2video", base=Fraction(1, 25), options=EVERY_TEN),
    "vp9.webm": lambda p: make(p, codec="libvpx-vp9", options={"g": "10", "cpu-used": "8"}),
    "joined.ts": joined,
    "sizes.ts": of_two_sizes,
}


@pytest.mark.parametrize("name", SOUGHT)
def test_reading_from_the_middle_gives_what_reading_from_the_beginning_gives(tmp_path, name):
    with Clip(SOUGHT[name](tmp_path / name)) as clip:
        whole = [(frame.time, frame.pixels.tobytes()) for frame in clip.frames()]
        for since in (1.2, 1.64, 2.0, 2.3):
            found = [(frame.time, frame.pixels.tobytes()) for frame in clip.frames(clip.begins + since)]
            assert found == [frame for frame in whole if frame[0] >= clip.begins + since] and found


@pytest.mark.parametrize("name", ["plain.mp4", "open.ts", "uneven.mkv"])
def test_only_what_is_wanted_is_decoded_and_converted(tmp_path, monkeypatch, name):
    clip = SOUGHT[name](tmp_path / name)
    decoded, converted = [], []
    from derain.video import decoding, reading

    monkeypatch.setattr(reading, "to_rgb", lambda *a, real=reading.to_rgb: converted.append(1) or real(*a))
    real = decoding._decoded
    monkeypatch.setattr(
        decoding, "_decoded", lambda *a, **named: (decoded.append(1) or frame for frame in real(*a, **named))
    )
    done = process(clip, tmp_path / "b.mkv", Identity(), VideoSettings(temporal="off", start=2.0))
    assert done.frames == len(converted) <= 11 and len(decoded) <= 35


def test_a_limit_of_frames_a_second_survives_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 5)
    clip, settings = make(tmp_path / "a.mp4", times=UNEVEN), VideoSettings(fps_limit=9, start=0.1, end=2.2)

    def interrupt(done, total, seconds):
        if done == 13:
            raise KeyboardInterrupt

    process(clip, tmp_path / "whole.mp4", Darker(), settings)
    with pytest.raises(KeyboardInterrupt):
        process(clip, tmp_path / "b.mp4", Darker(), settings, report=interrupt)
    process(clip, tmp_path / "b.mp4", Darker(), settings)
    pair = [[(f.pts, f.pixels.tobytes()) for f in frames(tmp_path / name)] for name in ("whole.mp4", "b.mp4")]
    assert pair[0] == pair[1]


def test_pictures_that_the_decoder_drops_without_an_error_are_said(tmp_path):
    """A packet of HEVC that has no picture in it raises nothing; what is made from its picture does not come either."""
    options = {"x265-params": "log-level=error:keyint=10:bframes=0"}
    clip = make(tmp_path / "a.mkv", codec="libx265", options=options)
    content, packet = bytearray(clip.read_bytes()), packets(clip)[25]
    place = content.index(bytes(packet)) + 4
    content[place : place + 2] = b"\x7e\x01"  # a kind of unit that nobody knows
    clip.write_bytes(content)
    done = process(clip, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    (sentence,) = done.damage
    assert done.frames == 55 and "5 frames are damaged" in sentence and "numbers 25 to 29 (1.00 to" in sentence


def test_a_picture_track_that_the_header_names_otherwise_is_in_the_result(tmp_path):
    clip, told = make(tmp_path / "a.mp4", count=10), list[str]()
    content = bytearray(clip.read_bytes())
    place = content.index(b"tkhd") + 4
    content[place - 4 : place] = b"tkhx"
    clip.write_bytes(content)
    process(clip, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME, say=told.append)
    assert len(list(frames(tmp_path / "b.mp4"))) == 10 and any("header is damaged" in line for line in told)


def with_its_header_first(path: Path) -> Path:
    """An MP4 that can be read as far as it goes."""
    first = path.with_stem("first")
    with av.open(str(path)) as clip, av.open(str(first), "w", options={"movflags": "faststart"}) as out:
        video = out.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = video
                out.mux(packet)
    return first


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_a_clip_that_is_cut_short_is_derained_as_far_as_it_goes_and_that_is_said(tmp_path, ending):
    codec = {"codec": "mpeg4"} if ending == ".avi" else {}
    clip = make(tmp_path / f"a{ending}", options={"g": "10", "bf": "0"}, **codec)
    clip = with_its_header_first(clip) if ending == ".mp4" else clip
    assert not process(clip, tmp_path / f"whole{ending}", Identity(), FRAME_BY_FRAME).damage
    content = clip.read_bytes()
    clip.write_bytes(content[: content.index(bytes(packets(clip)[40]))])
    result, said = tmp_path / f"b{ending}", []
    done = process(clip, result, Identity(), FRAME_BY_FRAME, say=said.append)
    assert done.frames == 40 and "cut short" in done.damage[-1] and not said
    with av.open(str(result)) as container:
        assert container.duration / av.time_base == pytest.approx(40 / 25, abs=0.05)


def test_of_a_cut_clip_no_frame_after_the_last_that_is_shown_is_said_to_be_left_out(tmp_path):
    clip = with_its_header_first(make(tmp_path / "a.mp4", 20))
    content = clip.read_bytes()
    clip.write_bytes(content[: content.index(bytes(packets(clip)[15])) + 20])
    done = process(clip, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    shown = [frame.time for frame in frames(tmp_path / "b.mp4")]
    (sentence,) = done.damage
    assert "cut short" in sentence and f"the last frame is at {shown[-1]:.2f} s" in sentence


UNSEEN = {  # how pictures are hidden from a decoder: what begins one, and what begins something else
    "a.mkv": ("libsvtav1", b"\x32", b"\x7a"),
    "a.ts": ("mpeg2video", b"\0\0\1\0", b"\0\0\1\xb2"),
    "a.avi": ("mpeg4", b"\0\0\1\xb6", b"\0\0\1\xb2"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_whatever_the_codec_a_picture_that_does_not_come_out_is_said(tmp_path, name):
    codec, begins, other = UNSEEN[name]
    options = {"preset": "12"} if "av1" in codec else {"g": "10"}
    base = {"base": Fraction(1, 25)} if codec == "mpeg2video" else {}
    clip = make(tmp_path / name, count=20, codec=codec, options=options, draw=noise, **base)
    packet = bytes(packets(clip)[15])
    rest = packet[packet.index(begins) + len(begins) :][:100]  # which no part of the container stands in
    content = clip.read_bytes()
    assert content.count(begins + rest) == 1
    clip.write_bytes(content.replace(begins + rest, other + rest))
    done = process(clip, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    assert done.frames == 19 and "1 frame is damaged" in done.damage[0] and "number 15 (0.60 s)" in done.damage[0]


def noise(index: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (*size, 3), np.uint8)


def without(path: Path, start: int, end: int) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[:start] + content[end:])
    return path


def test_frames_that_are_shown_though_damaged_are_said(tmp_path):
    clip = make(tmp_path / "a.ts", count=20, options={"g": "10", "bf": "0"}, draw=noise)
    place = packets(clip)[15].pos + 5 * 188
    done = process(without(clip, place, place + 188), tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert done.frames == 20 and "damaged but shown: number" in done.damage[0] and "15" in done.damage[0]


def test_frames_whose_time_does_not_advance_are_damage(tmp_path):
    clip = make(tmp_path / "a.avi", count=10, codec="mjpeg", pixel_format="yuvj420p", options={})
    with av.open(str(clip)) as source, av.open(str(tmp_path / "b.mkv"), "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.stream, packet.time_base = video, Fraction(1, 25)
            packet.pts = packet.dts = number - (number > 5)
            out.mux(packet)
    done = process(tmp_path / "b.mkv", tmp_path / "c.mkv", Identity(), FRAME_BY_FRAME)
    assert done.frames == 9 and "1 frame is out of order" in done.damage[0]


STRUCTURED = {
    "a.mkv": "libx264",
    "a.webm": "libvpx-vp9",
    "a.avi": "mpeg4",
    "a.flv": "libx264",
    "a.ts": "libx264",
    "a.mpg": "mpeg2video",
    "a.ogg": "libvpx",
}


def structured(path: Path) -> Path:
    clocks = {".flv": 1000, ".mkv": 1000, ".webm": 1000}
    drawing = {} if path.suffix == ".mpg" else {"draw": noise}
    base = Fraction(1, clocks.get(path.suffix, 25))
    return make(path, count=30, codec=STRUCTURED[path.name], options={"g": "5"}, base=base, **drawing)


@pytest.mark.parametrize("name", STRUCTURED)
def test_what_is_skipped_because_the_file_makes_no_sense_is_said(tmp_path, name):
    clip = structured(tmp_path / name)
    with Clip(clip) as whole:
        assert len(list(whole.frames())) == 30 and not whole.damage
    content = bytearray(clip.read_bytes())
    start = packets(clip)[15].pos or len(content) // 2
    content[start - 30 : start + 400] = b"\xee" * 430
    clip.write_bytes(content)
    done = process(clip, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    (sentence,) = [sentence for sentence in done.damage if "the file is damaged after" in sentence]
    assert done.frames < 30 and 0.4 <= float(sentence.split("after ")[1].split(" s")[0]) <= 1.0


@pytest.mark.parametrize("name", STRUCTURED)
def test_files_of_every_kind_that_are_cut_short_are_said_to_be(tmp_path, name):
    clip = structured(tmp_path / name)
    content, last = clip.read_bytes(), packets(clip)[20]
    clip.write_bytes(content[: (last.pos or len(content) * 2 // 3) + last.size // 2])
    done = process(clip, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    assert 18 <= done.frames <= (30 if name == "a.mpg" else 21) and "cut short" in done.damage[-1]


@pytest.mark.parametrize("name, muxing", [("a.mp4", {}), ("a.mp4", {"movflags": "faststart"}), ("a.mov", {})])
@pytest.mark.parametrize("junk", [b"left by a program", b"0123456789" * 6, bytes(64), b"\xee" * 40, b"end"])
def test_junk_after_an_mp4_is_not_taken_for_a_cut_box(tmp_path, name, muxing, junk):
    clip = make(tmp_path / name, count=5, muxing=muxing)
    whole = clip.read_bytes()
    for content, is_cut in ((whole + junk, False), (whole[:-8], True)):
        clip.write_bytes(content)
        with Clip(clip) as source:
            assert len(list(source.frames())) >= 4 and bool(source.damage) == is_cut


@pytest.mark.parametrize("name", ["a.flv", "a.ts", "a.ogg", "a.mpg"])
def test_zeros_after_a_clip_are_no_damage(tmp_path, name):
    clip = structured(tmp_path / name)
    clip.write_bytes(clip.read_bytes() + bytes(40))
    with Clip(clip) as source:
        assert len(list(source.frames())) == 30 and not source.damage


def test_fragments_of_an_mp4_that_make_no_sense_are_said(tmp_path):
    clip = make(tmp_path / "a.mp4", muxing={"movflags": "frag_keyframe+empty_moov"})
    with Clip(clip) as whole:
        assert len(list(whole.frames())) == 60 and not whole.damage
    content = clip.read_bytes()
    place = [at for at in range(len(content)) if content[at : at + 4] == b"moof"][3]
    clip.write_bytes(content[:place] + b"moox" + content[place + 4 :])
    done = process(clip, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert done.frames == 50 and "the file is damaged after 1.1" in done.damage[-1]


def test_a_clip_that_is_gone_when_it_is_read_is_a_sentence(tmp_path):
    with Clip(make(tmp_path / "a.mp4")) as clip:
        clip.path.unlink()
        for since in (None, 2.0):
            with pytest.raises(PhotoError, match="a.mp4: cannot be read as video"):
                next(clip.frames(since))


def test_a_preview_that_cannot_be_written_does_not_end_the_clip(tmp_path):
    said = list[str]()
    clip = make(tmp_path / "a.mp4", count=3)
    done = process(
        clip, tmp_path / "b.mp4", Identity(), VideoSettings(temporal="off", preview=clip / "no.png"), say=said.append
    )
    assert done.frames == 3 and len(said) == 1 and "no.png: cannot be" in said[0]


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_packets_that_the_container_refuses_are_left_out_and_said(tmp_path, ending):
    clip = make(tmp_path / "a.ts", count=25, sound=1)
    with av.open(str(clip)) as source:
        sound = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
    content = bytearray(clip.read_bytes())
    place = content.index(sound[20][:40])
    content[place + 1] &= 0xFE  # a checksum, and several frames in one: which FFmpeg does not know
    content[place + 6] |= 1
    clip.write_bytes(content)
    done = process(clip, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    assert len(list(frames(tmp_path / f"b{ending}"))) == done.frames == 25
    with av.open(str(tmp_path / f"b{ending}")) as result:
        assert len(sound) - 2 <= sum(packet.size > 0 for packet in result.demux(audio=0)) < len(sound)
    assert "1 damaged packet of other tracks left out" in done.damage[-1]


def test_sound_that_is_damaged_is_said(tmp_path):
    clip = make(tmp_path / "a.ts", count=25, sound=1)
    with av.open(str(clip)) as source:
        place = [packet.pos for packet in source.demux(audio=0) if packet.size][20]
    done = process(without(clip, place + 188, place + 376), tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert done.frames == 25 and "of other tracks" in done.damage[-1]
    whole = make(tmp_path / "c.ts", count=60, sound=1)
    whole.write_bytes(whole.read_bytes() * 2)
    assert not process(whole, tmp_path / "d.mp4", Identity(), FRAME_BY_FRAME).damage


@pytest.mark.parametrize(
    "ending, lost",
    [(".mp4", "track 2 (sound) is left out: its part of the header is damaged"), (".mkv", "cannot be read")],
)
def test_sound_that_a_damaged_header_takes_is_said(tmp_path, ending, lost):
    clip = make(tmp_path / "a.mp4", count=5, sound=1)
    content = clip.read_bytes()
    at = content.rindex(b"stsc")
    clip.write_bytes(content[:at] + b"s??c" + content[at + 4 :])
    done = process(clip, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME)
    assert done.frames == 5 and len(done.damage) == 1 and lost in done.damage[0]


def test_every_frame_that_is_out_of_order_is_counted(tmp_path):
    clip = make(tmp_path / "a.ts", count=12)
    clip.write_bytes(clip.read_bytes() * 3)
    with av.open(str(clip)) as source:
        count = len(list(source.decode(video=0)))
    done = process(clip, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    assert any(f"{count - done.frames} frames are out of order" in sentence for sentence in done.damage), done.damage


def makes_sense(path: Path) -> bool:
    with structure(path, 0) as parts:
        return not parts.is_broken_until(parts.size) and not parts.is_cut


@pytest.mark.parametrize("junk", ["0f010203048100", "b68175"])
def test_the_result_of_a_matroska_file_that_makes_no_sense_makes_sense(tmp_path, junk):
    clip = structured(tmp_path / "a.mkv")
    content = clip.read_bytes()
    place = content.rindex(bytes.fromhex("1c53bb6b"))  # after the last cluster
    clip.write_bytes(content[:place] + bytes.fromhex(junk) + content[place:])
    done = process(clip, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    assert "the file is damaged" in done.damage[-1] and len(list(frames(tmp_path / "b.mkv"))) == done.frames
    assert makes_sense(tmp_path / "b.mkv")


def test_the_result_of_an_mp4_whose_fragments_make_no_sense_makes_sense(tmp_path):
    clip = make(tmp_path / "a.mp4", muxing={"movflags": "frag_keyframe+empty_moov"})
    content = clip.read_bytes()
    place = [at for at in range(len(content)) if content[at : at + 4] == b"moof"][3]
    clip.write_bytes(content[: place - 4] + b"\xf0" + content[place - 4 :])
    done = process(clip, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    assert "the file is damaged" in done.damage[-1] and len(list(frames(tmp_path / "b.mp4"))) == done.frames
    assert makes_sense(tmp_path / "b.mp4")


def test_an_empty_clip_and_a_recording_without_its_index_are_told_as_that(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    whole = make(tmp_path / "whole.mp4", 6)
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(PhotoError, match="empty.mp4: is empty$"):
        Clip(tmp_path / "empty.mp4")
    with pytest.raises(PhotoError, match="cut.mp4: its index is missing .* untrunc"):
        Clip(tmp_path / "cut.mp4")
