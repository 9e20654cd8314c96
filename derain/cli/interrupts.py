"""Ctrl-C, once a command is over."""

import os
import signal
from types import FrameType


def end_at_once_on_ctrl_c() -> None:
    """From now on; what Python does at its exit would tell of it with a traceback."""
    signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(130)
