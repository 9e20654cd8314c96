"""Whether it rains in what a camera shows, looked at now and then, so that the answer does not flicker."""

BETWEEN_LOOKS = 2.0  # seconds
WET_LOOKS = 2  # one after the other, after which it rains
DRY_LOOKS = 3  # one after the other, after which it does not
DRY_SHARE = 0.5  # of the threshold, below which a look is dry while it rains


class Weather:
    """What single looks say together; the first one decides alone.

    Args:
        rainy_from: score from which a look is rainy.
    """

    def __init__(self, rainy_from: float) -> None:
        self.rainy_from = rainy_from
        self.rainy: bool | None = None  # None before the first look
        self.against = 0  # looks in a row that say the opposite
        self.due = -float("inf")

    def is_due(self, time: float) -> bool:
        """Whether it is time for another look; ``time`` in seconds, which never goes back."""
        return time >= self.due

    def look(self, time: float, score: float) -> bool:
        """Take a look into account; returns whether the answer has changed."""
        self.due = time + BETWEEN_LOOKS
        if self.rainy is None:
            self.rainy = score >= self.rainy_from
            return True
        opposite = score < DRY_SHARE * self.rainy_from if self.rainy else score >= self.rainy_from
        self.against = self.against + 1 if opposite else 0
        if self.against < (DRY_LOOKS if self.rainy else WET_LOOKS):
            return False
        self.rainy, self.against = not self.rainy, 0
        return True
