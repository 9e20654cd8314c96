"""Where a stream goes to: pictures encoded anew, sound copied, both by one clock."""

import ast
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container.output

from derain.errors import PhotoError, UsageError, reason
from derain.files.writing import put
from derain.photos import Photo
from derain.video.decoding import ANY_BYTES
from derain.video.encoder import PictureEncoder
from derain.video.encoding import Encoding
from derain.video.headers import ELEMENTS
from derain.video.joining import try_header
from derain.video.naming import unfinished
from derain.video.reading import Frame
from derain.video.streams import parts
from derain.video.streams.addresses import PIPE, URL, shown_output, unknown_host
from derain.video.streams.intake import Sound
from derain.video.streams.source import Connection

WITHOUT_FILE = (*parts.FORMS, "rtsp")  # containers that write many files, or speak a protocol of their own
NO_BUFFERS = {  # of a container that waits for nothing
    "flush_packets": "1",
    "max_interleave_delta": "1000000",  # µs that pictures wait for sound which does not come
}
NO_CLUSTERS = {"cluster_time_limit": "0"}  # of Matroska, which else holds a second back
UNUSED = re.compile(r"options were not used: (\{.*\})", re.DOTALL)
MOST_HELD = 2000  # packets of sound that wait for the first picture


@contextmanager
def _unused() -> Iterator[list[str]]:
    """Options that a container is opened with and does not know, which PyAV tells by logging alone."""
    found: list[str] = []

    def look(record: logging.LogRecord) -> bool:
        if told := UNUSED.search(record.getMessage()):
            found.extend(ast.literal_eval(told[1]))
        return not told

    log = logging.getLogger(av.container.output.__name__)
    log.addFilter(look)
    try:
        yield found
    finally:
        log.removeFilter(look)


class Standard:
    """Standard output as a file that takes all it is given."""

    def __init__(self) -> None:
        self.descriptor = os.dup(1)
        self.trouble: OSError | None = None  # why it cannot be written, which PyAV does not pass on

    def write(self, content: Any) -> int:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            self.trouble = error
            raise
        return len(content)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)


