"""Animated pictures by what they hold: their names are often those of photos."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

KINDS = ("PNG", "GIF", "WEBP", "AVIF")
READ_AS_CLIPS = ("PNG", "GIF")  # by FFmpeg


@dataclass(frozen=True)
class Animation:
    """An animated picture."""

    form: str  # Pillow's name of its format
    plays: int  # how often it is shown; 0: without end

    @property
    def is_clip(self) -> bool:
        return self.form in READ_AS_CLIPS

    @property
    def said_plays(self) -> str:
        """How often it is shown where that is not once, in words."""
        return {0: "endlessly", 1: ""}.get(self.plays, f"{self.plays} times")


def animation(path: Path) -> Animation | None:
    """What is animated in a file; ``None`` of anything else."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=KINDS) as image:
            warnings.simplefilter("ignore")
            form = str(image.format)
            return Animation(form, _plays(form, image.info)) if getattr(image, "is_animated", False) else None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return None


def _plays(form: str, info: dict[str | tuple[int, int], object]) -> int:
    told = info.get("loop")
    if not isinstance(told, int):
        return 1
    return told + 1 if form == "GIF" and told else told  # a GIF tells how often it is repeated
