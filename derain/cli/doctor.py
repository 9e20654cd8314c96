"""`derain doctor`."""

from typing import Annotated

import typer

from derain.cli.options import Ray
from derain.cli.terminal import say, talk, tell, tell_text
from derain.text import as_json


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
    tell("| what | found |")
    tell("| --- | --- |")
    for what, finding in found.items():
        tell(f"| {what} | {finding} |")


def nodes(address: str, json: bool) -> None:
    """Describe each node, and say which differ."""
    from derain.cluster.examining import differences, examine

    with talk.status("looking at the nodes"):
        found = examine(address)
    if json:
        tell_text(as_json({"nodes": [each.as_dict() for each in found], "differences": differences(found)}))
    else:
        tell("| node | address | CPUs | GPUs | devices | memory | derain | torch | weights |")
        tell("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for each in found:
            devices = ", ".join(each.devices or [each.trouble])
            has = (each.node, each.address, each.cpus, each.gpus, devices, each.memory, each.derain, each.torch)
            tell("| " + " | ".join(map(str, (*has, each.weights[:16]))) + " |")
    for sentence in differences(found):
        say(sentence)
