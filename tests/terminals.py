"""`derain` with a terminal on stderr and anything on stdout, as a fork of the process that this runs in."""

import math
import os
import pty
import select
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 10  # seconds


@dataclass(frozen=True)
class Case:
    """A command; ``stdout`` is file, pipe, terminal (of its own), same (as stderr), full, closed or left."""

    arguments: list[str]
    stdout: str = "file"
    interrupt_at: str = ""  # what stderr says when Ctrl-C is pressed
    by: int = signal.SIGINT  # or sent instead
    before: str = ""  # Python that is run first
    stdin: str = os.devnull


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


def run_in_terminal(case: Case) -> Ended:
    place = {"full": "/dev/full", "file": tempfile.mkstemp()[1]}.get(case.stdout, os.devnull)
    reading, writing = os.pipe() if case.stdout in ("pipe", "left") else pty.openpty()
    seen, drawing = pty.openpty()
    process = os.fork()
    if not process:
        outlet = {"file": os.open(place, os.O_WRONLY), "full": os.open(place, os.O_WRONLY), "same": drawing}
        os.dup2(os.open(case.stdin, os.O_RDONLY), 0)
        os.dup2(outlet.get(case.stdout, writing), 1)
        os.dup2(drawing, 2)
        os.closerange(3, 256)
        if case.stdout == "closed":
            os.close(1)
        start(case.arguments, case.before)
    os.close(writing)
    os.close(drawing)
    if case.stdout == "left":
        os.close(reading)
    printed, said = follow(process, [] if case.stdout == "left" else [reading], seen, case.interrupt_at, case.by)
    os.close(seen)
    if case.stdout != "left":
        os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    printed = printed or (Path(place).read_bytes() if case.stdout == "file" else b"")
    return Ended(code, printed.decode("utf-8", "surrogateescape"), said.decode("utf-8", "replace"))


def follow(process: int, outputs: list[int], seen: int, interrupt_at: str, by: int) -> tuple[bytes, bytes]:
    """What is printed and what is said until both ends are closed."""
    texts = {fd: b"" for fd in (*outputs, seen)}
    open_ones = set(texts)
    again, late = math.inf, monotonic() + 10 * PATIENCE
    while open_ones:
        if interrupt_at and monotonic() > late:  # it never says that
            os.kill(process, signal.SIGKILL)
        if monotonic() > again:  # Python drops a Ctrl-C that comes while it runs a finaliser; a person presses again
            os.kill(process, by)
            again = monotonic() + PATIENCE
        for fd in select.select(list(open_ones), [], [], PATIENCE)[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:  # so a terminal ends
                part = b""
            texts[fd] += part
            if not part:
                open_ones.discard(fd)
        if interrupt_at and interrupt_at.encode() in texts[seen]:
            os.kill(process, by)
            interrupt_at, again = "", monotonic() + PATIENCE
    return b"".join(texts[fd] for fd in outputs), texts[seen]


def start(arguments: list[str], before: str) -> None:
    """Be `derain`, until its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))  # as Python does at its start
        except OSError:
            setattr(sys, name, None)
    os.environ["TERM"] = "xterm"
    sys.argv = ["derain", *arguments]
    code = 1
    try:
        exec(before, {})
        from derain.__main__ import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()
    os._exit(code)
