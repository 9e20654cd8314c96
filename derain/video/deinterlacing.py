"""Whole frames of those that hold two fields."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import av


def deinterlaced(
    frames: Iterable[av.VideoFrame], base: Fraction, weave: bool = False, note: Callable[[], None] = lambda: None
) -> Iterator[av.VideoFrame]:
    """The frames, from the first on that is interlaced without their fields; at most one frame late.

    Args:
        base: of the frames' times.
        weave: whether a frame before these was interlaced.
        note: called once the first of them is deinterlaced.
    """
    graph: Any = None
    form: tuple[int, int, str] | None = None  # that the graph was made for
    for frame in frames:
        if graph is not None and form != _form(frame):
            yield from drained(graph, None)
            graph = deinterlacer(frame, base)
        elif graph is None and (frame.interlaced_frame or weave):
            note()
            graph = deinterlacer(frame, base)
        form = _form(frame)
        if graph is None:
            yield frame
        else:
            yield from drained(graph, frame)
    if graph is not None:
        yield from drained(graph, None)


def _form(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def deinterlacer(frame: av.VideoFrame, base: Fraction) -> Any:
    """One frame for each frame like this one, of its first field and what the neighbours tell of the second."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base),
        graph.add("bwdif", "mode=send_frame"),
        graph.add("buffersink"),
    ).configure()
    return graph


def drained(graph: Any, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    """What comes out as ``frame`` goes in; ``None`` ends it."""
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):  # it wants more, or has no more
            return
