"""`derain doctor`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from derain.cli.options import Ray
from derain.cli.terminal import say, talk, tell, tell_text
from derain.text import as_json, printable

if TYPE_CHECKING:
    from derain.cluster.examining import Found


def doctor(
    ray: Ray = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Describe this machine, or each node of a Ray cluster, for a bug report."""
    if ray is not None:
        return nodes(ray, json)
    from derain.doctor import examine

    with talk.status("measuring this machine"):
        found = dict(examine())
    if json:
        tell_text(as_json(found))
        return
    tell_table(("what", "found"), found.items())


def nodes(address: str, json: bool) -> None:
    """Describe each node, and say which differ."""
    from derain.cluster.examining import differences, examine

    with talk.status("looking at the nodes"):
        found = examine(address)
    if json:
        tell_text(as_json({"nodes": [asdict(each) for each in found], "differences": differences(found)}))
    else:
        headings = ("node", "address", "CPUs", "GPUs", "devices", "memory", "derain", "torch", "weights")
        tell_table(headings, map(row, found))
    for sentence in differences(found):
        say(sentence)


def row(node: "Found") -> tuple[object, ...]:
    devices = ", ".join(node.devices or [node.trouble])
    has = (node.node, node.address, node.cpus, node.gpus, devices, node.memory, node.derain, node.torch)
    return *has, node.weights[:16]


def tell_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """In Markdown, for a bug report."""
    for cells in (headings, ["---"] * len(headings), *rows):
        tell(f"| {' | '.join(printable(str(cell)) for cell in cells)} |")
