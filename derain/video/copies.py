"""Streams whose packets are copied as they are, and sound that can only be stored as plain samples."""

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

STAND_IN = "mp2"  # a codec of which containers store the packets as they come, and need not know more
PCM = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le"}  # by what a decoder gives
HOLD_PCM = ("matroska", "mov", "avi")  # where players know it
WITHOUT_TIMES = ("mov", "avi")  # of these: each sample comes right after the one before
LEAST_PAUSE = Fraction(1, 25)  # seconds; less is how exactly clocks of sound tell the time, and nobody sees it


def add_copy(container: Any, stream: Any) -> Any:
    """A stream of an open container for the packets of a stream of the source.

    Sound whose speakers nobody names has the usual ones: MP4 refuses it at its end otherwise, and in FLV FFmpeg aborts.

    Raises:
        ValueError, TypeError, av.FFmpegError: the container cannot hold it.
    """
    copy = container.add_stream_from_template(stream)
    if stream.type == "audio":
        _name_speakers(copy)
    return copy


def _name_speakers(sound: Any) -> None:
    if any(speaker.name == "NONE" for speaker in sound.layout.channels):
        with suppress(ValueError):  # there are usual ones up to a number
            sound.codec_context.layout = f"{sound.channels}c"


def try_header(form: str, stream: Any) -> None:
    """Write a header with nothing but this stream: it fails where asking whether the container holds it does not.

    Raises:
        ValueError, TypeError, av.FFmpegError: the container cannot hold it, or says nothing of what its data are.
    """
    is_data = stream.type == "data"
    written, options = io.BytesIO(), {"movflags": "empty_moov"} if is_data and form in ("mp4", "mov") else {}
    with av.open(written, "w", format=form, options=options) as trial:
        add_copy(trial, stream)
        trial.start_encoding()
    if is_data:
        written.seek(0)
        with av.open(written) as again:
            if [each.name for each in again.streams] != [stream.name]:
                raise ValueError("nobody could tell what its data are")


class Copy:
    """A stream of the result for the packets of one of the source.

    Raises:
        ValueError, TypeError, av.FFmpegError: the container cannot hold it.
    """

    is_renamed = False  # it bears the name of another codec, and the right one only in the source's header

    def __init__(self, container: Any, stream: Any) -> None:
        try_header(container.format.name, stream)
        self.stream = add_copy(container, stream)

    def taken(self, packet: Any) -> Iterator[Any]:
        """A packet of the source as the result takes it."""
        packet.stream = self.stream
        yield packet

    def rest(self, stream: Any) -> Iterator[Any]:
        """What is left at the end of the source's ``stream``."""
        yield from ()


class Renamed(Copy):
    """Sound that FFmpeg would take only under another name, which is to be put right in the header."""

    is_renamed = True

    def __init__(self, container: Any, stream: Any) -> None:
        if stream.type != "audio":
            raise ValueError("it is no sound")
        self.stream = container.add_mux_stream(STAND_IN, rate=stream.rate)
        self.stream.time_base = stream.time_base


class Samples(Copy):
    """Sound that is stored as its samples, since the container does not take its packets."""

    def __init__(self, container: Any, stream: Any) -> None:
        if not holds_samples(container.format.name, stream):
            raise ValueError("it is no sound, or the container is not for samples")
        form = stream.codec_context.format.packed.name
        self.stream = container.add_stream(PCM[form], rate=stream.rate, layout=stream.layout)
        _name_speakers(self.stream)
        self.has_times = container.format.name not in WITHOUT_TIMES
        self.ends = Fraction(0)  # seconds, of what came last

    def taken(self, packet: Any) -> Iterator[Any]:
        yield from self._encoded(packet.decode())

    def rest(self, stream: Any) -> Iterator[Any]:
        yield from self._encoded(stream.codec_context.decode(None))
        yield from self.stream.encode(None)

    def _encoded(self, frames: list[Any]) -> Iterator[Any]:
        for frame in frames:
            at = self.ends if frame.pts is None else frame.pts * frame.time_base
            if not self.has_times:
                if at - self.ends >= LEAST_PAUSE or not self.ends:
                    for silence in silent(frame, round((at - self.ends) * frame.sample_rate)):
                        yield from self._placed(silence, self.ends)
                at = self.ends
            yield from self._placed(frame, at)

    def _placed(self, frame: Any, at: Fraction) -> Iterator[Any]:
        """A frame encoded, at its time in seconds."""
        self.ends = at + Fraction(frame.samples, frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(at / frame.time_base)
        yield from self.stream.encode(frame)


def silent(sound: Any, samples: int) -> Iterator[Any]:
    """So many samples of silence, in frames like this one of a second at the most."""
    middle = bytes([128 if sound.format.packed.name == "u8" else 0])
    for start in range(0, samples, sound.sample_rate):
        silence = av.AudioFrame(sound.format.name, sound.layout, min(samples - start, sound.sample_rate))
        silence.sample_rate = sound.sample_rate
        for plane in silence.planes:
            plane.update(middle * plane.buffer_size)
        yield silence


def holds_samples(form: str, stream: Any) -> bool:
    """Whether a container, by FFmpeg's name, holds a stream's sound as samples, just as its decoder gives them."""
    decoder = stream.codec_context
    if form not in HOLD_PCM or stream.type != "audio" or decoder is None or decoder.format is None:
        return False
    return decoder.format.packed.name in PCM
