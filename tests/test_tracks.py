"""`derain video`: what a clip holds beside its first picture track comes back."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from derain.video import VideoSettings, frames, process
from derain.video.containers.mp4_header import write_in_header
from derain.video.encoder import in_time
from derain.video.formats import choose_pixel_format, lost
from derain.video.gifs import read_pages
from derain.video.naming import default_result
from derain.video.sides import Light, lost_sides, merged
from tests.test_video import QUARTER_TURN, Darker, Identity, make_clip, picture

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


def test_sound_whose_speakers_nobody_names_is_copied(tmp_path):
    with av.open(str(tmp_path / "sound.mkv"), "w") as clip:
        sound = clip.add_stream("pcm_s16le", rate=8000, layout="stereo")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "stereo")
        silence.sample_rate = 8000
        clip.mux(sound.encode(silence))
    source = remuxed([make_clip(tmp_path / "film.mp4"), tmp_path / "sound.mkv"], tmp_path / "a.mkv")
    with av.open(str(source)) as clip:
        assert clip.streams.audio[0].layout.name == "2 channels"
    assert process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME).damage == []
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert sum(frame.samples for frame in clip.decode(audio=0)) == 4000


def with_sound(path: Path, codec: str, picture_codec: str = "mpeg4", pauses: tuple[int, ...] = ()) -> Path:
    """Half a second with noise beside the pictures, which begins 4000 samples late at these of its 22 blocks."""
    noise = np.random.default_rng(0).integers(-9000, 9000, (22, 1, 1000), np.int16)
    with av.open(str(path), "w") as clip:
        video, sound = clip.add_stream(picture_codec, rate=25), clip.add_stream(codec, rate=44100, layout="mono")
        video.width, video.height, video.pix_fmt, sound.bit_rate = 64, 48, "yuv420p", 64_000
        for index in range(12):
            clip.mux(video.encode(av.VideoFrame.from_ndarray(picture(index), "rgb24")))
        clip.mux(video.encode())
        for index, block in enumerate(noise):
            samples = av.AudioFrame.from_ndarray(block, "s16", "mono")
            samples.sample_rate = 44100
            samples.pts = 1000 * index + 4000 * sum(pause <= index for pause in pauses)
            clip.mux(sound.encode(samples))
        clip.mux(sound.encode())
    return path


def heard(path: Path) -> np.ndarray:
    with av.open(str(path)) as clip:
        return np.concatenate([frame.to_ndarray() for frame in clip.decode(audio=0)], axis=1)


@pytest.mark.parametrize("codec", ["pcm_alaw", "adpcm_ms"])
def test_sound_that_cannot_be_copied_is_stored_as_its_samples_and_that_is_told(tmp_path, codec):
    source, said = with_sound(tmp_path / "a.avi", codec), []
    process(source, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("is stored as pcm_s16le, which sounds the same" in line for line in said)
    assert np.array_equal(heard(source), heard(tmp_path / "b.mkv"))
    process(source, tmp_path / "c.mkv", Identity(), VideoSettings(temporal="off", start=0.24))
    assert 0 < heard(tmp_path / "c.mkv").size < heard(source).size


@pytest.mark.parametrize("name, codec, ending", [("a.mkv", "flac", ".mov"), ("a.ts", "aac", ".avi")])
def test_samples_have_silence_where_sound_begins_late_or_pauses(tmp_path, name, codec, ending):
    """As neither file tells the time of a sample."""
    source, said = with_sound(tmp_path / name, codec, pauses=(0, 10)), []
    process(source, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("is stored as pcm" in line for line in said)
    loud = np.flatnonzero(heard(tmp_path / f"b{ending}"))
    begins, pauses = loud[0], np.diff(loud)
    assert 2900 <= begins <= 4100 and pauses.max() > 3900  # AAC begins with a block of its own
    assert loud[-1] == pytest.approx(22_000 + 2 * 4000, abs=1100)


def test_of_what_a_container_cannot_hold_it_is_told_which_one_does(tmp_path):
    source, said = with_sound(tmp_path / "a.avi", "pcm_alaw"), []
    process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME, say=said.append)
    assert said == [f"{source}: stream 1 (audio, pcm_alaw) is left out: mp4 cannot hold it; a result in .mov keeps it"]


def test_labels_that_a_container_cannot_hold_are_told(tmp_path, two_cameras):
    source, said = tmp_path / "a.mkv", []
    with av.open(str(two_cameras(".mkv").rename(tmp_path / "plain.mkv"))) as plain, av.open(str(source), "w") as clip:
        clip.metadata.update({"title": "Regen", "MAKE": "ACME", "creation_time": "2024-05-01T10:11:12.000000Z"})
        clip.set_chapters([{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {}}])
        streams = [clip.add_stream_from_template(stream) for stream in plain.streams]
        for stream, old in zip(streams, plain.streams):
            stream.metadata.update(old.metadata)
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                clip.mux(packet)
    for name in ("b.mp4", "c.avi", "d.mov"):
        process(source, tmp_path / name, Identity(), FRAME_BY_FRAME, say=said.append)
    lost = "left out because avi cannot hold them: tags (creation_time, make), chapters, languages of tracks"
    assert [line for line in said if "because" in line] == [
        f"{source}: left out because mp4 cannot hold them: tags (make); a result in .mkv keeps them",
        f"{source}: {lost}; a result in .mkv keeps them",
    ]
    with av.open(str(tmp_path / "d.mov")) as clip:
        assert {stream.language for stream in clip.streams} == {"ger"}


def test_a_tag_that_is_given_with_its_language_too_is_named_once(tmp_path):
    source, said = tmp_path / "a.mp4", []
    with av.open(str(make_clip(tmp_path / "plain.mp4"))) as plain, av.open(str(source), "w") as clip:
        clip.metadata.update({"location": "+48.1351+011.5820/", "title": "Regen"})
        video = clip.add_stream_from_template(plain.streams.video[0])
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = video
                clip.mux(packet)
    with av.open(str(source)) as clip:
        assert {"location", "location-eng"} <= clip.metadata.keys()
    process(source, tmp_path / "b.avi", Identity(), FRAME_BY_FRAME, say=said.append)
    lost = "left out because avi cannot hold them: tags (location); a result in .mkv keeps them"
    assert said[-1] == f"{source}: {lost}"


def test_sound_that_mp4_cannot_hold_decides_on_the_container(tmp_path):
    assert default_result(with_sound(tmp_path / "a.wmv", "wmav2", "wmv2")) == tmp_path / "a.derained.mkv"


def test_data_of_which_the_result_would_not_say_what_they_are_are_left_out(tmp_path):
    source, said = tmp_path / "a.ts", []
    with av.open(str(make_clip(tmp_path / "film.mp4"))) as film, av.open(str(source), "w") as clip:
        video, data = clip.add_stream_from_template(film.streams.video[0]), clip.add_data_stream("klv")
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                clip.mux(packet)
                told = av.Packet(b"\x06\x0e\x2b\x34" + bytes(20))
                told.stream, told.pts, told.dts, told.time_base = data, packet.dts, packet.dts, packet.time_base
                clip.mux(told)
    assert default_result(source) == tmp_path / "a.derained.mp4"
    process(source, tmp_path / "b.mov", Identity(), FRAME_BY_FRAME, say=said.append)
    assert said == [f"{source}: stream 1 (data, klv) is left out: mov cannot hold it"]
    with av.open(str(tmp_path / "b.mov")) as clip:
        assert [stream.type for stream in clip.streams] == ["video"]


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
    assert seen[-1] == (17, 21) and "continuing after 12 frames" in said[0]
    assert [len(track) for track in brightness(out)] == [12, 9]
    assert not list(tmp_path.glob("*.unfinished"))


def test_of_several_picture_tracks_only_one_becomes_pictures_and_that_is_told(tmp_path, two_cameras):
    done = process(two_cameras(".mkv"), tmp_path / "out", Identity(), FRAME_BY_FRAME)
    assert done.notes == ["only the first of its 2 picture tracks becomes pictures"]


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


def transparent(path: Path, codec: str, form: str) -> Path:
    """A clip that fades out to the left; ``form`` is its pixel format."""
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, form
        if codec.startswith("libvpx"):
            stream.options = {"auto-alt-ref": "0", "crf": "10", "b": "0"}
            stream.metadata["alpha_mode"] = "1"
        fading = np.tile(np.arange(0, 256, 4, np.uint8), (48, 1))
        for index in range(4):
            shown = np.dstack([picture(index), fading])
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "rgba").reformat(format=form)))
        clip.mux(stream.encode())
    return path


TRANSPARENT = {
    "a.mov": ("prores_ks", "yuva444p10le"),
    "b.mov": ("qtrle", "argb"),
    "a.webm": ("libvpx-vp9", "yuva420p"),
    "b.webm": ("libvpx", "yuva420p"),
    "a.mkv": ("ffv1", "yuva422p10le"),
    "a.avi": ("ffv1", "bgra"),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_clips_stay_transparent_and_in_their_codec(tmp_path, name):
    codec, form = TRANSPARENT[name]
    source, out, said = transparent(tmp_path / name, codec, form), tmp_path / f"dry {name}", []
    process(source, out, Darker(), FRAME_BY_FRAME, say=said.append)
    before, after = list(frames(source)), list(frames(out))
    assert len(after) == 4 and [f.time for f in before] == [f.time for f in after]
    for one, other in zip(before, after):
        white = np.iinfo(one.pixels.dtype).max
        assert np.abs(one.alpha.astype(float) - other.alpha).mean() < 0.01 * white
        assert np.abs(0.8 * one.pixels - other.pixels).mean() < 0.02 * white
    with av.open(str(source)) as one, av.open(str(out)) as other:
        kept = codec != "libvpx"  # VP8 goes on as VP9
        assert not kept or one.streams[0].codec_context.name == other.streams[0].codec_context.name
    assert not said or codec == "prores_ks" and len(said) == 1 and "become 10" in said[0]  # the decoder gives 12


def test_transparency_that_a_container_cannot_hold_is_said(tmp_path):
    source, said = transparent(tmp_path / "a.mov", *TRANSPARENT["a.mov"]), []
    process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("transparency is lost" in line and ".mov" in line for line in said)
    process(source, tmp_path / "c.mkv", Identity(), VideoSettings(temporal="off", codec="ffv1"))
    assert next(iter(frames(tmp_path / "c.mkv"))).alpha is not None
    process(source, tmp_path / "d", Identity(), FRAME_BY_FRAME)
    with Image.open(tmp_path / "d" / "00000.png") as first:
        assert np.asarray(first)[..., 3].mean() == pytest.approx(126, abs=3)


def test_a_comparison_and_a_turned_clip_keep_alpha_where_it_belongs(tmp_path):
    source = transparent(tmp_path / "a.mov", *TRANSPARENT["a.mov"])
    process(source, tmp_path / "b.mov", Identity(), VideoSettings(temporal="off", layer="compare"))
    alpha = next(iter(frames(tmp_path / "b.mov"))).alpha
    assert alpha.shape == (48, 128) and np.abs(alpha[:, :64].astype(float) - alpha[:, 64:]).max() < 1000
    write_in_header(source, QUARTER_TURN)
    process(source, tmp_path / "c.mov", Identity(), FRAME_BY_FRAME)
    one, other = (next(iter(frames(path))) for path in (source, tmp_path / "c.mov"))
    assert one.alpha.shape == (64, 48) and np.abs(one.alpha.astype(float) - other.alpha).mean() < 500


CHROMA = [
    ("libx264", "yuv422p", ".mp4"),
    ("libx264", "yuv444p", ".mkv"),
    ("libx264", "yuv422p10le", ".mov"),
    ("libx264", "yuv444p10le", ".mp4"),
    ("libx265", "yuv422p10le", ".mp4"),
    ("libx265", "yuv444p12le", ".mkv"),
    ("libvpx-vp9", "yuv444p", ".webm"),
    ("prores_ks", "yuv422p10le", ".mov"),
    ("ffv1", "yuv422p12le", ".mkv"),
    ("ffv1", "bgr0", ".avi"),
    ("utvideo", "yuv422p", ".avi"),
    ("mjpeg", "yuvj422p", ".avi"),
]


@pytest.mark.parametrize("codec, form, ending", CHROMA)
def test_chroma_depth_and_codec_stay(tmp_path, codec, form, ending):
    base = Fraction(1, 12800) if ending in (".mp4", ".mov") else Fraction(1, 25)
    quiet = {"x265-params": "log-level=error:bframes=0"} if codec == "libx265" else {}
    source = make_clip(tmp_path / f"a{ending}", 2, codec, form, base=base, options=quiet)
    said = []
    process(source, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME, say=said.append)
    with av.open(str(source)) as before, av.open(str(tmp_path / f"b{ending}")) as after:
        one, other = (file.streams.video[0].codec_context for file in (before, after))
        assert (one.name, one.pix_fmt, one.profile) == (other.name, other.pix_fmt, other.profile)
    assert not said


@pytest.mark.parametrize(
    "codec, source, result",
    [
        ("libsvtav1", "yuv422p10le", "yuv420p10le"),
        ("libx264", "yuv422p12le", "yuv422p10le"),
        ("libx264", "yuva444p", "yuv444p"),
        ("libvpx-vp9", "yuv422p10le", "yuv422p"),
        ("mpeg4", "yuv422p", "yuv420p"),
        ("ffv1", "pal8", "bgr0"),
        ("libx264", "gray10le", "yuv420p10le"),
    ],
)
def test_the_nearest_pixel_format_is_taken_and_what_it_loses_is_known(codec, source, result):
    assert choose_pixel_format(codec, source, (64, 48)) == result
    bits = max(part.bits for part in av.VideoFormat(source).components)
    assert bool(lost(source, bits, result)) == (source not in ("pal8", "gray10le"))


SCREEN = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def hdr10(path: Path) -> Path:
    options = {"x265-params": f"log-level=error:master-display={SCREEN}:max-cll=1000,400"}
    tags = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
    return make_clip(path, 4, "libx265", "yuv420p10le", tags=tags, options=options)


def light(path: Path) -> dict[str, bytes]:
    sides = next(iter(frames(path))).sides
    return {kind: sides[kind] for kind in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")}


@pytest.mark.parametrize("codec", [None, "libx264"])
def test_hdr10_keeps_its_mastering_display_and_content_light(tmp_path, codec):
    source = hdr10(tmp_path / "a.mp4")
    process(source, tmp_path / "b.mp4", Identity(), VideoSettings(temporal="off", codec=codec))
    assert light(source) == light(tmp_path / "b.mp4")
    assert next(iter(frames(tmp_path / "b.mp4"))).colours.transfer == 16


def test_hdr10_goes_on_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.work.Work.SEGMENT_FRAMES", 2)

    def interrupt(done, total, seconds):
        if done == 3:
            raise KeyboardInterrupt

    source, out = hdr10(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    with pytest.raises(KeyboardInterrupt):
        process(source, out, Identity(), FRAME_BY_FRAME, report=interrupt)
    process(source, out, Identity(), FRAME_BY_FRAME)
    assert light(out) == light(source) and len(list(frames(out))) == 4


def test_av1_is_told_the_light_in_its_own_units():
    source = Light(struct.pack("=22i", *(1, 2) * 8, 1, 10000, 1000, 1, 1, 1), struct.pack("=2I", 1000, 400))
    wanted = "mastering-display=G(0.5,0.5)B(0.5,0.5)R(0.5,0.5)WP(0.5,0.5)L(1000.0,0.0001):content-light=1000,400"
    assert source.options("libsvtav1") == {"svtav1-params": wanted}
    assert Light().options("libx265") == {} and source.options("libvpx-vp9") == {}


def test_options_of_the_user_come_after_those_of_the_clip():
    assert merged({"x265-params": "aq-mode=0"}, {"x265-params": "max-cll=1,2"}) == {
        "x265-params": "max-cll=1,2:aq-mode=0"
    }


def test_metadata_that_follow_the_scenes_are_named():
    kinds = ("DYNAMIC_HDR_PLUS", "DOVI_METADATA", "DOVI_RPU_BUFFER", "DISPLAYMATRIX", "A53_CC")
    assert lost_sides(dict.fromkeys(kinds, b"")) == [
        "Dolby Vision metadata that follow the scenes",
        "HDR10+ metadata that follow the scenes",
        "closed captions inside the pictures",
    ]


MESSAGES = {
    "SEI_UNREGISTERED": b"\x05" + bytes([16 + 3]) + bytes.fromhex("086f3693b7b34f2c965321492feee5b8") + b"GPS",
    "A53_CC": b"\x04\x11\xb5\x00\x31GA94\x03\x42\xff\xfc\x94\x2c\xfc\x41\x42\xff",
}


def with_messages(path: Path, kind: str) -> Path:
    """A clip of H.264 with a message in each picture."""
    message = b"\x06" + MESSAGES[kind] + b"\x80"
    plain = make_clip(path.with_stem("plain"), 4, options={"bf": "0"})
    with av.open(str(plain)) as source, av.open(str(path), "w") as clip:
        video = clip.add_stream_from_template(source.streams.video[0], opaque=True)
        for old in (packet for packet in source.demux(video=0) if packet.size):
            new = av.Packet(len(message).to_bytes(4, "big") + message + bytes(old))
            new.pts, new.dts, new.time_base, new.is_keyframe = old.pts, old.dts, old.time_base, old.is_keyframe
            new.stream = video
            clip.mux(new)
    return path


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("codec, compare", [("libx264", False), ("libx264", True), ("mpeg4", False)])
def test_captions_and_messages_inside_the_pictures_are_kept_or_that_is_said_once(tmp_path, kind, codec, compare):
    source, said = with_messages(tmp_path / "a.mp4", kind), list[str]()
    settings = VideoSettings(temporal="off", codec=codec, layer="compare" if compare else "background")
    process(source, tmp_path / "b.mp4", Identity(), settings, say=said.append)
    kept = codec == "libx264"
    shown, before = list(frames(tmp_path / "b.mp4")), list(frames(source))
    assert len(said) == (not kept) and all("inside the pictures cannot be kept" in sentence for sentence in said)
    assert [frame.sides.get(kind) for frame in shown[1:]] == [
        frame.sides[kind] if kept else None for frame in before[1:]
    ]
    process(source, tmp_path / "c.mp4", Identity(), VideoSettings(temporal="off", fps_limit=12), say=said.append)
    assert len(said) == 1 + (not kept)  # with the frames that are left out


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("model", [Identity, Darker])
def test_pictures_for_both_eyes_stay_so_or_that_is_said(tmp_path, codec, model):
    source = make_clip(tmp_path / "a.mp4", options={"x264-params": "frame-packing=3"})
    notes = process(source, tmp_path / "b.mp4", model(), VideoSettings(temporal="off", codec=codec)).notes
    before, after = (next(iter(frames(path))).sides.get("STEREO3D") for path in (source, tmp_path / "b.mp4"))
    assert before and (before == after) == (codec == "libx264")
    assert any("both eyes" in note for note in notes) == (codec == "libx265")


def test_the_settings_of_an_encoder_are_no_message(tmp_path):
    said = list[str]()
    process(make_clip(tmp_path / "a.mp4", 4), tmp_path / "b.webm", Identity(), FRAME_BY_FRAME, say=said.append)
    assert not any("messages" in sentence for sentence in said)


def test_a_packet_whose_time_the_encoder_left_undefined_is_decoded_when_it_is_shown():
    packets = [av.Packet(b"1"), av.Packet(b"2")]
    for packet, (pts, dts) in zip(packets, [(0, 6574731305396623436), (512, 0)]):
        packet.pts, packet.dts = pts, dts
    assert [packet.dts for packet in in_time(packets)] == [0, 0]


@pytest.mark.parametrize(
    ("source", "ending", "advice"),
    [
        (lambda path: transparent(path / "a.webm", *TRANSPARENT["a.webm"]), ".mp4", ("libvpx-vp9", ".mkv")),
        (lambda path: transparent(path / "a.mov", *TRANSPARENT["a.mov"]), ".mov", ("ffv1", ".mkv")),
        (lambda path: transparent(path / "a.mov", *TRANSPARENT["a.mov"]), ".mp4", ("ffv1", ".mkv")),
        (lambda path: make_clip(path / "a.avi", 2, "rawvideo", "bgr24", base=Fraction(1, 25)), ".avi", ("ffv1", "")),
        (lambda path: make_clip(path / "a.mkv", 2, "ffv1", "yuv444p12le"), ".mp4", ("libx265", "")),
    ],
)
def test_the_codec_and_container_that_are_said_to_keep_more_do(tmp_path, source, ending, advice):
    clip, said, codec, other = source(tmp_path), [], *advice
    process(clip, tmp_path / f"b{ending}", Identity(), FRAME_BY_FRAME, say=said.append)
    told = next(line for line in said if "more" in line)
    assert f"`codec` {codec}" in told and (f"a result in {other}" if other else "keeps more") in told
    better = tmp_path / f"c{other or ending}"
    process(clip, better, Identity(), VideoSettings(temporal="off", codec=codec), say=said.append)
    with av.open(str(clip)) as before, av.open(str(better)) as after:
        assert not lost(before.streams.video[0].format.name, 8, after.streams.video[0].format.name)


@pytest.mark.parametrize(
    ("pixel_format", "codec", "is_told"), [("rgb24", "libx264rgb", True), ("yuv420p", "libx264", False)]
)
def test_rgb_that_becomes_yuv_is_told(tmp_path, pixel_format, codec, is_told):
    clip, said = make_clip(tmp_path / "a.mkv", 2, codec, pixel_format), []
    process(clip, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("RGB is stored as yuv" in line for line in said) == is_told
