"""`derain doctor`."""

from typing import Annotated

import typer

from derain.cli.terminal import talk, tell, tell_text
from derain.text import as_json


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False) -> None:
    """Describe this machine, for a bug report."""
    from derain.doctor import examine

    with talk.status("measuring this machine"):
        found = dict(examine())
    if json:
        tell_text(as_json(found))
        return
    tell("| what | found |")
    tell("| --- | --- |")
    for what, finding in found.items():
        tell(f"| {what} | {finding} |")
