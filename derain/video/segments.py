"""Pictures to encoded segments, one after the other: converted and encoded in threads beside the network."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import av
import numpy as np

from derain.arrays import Pixels
from derain.files.writing import write_bytes
from derain.video.encoder import SegmentWriter
from derain.video.encoding import encoding_of
from derain.video.keeping import say_lost
from derain.video.reading import Clip, Frame
from derain.video.settings import VideoSettings
from derain.video.sides import Light, lost_sides
from derain.video.treatment import Run, with_alpha
from derain.video.trial import try_options
from derain.video.work import Work


class Segments:
    """Writes one segment after the other in threads of its own; as a context manager, which ends the last."""

    def __init__(self, clip: Clip, work: Work, run: Run) -> None:
        self.clip, self.work, self.run = clip, work, run
        self.writer: SegmentWriter | None = None
        self.writing: deque[Future[None]] = deque()
        self.told = set[str]()

    def __enter__(self) -> "Segments":
        with ExitStack() as threads:
            self.converters = threads.enter_context(ThreadPoolExecutor(self.run.threads.converters))
            # one ends while one begins
            self.encoders = [threads.enter_context(ThreadPoolExecutor(1)) for _ in range(2)]
            self.threads = threads.pop_all()
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        with self.threads:
            if failed is None:
                self.end_one()
                for future in self.writing:
                    future.result()

    def add(self, frame: Frame, picture: Pixels) -> None:
        """Encode a picture once those before it are; errors are raised by one of the next calls, or at the end.

        Raises:
            PhotoError: a segment cannot be written.
        """
        writer = self.writer = self.writer or self._begin(frame, picture)
        taken_over = writer.encoding.takes_over if self.run.settings.fps_limit is None else frozenset()
        lost = [f"{loss} cannot be kept" for loss in lost_sides(frame.sides, taken_over)]
        for sentence in [*lost, *frame.changes]:
            if sentence not in self.told:
                self.told.add(sentence)
                self.run.note(sentence)
        converted = self.converters.submit(as_stored, writer, frame, picture, self.run.settings)
        self.writing.append(self._encoder.submit(write_converted, writer, frame, converted))
        while len(self.writing) > self.run.threads.waiting:
            self.writing.popleft().result()

    def end_one(self) -> None:
        """The next picture begins another segment."""
        if self.writer:
            self.writing.append(self._encoder.submit(self.writer.close))
            self.writer = None

    @property
    def _encoder(self) -> ThreadPoolExecutor:
        return self.encoders[len(self.work.segments) % len(self.encoders)]

    def _begin(self, frame: Frame, picture: Pixels) -> SegmentWriter:
        work, settings, is_first = self.work, self.run.settings, not self.work.segments
        work.segments.append(work.segment(len(work.segments)))
        for left in (".json", ".failed"):  # of one that others made, after one that is missing
            work.segments[-1].with_suffix(left).unlink(missing_ok=True)
        if is_first:
            work.note_light(Light.of(frame.sides))
        stored, ending = turned_back(picture, frame), self.run.out.suffix.lower()
        encoding = encoding_of(self.clip, frame, stored, ending, work.light, settings)
        if is_first:
            say_lost(frame, encoding, ending, self.run.note)
            try_options(encoding, settings, str(self.clip.path), self.run.note)
        writer = SegmentWriter(work.segments[-1], encoding)
        if frame.matrix:
            write_bytes(work.own / "matrix", frame.matrix)
        return writer


def as_stored(writer: SegmentWriter, frame: Frame, picture: Pixels, settings: VideoSettings) -> av.VideoFrame:
    """The picture as the encoder takes it; one that nothing was done to as it came, to the last bit."""
    if settings.layer == "background" and picture is frame.pixels and (passed_on := writer.unchanged(frame)):
        return passed_on
    return writer.converted(frame, turned_back(with_alpha(picture, frame, settings), frame))


def write_converted(writer: SegmentWriter, frame: Frame, converted: "Future[av.VideoFrame]") -> None:
    """Encode a picture once it is as the encoder takes it."""
    writer.write(frame, converted.result())


def turned_back(picture: Pixels, frame: Frame) -> Pixels:
    """An upright picture as the frame is stored."""
    stored = np.rot90(picture, -frame.rotation // 90)
    return np.ascontiguousarray(stored[::-1] if frame.mirrored else stored)
