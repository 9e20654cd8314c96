"""A clip in pieces that any process can do: each is one segment, for which the times of all frames before are known.

The frames of a piece are those that a run gives which goes on there after an interruption.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from derain.files.writing import write_bytes
from derain.restoring.ahead import drawn_ahead
from derain.video.encoder import is_whole, times_of
from derain.video.reading import Clip
from derain.video.segments import Segments
from derain.video.settings import VideoSettings
from derain.video.sides import Light
from derain.video.treatment import Network, Run, derained, looks_ahead, looks_back, stretch, stretch_of
from derain.video.work import Work


@dataclass(frozen=True)
class Piece:
    """A segment that is to be made."""

    index: int  # of the segment
    first: int  # number of its first frame
    times: list[int]  # of its frames, in the clip's units
    before: int  # frames before it that are looked at
    shown: list[int]  # times by which a clip is entered, as `stretch_of` takes them
    number: int  # of the first frame that is looked at, among those


@dataclass(frozen=True)
class ShownAt:
    """When a frame is shown."""

    pts: int  # in the clip's units
    time: float  # seconds


Times = Callable[[Clip, float], Iterator[int]]


def pieces(clip: Clip, settings: VideoSettings, times: Times = Clip.times) -> Iterator[Piece]:
    """The pieces of a clip's stretch, each as soon as its frames are found.

    Args:
        times: of the frames from a second on; by default of those that are decoded, which fills ``clip.damage``.
    """
    base = clip.time_base
    moments = (ShownAt(pts, float(pts * base)) for pts in times(clip, settings.stretch(clip.begins)[0]))
    shown: list[int] = []
    for moment in stretch(moments, settings, clip.begins):
        shown.append(moment.pts)
        if len(shown) % Work.SEGMENT_FRAMES == 0:
            yield _last_piece(shown, settings)
    if len(shown) % Work.SEGMENT_FRAMES:
        yield _last_piece(shown, settings)


def _last_piece(shown: list[int], settings: VideoSettings) -> Piece:
    index = (len(shown) - 1) // Work.SEGMENT_FRAMES
    first = index * Work.SEGMENT_FRAMES
    before = min(looks_back(settings), first)
    start, times = first - before, shown[first:]
    if not index:
        return Piece(index, first, times, 0, [], 0)
    if settings.fps_limit is None:
        return Piece(index, first, times, before, [shown[start]], 0)
    return Piece(index, first, times, before, shown[: start + 1], start)  # which ones are taken follows from all


def is_made(work: Work, piece: Piece) -> bool:
    """Whether the segment is there already, with the very frames of the piece."""
    path = work.segment(piece.index)
    return is_whole(path) and sorted(times_of(path)) == piece.times


def note_first(clip: Clip, work: Work, run: Run) -> None:
    """Keep for all pieces what an encoder is told of the first frame's light."""
    for frame in islice(stretch_of(clip, run, [], 0), 1):
        work.note_light(Light.of(frame.sides))


class OwnWork(Work):
    """The folder of a run, for a process that makes one segment of it, under a name of its own until it is whole."""

    def __init__(self, out: Path, origin: str, track: int, index: int) -> None:
        self.name = secrets.token_hex(4)
        super().__init__(out, origin, track)
        self.index = index
        self.segments = [super(OwnWork, self).segment(before) for before in range(index)]

    def segment(self, index: int) -> Path:
        return self.own / f"{index:06d}.{self.name}.nut"

    def publish(self, failed: list[int]) -> None:
        """Give the segment its name; another process that made the same may have done so before."""
        made, whole = self.segment(self.index), super().segment(self.index)
        if failed:
            write_bytes(whole.with_suffix(".failed"), json.dumps(failed).encode())
        made.replace(whole)
        made.with_suffix(".json").replace(whole.with_suffix(".json"))


def make(clip: Clip, work: OwnWork, run: Run, piece: Piece) -> list[int]:
    """Make a segment; returns the times of its frames.

    Raises:
        PhotoError: a frame fails, or the segment cannot be written.
    """
    settings, count = run.settings, len(piece.times)
    after = looks_ahead(settings)
    network = Network(run.model, settings, run.say, piece.first - piece.before, piece.first)
    frames = islice(stretch_of(clip, run, piece.shown, piece.number), piece.before + count + after)
    preview, times = run.preview(), list[int]()
    with Segments(clip, work, run) as segments:
        results = derained(drawn_ahead(frames, run.threads.waiting), network, settings)
        for index, (frame, picture) in enumerate(results, start=-piece.before):
            if 0 <= index < count:
                segments.add(frame, picture)
                times.append(frame.pts)
                preview.show(frame, picture, run.source)
    if times:
        work.publish([index for index in network.failed if index < piece.first + count])
    return times
