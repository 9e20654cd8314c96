"""How late pictures leave, in pictures and in seconds."""

import time
from collections import deque


class Latency:
    """Of the pictures on their way; those that leave are the ones that were taken first."""

    def __init__(self) -> None:
        self.came: dict[int, float] = {}  # when pictures came that were not taken yet, by their times in the stream
        self.on_their_way: deque[float] = deque()  # when those came that were taken
        self.left = 0
        self.most_pictures = 0
        self.most_seconds = 0.0

    def come(self, pts: int, at: float) -> None:
        """A picture came, ``at`` seconds by the machine's clock."""
        self.came[pts] = at

    def take(self, pts: int) -> None:
        """The picture of this time is worked on; those that came before it and were not taken are left out."""
        self.on_their_way.append(self.came[pts])
        self.came = {other: at for other, at in self.came.items() if other > pts}

    def leave(self, count: int) -> None:
        """So many pictures left."""
        now = time.monotonic()
        for _ in range(count):
            self.most_seconds = max(self.most_seconds, now - self.on_their_way.popleft())
        self.left += count
        if count:
            self.most_pictures = max(self.most_pictures, len(self.on_their_way))
