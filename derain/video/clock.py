"""The clock of a clip: it may begin at any time, and anew where a camera was started again or files were joined."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av.format import Flags

from derain.video.seeking import LEAST_LEAP_BACK

MPEG_BASE, MPEG_TURN = Fraction(1, 90000), 1 << 33  # MPEG's clock, and where it turns over to 0
LONGEST_PAUSE_IN_TURN = 60  # seconds; what goes on later than that after the clock's end was begun anew
LONGEST_PAUSE = 6 * 3600  # seconds; MP4 holds no pause that is much longer
LONGEST_USUAL_STEP = 10  # seconds
CONTINUOUS = ("video", "audio")  # kinds of streams that go on all the time
ALSO_FROM_ANYWHERE = {"flv"}  # recordings of live streams; the others' formats say so of themselves


def begins_anywhere(container: Any) -> bool:
    """Whether the clock of such files, as that of a broadcast, need not begin at 0."""
    return may_begin_anew(container) or container.format.name in ALSO_FROM_ANYWHERE


def may_begin_anew(container: Any) -> bool:
    """Whether one such file put after another is again one."""
    return bool(container.format.flags & Flags.ts_discont.value)


def begins_anew(before: int, at: int, base: Fraction) -> bool:
    """Whether a clock jumps between these times. If MPEG's own goes back, FFmpeg takes it to have turned over."""
    turned = base == MPEG_BASE and any(before < turn <= at for turn in (0, MPEG_TURN))
    longest = LONGEST_PAUSE_IN_TURN if turned else LONGEST_PAUSE
    return not -LEAST_LEAP_BACK <= (at - before) * base <= longest


@dataclass(eq=False)
class Part:
    """A part of a clip in which its clock goes on."""

    spans: dict[int, tuple[int, int]] = field(default_factory=dict)  # first and last times of each stream
    begins: Fraction | float = math.inf  # seconds, of pictures and sound
    ends: Fraction | float = -math.inf
    shift: Fraction | float = Fraction(0)  # seconds by which it is moved, so that it comes right after the part before

    def add(self, packet: Any, at: int) -> None:
        """Count in a packet that is shown or heard at this time."""
        first, last = self.spans.get(packet.stream.index, (at, at))
        self.spans[packet.stream.index] = min(first, at), max(last, at)
        if packet.stream.type in CONTINUOUS:
            self.begins = min(self.begins, at * packet.time_base)
            self.ends = max(self.ends, (at + (packet.duration or 0)) * packet.time_base)

    def holds(self, index: int, at: int, leap: int) -> bool:
        """Whether a time of a stream may be one of this part."""
        first, last = self.spans.get(index, (1, 0))
        return first <= last and first - leap <= at <= last + leap


@dataclass
class Place:
    """Where a stream is, as its packets come."""

    part: Part
    last: int  # time
    before: "Place | None" = None  # where it was before the last jump
    since: int = 0  # time after that

    def returns(self, at: int, base: Fraction) -> bool:
        """Whether it goes on where it was before the last jump, which was only to a few damaged times."""
        short = (self.last - self.since) * base < LEAST_LEAP_BACK and len(self.part.spans) == 1
        return short and self.before is not None and not begins_anew(self.before.last, at, base)


def parts_of(packets: Iterable[Any]) -> list[Part]:
    """The parts that the packets of all streams of a clip, as they stand in the file, are of."""
    parts, places = [Part()], dict[int, Place]()
    for packet in packets:
        index, base, at = packet.stream.index, packet.time_base, packet.pts if packet.dts is None else packet.dts
        if at is None:
            continue
        place = places.get(index) or Place(parts[-1], at)
        if packet.stream.type not in CONTINUOUS:
            place = Place(parts[-1], at)
        elif begins_anew(place.last, at, base) and place.returns(at, base) and place.before:
            parts.remove(place.part)
            place = place.before
        elif begins_anew(place.last, at, base):
            if place.part is parts[-1]:
                parts.append(Part())
            place = Place(parts[-1], at, place, at)
        places[index], place.last = place, at
        far = packet.pts is None or abs(packet.pts - at) * base > LEAST_LEAP_BACK
        place.part.add(packet, at if far else packet.pts)
    for before, after in pairwise(parts):
        after.shift = before.ends + before.shift - after.begins
    return parts


class StreamClock:
    """The times of a stream, moved so that they go on where the clock begins anew.

    Args:
        index: of the stream.
    """

    def __init__(self, base: Fraction, index: int = 0) -> None:
        self.base, self.index = base, index
        self.leap = round(LEAST_LEAP_BACK / base)
        self.last: int | None = None
        self.number, self.jump, self.ends = 0, 0, -(2**62)

    def is_odd(self, at: int) -> bool:
        """Whether a time is far from the one before."""
        return self.last is not None and not -self.leap <= at - self.last <= LONGEST_USUAL_STEP / self.base

    def moved(self, at: int, duration: int, parts: Sequence[Part] = ()) -> int:
        """How far what is at this time is to be moved.

        Args:
            parts: of the clip; without them it comes right after all before of this stream.
        """
        holding = [each for each in range(self.number, len(parts)) if parts[each].holds(self.index, at, self.leap)]
        if parts and not holding:  # the time is damaged
            self.ends += duration
            return self.ends - duration - at
        anew = self.last is not None and begins_anew(self.last, at, self.base)
        if number := next((each for each in holding if each >= self.number + anew), 0):
            self.number, self.jump = number, round(parts[number].shift / self.base)
        elif self.last is not None and at < self.last - self.leap:
            self.jump = self.ends - at
        self.last = at
        self.ends = max(self.ends, at + self.jump + duration)
        return self.jump
