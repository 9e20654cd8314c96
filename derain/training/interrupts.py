"""Ctrl-C, and SIGTERM and SIGHUP where they do the same, that wait for what has to be done whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from derain.signals import ending, handled, heard


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C comes at the end of the block; pressed again, it comes at once. In other threads it never comes.

    So do SIGTERM and SIGHUP, unless they end the process as they do by themselves.
    """
    before, pressed = heard(*ending()), list[int]()

    def put_off(number: int, frame: FrameType | None) -> None:
        if pressed:
            before[number](number, frame)
        pressed.append(number)

    with handled(put_off, *before):
        yield
    if pressed:
        before[pressed[0]](pressed[0], None)
