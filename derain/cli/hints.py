"""The command that somebody meant who left it out."""

import os
import shlex
from pathlib import Path


def meant_by(words: list[str]) -> str | None:
    """A sentence that names the command, if the first of ``words`` is a file or a folder instead of one."""
    from derain.photos import SUFFIXES
    from derain.video.naming import is_clip

    first, given = Path(words[0]), shlex.join(words)
    if os.path.isdir(first):
        return f"{first} is a folder: `derain run {given}` derains its photos, `derain video {given}` its clips."
    if is_clip(first):
        return f"{first} is a clip: `derain video {given}` removes its rain."
    if first.suffix.lower() in SUFFIXES:
        return f"{first} is a photo: `derain run {given}` removes its rain."
    if first.suffix.lower() == ".safetensors":
        return f"{first} holds weights: `derain run PHOTO --weights {shlex.quote(words[0])}` uses them."
    return None


def command_of(option: str, commands: dict[str, set[str]]) -> str | None:
    """A sentence that names the commands which have an option that was given before any."""
    having = [f"`derain {name} {option}`" for name, options in commands.items() if option in options]
    return f"{option} goes after a command, as in {' or '.join(having[:2])}." if having else None
