"""Ctrl-C, and SIGTERM where it does the same, that wait for what has to be done whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C comes at the end of the block; pressed again, it comes at once. In other threads it never comes.

    So does SIGTERM, unless it ends the process as it does by itself.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard: dict[int, Any] = {number: handler for number, handler in before.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []

    def put_off(number: int, frame: Any) -> None:
        if pressed:
            heard[number](number, frame)
        pressed.append(number)

    for number in heard:
        signal.signal(number, put_off)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
    if pressed:
        heard[pressed[0]](pressed[0], None)
