"""Files of a run, by name: known without torch, which takes seconds to load."""

from pathlib import Path

CHECKPOINT = "checkpoint.pt"


def has_checkpoint(folder: Path) -> bool:
    return (folder / CHECKPOINT).is_file()
