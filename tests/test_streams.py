"""Streams through real sockets and pipes: frames, times, sound, lost connections, machines that are too slow."""

import dataclasses
import errno
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Condition, Semaphore, Thread
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition
from typer.testing import CliRunner

from derain import video
from derain.cli.app import app
from derain.cli.streaming import _tell
from derain.errors import PhotoError, UsageError
from derain.models import build
from derain.rain.weather import Weather
from derain.video import VideoSettings
from derain.video.containers.mp4_header import write_in_header
from derain.video.encoding import Encoding
from derain.video.fusion import fused
from derain.video.streams import RawFrames, Streamed, Streaming, StreamSettings
from derain.video.streams.addresses import unknown_host, without_password
from derain.video.streams.copying import aac_config, check_held
from derain.video.streams.output import Output
from derain.video.streams.parts import Part, Parts
from derain.video.streams.source import _how_to_open
from derain.video.streams.timeline import Timeline
from derain.weights import save
from tests.conftest import SMALL
from tests.forks import in_terminals, piped
from tests.terminals import Case
from tests.test_video import BT709_FULL, HDR, QUARTER_TURN, Darker, Identity, facts, make_clip, picture

LOSSLESS = VideoSettings(temporal="off", codec="ffv1")
LOSSY = VideoSettings(temporal="off", codec="libx264")
RAW = RawFrames("rgb24", 64, 48)


def clip_bytes(numbers: range, form: str = "nut", sound: bool = True, begins: int = 0) -> bytes:
    """Lossless pictures with these numbers, 25 a second, and PCM sound."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as clip:
        video = clip.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = clip.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for at, number in enumerate(numbers, start=begins):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = at, Fraction(1, 25)
            clip.mux(video.encode(frame))
            if audio:
                block = np.full((1, 320), number, np.int16)
                tone = av.AudioFrame.from_ndarray(block, "s16", "mono")
                tone.sample_rate, tone.pts, tone.time_base = 8000, 320 * at, Fraction(1, 8000)
                clip.mux(audio.encode(tone))
        clip.mux(video.encode())
    return file.getvalue()


def streamed(source: Path, out: Path, settings: VideoSettings = LOSSY, **streaming) -> Streamed:
    """A file that comes as a stream, without a machine too slow for it."""
    given = StreamSettings(live=False, **streaming)
    return Streaming(Server(sends(source.read_bytes())).url, str(out), settings, given).run(Darker())


def contents(file: io.BytesIO | Path) -> tuple[list[np.ndarray], list[Fraction], list[Fraction], list[bytes]]:
    """Pictures and their times, times and content of the sound's packets."""
    pictures, shown_at, heard_at, heard = [], [], [], []
    with av.open(file if isinstance(file, io.BytesIO) else str(file)) as clip:
        for packet in clip.demux():
            if not packet.size:
                continue
            if packet.stream.type == "audio":
                heard_at.append(packet.pts * packet.time_base)
                heard.append(bytes(packet))
                continue
            for frame in packet.decode():
                pictures.append(frame.to_ndarray(format="rgb24"))
                shown_at.append(frame.pts * frame.time_base)
    return pictures, shown_at, heard_at, heard


class Server:
    """Serves one thing after the other on 127.0.0.1, each to one connection."""

    def __init__(self, *talks: Callable[[socket.socket], None]) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = Thread(target=self._serve, args=(talks,), daemon=True)
        self.thread.start()

    def _serve(self, talks: tuple[Callable[[socket.socket], None], ...]) -> None:
        for talk in talks:
            connection, _ = self.socket.accept()
            with connection:
                talk(connection)