class Output:
    """What a stream is written to; nothing is there before :meth:`open`.

    A file has the name of the result once it is whole, and until then that with ``.unfinished``.

    Args:
        form: FFmpeg's name of the container.
    """

    def __init__(self, address: str, form: str, options: dict[str, str]) -> None:
        self.address, self.form, self.options = address, form, options
        self.name = shown_output(address)
        self.encoder: PictureEncoder | None = None
        self.tracks: dict[int, Any] = {}  # streams of the sound that is passed on, by the numbers of the source's
        self.last: dict[int, int] = {}  # their times of decoding
        self.held: list[Sound] = []  # sound that came before the first picture
        self.origin = Fraction(0)  # when the first picture was shown, by the source's clock
        is_file = address != PIPE and not URL.match(address) and form not in WITHOUT_FILE
        self.part = unfinished(Path(address)) if is_file else None
        self.standard: Standard | None = None
        in_parts = form in parts.FORMS and not URL.match(address) and not {*options} & {*parts.ENCRYPTED}
        self.parts = parts.Parts() if in_parts else None

    def open(self, encoding: Encoding, source: Connection, origin: Fraction, audio: bool) -> list[str]:
        """Write the header; returns what cannot be passed on, in sentences.

        Raises:
            PhotoError: it cannot be opened, or the encoder does not take its settings.
        """
        self.origin, self.base = origin, encoding.time_base
        if self.part and os.path.lexists(self.part):
            raise PhotoError(f"{self.part}: belongs to a run that is still going or was killed; move it away")
        try:
            self.container: Any = av.open(**self._how_to_open())
            encoder = PictureEncoder(self.container, encoding, self.name)
            said = self._add_tracks(source) if audio else []
            with _unused() as unused:
                self.container.start_encoding()
            said += [
                f"{self.name}: {self.form} has no output option {name}, so it counts for nothing" for name in unused
            ]
        except (av.error.ProtocolNotFoundError, av.error.MuxerNotFoundError):
            raise UsageError(f"{self.name}: PyAV's FFmpeg does not know this protocol") from None
        except PhotoError:
            self._leave_nothing()
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            self._leave_nothing()
            raise PhotoError(f"{self.name}: cannot be opened as {self.form} ({self._why(error)})") from None
        self.encoder = encoder
        for sound in self.held:
            self.copy(sound)
        self.held.clear()
        return said

    def _why(self, error: Exception) -> str:
        trouble = self.standard.trouble if self.standard else None
        return unknown_host(self.address, error) or reason(trouble or error)

    def _look_at_parts(self) -> None:
        if self.parts and self.parts.trouble:
            raise self.parts.trouble

    def _failure(self, error: Exception) -> PhotoError:
        rest = f"; what came before is in {self.part}" if self.part and self.part.is_file() else ""
        return PhotoError(f"{self.name}: cannot be written ({self._why(error)}){rest}")

    def _leave_nothing(self) -> None:
        if self.part:
            with suppress(OSError):  # where nothing can be written nothing is left
                self.part.unlink()

    def _how_to_open(self) -> dict[str, Any]:
        how: dict[str, Any] = {"mode": "w", "format": self.form, "metadata_errors": ANY_BYTES}
        if self.part:
            return how | {"file": str(self.part), "options": self.options}
        at_once = NO_BUFFERS | (NO_CLUSTERS if self.form in ELEMENTS else {})
        if self.address == PIPE:
            self.standard = Standard()
            return how | {"file": self.standard, "options": at_once | self.options}
        how |= {"io_open": self.parts.open} if self.parts else {}
        return how | {"file": self.address, "options": at_once | self.options}

    def _add_tracks(self, source: Connection) -> list[str]:
        left = [*source.left_out]
        for number, stream in enumerate(source.passed_on):
            try:
                if self.form == "rawvideo" or self.container.default_audio_codec in ("none", None, ""):
                    raise ValueError("pictures alone")
                try_header("mpegts" if self.form in WITHOUT_FILE else self.form, stream)
                self.tracks[number] = self.container.add_stream_from_template(stream)
                self.tracks[number].metadata.update(stream.metadata)
            except (av.FFmpegError, ValueError, TypeError):
                left.append(stream)
        return [f"stream {stream.index} ({stream.type}) is left out" for stream in left]

    def write(self, frame: Frame, picture: Photo, unchanged: av.VideoFrame | None) -> int:
        """Encode a picture; returns how many have left the encoder by that.

        Args:
            unchanged: the frame as it was decoded, if that is to be shown.
        """
        assert self.encoder is not None
        if unchanged is not None and unchanged.format.name == self.encoder.encoding.pixel_format:
            encoded = self.encoder.timed(frame, unchanged)
            encoded.pict_type = 0  # the encoder chooses
        else:
            encoded = self.encoder.converted(frame, picture)
        return self._mux(self.encoder.packets(frame, encoded))

    def copy(self, sound: Sound) -> None:
        """Pass a packet on, unless it belongs before the first picture or before the packet before."""
        if self.encoder is None:
            self.held = [*self.held[-MOST_HELD:], sound]
            return
        stream, packet = self.tracks.get(sound.track), sound.packet
        if stream is None:
            return
        moved = round((sound.shift - self.origin) / packet.time_base)
        packet.pts, packet.dts = (None if at is None else at + moved for at in (packet.pts, packet.dts))
        at = packet.pts if packet.dts is None else packet.dts
        if at < 0 or at <= self.last.get(sound.track, -1):
            return
        self.last[sound.track] = at
        packet.stream = stream
        self._mux([packet])

    def _mux(self, packets: list[Any]) -> int:
        try:
            for packet in packets:
                self.container.mux(packet)
            self._look_at_parts()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error) from None
        return len(packets)

    def close(self) -> int:
        """Write what waits in the encoder, and the end; returns the number of pictures that left by that.

        Raises:
            PhotoError: it cannot be written.
        """
        if self.encoder is None:
            return 0
        try:
            count = self._mux(self.encoder.last_packets())
        finally:
            self._end()
        return count

    def _end(self) -> None:
        try:
            self.container.close()
            self._look_at_parts()
            if self.part:
                put(self.part, Path(self.address))
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from None
