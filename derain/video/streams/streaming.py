"""From a stream to its derained stream: each picture as it comes, and none that comes too late."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np

from derain.arrays import Pixels
from derain.errors import PhotoError
from derain.given import check as check_type
from derain.given import check_path
from derain.models.contract import Derainer, check_model
from derain.rain.amount import coverage
from derain.rain.weather import Weather
from derain.video.encoding import Encoding
from derain.video.keeping import say_lost
from derain.video.notes import Notes
from derain.video.pipeline import DEFAULT_SETTINGS
from derain.video.reading import UNREADABLE, Decoded, Frame, resized, upright
from derain.video.settings import VideoSettings
from derain.video.sides import lost_sides
from derain.video.streams.addresses import StreamSettings, container_of, ending_of, without_password
from derain.video.streams.checking import check
from derain.video.streams.encoding import check_encoder, encoding_for, likely_encoding_for, lost_aspect
from derain.video.streams.intake import Intake, Sound
from derain.video.streams.latency import Latency
from derain.video.streams.output import Output
from derain.video.streams.source import Connection, Source
from derain.video.treatment import Network, Preview, derained, looks_ahead, stretch, with_alpha
from derain.video.trial import refuse_options, try_options

DEFAULT_STREAMING = StreamSettings()


@dataclass(frozen=True)
class Progress:
    """Pictures so far."""

    arrived: int
    shown: int  # left, derained or not
    dropped: int


@dataclass(frozen=True)
class Streamed:
    """What became of a stream."""

    source: str  # without passwords, as the next
    out: str
    frames: int  # that left
    seconds: float
    dropped: int  # pictures, because the machine was too slow
    late: int  # pictures that were not later than the one before
    damaged: int  # packets of pictures that could not be decoded
    passed: int  # pictures that were left as they were, because it did not rain
    failed: list[int]  # frames that were passed through because the network failed
    reconnections: int
    latency_frames: int  # pictures that had come, at the most, since the one that left
    latency_seconds: float  # from a picture's arrival to its leaving, at the most
    live: bool
    lost: str  # why the source ended, if it did not end by itself
    cut: str  # how much of the source is missing at its end, if its header tells
    interrupted: bool
    notes: list[str]  # in which the result differs from the source


def ignore(sentence: str) -> None:
    pass


class Streaming:
    """A stream on its way through the network.

    Args:
        source: a URL, a camera, ``-`` for stdin, or a clip.
        out: a URL, ``-`` for stdout, or a file.
        report: called as pictures come and leave, from more than one thread.
        say: called with sentences for the user.

    Raises:
        UsageError: what cannot be, before anything is opened.
        PhotoError: the result cannot be written where it is to be.
    """

    def __init__(
        self,
        source: str | Path,
        out: str | Path,
        settings: VideoSettings = DEFAULT_SETTINGS,
        streaming: StreamSettings = DEFAULT_STREAMING,
        overwrite: bool = False,
        report: Callable[[Progress], None] = lambda progress: None,
        say: Callable[[str], None] = ignore,
    ) -> None:
        check_path("source", source)
        check_path("out", out)
        source, out = str(source), str(out)
        check_type("settings", settings, VideoSettings)
        check_type("streaming", streaming, StreamSettings)
        self.address, self.settings, self.streaming = source, settings, streaming
        self.report, self.say, self.notes = report, say, Notes(without_password(source), say)
        check(source, out, settings, streaming, overwrite)
        self.output = Output(out, container_of(out, streaming), streaming.output_options)
        self.intake = Intake(bool(streaming.live), self._report)
        self.source = Source(source, streaming, self.intake, say)
        self.weather = None if settings.rainy_from is None else Weather(settings.rainy_from)
        self.latency = Latency()
        self.late = self.passed = 0
        self.origin: Fraction | None = None
        self.encoding: Encoding | None = None  # of what goes out, once that is known
        self.interrupted = False

    def open(self) -> None:
        """Open the source.

        Raises:
            PhotoError: it cannot be opened, or holds no video.
            UsageError: FFmpeg knows no such protocol, or the encoder is none.
            KeyboardInterrupt: it was stopped meanwhile.
        """
        self.source.start()
        self.connection: Connection = self.source.wait_until_open()
        if self.settings.temporal == "auto":
            self.settings = replace(self.settings, temporal="causal" if self.intake.live else "on")
        check_encoder(self.connection, self.output.form, self.settings)
        if likely := likely_encoding_for(self.connection, self.output.form, self.settings):
            refuse_options(likely, self.settings, without_password(self.address))

    def stop(self) -> None:
        """Receive no more, finish what has arrived and end the output. Signal handlers may call it."""
        self.interrupted = True
        self.intake.stop()

    def run(self, model: Derainer) -> Streamed:
        """Derain until the source ends or :meth:`stop` is called; then finish the output properly.

        Raises:
            PhotoError: no picture arrived, the output cannot be written, or a frame fails (without ``keep_going``).
        """
        check_model(model)
        if not self.source.ident:
            self.open()
        began, network = time.monotonic(), Network(model, self.settings, self.say)
        network.on_rain = self._look
        preview = Preview(self.settings.preview, self.say)
        self._say_how()
        try:
            for frame, picture in self._treated(self._frames(), network):
                self._write(frame, picture)
                preview.show(frame, picture, Path(self.address))
        except BaseException:
            with suppress(PhotoError):
                self.output.close()
            raise
        finally:
            self.intake.stop()
        self.latency.leave(self.output.close())
        if self.source.failure:
            raise self.source.failure
        if not self.latency.left and not self.interrupted:
            why = f" ({self.source.lost})" if self.source.lost else ""
            raise PhotoError(f"{without_password(self.address)}: sent no picture{why}")
        return self._done(time.monotonic() - began, network)

    def _say_how(self) -> None:
        late = f"each picture is sent once {looks_ahead(self.settings)} more have come"
        kind = (
            "live: pictures are dropped rather than delayed" if self.intake.live else "not live: no picture is dropped"
        )
        self.say(f"{without_password(self.address)}: {kind}; {late}")

    def _done(self, seconds: float, network: Network) -> Streamed:
        return Streamed(
            without_password(self.address),
            self.output.name,
            self.latency.left,
            seconds,
            self.intake.dropped,
            self.late,
            self.source.damaged,
            self.passed,
            network.failed,
            self.source.reconnections,
            self.latency.most_pictures,
            self.latency.most_seconds,
            self.intake.live,
            self.source.lost,
            self.source.cut,
            self.interrupted,
            self.notes.told,
        )

    def _report(self) -> None:
        self.report(Progress(self.intake.arrived, self.latency.left, self.intake.dropped))

    def _treated(self, frames: Iterator[Frame], network: Network) -> Iterator[tuple[Frame, Pixels]]:
        wanted = self._taken(stretch(frames, self.settings))
        at_once = self.intake.live or self.settings.temporal == "causal"
        if self.weather is None:
            yield from derained(wanted, network, self.settings, not at_once)
            return
        for rainy, some in groupby(wanted, key=lambda frame: self._rains(frame, network)):
            if rainy:
                network.first = self._number
                yield from derained(some, network, self.settings, not at_once)
            else:
                for frame in some:
                    self.passed += 1
                    yield frame, frame.pixels

    def _rains(self, frame: Frame, network: Network) -> bool:
        assert self.weather is not None
        if not self.weather.rainy and self.weather.is_due(frame.time):
            network((self._number, frame))
        return bool(self.weather.rainy)

    def _look(self, frame: Frame, rain: Pixels) -> None:
        if self.weather and self.weather.is_due(frame.time) and self.weather.look(frame.time, coverage(rain)):
            what = "it rains" if self.weather.rainy else "it does not rain, pictures stay as they are"
            self.say(f"{frame.time:.1f} s: {what}")

    def _frames(self) -> Iterator[Frame]:
        """The pictures that came, upright; sound that comes between them is passed on."""
        size: tuple[int, int] | None = None
        base, last = self.connection.time_base, -1
        for item in self.intake:
            if isinstance(item, Sound):
                self.output.copy(item)
                continue
            self.origin = item.time if self.origin is None else self.origin
            if self.source.interlaced:
                self.notes.note("is interlaced; its frames are deinterlaced")
            size = size or (item.frame.width, item.frame.height)
            pts = round((item.time - self.origin) / base)
            if pts <= last:
                self.late += 1
                continue
            try:
                frame = upright(Decoded(item.frame, pts, size, tuple(resized(item.frame, size))), base)
            except UNREADABLE:
                self.source.damaged += 1
                continue
            last = pts
            self.latency.come(pts, item.came)
            yield frame

    def _taken(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.latency.take(frame.pts)
            for sentence in frame.changes:
                self.notes.note(sentence)
            yield frame

    @property
    def _number(self) -> int:
        """Of the picture that was taken last, counted from 0."""
        return self.latency.left + len(self.latency.on_their_way) - 1

    def _write(self, frame: Frame, picture: Pixels) -> None:
        encoding = self.encoding = self.encoding or self._begin(frame, picture)
        taken_over = encoding.takes_over if self.settings.fps_limit is None else frozenset()
        for loss in lost_sides(frame.sides, taken_over):
            self.notes.note(f"{loss} cannot be kept")
        as_stored = not (frame.rotation or frame.mirrored)
        same = self.settings.layer == "background" and as_stored and np.array_equal(picture, frame.pixels)
        self.latency.leave(self.output.write(frame, with_alpha(picture, frame, self.settings), same))
        self._report()

    def _begin(self, frame: Frame, picture: Pixels) -> Encoding:
        form, raw = self.output.form, self.streaming.raw
        encoding = encoding_for(self.connection, frame, picture, form, raw, self.settings)
        say_lost(frame, encoding, ending_of(form), self.notes.note, others=())
        if sentence := lost_aspect(encoding, form):
            self.notes.note(sentence)
        try_options(encoding, self.settings, without_password(self.address), self.notes.note)
        origin = self.origin or Fraction(0)
        for sentence in self.output.open(encoding, frame, self.connection, origin, self.settings.audio):
            self.notes.note(sentence)
        return encoding
