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

from derain.arrays import Pixels
from derain.errors import PhotoError, UsageError, reason
from derain.files.places import ADDRESS
from derain.files.writing import make_folder, put
from derain.video.decoding import ANY_BYTES
from derain.video.encoder import PictureEncoder
from derain.video.encoding import Encoding
from derain.video.headers import ELEMENTS
from derain.video.joining import FILE_TAGS
from derain.video.naming import unfinished
from derain.video.reading import Frame
from derain.video.streams import parts
from derain.video.streams.addresses import PIPE, shown_output, unknown_host
from derain.video.streams.copying import Copied, check_held
from derain.video.streams.intake import Sound
from derain.video.streams.source import Connection

WITHOUT_FILE = (*parts.FORMS, "rtsp")  # containers that write many files, or speak a protocol of their own
NO_BUFFERS = {  # of a container that waits for nothing
    "flush_packets": "1",
    "max_interleave_delta": "1000000",  # µs that pictures wait for sound which does not come
}
NO_CLUSTERS = {"cluster_time_limit": "0"}  # of Matroska, which else holds a second back
MEASURED = FILE_TAGS | {"duration", "bps", "number_of_frames", "number_of_bytes"}  # tags that speak of the old file
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


def tags_of(described: Any) -> dict[str, str]:
    """What a container or a stream says of itself, but for what is true of the old file alone."""
    return {
        key: value
        for key, value in described.metadata.items()
        if key.lower().partition("-")[0] not in MEASURED and not key.startswith("_")  # as those of statistics
    }


class Stdout:
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
        self.tracks: dict[int, Copied] = {}  # sound that is passed on, by the numbers of the source's streams
        self.held: list[Sound] = []  # sound that came before the first picture
        self.origin = Fraction(0)  # when the first picture was shown, by the source's clock
        is_here = address != PIPE and not ADDRESS.match(address)
        self.folder = Path(address).parent if is_here else None
        self.part = unfinished(Path(address)) if is_here and form not in WITHOUT_FILE else None
        self.standard: Stdout | None = None
        in_parts = form in parts.FORMS and not ADDRESS.match(address) and not {*options} & {*parts.ENCRYPTED}
        self.parts = parts.Parts() if in_parts else None

    def open(self, encoding: Encoding, first: Frame, source: Connection, origin: Fraction, audio: bool) -> list[str]:
        """Write the header; returns what cannot be passed on, in sentences.

        Args:
            first: the frame that is written next.
            origin: when the first one was shown, by the source's clock.

        Raises:
            PhotoError: it cannot be opened, or the encoder does not take its settings.
        """
        self.origin, self.base = origin, encoding.time_base
        if self.folder:
            make_folder(self.folder)
        if self.part and os.path.lexists(self.part):
            raise PhotoError(f"{self.part}: belongs to a run that is still going or was killed; move it away")
        try:
            self.container: Any = av.open(**self._how_to_open())
            encoder = PictureEncoder(self.container, encoding, self.name)
            encoder.tag(first)
            said = self._add_tracks(source) if audio else []
            self._describe(source, encoder.stream)
            with _unused() as unused:
                self.container.start_encoding()
            said += [f"{self.form} has no output option {name}, so it counts for nothing" for name in unused]
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
            self.standard = Stdout()
            return how | {"file": self.standard, "options": at_once | self.options}
        how |= {"io_open": self.parts.open} if self.parts else {}
        return how | {"file": self.address, "options": at_once | self.options}

    def _add_tracks(self, source: Connection) -> list[str]:
        said = [f"stream {stream.index} ({stream.type}) is left out" for stream in source.left_out]
        for number, stream in enumerate(source.passed_on):
            try:
                if self.form == "rawvideo" or self.container.default_audio_codec in ("none", None, ""):
                    raise ValueError("pictures alone")
                check_held(self.form, stream, self.options)
                self.tracks[number] = Copied(self.container, stream)
            except (av.FFmpegError, ValueError, TypeError):
                what = f"{stream.type}, {stream.codec_context.name}"
                said.append(f"stream {stream.index} ({what}) is left out: {self.form} cannot hold it")
        return said

    def _describe(self, source: Connection, pictures: Any) -> None:
        """Tell of the whole and of its streams what the source tells."""
        self.container.metadata.update(tags_of(source.container))
        self.container.set_chapters(list(self._chapters(source)))
        copied = [(source.passed_on[number], track.stream) for number, track in self.tracks.items()]
        for old, new in [(source.stream, pictures), *copied]:
            new.metadata.update(tags_of(old))
            new.disposition = old.disposition

    def _chapters(self, source: Connection) -> Iterator[Any]:
        """Chapters of the source that end after the first picture, by its clock."""
        for chapter in source.container.chapters():
            shift = round(self.origin / chapter["time_base"])
            if chapter["end"] > shift:
                yield chapter | {"start": max(chapter["start"] - shift, 0), "end": chapter["end"] - shift}

    def write(self, frame: Frame, picture: Pixels, same: bool) -> int:
        """Encode a picture; returns how many have left the encoder by that.

        Args:
            same: whether the picture is the frame as it is stored.
        """
        assert self.encoder is not None
        unchanged = self.encoder.unchanged(frame) if same else None
        encoded = self.encoder.converted(frame, picture) if unchanged is None else unchanged
        return self._mux(self.encoder.packets(frame, encoded))

    def copy(self, sound: Sound) -> None:
        """Pass a packet on, unless it belongs before the first picture or before the packet before."""
        if self.encoder is None:
            self.held = [*self.held[-MOST_HELD:], sound]
            return
        track, packet = self.tracks.get(sound.track), sound.packet
        if track is None:
            return
        moved = round((sound.shift - self.origin) / packet.time_base)
        packet.pts, packet.dts = (None if at is None else at + moved for at in (packet.pts, packet.dts))
        at = packet.pts if packet.dts is None else packet.dts
        if at < 0 or at <= track.last:
            return
        track.last = at
        self._mux(track.taken(packet))

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
