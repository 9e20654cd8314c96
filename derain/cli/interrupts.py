"""Ctrl-C, SIGTERM, by which a scheduler, a container or `kill` ends a command, and SIGHUP, by which a terminal that is
closed does: all end it alike."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from derain.signals import INTERRUPTED, ending, handle, handled, heard


def take_all_as_ctrl_c() -> None:
    """From now on, SIGTERM and SIGHUP, unless whoever started the command has them ignored."""
    for number in ending():
        if signal.getsignal(number) == signal.SIG_DFL:
            handle(number, signal.default_int_handler)


@contextmanager
def sigterm_is_the_end() -> Iterator[None]:
    """SIGTERM ends what serves as it should end, with exit code 0: service managers take any other for a failure."""
    with handled(_end_well, *heard(signal.SIGTERM)):
        yield


def _end_well(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def end_at_once_when_told() -> None:
    """From now on, as a command is over; what Python does at its exit would tell of Ctrl-C with a traceback."""
    for number in ending():
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)


def how_to_go_on() -> str:
    """What is said of an interrupted command that goes on where it was when it is given again."""
    return f"interrupted; to continue: {shlex.join(['derain', *sys.argv[1:]])}"


def leave() -> NoReturn:
    """End an interrupted command without waiting for its threads, in which a network may still compute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
