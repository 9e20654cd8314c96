"""Signals that are handled otherwise for a while: Ctrl-C, and SIGTERM, by which schedulers and `kill` end a process.

Only the main thread says how signals are handled; in others nothing here changes that.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130  # exit code
Handler = Callable[[int, FrameType | None], object]


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
def handled(handle: Handler, *numbers: int) -> Iterator[None]:
    """Signals are handled by a function for the time of the block."""
    with restored(*numbers):
        if _is_main():
            for number in numbers:
                signal.signal(number, handle)
        yield


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
