"""Frames to the packets of an encoder, and those into segments."""

import json
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from derain.arrays import Pixels
from derain.errors import PhotoError, reason, unwritable
from derain.files.writing import write_bytes
from derain.video.colour import Colours, from_rgb, stored_as, tag
from derain.video.decoding import ANY_BYTES
from derain.video.encoding import Encoding
from derain.video.formats import NVENC, has_alpha
from derain.video.reading import Frame
from derain.video.sides import Carrier, bare

NOT_IN_NUT = {"prores_ks", "qtrle", "dnxhd", "cfhd"}
FINEST_MPEG4_CLOCK = 60_000  # parts of a second that MPEG-4 counts in at the most, of those that divide well


def open_output(path: Path, form: str, **options: str) -> Any:
    """A container to write to; of the type Any because PyAV's stubs do not tell its streams apart."""
    if path.is_symlink():  # which is not to be written through
        path.unlink()
    return av.open(str(path.absolute()), "w", format=form, options=options, metadata_errors=ANY_BYTES)


def _form_of_segments(encoding: Encoding) -> str:
    """A container that holds the encoder's packets with all that they bring."""
    if encoding.codec == "libvpx-vp9" and has_alpha(encoding.pixel_format):
        return "matroska"  # each brings a second one, of the alpha
    return "mov" if encoding.codec in NOT_IN_NUT else "nut"


class PictureEncoder:
    """A stream of an open container, and the encoder that its packets come from.

    Args:
        named: what messages call the container.

    Raises:
        PhotoError: the encoder does not take its settings.
    """

    def __init__(self, container: Any, encoding: Encoding, named: str) -> None:
        self.encoding, self.named = encoding, named
        self.coded = av.codec.Codec(encoding.codec, "w").canonical_name
        coarse = encoding.codec == "mpeg4" and encoding.time_base.denominator > 65535
        self.base = Fraction(1, FINEST_MPEG4_CLOCK) if coarse else encoding.time_base
        self.exact: deque[int] = deque()  # times of frames that wait in the encoder, where it counts more coarsely
        try:
            self.stream = container.add_stream(encoding.codec, rate=encoding.rate)
            self.stream.width, self.stream.height = encoding.width, encoding.height
            self.stream.pix_fmt = encoding.pixel_format
            self.stream.options = dict(encoding.options)
            self.stream.codec_context.time_base = self.base
            if encoding.aspect:
                self.stream.codec_context.sample_aspect_ratio = encoding.aspect
        except (av.FFmpegError, OSError, ValueError) as error:
            raise PhotoError(f"{named}: {unwritable(error)}") from None
        self.carrier = Carrier()

    def _colours(self, frame: Frame) -> Colours:
        return stored_as(frame.colours, self.coded, self.encoding.pixel_format)

    def tag(self, frame: Frame) -> None:
        """Tell the encoder what the colours of frames like this one stand for.

        To be called before anything opens it: the first packet, or the header of the container.
        """
        tag(self.stream.codec_context, self._colours(frame), self.encoding.pixel_format)

    def converted(self, frame: Frame, picture: Pixels) -> av.VideoFrame:
        """``picture``, which stands as the stored frame does, as the encoder takes it, at the time of ``frame``."""
        return self.timed(frame, from_rgb(picture, self._colours(frame), self.encoding.pixel_format))

    def unchanged(self, frame: Frame) -> av.VideoFrame | None:
        """The frame as it was decoded, if that is what its own pixels become; ``None`` where something differs."""
        as_it_came = frame.untouched
        if as_it_came is None or as_it_came.interlaced_frame:
            return None
        if as_it_came.format.name != self.encoding.pixel_format or self._colours(frame) != frame.colours:
            return None
        if frame.sides.keys() - {"DISPLAYMATRIX"}:
            as_it_came = bare(as_it_came)
        as_it_came.pict_type = 0  # the encoder chooses
        return self.timed(frame, as_it_came)

    def timed(self, frame: Frame, encoded: av.VideoFrame) -> av.VideoFrame:
        """A picture that is as the encoder takes it, at the time of ``frame``."""
        encoded.pts, encoded.time_base = round(frame.pts * self.encoding.time_base / self.base), self.base
        return encoded

    def packets(self, frame: Frame, encoded: av.VideoFrame) -> list[Any]:
        """What comes out of the encoder as it gets what was ``converted`` of a frame; all of them in order.

        Raises:
            PhotoError: the encoder does not take it.
        """
        if self.base != self.encoding.time_base:
            self.exact.append(frame.pts)
        if frame.decoded not in (None, encoded) and self.encoding.takes_over:
            encoded = self.carrier.carried(frame.decoded, encoded, frame.sides)
        if not self.stream.codec_context.is_open:
            self.tag(frame)
        return self._encode(encoded)

    def last_packets(self) -> list[Any]:
        """What still waits in the encoder, which takes nothing more; errors as :meth:`packets`."""
        return self._encode(None)

    def time_of(self, packet: Any) -> int:
        """When a packet's picture is shown, exactly, in the units of the encoding; of all packets in order."""
        at = round(packet.pts * packet.time_base / self.encoding.time_base)
        return self.exact.popleft() if self.exact else at  # MPEG-4 keeps their order

    def _encode(self, frame: av.VideoFrame | None) -> list[Any]:
        try:
            return in_time(list(self.stream.encode(frame)))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self.failure(error) from None

    def failure(self, error: Exception) -> PhotoError:
        """What to say of an error of the encoder or the container."""
        codec = self.encoding.codec
        begun = self.stream.codec_context.is_open
        if isinstance(error, OSError) and begun:
            return PhotoError(f"{self.named}: {unwritable(error)}")
        advice = "; it needs an NVIDIA GPU with an encoder" if codec.endswith(NVENC) and not begun else ""
        return PhotoError(f"{self.named}: cannot be encoded as {codec} ({reason(error)}){advice}")


