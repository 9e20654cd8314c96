"""What has come of a stream and waits: where pictures are dropped if nobody takes them in time."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from threading import Condition
from time import monotonic
from typing import Any

import av

MOST_WAITING = 4  # pictures that wait before the sender has to
MOST_WAITING_LIVE = 2  # pictures that wait before the oldest is dropped


@dataclass(frozen=True)
class Picture:
    """A picture as it was decoded."""

    frame: av.VideoFrame
    time: Fraction  # seconds by the stream's one clock
    came: float = field(default_factory=monotonic)  # seconds by the machine's clock


@dataclass(frozen=True)
class Sound:
    """A packet that is passed on as it is."""

    packet: Any
    track: int  # number of its stream, counted from 0 among those that are passed on
    shift: Fraction  # seconds from the packet's own clock to the stream's one clock


class Intake:
    """A row of pictures and packets that one thread fills and another empties.

    Args:
        live: drop the oldest picture instead of letting the sender wait.
        changed: called when a picture has come, without any lock.
        every: take one of so many pictures, and leave out the others.
    """

    def __init__(self, live: bool, changed: Callable[[], None] = lambda: None, every: int = 1) -> None:
        self.live, self.changed, self.every = live, changed, every
        self.ready = Condition()
        self.items: deque[Picture | Sound] = deque()
        self.waiting = 0  # pictures among them
        self.arrived = self.dropped = 0
        self.ended = self.stopped = False

    def add(self, item: Picture | Sound) -> None:
        """One more; of a source that is not live once there is room."""
        with self.ready:
            if isinstance(item, Picture):
                self.arrived += 1
                if (self.arrived - 1) % self.every:
                    return
                self._make_room()
                self.waiting += 1
            self.items.append(item)
            self.ready.notify_all()
        if isinstance(item, Picture):
            self.changed()

    def _make_room(self) -> None:
        if not self.live:
            self.ready.wait_for(lambda: self.waiting < MOST_WAITING or self.stopped)
            return
        while self.waiting >= MOST_WAITING_LIVE:
            self.items.remove(next(item for item in self.items if isinstance(item, Picture)))
            self.waiting -= 1
            self.dropped += 1

    def end(self) -> None:
        """Nothing more comes."""
        with self.ready:
            self.ended = True
            self.ready.notify_all()

    def stop(self) -> None:
        """Take nothing more in; what waits is still given. May be called by a handler of signals."""
        with self.ready:
            self.stopped = True
            self.ready.notify_all()

    def __iter__(self) -> Iterator[Picture | Sound]:
        while True:
            with self.ready:
                self.ready.wait_for(lambda: self.items or self.ended or self.stopped)
                if not self.items:
                    return
                item = self.items.popleft()
                self.waiting -= isinstance(item, Picture)
                self.ready.notify_all()
            yield item
