"""Signals that are handled otherwise for a while: Ctrl-C, SIGTERM, by which schedulers and `kill` end a process, and
SIGHUP, by which a terminal that is closed does.

Only the main thread says how signals are handled; in others nothing here changes that.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HANGUP: int | None = getattr(signal, "SIGHUP", None)  # which Windows has not
INTERRUPTED = 130  # exit code
Handler = Callable[[int, FrameType | None], object]


def ending() -> tuple[int, ...]:
    """Signals that tell a process to end; not SIGHUP where `nohup` has it ignored."""
    if HANGUP is None or signal.getsignal(HANGUP) == signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, HANGUP


def handle(number: int, handler: Handler) -> None:
    """Have a signal handled by a function; SIGHUP once, as a terminal that is closed sends it several times."""

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        handler(number, frame)

    signal.signal(number, once if number == HANGUP else handler)


def heard(*numbers: int) -> dict[int, Handler]:
    """Those signals that Python hears, each with its handler; others are ignored, or end the process by themselves."""
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in handlers.items() if callable(handler)}


@contextmanager
def restored(*numbers: int) -> Iterator[None]:
    """After the block signals do what they did before, whoever took them in it."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if _is_main():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def handled(handler: Handler, *numbers: int) -> Iterator[None]:
    """Signals are handled by a function for the time of the block."""
    with restored(*numbers):
        if _is_main():
            for number in numbers:
                handle(number, handler)
        yield


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
