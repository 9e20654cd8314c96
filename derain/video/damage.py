"""What of a clip could not be read, and how that is said."""

from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

from derain.text import listed

MOST_LISTED = 5  # stretches of damaged frames that are named


@dataclass
class Damage:
    """What could not be read of a picture track; times are in its units."""

    lost: set[int] = field(default_factory=set)  # times of frames that cannot be decoded
    flawed: set[int] = field(default_factory=set)  # times of frames that are shown, though damaged
    behind: Counter[int] = field(default_factory=Counter)  # times of frames not after the one before, some of several
    gaps: set[int] = field(default_factory=set)  # times after which the file makes no sense for a while
    untimed: int = 0  # frames that cannot be decoded either, and of which nobody knows when they are
    reason: str = ""  # of the last of them
    end: str = ""  # why the file could not be read any further

    def __bool__(self) -> bool:
        return bool(self.times or self.untimed or self.end)

    @property
    def times(self) -> set[int]:
        return self.lost | self.flawed | set(self.behind) | self.gaps

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def add(self, other: "Damage") -> None:
        """What another pass over the same track met."""
        for name in TIMES:
            getattr(self, name).update(getattr(other, name))
        self.behind |= other.behind
        self.untimed = max(self.untimed, other.untimed)
        self.reason, self.end = other.reason or self.reason, other.end or self.end

    def as_dict(self) -> dict[str, object]:
        behind = {"behind": sorted(self.behind.elements())}
        return asdict(self) | behind | {name: sorted(getattr(self, name)) for name in TIMES}

    @classmethod
    def of(cls, known: dict[str, object]) -> "Damage":
        """From what :meth:`as_dict` gave."""
        times: dict[str, Any] = {name: set(known[name]) for name in TIMES}  # type: ignore[call-overload]
        return cls(**known | times | {"behind": Counter(known["behind"])})  # type: ignore[call-overload]

    def within(self, first: float, last: float) -> "Damage":
        """The damage in a stretch, from ``first`` to before ``last`` in the track's units."""
        inside: dict[str, Any] = {name: {at for at in getattr(self, name) if first <= at < last} for name in TIMES}
        behind = Counter({at: count for at, count in self.behind.items() if first <= at < last})
        return replace(self, behind=behind, **inside)

    def said(self, shown: list[int], base: Fraction, begins: float, written: bool = True) -> list[str]:
        """Sentences about frames that are missing or damaged among those that are ``shown``.

        Args:
            written: a result is made of those.
        """
        sentences, left_out = [], " and left out" if written else ""
        if lost := self._lost_among(shown):
            why = self.reason or "the decoder drops it"
            sentences.append(f"{_frames(len(lost))} damaged ({why}){left_out}: {_places(lost, shown, base, begins)}")
        flawed = self.flawed - self.lost
        if flawed:
            but = " but shown" if written else ""
            sentences.append(f"{_frames(len(flawed))} damaged{but}: {_places(flawed, shown, base, begins)}")
        if self.untimed:
            sentences.append(f"{_frames(self.untimed)} damaged, at unknown times")
        if self.behind:
            sentences.append(f"{_frames(self.behind.total())} out of order{left_out}")
        if self.gaps:
            when = [f"{float(at * base) - begins:.2f} s" for at in sorted(self.gaps)]
            where = listed(when, MOST_LISTED, "more moments")
            sentences.append(f"the file is damaged after {where}; frames may be missing there")
        if self.end:
            last = f"; the last frame is at {float(max(shown) * base) - begins:.2f} s" if shown else ""
            sentences.append(f"cannot be read to its end ({self.end}){last}")
        return sentences

    def _lost_among(self, shown: list[int]) -> set[int]:
        """Without those that the end of what can be read takes with it."""
        return {at for at in self.lost if at < max(shown)} if self.end and shown else self.lost


TIMES = [each.name for each in fields(Damage) if each.default_factory is set]


def _frames(count: int) -> str:
    return "1 frame is" if count == 1 else f"{count} frames are"


def _places(times: set[int], shown: list[int], base: Fraction, begins: float) -> str:
    """Numbers and times of frames, those side by side together."""
    stretches: list[list[tuple[int, float]]] = []
    for number, at in enumerate(sorted(times | set(shown))):
        if at not in times:
            continue
        if stretches and stretches[-1][-1][0] == number - 1:
            stretches[-1].append((number, float(at * base) - begins))
        else:
            stretches.append([(number, float(at * base) - begins)])
    named = [
        f"number {first} ({start:.2f} s)"
        if first == last
        else f"numbers {first} to {last} ({start:.2f} to {end:.2f} s)"
        for (first, start), (last, end) in ((stretch[0], stretch[-1]) for stretch in stretches)
    ]
    return listed(named, MOST_LISTED, "more stretches")
