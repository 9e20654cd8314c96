"""What is done to the frames of a clip, whatever they come from: the network, fusion, the layer that is shown."""

import os
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import torch

from derain.arrays import Pixels, Plane
from derain.errors import PhotoError
from derain.files.writing import permissions_of, write_bytes
from derain.models.contract import Derainer, device_of
from derain.photos import to_8_bit, write_photo
from derain.restoring.ahead import ahead
from derain.restoring.frames import FrameRestorer, is_same
from derain.restoring.on_device import PASSES, backgrounds_on_device, most_at_once
from derain.restoring.restorer import Restorer
from derain.restoring.strength import at_strength
from derain.video.fusion import REACH, fused
from derain.video.notes import Notes
from derain.video.reading import Clip, Frame
from derain.video.settings import VideoSettings

BETWEEN_PREVIEWS = 5.0  # seconds
FUSION_THREADS = 8  # at the most, of each stage
MOST_CONVERTERS = 4  # threads that make RGB of what is decoded, and as many that make of RGB what is encoded
MOST_DECODERS = 8  # pictures that are decoded at once: each takes memory


@dataclass(frozen=True)
class Done:
    """What became of a clip."""

    path: Path
    frames: int
    seconds: float  # of this run
    failed: list[int]  # frames that were passed through, counted from 0; of a clip those before an interruption, too
    damage: list[str] = field(default_factory=list)  # what of the source could not be read, in sentences
    dry: bool = False  # it does not rain in it, so there is no result
    notes: list[str] = field(default_factory=list)  # what the result lacks or has otherwise, in sentences


Report = Callable[[int, int, float], None]  # frames done, frames in all or 0, seconds


class Timed(Protocol):
    @property
    def time(self) -> float: ...  # seconds


Shown = TypeVar("Shown", bound=Timed)


def stretch(
    frames: Iterable[Shown], settings: VideoSettings, begins: float = 0.0, earlier: Iterable[float] = ()
) -> Iterator[Shown]:
    """Frames between start and end, which count from where the clip's clock ``begins``; at most so many a second.

    Args:
        earlier: seconds of frames that were taken before these.
    """
    first, last = settings.stretch(begins)
    least = 0.0 if settings.fps_limit is None else 1 / settings.fps_limit
    due = -float("inf")

    def next_due(taken: float) -> float:
        return max(due + least, taken) if due > taken - least else taken + least

    for taken in earlier:
        due = next_due(taken)
    for frame in frames:
        if frame.time >= last:
            return
        if frame.time < first or frame.time < due - 1e-6:
            continue
        due = next_due(frame.time)
        yield frame


def stretch_of(clip: Clip, run: "Run", shown: list[int], number: int) -> Iterator[Frame]:
    """The stretch of a clip from its frame ``number`` on, when those before are known.

    Args:
        shown: times of frames of the stretch from its beginning on, in the clip's units.
    """
    settings, threads = run.settings, run.threads
    known = min(number, max(len(shown) - 1, 0))
    times = [float(pts * clip.time_base) for pts in shown[: known + 1]]
    since = times.pop() if times else settings.stretch(clip.begins)[0]
    frames = clip.frames(since, threads.converters, threads.decoders)
    return islice(stretch(frames, settings, clip.begins, times), number - known, None)


class Preview:
    """A picture of before and after that is written now and then, if it has a path, until it cannot be written."""

    def __init__(self, path: Path | None, say: Callable[[str], None]) -> None:
        self.path, self.due, self.say = path, -float("inf"), say

    def show(self, frame: Frame, picture: Pixels, source: Path) -> None:
        """Write the picture if it is time; as ``source``, others may read it or not."""
        if self.path and (now := time.monotonic()) >= self.due:
            self.due = now + BETWEEN_PREVIEWS
            try:
                write = partial(write_bytes, mode=permissions_of(source))
                write_photo(self.path, to_8_bit(np.hstack([frame.pixels, picture])), write)
            except (PhotoError, OSError, ValueError) as error:
                self.say(f"{error}; no more previews are written")
                self.path = None