def sends(content: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(content)


class Receiver(Server):
    """Takes all that comes over one connection."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        super().__init__(self._receive)

    def _receive(self, connection: socket.socket) -> None:
        while part := connection.recv(1 << 16):
            self.file.write(part)

    def received(self) -> io.BytesIO:
        self.thread.join(10)
        self.file.seek(0)
        return self.file


def test_a_stream_through_sockets_keeps_its_pictures_times_and_sound():
    sent = clip_bytes(range(12), begins=50)
    source, receiver = Server(sends(sent)), Receiver()
    done = Streaming(source.url, receiver.url, LOSSLESS, StreamSettings(live=False, form="nut")).run(Identity())
    before, after = contents(io.BytesIO(sent)), contents(receiver.received())
    assert (done.frames, done.dropped, done.damaged) == (12, 0, 0)
    assert len(after[0]) == 12 and all(map(np.array_equal, before[0], after[0]))
    assert [at - after[1][0] for at in after[1]] == [at - before[1][0] for at in before[1]]
    assert [at - after[1][0] for at in after[2]] == [at - before[1][0] for at in before[2]]
    assert after[3] == before[3]


def test_a_sender_that_is_killed_is_taken_up_again_and_times_go_on():
    first, second = clip_bytes(range(6), begins=1000), clip_bytes(range(6, 12))
    cut = first[: len(first) * 4 // 5]
    source, receiver = Server(sends(cut), sends(second)), Receiver()
    said, expected = list[str](), len(contents(io.BytesIO(cut))[0]) + 6
    streaming = StreamSettings(live=False, reconnect=60, form="nut")
    causal = replace(LOSSLESS, temporal="causal")
    running = Streaming(source.url, receiver.url, causal, streaming, say=said.append)
    running.report = lambda progress: running.stop() if progress.shown == expected else None
    done = running.run(Identity())
    _, shown_at, heard_at, _ = contents(receiver.received())
    assert done.reconnections == 1 and done.frames == len(shown_at) == expected
    assert any("the connection ended" in sentence for sentence in said)
    for times in (shown_at, heard_at):
        assert all(later > earlier for earlier, later in zip(times, times[1:]))
    assert shown_at[-1] < 100  # and not by the clock of the second sender, which is 40 s behind


class TooSlow(Identity):
    """Two more pictures come while it looks at one."""

    def __init__(self) -> None:
        super().__init__()
        self.room, self.changed = Semaphore(1), Condition()
        self.arrived = self.calls = 0

    def send(self, connection: socket.socket) -> None:
        for number in range(21):
            self.room.acquire()
            connection.sendall(picture(number).tobytes())

    def note(self, progress) -> None:
        with self.changed:
            self.arrived = progress.arrived
            self.changed.notify_all()

    def layers(self, rainy):
        self.calls += 1
        self.room.release(2)
        with self.changed:
            self.changed.wait_for(lambda: self.arrived >= min(2 * self.calls + 1, 21), timeout=20)
        return super().layers(rainy)


def test_a_machine_too_slow_by_half_drops_half_and_does_not_fall_behind():
    network = TooSlow()
    source, receiver = Server(network.send), Receiver()
    streaming = StreamSettings(live=True, raw=RAW, form="nut")
    done = Streaming(source.url, receiver.url, LOSSLESS, streaming, report=network.note).run(network)
    _, shown_at, _, _ = contents(receiver.received())
    assert done.frames + done.dropped == 21 and 9 <= done.dropped <= 10
    numbers = [round(at * 25) for at in shown_at]
    assert numbers[:2] == [0, 1] and set(np.diff(numbers[1:-1])) == {2}  # each as far behind the newest as the others
    assert done.latency_frames == 0


def weights(folder: Path) -> Path:
    """Of a network that takes nothing away."""
    model = build("derain", SMALL)
    torch.nn.init.zeros_(model.tail.weight)
    torch.nn.init.constant_(model.tail.bias, -9)
    save(model, folder / "none.safetensors")
    return folder / "none.safetensors"


def start(*arguments: object) -> subprocess.Popen[bytes]:
    code = "from derain.cli.app import main; main()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, "video", *map(str, arguments)], **pipes)  # type: ignore


def test_raw_frames_through_a_pipe_come_back_at_once_and_bit_for_bit(tmp_path):
    raw = ("--pixel-format", "rgb24", "--size", "64x48", "--rate", "30")
    process = start("-", "-o", "-", *raw, "--temporal", "causal", "--weights", weights(tmp_path))
    for number in range(4):
        frame = picture(number).tobytes()
        process.stdin.write(frame)
        process.stdin.flush()
        assert process.stdout.read(len(frame)) == frame  # before the next is sent
    process.stdin.close()
    assert process.stdout.read() == b"" and process.wait() == 0
    said = process.stderr.read().decode()
    assert "latency: 0 pictures" in said and "is sent once 0 more have come" in said


@pytest.mark.slow
def test_a_signal_leaves_a_file_with_all_that_came(tmp_path):
    raw = ("--pixel-format", "rgb24", "--size", "320x240")
    network, sides = weights(tmp_path), (240, 320)
    runs = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        out = tmp_path / f"{number.name}.mkv"
        runs[number] = start("-", "-o", out, *raw, "--weights", network, "--temporal", "off", "--no-live"), out
    for number, (process, out) in runs.items():
        for index in range(4):  # each is larger than a pipe, so those before were read when it has been written
            process.stdin.write(picture(index, sides).tobytes())
            process.stdin.flush()
        for _ in range(1 + (number == signal.SIGHUP)):  # which a terminal that closes sends twice
            process.send_signal(number)
        _, said = process.communicate()
        assert process.returncode == 130 and b"the output is complete up to here" in said
        assert len(contents(out)[0]) >= 3 and not out.with_name(out.name + ".unfinished").exists()


@pytest.mark.skipif(os.name == "nt", reason="descriptors are others there")
def test_a_stdout_that_is_closed_is_told_before_any_work(tmp_path, small_weights):
    clip = make_clip(tmp_path / "a.mp4", count=2)
    words = ["video", str(clip), "-o", "-", "--format", "mpegts", "--weights", str(small_weights)]
    (ended,) = in_terminals([Case(words, stdout="closed")])
    assert ended.code == 1 and "stdout: is closed; let it lead somewhere, or give a file as -o" in ended.stderr


def test_what_cannot_be_opened_is_one_sentence_without_passwords(tmp_path, small_weights):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for url, code in [(f"tcp://me:secret@127.0.0.1:{port}", 1), ("foo://me:secret@nowhere/x", 2), ("/dev/video99", 1)]:
        done = CliRunner().invoke(app, ["video", url, "-o", str(tmp_path / "b.mkv"), "--weights", str(small_weights)])
        assert done.exception is not None and done.exception.exit_code == code, done.exception
        assert str(done.exception).startswith(without_password(url)) and "secret" not in str(done.exception)
    assert not list(tmp_path.glob("b.*"))


def test_no_other_name_of_the_source_is_written_to(tmp_path):
    (tmp_path / "a.mkv").write_bytes(b"mine")
    os.link(tmp_path / "a.mkv", tmp_path / "b.mkv")
    for stream in (["-f", "matroska"], []):
        given = ["video", str(tmp_path / "a.mkv"), "-o", str(tmp_path / "b.mkv"), "--overwrite", *stream]
        done = CliRunner().invoke(app, given)
        assert isinstance(done.exception, UsageError) and "b.mkv: is the source itself" in str(done.exception)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://me:pass@cam/1?tcp", "rtsp://cam/1?tcp"),
        ("srt://a:1?passphrase=x&mode=caller", "srt://a:1?passphrase=***&mode=caller"),
        ("rtmp://a/live/key", "rtmp://a/live/***"),
    ],
)
def test_messages_hide_what_is_secret_in_an_address(url, said):
    assert without_password(url) == said


@pytest.mark.parametrize(
    "options",
    [
        ["-", "-o", "b.mkv", "--start", "3"],
        ["-"],
        ["-", "-o", "-"],
        ["-", "-o", "-", "-f", "nut", "--json"],
        ["-", "-o", "-", "-f", "nothing"],
        ["-", "-o", "-", "-f", "nut", "--overwrite"],
        ["-", "-o", "b.mkv", "--size", "64x48"],
        ["-", "-o", "b.mkv", "--reconnect", "5"],
        ["udp://127.0.0.1:9", "-o", "b.mkv", "--hwaccel"],
        ["-", "-o", "b.mkv", "--pixel-format", "gray", "--size", "64x48", "--source-option", "framerate=9"],
        ["udp://127.0.0.1:9", "-o", "b.mkv", "--pixel-format", "nothing", "--size", "64x48"],
    ],
)
def test_what_cannot_be_combined_is_refused_before_weights_are_loaded(options):
    done = CliRunner().invoke(app, ["video", *options, "--weights", "no-such-weights"])
    assert isinstance(done.exception, UsageError) and "weights" not in str(done.exception)


@pytest.mark.parametrize(("address", "form"), [("/dev/video0", "v4l2"), ("frames.rgb", "rawvideo"), ("-", "rawvideo")])
def test_a_camera_is_asked_for_the_frames_that_are_told_of(address, form):
    how = _how_to_open(address, StreamSettings(raw=RAW))
    assert how["format"] == form
    assert how["options"] == {"pixel_format": "rgb24", "video_size": "64x48", "framerate": "25"}


def test_a_place_where_nothing_can_be_written_is_told_before_a_stream_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # as on a read-only disk
    with pytest.raises(PhotoError, match="b.mkv: cannot be written because you may not write in"):
        Streaming("-", f"{tmp_path}/b.mkv")


def test_a_disk_that_lets_nothing_be_removed_either_ends_a_stream_in_a_sentence(tmp_path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    output = Output(f"{tmp_path}/b.webm", "webm", {})
    encoding = Encoding("ffv1", 64, 48, "yuv420p", Fraction(25), Fraction(1, 25))
    with pytest.raises(PhotoError, match="b.webm: cannot be"):
        output.open(encoding, None, None, Fraction(0), False)


def test_a_second_clock_goes_on_where_the_first_one_ended():
    now = [0.0]
    timeline = Timeline(Fraction(1, 25), lambda: now[0])
    assert [at + timeline.shift_at(at) for at in map(Fraction, (100, 101))] == [100, 101]
    now[0] = 2.0
    timeline.connected_again()
    assert [at + timeline.shift_at(at) for at in map(Fraction, (0, 1))] == [103, 104]
    timeline.connected_again()
    assert Fraction(2) + timeline.shift_at(Fraction(2)) == 105  # a clock that went on is left alone


def test_weather_does_not_change_with_a_single_look():
    weather = Weather(0.1)
    scores = [0.0, 0.2, 0.0, 0.2, 0.2, 0.06, 0.0, 0.0, 0.06, 0.0, 0.0, 0.0]
    assert [weather.look(2.0 * at, score) and weather.rainy for at, score in enumerate(scores)] == [
        *(False, False, False, False, True, False),
        *(False, False, False, False, False, False),
    ]
    assert weather.rainy is False and not weather.is_due(23.9) and weather.is_due(24.0)


def test_a_dry_stream_passes_through_unchanged_and_a_rainy_one_does_not():
    for network, passed in ((Identity(), 12), (Darker(), 0)):
        sent = clip_bytes(range(12), sound=False)
        source, receiver = Server(sends(sent)), Receiver()
        settings = replace(LOSSLESS, rainy_from=0.1)
        done = Streaming(source.url, receiver.url, settings, StreamSettings(live=False, form="nut")).run(network)
        same = map(np.array_equal, contents(io.BytesIO(sent))[0], contents(receiver.received())[0])
        assert (done.passed, all(same)) == (passed, passed == 12)


def test_causal_fusion_gives_each_frame_before_the_next_is_drawn_and_knows_nothing_of_it(rng):
    backgrounds = [picture(number) for number in range(5)]
    rainy = [np.maximum(b, (rng.random(b.shape) < 0.1) * np.uint8(200)) for b in backgrounds]
    drawn = list[int]()

    def pairs(last: np.ndarray):
        for number, pair in enumerate([*zip(rainy[:4], backgrounds[:4]), (last, last)]):
            drawn.append(number)
            yield pair

    results = []
    for result in fused(pairs(rainy[4]), later=0):
        assert len(drawn) == len(results) + 1
        results.append(result)
    other = list(fused(pairs(np.zeros_like(rainy[4])), later=0))
    assert len(results) == 5 and all(map(np.array_equal, results[:4], other[:4]))
    assert any(not np.array_equal(result, background) for result, background in zip(results, backgrounds))


def test_json_tells_latency_and_what_was_dropped(tmp_path):
    source = Server(sends(clip_bytes(range(4))))
    arguments = [source.url, "-o", tmp_path / "b.mkv", "--no-live", "--temporal", "causal", "--json", "-q"]
    done = CliRunner().invoke(app, ["video", *map(str, arguments), "--weights", str(weights(tmp_path))])
    told = json.loads(done.stdout)
    assert (told["frames"], told["dropped"], told["latency_frames"], told["interrupted"]) == (4, 0, 0, False)
    assert told["input"] == source.url and told["output"].endswith("b.mkv") and not done.exception
    with pytest.raises(UsageError, match="exists"):
        Streaming(source.url, str(tmp_path / "b.mkv"))


def test_a_source_without_pictures_leaves_nothing(tmp_path):
    source = Server(sends(b"no stream at all"))
    with pytest.raises(PhotoError, match="cannot be opened"):
        Streaming(source.url, str(tmp_path / "b.mkv")).run(Identity())
    assert not list(tmp_path.iterdir())


def test_a_score_of_a_stream_is_a_line_for_every_nth_picture(tmp_path):
    source = Server(sends(clip_bytes(range(9))))
    arguments = ["score", source.url, "--every", "8", "--json", "-q", "--weights", str(weights(tmp_path))]
    told = [json.loads(line) for line in CliRunner().invoke(app, arguments).stdout.splitlines()]
    assert [(line["input"], line["time"], line["rainy"]) for line in told] == [
        (source.url, 0, False),
        (source.url, 0.32, False),
    ]


def test_pictures_that_a_limit_leaves_out_are_no_delay():
    source, receiver = Server(sends(clip_bytes(range(12)))), Receiver()
    settings = replace(LOSSLESS, temporal="causal", fps_limit=5)
    done = Streaming(source.url, receiver.url, settings, StreamSettings(live=False, form="nut")).run(Identity())
    assert (done.frames, done.latency_frames, done.dropped) == (3, 0, 0)


def test_an_output_that_cannot_be_begun_leaves_nothing(tmp_path):
    source = Server(sends(clip_bytes(range(3))))
    wrong = StreamSettings(output_options={"movflags": "nonsense"})
    with pytest.raises(PhotoError, match=r"b\.mp4: cannot be opened as mp4"):
        Streaming(source.url, str(tmp_path / "b.mp4"), streaming=wrong).run(Identity())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "streaming", "said"),
    [
        ("-", StreamSettings(source_options={"rtsp_transprt": "tcp"}), "stdin: .* no source option rtsp_transprt"),
        ("udp://127.0.0.1:99999", StreamSettings(), "port 99999 cannot be"),
        ("rtsp://me:secret@[::1]:0/live", StreamSettings(), "port 0 cannot be"),
    ],
)
def test_options_and_ports_that_cannot_be_are_refused_at_once(tmp_path, address, streaming, said):
    with pytest.raises(UsageError, match=said):
        Streaming(address, f"{tmp_path}/b.mkv", streaming=streaming)


def test_a_port_of_the_output_or_of_what_is_scored_that_cannot_be_is_refused_at_once():
    with pytest.raises(UsageError, match="port 70000 cannot be"):
        Streaming("-", "tcp://127.0.0.1:70000")
    done = CliRunner().invoke(app, ["score", "udp://127.0.0.1:70000"])
    assert isinstance(done.exception, UsageError), done.exception


def test_options_that_are_known_are_taken(tmp_path):
    known = {"rtsp_transport": "tcp", "probesize": "5000000", "video_size": "64x48", "format": "v4l2", "listen": "1"}
    Streaming("rtsp://127.0.0.1/1", f"{tmp_path}/b.mkv", streaming=StreamSettings(source_options=known))


def test_an_output_option_that_counts_for_nothing_is_told_in_a_sentence(tmp_path, caplog):
    source, said = Server(sends(clip_bytes(range(3)))), []
    streaming = StreamSettings(output_options={"foo": "bar", "reserve_index_space": "1000"})
    Streaming(source.url, str(tmp_path / "b.mkv"), LOSSLESS, streaming, say=said.append).run(Identity())
    assert [line for line in said if "nothing" in line] == [
        f"{source.url}: matroska has no output option foo, so it counts for nothing"
    ]
    assert "not used" not in caplog.text


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"options": {"foo": "1"}}, "libx264 has no encoder option foo"),
        ({"crf": 99}, "libx264 takes `crf` from 0 to 51, not 99"),
        ({"codec": "rawvideo", "options": {"foo": "1"}}, "rawvideo has no encoder option foo"),
    ],
)
def test_options_that_the_encoder_does_not_know_or_take_are_refused_before_the_network_is_needed(
    tmp_path, settings, said
):
    source = Server(sends(clip_bytes(range(3))))
    stream = Streaming(source.url, str(tmp_path / "b.nut"), replace(LOSSY, **settings))
    with pytest.raises(UsageError, match=said):
        stream.open()


def test_an_empty_or_closed_stdin_is_told_as_that(tmp_path, monkeypatch):
    done = piped(b"", "video", "-", "-o", tmp_path / "b.mkv")
    assert done.returncode == 1 and b"stdin: nothing came" in done.stderr, done.stderr
    monkeypatch.setattr(sys, "__stdin__", None)
    with pytest.raises(PhotoError, match="stdin: is closed"):
        Streaming("-", str(tmp_path / "b.mkv")).run(Identity())


def noise(index: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)


def test_a_file_on_stdin_may_have_its_index_at_the_end(tmp_path, small_weights):
    source = make_clip(tmp_path / "a.mp4", 5)
    words = ["video", "-", "-o", tmp_path / "b.mkv", "--temporal", "off", "--weights", small_weights]
    done = piped(source.read_bytes(), *words)
    assert done.returncode == 0 and len(contents(tmp_path / "b.mkv")[0]) == 5, done.stderr
    large = make_clip(tmp_path / "c.mp4", 4, "ffv1", size=(480, 640), draw=noise)  # more than waits in FFmpeg's buffers
    with pytest.raises(PhotoError, match="sent no picture .its index is at its end"):
        Streaming(Server(sends(large.read_bytes())).url, str(tmp_path / "d.mkv"), LOSSY).run(Identity())


def test_a_reader_that_goes_away_is_a_broken_pipe(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setattr(os, "dup", lambda number: writing)
    Thread(target=lambda: (os.read(reading, 1000), os.close(reading)), daemon=True).start()
    source = Server(sends(clip_bytes(range(40))))  # more than a pipe holds
    raw = VideoSettings(temporal="off", codec="rawvideo")
    with pytest.raises(PhotoError, match=r"stdout: .*\(Broken pipe\)"):
        Streaming(source.url, "-", raw, StreamSettings(form="nut", live=False)).run(Identity())


def test_a_broken_pipe_that_pyav_does_not_name_is_told_as_that(monkeypatch):
    """Which of its calls meets the error, and with what words, is a matter of time."""

    def fail():
        raise av.error.PyAVCallbackError(1, "Error in PyAV callback")

    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(os, "dup", lambda number: writing)
    output = Output("-", "nut", {})
    output.encoder, output.container = SimpleNamespace(last_packets=list), SimpleNamespace(close=fail)
    with suppress(BrokenPipeError):
        output._how_to_open()["file"].write(b"picture")
    with pytest.raises(PhotoError, match=r"stdout: .*\(Broken pipe\)"):
        output.close()


def test_what_is_told_of_one_picture_is_in_the_singular():
    said = []
    fields = {"source": "a", "out": "b", "seconds": 0.1, "failed": [0], "latency_seconds": 0.1, "lost": "", "cut": ""}
    ones = dict.fromkeys((field.name for field in dataclasses.fields(Streamed)), 1)
    _tell(Streamed(**ones | fields), False, said.append, to_stdout=True)
    assert len(said) > 6 and not re.search(r"\b1 \w{3,}s\b", " ".join(said)), said


def test_a_host_that_nobody_knows_is_told_as_that(monkeypatch):
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failed = OSError(errno.EIO, "Input/output error")
    assert unknown_host("rtsp://me:x@nohost.invalid:554/1", failed) == "the host nohost.invalid is not known"
    assert not unknown_host("b.mkv", failed) and not unknown_host("tcp://a", OSError(errno.ECONNREFUSED, "refused"))


def test_a_stream_that_ends_before_its_header_says_so_is_told(tmp_path, small_weights):
    make_clip(tmp_path / "a.mkv", 50, codec="ffv1", base=Fraction(1, 1000))
    content = (tmp_path / "a.mkv").read_bytes()
    for share, cut in ((1.0, False), (0.6, True)):
        source = Server(sends(content[: int(share * len(content))]))
        done = Streaming(source.url, f"{tmp_path}/{share}.mkv", LOSSLESS, StreamSettings(live=False)).run(Identity())
        assert bool(done.cut) is cut and ("header tells 2.00 s" in done.cut) is cut
    words = ["video", "-", "-o", tmp_path / "b.mkv", "--temporal", "off", "--weights", small_weights]
    done = piped(content[: len(content) // 2], *words)
    assert done.returncode == 1 and b"stdin: is not whole: it ends after" in done.stderr, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("form", ["hls", "dash"])
def test_a_full_disk_ends_a_stream_that_is_written_in_many_files(tmp_path, monkeypatch, capfd, form):
    def stream(folder: Path) -> None:
        source = Server(sends(clip_bytes(range(12), sound=False)))
        Streaming(source.url, f"{folder}/b", LOSSY, StreamSettings(form=form, live=False)).run(Identity())

    (tmp_path / "whole").mkdir()
    stream(tmp_path / "whole")
    assert len(list((tmp_path / "whole").iterdir())) > 1
    monkeypatch.setattr(Parts, "open", lambda self, url, flags, options: Part(self, "/dev/full", "w"))
    with pytest.raises(PhotoError, match=r"b: cannot be .*No space left"):
        stream(tmp_path)
    assert "Traceback" not in "".join(capfd.readouterr())


BT601 = {"color_range": 1, "colorspace": 6, "color_primaries": 6, "color_trc": 6}
LIGHT = "log-level=error:master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,1):max-cll=9,4"
TAGGED = {
    "full range": lambda p: make_clip(p, 3, tags=BT709_FULL),
    "full range of its own format": lambda p: make_clip(p, 3, pixel_format="yuvj420p", tags=BT709_FULL),
    "oblong pixels": lambda p: make_clip(p, 3, tags=BT601 | {"sample_aspect_ratio": Fraction(4, 3)}),
    "PQ": lambda p: make_clip(p, 3, "libx265", "yuv420p10le", tags=HDR, options={"x265-params": LIGHT}),
    "HLG": lambda p: make_clip(p, 3, "libx265", "yuv420p10le", tags=HDR | {"color_trc": 18}),
    "VP9": lambda p: make_clip(p, 3, "libvpx-vp9", tags=BT709_FULL),
    "FFV1": lambda p: make_clip(p, 3, "ffv1", tags=BT601),
}


def told(path: Path) -> list[object]:
    """What a file says of its pictures, in its container and in the stream of its codec."""
    with av.open(str(path)) as clip:
        video = clip.streams.video[0]
        frame = next(clip.decode(video))
        sides = {side.type.name: bytes(side) for side in frame.side_data if side.type.name != "SEI_UNREGISTERED"}
        tags = [
            (int(of.colorspace), int(of.color_range), int(of.color_primaries), int(of.color_trc))
            for of in (frame, video.codec_context)
        ]
        return [*tags, video.codec_context.pix_fmt, video.sample_aspect_ratio or 1, frame.interlaced_frame, sides]


@pytest.mark.parametrize("name", TAGGED)
def test_a_stream_says_of_its_pictures_what_the_result_of_a_clip_says(tmp_path, name):
    source = TAGGED[name](tmp_path / "a.mkv")
    video.process(source, tmp_path / "clip.mkv", Darker(), VideoSettings(temporal="off"))
    streamed(source, tmp_path / "stream.mkv", VideoSettings(temporal="off"))
    assert told(tmp_path / "stream.mkv") == told(tmp_path / "clip.mkv")


@pytest.mark.parametrize("form", ["mpegts", "nut", "mp4"])
def test_colours_are_tagged_in_every_container(tmp_path, form):
    source = make_clip(tmp_path / "a.mkv", 3, tags=BT709_FULL)
    streamed(source, tmp_path / "b", form=form)
    assert told(tmp_path / "b")[0] == (1, 2, 1, 1)


@pytest.mark.parametrize(("codec", "form"), [("libx264", "nut"), ("prores_ks", "mov")])
@pytest.mark.parametrize(("turn", "shape"), [(b"", (64, 48, Fraction(4, 3))), (QUARTER_TURN, (48, 64, Fraction(3, 4)))])
def test_oblong_pixels_stay_oblong_also_where_they_are_turned_upright(tmp_path, codec, form, turn, shape):
    source = make_clip(tmp_path / "a.mp4", 2, tags={"sample_aspect_ratio": Fraction(4, 3)})
    write_in_header(source, turn)
    settings = replace(LOSSY, codec=codec)
    Streaming(str(source), f"{tmp_path}/b", settings, StreamSettings(form=form)).run(Identity())
    with av.open(str(tmp_path / "b")) as clip:
        video = clip.streams.video[0]
        assert (video.width, video.height, video.sample_aspect_ratio) == shape


def test_oblong_pixels_that_a_container_cannot_name_are_told(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 2, tags={"sample_aspect_ratio": Fraction(4, 3)})
    done = streamed(source, tmp_path / "b.nut", replace(LOSSY, codec="rawvideo"))
    assert any("shape of its pixels, 4:3, cannot be kept in nut" in sentence for sentence in done.notes)


def test_aac_with_headers_gets_the_description_that_rtsp_wants(tmp_path):
    source = make_clip(tmp_path / "a.ts", 12, sound=1)
    with av.open(str(source)) as clip:
        sound = clip.streams.audio[0]
        assert not sound.codec_context.extradata and aac_config(sound.codec_context) == bytes.fromhex("1210")
        check_held("rtsp", sound)
    streamed(source, tmp_path / "b.nut")
    with av.open(str(tmp_path / "b.nut")) as clip:
        assert clip.streams.audio[0].codec_context.extradata == bytes.fromhex("1210")
        assert sum(frame.samples for frame in clip.decode(audio=0)) > 8000


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts", ".flv", ".nut", ".m3u8"])
def test_a_file_of_a_stream_with_aac_in_packets_with_headers_is_whole(tmp_path, ending):
    source, out = make_clip(tmp_path / "a.ts", 12, sound=1), tmp_path / f"b{ending}"
    assert streamed(source, out).notes == []
    with av.open(str(source)) as before, av.open(str(out)) as after:
        assert [stream.type for stream in after.streams] == ["video", "audio"]
        assert after.streams.audio[0].codec_context.channels == 2
        heard, sent = (sum(frame.samples for frame in clip.decode(audio=0)) for clip in (after, before))
    assert sent - 1024 <= heard <= sent


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".flv", ".nut"])
def test_sound_whose_speakers_nobody_names_is_passed_on(tmp_path, ending):
    (tmp_path / "a.nut").write_bytes(clip_bytes(range(12)))
    assert streamed(tmp_path / "a.nut", tmp_path / f"b{ending}").notes == []
    with av.open(str(tmp_path / f"b{ending}")) as clip:
        assert [stream.type for stream in clip.streams] == ["video", "audio"]
        assert sum(frame.samples for frame in clip.decode(audio=0)) == 12 * 320


def test_sound_of_which_mpeg_ts_does_not_tell_what_it_is_is_left_out_and_listed(tmp_path):
    (tmp_path / "a.nut").write_bytes(clip_bytes(range(3)))
    for name, form in [("b.ts", "mpegts"), ("b.m3u8", "hls")]:
        done = streamed(tmp_path / "a.nut", tmp_path / name)
        assert done.notes == [f"stream 1 (audio, pcm_s16le) is left out: {form} cannot hold it"]
        with av.open(str(tmp_path / name)) as clip:
            assert [stream.type for stream in clip.streams] == ["video"]
    (tmp_path / "c").mkdir()
    done = streamed(tmp_path / "a.nut", tmp_path / "c" / "c.m3u8", output_options={"hls_segment_type": "fmp4"})
    assert done.notes == []


def test_what_the_output_cannot_hold_is_left_out_and_listed(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 3, base=Fraction(1, 1000), subtitles=True)
    done = streamed(source, tmp_path / "no" / "such" / "b.m3u8")
    assert done.notes == ["stream 1 (subtitle, srt) is left out: hls cannot hold it"]
    assert (tmp_path / "no" / "such" / "b.m3u8").is_file()


def test_fields_that_are_made_into_frames_are_told_and_listed(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 4, options={"x264-params": "tff=1"})
    done = streamed(source, tmp_path / "b.mkv")
    assert done.notes == ["is interlaced; its frames are deinterlaced"]
    assert streamed(make_clip(tmp_path / "c.mkv", 2), tmp_path / "d.mkv").notes == []


def test_pictures_of_another_size_than_the_first_are_told_where_the_output_has_them(tmp_path):
    large = make_clip(tmp_path / "large.ts", times=[512 * index for index in range(5)])
    small = make_clip(tmp_path / "small.ts", times=[512 * index for index in range(5, 9)], size=(32, 64))
    (tmp_path / "both.ts").write_bytes(large.read_bytes() + small.read_bytes())
    (note,) = streamed(tmp_path / "both.ts", tmp_path / "a.mkv").notes
    assert note.startswith("pictures of 64x32 are stored in the first one's size, 64x48")
    assert streamed(tmp_path / "both.ts", tmp_path / "b.mkv", VideoSettings(temporal="off", end=0.16)).notes == []


def test_title_languages_chapters_and_what_tracks_are_for_go_along(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 12, base=Fraction(1, 1000), sound=2, subtitles=True)
    with av.open(str(source)) as before, av.open(str(tmp_path / "b.mkv"), "w") as clip:
        clip.metadata.update(before.metadata)
        clip.set_chapters(before.chapters())
        copies = {stream.index: clip.add_stream_from_template(stream, opaque=True) for stream in before.streams}
        for stream in before.streams:
            copies[stream.index].metadata.update(stream.metadata)
        copies[0].metadata["title"] = "Garten"
        copies[2].disposition = Disposition.dub | Disposition.comment
        for packet in before.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                clip.mux(packet)
    streamed(tmp_path / "b.mkv", tmp_path / "c.mkv")
    for what in ("title", "streams", "chapters"):
        assert facts(tmp_path / "c.mkv")[what] == facts(tmp_path / "b.mkv")[what], what
    with av.open(str(tmp_path / "c.mkv")) as clip:
        assert clip.streams[0].metadata["title"] == "Garten"
        assert clip.streams[2].disposition == Disposition.dub | Disposition.comment
