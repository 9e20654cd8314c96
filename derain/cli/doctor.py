"""`derain doctor`."""

from typing import Annotated

import typer

from derain.cli.terminal import talk, tell, tell_text
from derain.text import as_json


def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False) -> None:
    """What derain finds on this machine, as a table to paste into a bug report."""
    from derain.doctor import examine

    with talk.status("looking around"):
        found = dict(examine())
    if json:
        tell_text(as_json(found))
        return
    tell("| what | found |")
    tell("| --- | --- |")
    for what, finding in found.items():
        tell(f"| {what} | {finding} |")