def in_time(packets: list[Any]) -> list[Any]:
    """Packets to be decoded no later than shown: of a clip of few frames x265 may leave that time undefined."""
    for packet in packets:
        if packet.dts is not None and packet.pts is not None and packet.dts > packet.pts:
            packet.dts = packet.pts
    return packets


class SegmentWriter:
    """One encoded segment, video alone, and beside it the times of its packets.

    The times are kept apart because containers round and shift them. The file with the times is written last, so a
    segment that has one is whole.

    Raises:
        PhotoError: the file cannot be written, or the encoder does not take its settings.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.path, self.encoding = path, encoding
        self.times: list[int] = []
        try:
            self.container = open_output(path, _form_of_segments(encoding))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise PhotoError(f"{path}: {unwritable(error)}") from None
        self.encoder = PictureEncoder(self.container, encoding, str(path))
        # slices would make the file larger the more cores there are, and wait for each other
        if encoding.codec == "libx264":
            self.encoder.stream.codec_context.thread_type = "FRAME"
        self.converted, self.unchanged = self.encoder.converted, self.encoder.unchanged

    def write(self, frame: Frame, encoded: av.VideoFrame) -> None:
        """Encode what was ``converted`` of a frame; all of them in order.

        Raises:
            PhotoError: the encoder does not take it, or the disk is full.
        """
        self._mux(self.encoder.packets(frame, encoded))

    def close(self) -> None:
        """Finish the segment.

        Raises:
            PhotoError: the disk is full.
        """
        self._mux(self.encoder.last_packets())
        try:
            self.container.close()
        except (av.FFmpegError, OSError) as error:
            raise PhotoError(f"{self.path}: {unwritable(error)}") from None
        write_bytes(self.path.with_suffix(".json"), json.dumps(self.times).encode())

    def _mux(self, packets: list[Any]) -> None:
        try:
            for packet in packets:
                self.times.append(self.encoder.time_of(packet))
                self.container.mux(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self.encoder.failure(error) from None


def is_whole(segment: Path) -> bool:
    """Whether a segment is there with its times, of which one may have vanished."""
    return segment.is_file() and segment.with_suffix(".json").is_file()


def times_of(segment: Path) -> list[int]:
    """When the frames of a segment are shown, in the order of decoding and in the clip's units."""
    times: list[int] = json.loads(segment.with_suffix(".json").read_text())
    return times
