"""What is said of a clip, and what of it stays true of its result."""

import json
from collections.abc import Callable
from pathlib import Path

from derain.files.writing import write_bytes


class Notes:
    """Sentences for the user about one clip or stream, each with its name."""

    def __init__(self, source: Path | str, say: Callable[[str], None]) -> None:
        self._begins, self._say = f"{source}: ", say
        self._place: Path | None = None
        self.told: list[str] = []  # in which the result differs from its source, without the clip's name

    def say(self, sentence: str) -> None:
        """What concerns the run alone."""
        self._say(self._begins + self.without_name(sentence))

    def without_name(self, sentence: str) -> str:
        return sentence.removeprefix(self._begins)

    def note(self, sentence: str) -> None:
        """What the result lacks, or has otherwise than its source; said once."""
        sentence = self.without_name(sentence)
        if sentence in self.told:
            return
        self.told.append(sentence)
        self.say(sentence)
        if self._place:
            write_bytes(self._place, json.dumps(self.told).encode())

    def keep_in(self, folder: Path) -> None:
        """Remember all in case the run is interrupted, and what an interrupted one said."""
        self._place = folder / "notes.json"
        if self._place.is_file():
            before = json.loads(self._place.read_text())
            self.told = before + [sentence for sentence in self.told if sentence not in before]
