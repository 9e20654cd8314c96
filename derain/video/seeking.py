"""The keyframe from which decoding gives the very pictures that decoding from the beginning gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av

# whose times never go back and whose seeking knows keyframes
INDEXED = {"mov", "matroska", "webm", "avi", "asf", "flv"}
STEPS_BACK = (0, 2, 10, 60)  # seconds before the place where the keyframe is looked for
MOST_SEARCHED = 20_000  # packets, after which the keyframe is not there
LEAST_LEAP_BACK = 1  # seconds back, from which a clip is taken to go on where it was


@dataclass(frozen=True)
class Landing:
    """A keyframe's packet, from which reading goes on."""

    packet: Any
    by_dts: bool  # the container has no other times

    @property
    def time(self) -> int:
        return int(self.packet.dts if self.by_dts else self.packet.pts)

    def is_reached(self, frame: Any) -> bool:
        """Whether a picture is the keyframe's own or comes after it."""
        return self.by_dts or (frame.pts is not None and frame.pts >= self.time)


@dataclass(frozen=True)
class Mark:
    """Where a packet is: by its times, and in the file, because clips that were joined have the same times twice."""

    pts: int
    dts: int
    place: int | None


def landing(container: Any, stream: Any, again: Callable[[], Any], since: int) -> Landing | None:
    """The last keyframe that is shown a little before ``since``, and the container at the place after it.

    ``None`` if there is none, or no way to it that is sure to give the same pictures.

    Args:
        again: opens the same file once more.
        since: in units of the stream's time base.
    """
    names = set(container.format.name.split(","))
    base, by_dts = stream.time_base, names == {"avi"}
    begin, seconds = stream.start_time or 0, float(since * base)
    before = since - round((16 if by_dts else 4) / (stream.average_rate or 25) / base)  # B-frames, deinterlacing
    length = container.duration
    if before <= begin or (length and seconds > (length + (container.start_time or 0)) / av.time_base):
        return None
    known = None
    if not names & INDEXED:
        known = last_keyframe(again, stream.index, before)
        if known is None or known.pts <= begin:
            return None
    for back in STEPS_BACK:
        target = (before if known is None else known.dts) - round(back / base)
        try:
            container.seek(max(target, begin), stream=stream)
            if (found := _keyframe(container, stream, known, by_dts)) and begin < found.time <= before:
                return found
        except (av.FFmpegError, OSError, ValueError):
            return None
        if target <= begin:
            break
    return None


def last_keyframe(again: Callable[[], Any], index: int, before: int) -> Mark | None:
    """The last keyframe shown before that time; ``None`` if times go back on the way, as where clips were joined."""
    found, last = None, -(2**62)
    with again() as container:
        stream = container.streams[index]
        leap = round(LEAST_LEAP_BACK / stream.time_base)
        for packet in container.demux(stream):
            if not packet.size or packet.dts is None:
                continue
            if packet.dts < last - leap:
                return None
            last = max(last, packet.dts)
            if packet.is_keyframe and packet.pts is not None and packet.pts <= before:
                found = Mark(packet.pts, packet.dts, packet.pos)
            if packet.dts > before:
                break
    return found


def _keyframe(container: Any, stream: Any, known: Mark | None, by_dts: bool) -> Landing | None:
    packets: Iterator[Any] = container.demux(stream)
    for number, packet in enumerate(packets):
        if number > MOST_SEARCHED or (known and packet.dts is not None and packet.dts > known.dts):
            return None
        time = packet.dts if by_dts else packet.pts
        if packet.size and packet.is_keyframe and time is not None and (known is None or packet.pts == known.pts):
            if known and packet.pos != known.place:
                return None
            return Landing(packet, by_dts)
    return None
