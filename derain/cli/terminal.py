"""What the command says and where: talk on stderr, for people; results on stdout, for scripts."""

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from derain.errors import DerainError, reason
from derain.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress


class Talk(Console):
    """Names in what is said cannot move the cursor or set the window's title."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text, kept="\n\t"), **how)


talk = Talk(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def console_of_results(is_taken: bool) -> Console:
    """Where tables for people go: to stdout, or to stderr where stdout ``is_taken`` by what a script reads."""
    return talk if is_taken else Talk(highlight=False, soft_wrap=True, emoji=False)


_ARGUMENT = re.compile(r"(?<![^\s(])`(\w+)`(?=[\s),;]|: |$)")
_options: dict[str, str] = {}  # of the command that runs, by the arguments of the Python API that they give


def speak_of(options: dict[str, str]) -> None:
    """From now on, say these options where the library names the argument that each of them gives."""
    _options.clear()
    _options.update(options)


def with_options(sentence: str) -> str:
    """What the library says of its arguments, said of the command's options."""
    return _ARGUMENT.sub(lambda found: _options.get(found[1], found[0]), sentence)


def say(sentence: str, style: str | None = None) -> None:
    """One line on stderr, of options instead of arguments, whatever the names in it hold."""
    talk.print(printable(with_options(sentence)), style=style, markup=False)


def informer(quiet: bool) -> Callable[[str], None]:
    """What says sentences, but for errors, unless they are not wanted."""
    return (lambda sentence: None) if quiet else say


def say_error(error: DerainError) -> None:
    say(f"derain: {error}", style="red")


class Outlet(io.RawIOBase):
    """A standard stream; where it cannot be written, that is noted, and what is written then is dropped.

    So a full disk or a reader that left costs what is printed, and not the work that is being done.
    """

    def __init__(self, stream: Any) -> None:
        buffer = getattr(stream, "buffer", None)
        self.stream = stream  # which would close the file if nobody held it
        self.raw: Any = getattr(buffer, "raw", buffer)
        self.error = None if self.raw else OSError(errno.EBADF, os.strerror(errno.EBADF))

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.raw is not None and self.raw.isatty()

    def fileno(self) -> int:
        if self.raw is None:
            raise io.UnsupportedOperation("fileno")
        return self.raw.fileno()

    def write(self, content: Any) -> int:
        if self.error is None:
            try:
                written = self.raw.write(content)
                if written is not None:
                    return written
                self._wait()
                return self.write(content)
            except OSError as error:
                self.error = error
        self.complain()
        return len(content)

    def _wait(self) -> None:
        """Until a reader that asked not to be waited for takes more."""
        import select

        select.select([], [self], [])

    def complain(self) -> None:
        pass


class Results(Outlet):
    """Stdout, whose failure is said once and makes the exit code 1."""

    said = False

    def complain(self) -> None:
        if not self.said:
            self.said = True
            say(f"derain: stdout cannot be written ({reason(self.error or OSError())})", style="red")


def open_streams() -> Results:
    """Put streams that cannot fail in the place of stdout and stderr."""
    results, errors = Results(sys.stdout), Outlet(sys.stderr)
    sys.stdout, sys.stderr = _as_text(results, sys.stdout), _as_text(errors, sys.stderr)
    return results


def is_lost() -> bool:
    """Whether stdout did not take what was told."""
    results = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(results, Results) and results.said


def is_closed() -> bool:
    """Whether there was no stdout as the command began."""
    results = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(results, Results) and results.raw is None


def _as_text(outlet: Outlet, before: Any) -> io.TextIOWrapper:
    encoding = before.encoding if before else "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(outlet), encoding, "backslashreplace", line_buffering=True)


def fill_descriptors() -> None:
    """Open to nowhere what is closed of stdin, stdout and stderr: the next file that is opened would take its place."""
    with suppress(OSError):
        while (nowhere := os.open(os.devnull, os.O_RDWR)) < 3:
            os.set_inheritable(nowhere, True)
        os.close(nowhere)


def tell(result: str) -> None:
    """One result, a line on stdout: names as they are for scripts, and such that they do nothing to a terminal."""
    if sys.stdout.isatty():
        _show(printable(result, kept="\t"))
    else:
        _write(_encoded(result))


def tell_row(*cells: object, between: str = "\t") -> None:
    """A row of a table on stdout, which no name in it breaks."""
    tell(between.join(printable(str(cell)) for cell in cells))


def tell_text(text: str) -> None:
    """Text for a script on stdout, in UTF-8 whatever the locale."""
    if sys.stdout.isatty():
        _show(printable(text, kept="\n"))
    else:
        _write(text.encode())


def _show(text: str) -> None:
    if _is_one_terminal():
        talk.print(text, markup=False)  # above the progress bar, which it knows of
    else:
        print(text)


def _write(line: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(line + os.linesep.encode())
    sys.stdout.buffer.flush()


def _encoded(result: str) -> bytes:
    try:
        return os.fsencode(result)
    except UnicodeEncodeError:  # more than a name, in a locale with few letters
        return result.encode("utf-8", "surrogateescape")


def _is_one_terminal() -> bool:
    """Whether stdout and stderr are one terminal, so that lines and progress bar must know of each other."""
    try:
        ours, theirs = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return talk.is_terminal and (os.name == "nt" or ours.st_rdev == theirs.st_rdev)


@contextmanager
def training_bar() -> Iterator[tuple[Callable[[int, float, dict[str, float]], None], Callable[[str, float], None]]]:
    """Live losses, stages and time left; without a terminal a line of losses now and then."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=talk, redirect_stdout=False, disable=not talk.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)

        def report(step: int, progress: float, losses: dict[str, float]) -> None:
            values = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            if talk.is_terminal:
                bar.update(task, completed=progress, description=f"step {step} {values}")
            else:
                say(f"step {step} {values}")

        def watch(stage: str, progress: float) -> None:
            bar.update(task, completed=progress, description=stage)

        yield report, watch


STILL_SECONDS = 10  # after which a bar that does not move says what is being done


def progress_bar(hidden: bool = False) -> "Progress":
    """A count of what is done, and of a task's field ``doing`` where it stands still; without a terminal nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    class WhatIsDone(ProgressColumn):
        """What takes so long."""

        moved: tuple[float, float] = (-1.0, 0.0)  # what was completed, and since when

        def render(self, task: Any) -> Text:
            now = task.get_time()
            if task.completed != self.moved[0]:
                self.moved = task.completed, now
            still = now - self.moved[1] >= STILL_SECONDS
            return Text(printable(str(task.fields.get("doing", ""))) if still and not task.finished else "")

    counts = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*counts, WhatIsDone(), console=talk, redirect_stdout=False, disable=hidden or not talk.is_terminal)
