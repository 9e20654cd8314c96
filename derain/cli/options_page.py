"""Every command and option on one page of Markdown: ``python -m derain.cli.options_page > OPTIONS.md``"""

from collections.abc import Iterator
from typing import Any

import typer

from derain.cli.app import app
from derain.cli.json_keys import OF_COMMANDS, Keys
from derain.cli.options import in_words

INTRODUCTION = """\
# Options

What `--help` says of each command, on one page. `python -m derain.cli.options_page > OPTIONS.md` writes it."""


def options_page() -> str:
    """The page: a section a command: usage, help, a table of arguments and options, examples."""
    return "\n\n".join([INTRODUCTION, *(_section(name, command) for name, command in _commands())]) + "\n"


def _commands() -> Iterator[tuple[str, Any]]:
    """Commands with their whole names, those in groups too."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        members = getattr(command, "commands", None)
        if members is None:
            yield f"derain {name}", command
        else:
            yield from ((f"derain {name} {member}", one) for member, one in members.items())


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    rows = [_row(parameter, context) for parameter in command.params]
    table = ["| | | default | allowed |", "| --- | --- | --- | --- |", *rows] if rows else []
    examples = (
        (command.epilog or "")
        .replace("\b", "")
        .strip()
        .replace("Examples:\n", "Examples:\n\n")
        .replace("\n  ", "\n    ")
    )
    of_json = [_keys(keys) for keys in OF_COMMANDS.get(name, ())]
    return "\n\n".join(filter(None, [f"## {name}", f"    {usage}", command.help, "\n".join(table), *of_json, examples]))


def _keys(keys: Keys) -> str:
    rows = [f"| `{key}` | {meaning} |" for key, meaning in keys.meanings.items()]
    return "\n".join([f"`--json` prints an object for each {keys.told}:\n", "| | |", "| --- | --- |", *rows])


def _row(parameter: Any, context: typer.Context) -> str:
    """``| `-s`, `--strength` | How much. | 1.0 | 0 to 1 |``"""
    names = ", ".join(f"`{name}`" for name in _names(parameter))
    meaning, _, extra = parameter.get_help_record(context)[1].partition("  [")
    default, allowed = "", ""
    for part in filter(None, extra.removesuffix("]").split("; ")):
        if "x" in part and set(part) <= set("x<>=.-0123456789"):
            allowed = in_words(part)
        else:
            default = part.removeprefix("default: ")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (names, meaning, default, allowed)) + " |"


def _names(parameter: Any) -> list[str]:
    """What a user writes: an option's words, or what usage calls an argument."""
    return parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name]


if __name__ == "__main__":
    print(options_page(), end="")