@dataclass(frozen=True)
class Threads:
    """How many threads bring frames to the network and take them from it."""

    converters: int = 2
    decoders: int = 1
    waiting: int = 4  # frames that wait between decoder, network and encoder

    @classmethod
    def beside(cls, device: torch.device) -> "Threads":
        """Few where the network needs the processor itself."""
        if device.type != "cuda":
            return cls()
        cores = os.cpu_count() or 1
        return cls(max(min(cores // 4, MOST_CONVERTERS), 2), max(min(cores // 2, MOST_DECODERS), 1), waiting=8)


@dataclass(frozen=True)
class Run:
    """What is to be done, and who is told of it."""

    source: Path
    out: Path
    model: Derainer
    settings: VideoSettings
    overwrite: bool
    report: Report
    notes: Notes
    elsewhere: "Elsewhere | None" = None
    part: str = ""  # of the clip, of which is spoken

    def say(self, sentence: str) -> None:
        self.notes.say(self.part + sentence)

    def note(self, sentence: str) -> None:
        """What the result lacks, or has otherwise than its source."""
        self.notes.note(self.part + sentence)

    @property
    def threads(self) -> Threads:
        return Threads.beside(device_of(self.model))

    def preview(self) -> Preview:
        return Preview(self.settings.preview, self.say)


class Elsewhere(Protocol):
    """Other processes that make the segments of a picture track."""

    def __call__(self, clip: Clip, work: Any, run: Run) -> list[int] | None:
        """The frames that failed; ``None`` if not all segments could be made, which this process does then."""


class Network:
    """The single-image network on frames with their numbers, from ``first`` on; several threads may use it at once.

    Those before ``done`` are only looked back at.
    """

    def __init__(
        self, model: Derainer, settings: VideoSettings, say: Callable[[str], None], first: int = 0, done: int = 0
    ) -> None:
        self.restorer = Restorer(model, settings.precision, settings.tile, settings.max_memory)
        self.frames = FrameRestorer(self.restorer)
        self.settings, self.say = settings, say
        self.first, self.done = first, done
        self.most_together = None if self.restorer.device.type == "cuda" else 1  # frames in a pass; None: not known yet
        self.failed: list[int] = []  # frames that were passed through, in order
        self.on_rain: Callable[[Frame, Pixels], None] | None = None  # told of each layer

    def __call__(self, numbered: tuple[int, Frame]) -> tuple[Frame, Pixels]:
        index, frame = numbered
        torch.get_num_threads()  # without a question a new thread takes all cores, whatever was set
        try:
            background = self.frames.background(frame.pixels)
        except Exception as error:
            if not self.settings.keep_going:
                if isinstance(error, PhotoError):
                    raise PhotoError(f"frame {index}: {error}; give `keep_going` to pass such frames through") from None
                raise
            if index >= self.done:
                insort(self.failed, index)
                self.say(f"frame {index} is passed through unchanged ({error})")
            return frame, frame.pixels
        if self.on_rain:
            self.on_rain(frame, np.asarray(cv2.subtract(frame.pixels, background)))
        return frame, background

    def several(self, numbered: list[tuple[int, Frame]]) -> list[tuple[Frame, Pixels]]:
        """Frames of one size, each with its background, in one pass over all if that can be."""
        if len(numbered) > 1:
            try:
                found = backgrounds_on_device(self.restorer, [frame.pixels for _, frame in numbered])
            except Exception:  # one after the other they tell why, and may fit into the memory
                self.most_together = len(numbered) // 2
            else:
                for (_, frame), background in zip(numbered, found):
                    if self.on_rain:
                        self.on_rain(frame, np.asarray(cv2.subtract(frame.pixels, background)))
                return [
                    (frame, frame.pixels if is_same(frame.pixels, background) else background)
                    for (_, frame), background in zip(numbered, found)
                ]
        return [self(each) for each in numbered]

    def batches(self, numbered: Iterable[tuple[int, Frame]]) -> Iterator[list[tuple[int, Frame]]]:
        """Frames with their numbers, as many together as :meth:`several` may take."""
        batch: list[tuple[int, Frame]] = []
        for index, frame in numbered:
            if self.most_together is None:
                self.most_together = most_at_once(self.restorer, frame.pixels)
            batch.append((index, frame))
            if len(batch) >= self.most_together:
                yield batch
                batch = []
        if batch:
            yield batch

    @property
    def at_once(self) -> int:
        """How many passes there are at once: on a GPU one is computed while others come and go."""
        return PASSES if self.restorer.device.type == "cuda" else 1


def looks_back(settings: VideoSettings) -> int:
    """Frames before each that it is made of."""
    return 0 if settings.temporal == "off" else REACH


def looks_ahead(settings: VideoSettings) -> int:
    """Frames after each that it is made of."""
    return 0 if settings.temporal in ("off", "causal") else REACH


def derained(
    frames: Iterator[Frame], network: Network, settings: VideoSettings, in_threads: bool = True
) -> Iterator[tuple[Frame, Pixels]]:
    """Each frame with what is to be shown for it.

    Args:
        in_threads: further frames are drawn while one is computed; else each is done before the next is drawn.
    """
    numbered, at_once = enumerate(frames, start=network.first), network.at_once if in_threads else 0
    batches = network.batches(numbered) if at_once else ([each] for each in numbered)
    done: Iterator[tuple[Frame, Pixels]] = chain.from_iterable(ahead(network.several, batches, at_once + 1, at_once))
    with single_threaded_opencv() if at_once > 1 else nullcontext():
        if settings.temporal != "off":
            done = _fused(done, network.restorer.device, looks_ahead(settings), in_threads)
        for frame, background in done:
            yield frame, shown(frame.pixels, background, settings)


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """For where many threads use it side by side: its own would spin for work that others do."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _fused(
    done: Iterator[tuple[Frame, Pixels]], device: torch.device, later: int, in_threads: bool
) -> Iterator[tuple[Frame, Pixels]]:
    waiting: deque[Frame] = deque()

    def pairs() -> Iterator[tuple[Pixels, Pixels]]:
        for frame, background in done:
            waiting.append(frame)
            yield frame.pixels, background

    on_gpu = device.type == "cuda"
    threads = min(max(torch.get_num_threads() // (2 if on_gpu else 4), 1), FUSION_THREADS)
    for background in fused(pairs(), device if on_gpu else None, threads if in_threads else 0, later):
        yield waiting.popleft(), background


def alpha_shown(frame: Frame, settings: VideoSettings) -> Plane | None:
    """The alpha of the layer that is shown for a frame."""
    if frame.alpha is None or settings.layer != "compare":
        return frame.alpha
    return np.hstack([frame.alpha, frame.alpha])


def with_alpha(picture: Pixels, frame: Frame, settings: VideoSettings) -> Pixels:
    """The picture, and what is shown of the frame's alpha as its fourth channel."""
    alpha = alpha_shown(frame, settings)
    return picture if alpha is None else np.dstack([picture, alpha])


def shown(rainy: Pixels, background: Pixels, settings: VideoSettings) -> Pixels:
    """The layer that the settings name, at their strength."""
    if not settings.strength or background is rainy:
        background = rainy  # the very frame, which need not go by way of RGB
    else:
        background = at_strength(rainy, background, settings.strength)
    if settings.layer == "rain":
        return np.where(rainy > background, rainy - background, 0).astype(rainy.dtype)
    return np.hstack([rainy, background]) if settings.layer == "compare" else background
