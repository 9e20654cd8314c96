"""What of a clip could not be read, and how that is said."""

from dataclasses import dataclass, field
from fractions import Fraction

LISTED = 5  # stretches of damaged frames that are named


@dataclass
class Damage:
    """What could not be read of a picture track; times are in its units."""

    lost: set[int] = field(default_factory=set)  # times of frames that cannot be decoded
    untimed: int = 0  # frames that cannot be decoded either, and of which nobody knows when they are
    behind: set[int] = field(default_factory=set)  # times of frames that are not after the frame before
    reason: str = ""  # of the last of them
    end: str = ""  # why the file could not be read any further

    def __bool__(self) -> bool:
        return bool(self.lost or self.untimed or self.end)

    def clear(self) -> None:
        self.lost, self.untimed, self.behind, self.reason, self.end = set(), 0, set(), "", ""

    def add(self, other: "Damage") -> None:
        """What another pass over the same track met."""
        self.lost |= other.lost
        self.behind |= other.behind
        self.untimed = max(self.untimed, other.untimed)
        self.reason, self.end = other.reason or self.reason, other.end or self.end

    def as_dict(self) -> dict[str, object]:
        sets = {"lost": sorted(list(self.lost)), "behind": sorted(list(self.behind))}
        return sets | {"untimed": self.untimed, "reason": self.reason, "end": self.end}

    @classmethod
    def of(cls, lost: list[int], behind: list[int], untimed: int, reason: str, end: str) -> "Damage":
        return cls(set(lost), untimed, set(behind), reason, end)

    def within(self, first: float, last: float) -> "Damage":
        """That of a stretch, from ``first`` to before ``last`` in the track's units."""
        lost, behind = ({at for at in times if first <= at < last} for times in (self.lost, self.behind))
        return Damage(lost, self.untimed, behind, self.reason, self.end)

    def said(self, shown: list[int], base: Fraction, begins: float) -> list[str]:
        """Sentences about frames that are missing among those that are ``shown``."""
        sentences = []
        if self.lost:
            why = self.reason or "the decoder drops it"
            sentences.append(
                f"{_frames(len(self.lost))} damaged ({why}) and left out, the one before stays instead: "
                + _places(self.lost, shown, base, begins)
            )
        if self.untimed:
            sentences.append(f"{_frames(self.untimed)} damaged, and nobody knows when in the clip")
        if self.end:
            until = f" after {float(max(shown) * base) - begins:.2f} s" if shown else ""
            sentences.append(f"cannot be read to its end ({self.end}), the result ends{until}")
        return sentences


def _frames(count: int) -> str:
    return "1 frame is" if count == 1 else f"{count} frames are"


def _places(lost: set[int], shown: list[int], base: Fraction, begins: float) -> str:
    """Numbers and times of the frames that are lost, those side by side together."""
    stretches: list[list[tuple[int, float]]] = []
    for number, at in enumerate(sorted(lost | set(shown))):
        if at not in lost:
            continue
        if stretches and stretches[-1][-1][0] == number - 1:
            stretches[-1].append((number, float(at * base) - begins))
        else:
            stretches.append([(number, float(at * base) - begins)])
    named = [
        f"number {first} ({start:.2f} s)"
        if first == last
        else f"numbers {first} to {last} ({start:.2f} to {end:.2f} s)"
        for (first, start), (last, end) in ((stretch[0], stretch[-1]) for stretch in stretches[:LISTED])
    ]
    more = len(stretches) - LISTED
    return ", ".join(named) + (f" and {more} stretches more" if more > 0 else "")
