"""Where a stream comes from: opened, decoded in a thread of its own, and taken up again if it is lost."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import av

from derain.errors import PhotoError, UsageError, reason
from derain.files.places import ADDRESS
from derain.video.colour import refuse_unknown_matrix
from derain.video.decoding import ANY_BYTES, TRIES, decoder_of, prepared
from derain.video.deinterlacing import deinterlaced
from derain.video.reading import PictureTrack, is_cover
from derain.video.streams.addresses import CAMERA, PIPE, StreamSettings, unknown_host, without_password
from derain.video.streams.intake import Intake, Picture, Sound
from derain.video.streams.timeline import Timeline

SILENCE = 10.0  # seconds without a word, after which a connection is taken to be lost
LEAST_MISSING = 0.25  # seconds at the end of a stream, below which tracks may just be of different lengths
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0  # seconds between two tries to connect again
PASSED_ON = ("audio", "subtitle")
INDEX_LAST = "its index is at its end, so it can be read only from a file: give its name, or pipe in another container"
WITHOUT_PROTOCOL = (
    "PyAV's FFmpeg does not know this protocol; pipe it in as MPEG-TS with the command ffmpeg, or copy it here first"
)


class Connection(PictureTrack):
    """A stream that is open for reading.

    Raises:
        PhotoError: it cannot be opened, or holds no video.
        UsageError: FFmpeg knows no such thing.
    """

    def __init__(self, address: str, settings: StreamSettings) -> None:
        self.name = without_password(address)
        how = _how_to_open(address, settings)
        try:
            self.container: Any = av.open(**how)
        except (av.error.ProtocolNotFoundError, av.error.DemuxerNotFoundError):
            raise UsageError(f"{self.name}: {WITHOUT_PROTOCOL}") from None
        except (av.FFmpegError, OSError, ValueError) as error:
            if isinstance(how["file"], Stdin) and not how["file"].has_come:
                raise PhotoError(f"{self.name}: nothing came") from None
            why = unknown_host(address, error) or _why(error)
            raise PhotoError(f"{self.name}: cannot be opened ({why})") from None
        videos = [s for s in self.container.streams.video if not is_cover(s) and s.codec_context is not None]
        if not videos:
            raise PhotoError(f"{self.name}: holds no video that can be decoded")
        self.stream = videos[0]
        refuse_unknown_matrix(self.name, self.stream)
        others = [s for s in self.container.streams if s is not self.stream]
        self.passed_on = [s for s in others if s.type in PASSED_ON and s.codec_context is not None]
        self.left_out = [s for s in others if s not in self.passed_on]
        self.time_base: Fraction = self.stream.time_base or Fraction(1, 90000)
        self.ends = 0.0  # seconds at which what came ends, by the stream's own clock
        self.longest_step = 1 / float(self.rate)  # seconds

    @property
    def is_endless(self) -> bool:
        """Whether nobody knows its length."""
        return not self.container.duration

    def packets(self) -> Iterator[Any]:
        """Raises what FFmpeg raises of a connection that is lost."""
        failures = 0
        while True:
            try:
                for packet in self.container.demux([self.stream, *self.passed_on]):
                    if packet.size:
                        failures = 0
                        self._note_end(packet)
                        yield packet
                return
            except (av.error.InvalidDataError, IndexError):  # damaged, or a stream that appears midway
                failures += 1
                if failures == TRIES:
                    raise

    def _note_end(self, packet: Any) -> None:
        at = packet.dts if packet.pts is None else packet.pts
        if at is None:
            return
        ends = float((at + (packet.duration or 0)) * packet.time_base)
        if packet.stream is self.stream and self.ends:
            self.longest_step = max(self.longest_step, ends - self.ends)
        self.ends = max(self.ends, ends)

    @property
    def cut(self) -> str:
        """How much of it is missing at the end, by the length that its header tells; empty if it tells none."""
        told = float((self.stream.duration or 0) * self.time_base)
        if not told and not self.left_out:  # one of those might be longer
            told = (self.container.duration or 0) / av.time_base
        came = self.ends - (self.container.start_time or 0) / av.time_base
        if told - came < max(2 * self.longest_step, LEAST_MISSING):
            return ""
        return f"it ends after {came:.2f} s, but its header tells {told:.2f} s"


class Stdin(io.FileIO):
    """Standard input, which can be sought in if it is a file, and which knows whether anything came.

    Raises:
        PhotoError: it is closed.
    """

    def __init__(self) -> None:
        if sys.__stdin__ is None:  # its number may be another file's by now
            raise PhotoError("stdin: is closed; give it something to read")
        super().__init__(os.dup(0))  # FFmpeg's own closes stdin
        self.has_come = False

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(-1 if size is None else size)
        self.has_come |= bool(content)
        return content


def _how_to_open(address: str, settings: StreamSettings) -> dict[str, Any]:
    options = dict(settings.source_options)
    form, raw = options.pop("format", None), settings.raw
    if raw:
        form = "v4l2" if CAMERA.fullmatch(address) else "rawvideo"
        sizes = {"pixel_format": raw.pixel_format, "video_size": f"{raw.width}x{raw.height}"}
        options = sizes | {"framerate": str(raw.rate)} | options
    how: dict[str, Any] = {"format": form, "metadata_errors": ANY_BYTES}
    if address == PIPE:
        return how | {"file": Stdin(), "options": options}
    if CAMERA.fullmatch(address):
        return how | {"file": address, "format": form or "v4l2", "options": options}
    if not ADDRESS.match(address):
        return how | {"file": str(Path(address).absolute()), "options": options}
    if address.lower().startswith("udp:"):
        options.setdefault("overrun_nonfatal", "1")  # what comes faster than it is decoded is lost, and not the stream
    listens = "listen" in address or "listen" in options or "listen" in options.get("rtsp_flags", "")
    return how | {"file": address, "options": options, "timeout": (None if listens else SILENCE, SILENCE)}


def _why(error: Exception) -> str:
    return f"no data for {SILENCE:g} s" if isinstance(error, av.error.ExitError) else reason(error)


class Source(Thread):
    """Opens a stream and fills an intake, in a thread of its own, until the stream ends or it is stopped.

    Args:
        say: called from that thread, with a sentence when a connection is lost or taken up again.
    """

    def __init__(self, address: str, settings: StreamSettings, intake: Intake, say: Callable[[str], None]) -> None:
        super().__init__(daemon=True, name="stream")  # a read that never returns does not keep the program
        self.address, self.settings, self.intake, self.say = address, settings, intake, say
        self.first: Connection | None = None
        self.failure: Exception | None = None  # of opening, or of anything that nobody foresaw
        self.lost = ""  # why the stream ended, if it was not by itself
        self.cut = ""  # how much is missing at its end
        self.interlaced = False  # whether a picture was, so far
        self.reconnections = self.damaged = 0
        self.opened = Condition()

    def wait_until_open(self) -> Connection:
        """
        Raises:
            PhotoError: it cannot be opened, or holds no video.
            KeyboardInterrupt: it was stopped before.
        """
        with self.opened:
            while not (self.first or self.failure or self.intake.stopped):
                self.opened.wait(0.2)
        if self.failure:
            raise self.failure
        if self.first is None:
            raise KeyboardInterrupt
        return self.first

    def run(self) -> None:
        try:
            connection: Connection | None = Connection(self.address, self.settings)
            if self.settings.live is None:
                self.intake.live = connection.is_endless and self.address != PIPE  # type: ignore[union-attr]
            self._tell(connection)
            self.timeline = Timeline(1 / connection.rate)  # type: ignore[union-attr]
            while connection and not self.intake.stopped:
                self._read(connection)
                if connection is not self.first:  # whose streams the output may be made after
                    connection.container.close()
                connection = self._again()
        except Exception as error:
            self._tell(None, error)
        finally:
            self.intake.end()

    def _tell(self, connection: Connection | None, failure: Exception | None = None) -> None:
        with self.opened:
            self.first, self.failure = self.first or connection, failure
            self.opened.notify_all()

    def _read(self, connection: Connection) -> None:
        base, step = connection.time_base, 1 / connection.rate
        last: Fraction | None = None
        self.lost = self.cut = ""
        try:
            for frame in deinterlaced(self._decoded(connection), base):
                pts, own = frame.pts if frame.pts is not None else frame.dts, frame.time_base or base
                at = pts * own if pts is not None else (Fraction(0) if last is None else last + step)
                last = at
                self.intake.add(Picture(frame, at + self.timeline.shift_at(at)))
                if self.intake.stopped:
                    return
            self.cut = connection.cut
        except (av.FFmpegError, OSError) as error:
            backwards = isinstance(error, av.error.InvalidDataError) and not self.intake.arrived
            is_mp4 = "mp4" in connection.container.format.name.split(",")
            self.lost = INDEX_LAST if backwards and is_mp4 else _why(error)

    def _decoded(self, connection: Connection) -> Iterator[av.VideoFrame]:
        tracks = {stream.index: number for number, stream in enumerate(connection.passed_on)}
        decoder = decoder_of(prepared(connection.stream))
        try:
            for packet in connection.packets():
                if self.intake.stopped:
                    return
                if packet.stream.index in tracks:
                    self._pass_on(packet, tracks[packet.stream.index])
                    continue
                yield from self._pictures(decoder, packet)
        finally:
            if not self.intake.stopped:
                yield from self._pictures(decoder, None)

    def _pictures(self, decoder: Any, packet: Any) -> Iterator[av.VideoFrame]:
        try:
            for frame in decoder.decode(packet):
                self.interlaced |= frame.interlaced_frame
                yield frame
        except av.error.EOFError:
            return
        except (av.FFmpegError, OSError):
            self.damaged += self.intake.arrived > 0  # before the first keyframe there is nothing to decode from

    def _pass_on(self, packet: Any, track: int) -> None:
        at = packet.pts if packet.dts is None else packet.dts
        if at is not None:
            self.intake.add(Sound(packet, track, self.timeline.shift_at(at * packet.time_base)))

    def _again(self) -> Connection | None:
        """The stream connected once more, if it comes in time."""
        if self.settings.reconnect is None:
            return None
        until, wait = time.monotonic() + self.settings.reconnect, FIRST_WAIT
        self.say(f"{self.name}: the connection ended{f' ({self.lost})' if self.lost else ''}; reconnecting")
        while not self.intake.stopped and time.monotonic() < until:
            with self.intake.ready:
                self.intake.ready.wait_for(lambda: self.intake.stopped, wait)
            wait = min(2 * wait, LONGEST_WAIT)
            try:
                found = Connection(self.address, self.settings)
            except PhotoError:
                continue
            self.timeline.connected_again()
            self.reconnections += 1
            self.say(f"{self.name}: reconnected")
            return found
        return None
