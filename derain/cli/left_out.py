"""What was found and is left out, told in a line for each kind of reason."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from derain.text import counted

if TYPE_CHECKING:
    from derain.batch.reasons import Kind, Reason


@dataclass
class LeftOut:
    """Files, links and folders that nothing is done for; of a million only the first of each kind is kept."""

    first: "dict[Kind, tuple[Path, Reason]]" = field(default_factory=dict)  # and why
    count: "Counter[Kind]" = field(default_factory=Counter)
    scattered: "set[Kind]" = field(default_factory=set)  # of which some lie elsewhere, or end otherwise, than the first
    in_place: bool = False  # whether the others are replaced, which a pattern would name again

    def add(self, path: Path, why: "Reason") -> None:
        first, _ = self.first.setdefault(why.kind, (path, why))
        if (path.parent, path.suffix) != (first.parent, first.suffix):
            self.scattered.add(why.kind)
        self.count[why.kind] += 1

    def sentences(self, doing: str, of_clips: str) -> list[str]:
        """
        Args:
            doing: what is done to the others, as in "name it alone to derain it".
            of_clips: what to do about clips.
        """
        return [self._sentence(kind, doing, of_clips) for kind in self.first]

    def _sentence(self, kind: "Kind", doing: str, of_clips: str) -> str:
        from derain.batch.reasons import Kind, how_to_follow
        from derain.photos.raw import told_of_raws
        from derain.photos.unread import told_of_others

        (first, why), count = self.first[kind], self.count[kind]
        if kind is Kind.CLIP:
            return f"{counted(count, 'clip')} left out, such as {first}: {of_clips}"
        if kind is Kind.RAW:
            return told_of_raws(first, count)
        if kind is Kind.UNREAD:
            return told_of_others(first, count)
        if kind in (Kind.LINK, Kind.LINK_OUT, Kind.LINKED_FOLDER):
            by_pattern = not self.in_place and kind not in self.scattered
            way = how_to_follow(first, kind, doing, by_pattern)
            return f"{counted(count, 'link')} left out: {first} is {why}{way}"
        if kind is Kind.FOLDER:
            return f"{first} is {why}" + (
                f", and so {'are' if count > 2 else 'is'} {count - 1} more" if count > 1 else ""
            )
        return f"{count} left out: {first} is {why}; name it alone to {doing} it"
