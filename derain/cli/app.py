"""The command `derain`: its commands, and how each of them ends."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import derain
from derain.allocation import keep_freed_memory
from derain.cli.doctor import doctor
from derain.cli.evaluate import evaluate
from derain.cli.examples import epilog
from derain.cli.export import export
from derain.cli.finetune import finetune
from derain.cli.hints import command_of, meant_by
from derain.cli.interrupts import end_at_once_when_told, leave
from derain.cli.models import models
from derain.cli.options import Command
from derain.cli.quiet import bound_spinning, quiet_libraries
from derain.cli.run import run
from derain.cli.score import score
from derain.cli.serve import serve
from derain.cli.surroundings import what_was_missing
from derain.cli.terminal import fill_descriptors, open_streams, say, say_error, tell
from derain.cli.train import train
from derain.cli.video import video
from derain.errors import DerainError, UsageError
from derain.signals import INTERRUPTED
from derain.text import printable


class Commands(TyperGroup):
    """The commands; Ctrl-C ends each of them with a word, and wrong usage is told without terminal escapes.

    Who gives a file or an option before any command is told which command takes it.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and (sentence := meant_by(args)):
            ctx.fail(sentence)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            option = getattr(error, "option_name", None)
            options = {name: {word for p in one.params for word in p.opts} for name, one in self.commands.items()}
            if option and (sentence := command_of(option, options)):
                ctx.fail(sentence)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(said := getattr(error, "message", None), str):  # Typer's own, of wrong usage
                error.message = printable(said, kept="\n")  # type: ignore[attr-defined]
            raise


EXIT_CODES = "Exit codes: 0 all done, 1 some input failed, 2 wrong usage, 130 interrupted."

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # whose help squeezes six columns into 80
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Remove rain from photos and videos.",
    epilog=f"{epilog('derain')}\n\n`derain COMMAND --help` explains a command. {EXIT_CODES}",
)


def main() -> None:
    """Entry point: errors that a user can cause end in one sentence and an exit code."""
    fill_descriptors()
    quiet_libraries()
    bound_spinning()
    keep_freed_memory()
    results, code = open_streams(), 0
    try:
        app()
    except DerainError as error:
        say_error(error)
        code = error.exit_code
    except OSError as error:
        from derain.files.writing import is_too_long

        if not is_too_long(error):
            raise
        say_error(UsageError(f"{error.filename}: the name is too long for this file system"))
        code = UsageError.exit_code
    except (MemoryError, ImportError, RuntimeError) as error:
        missing = what_was_missing(error)
        if not missing:
            raise
        say_error(missing)
        code = missing.exit_code
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt:
        end_at_once_when_told()
        say("interrupted")
        code = INTERRUPTED
    end_at_once_when_told()
    if code == INTERRUPTED:
        leave()
    sys.stdout.flush()
    sys.exit(code or int(results.said))


def show_version(wanted: bool) -> None:
    if wanted:
        tell(f"derain {derain.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    pass


for command in (run, video, score, serve, train, finetune):
    app.command(cls=Command)(command)
app.command("eval", cls=Command)(evaluate)
app.command(cls=Command)(doctor)
app.add_typer(models, name="models")
app.add_typer(export, name="export")
