"""From a clip to its derained clip: decoder, network and encoder side by side, in segments that can be resumed."""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np

from derain.errors import PhotoError, UsageError, unwritable
from derain.files.writing import alone, clear, make_folder, put, write_bytes
from derain.given import check, to_path
from derain.models.contract import Derainer, check_model
from derain.photos import Photo
from derain.restoring.ahead import drawn_ahead
from derain.restoring.devices import settled_precision
from derain.text import counted
from derain.video.animated import animation
from derain.video.damage import Damage
from derain.video.encoder import SegmentWriter
from derain.video.encoding import encoding_of
from derain.video.formats import choose_encoder
from derain.video.fusion import REACH
from derain.video.holding import check_codec_of
from derain.video.joining import Track, join
from derain.video.judging import LOOKS, RAINY_LOOKS, count_rainy
from derain.video.keeping import say_lost
from derain.video.naming import (
    FORMATS,
    check_preview,
    check_result,
    check_source,
    is_sequence,
    refuse_clash,
    refuse_unfit,
    unfinished,
)
from derain.video.notes import Notes
from derain.video.reading import Clip, Frame
from derain.video.sequences import check_sequence, process_sequence
from derain.video.settings import VideoSettings
from derain.video.sides import Light, lost_sides
from derain.video.treatment import (
    Done,
    Elsewhere,
    Network,
    Report,
    Run,
    derained,
    stretch_of,
    with_alpha,
)
from derain.video.trial import try_options
from derain.weights import fingerprint, load, sha256

SEGMENT_FRAMES = 100  # frames: what a kill costs at the most
DEFAULT_SETTINGS = VideoSettings()


def process(
    source: str | Path,
    out: str | Path,
    model: Derainer | Callable[[], Derainer] = load,
    settings: VideoSettings = DEFAULT_SETTINGS,
    overwrite: bool = False,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    elsewhere: Elsewhere | None = None,
) -> Done:
    """Derain a clip. Frames keep their times, and everything beside the video is copied.

    Encoded segments wait in a folder beside ``out`` until all are done. To continue an interrupted run,
    call it again with the same arguments.

    Args:
        model: a model, or a function that gives one once everything else is checked; default: the bundled weights.
        overwrite: replace ``out`` if it exists.
        report: called for each frame.
        say: called with sentences for the user.
        elsewhere: what makes the segments in other processes, as ``derain.cluster.workers`` gives it.

    Raises:
        PhotoError: a clip that cannot be read or written, another run that makes the same result, or a frame that fails
            (without ``keep_going``).
        UsageError: ``out`` exists or is no clip, or settings that cannot be.
        WeightsError: the bundled weights are damaged.
    """
    source, out, say = to_path("source", source), to_path("out", out), say or (lambda sentence: None)
    report = report or (lambda done, total, seconds: None)

    notes = Notes(source, say)

    def run() -> Run:
        return Run(source, out, model_of(model), settings, overwrite, report, notes, elsewhere)

    check("settings", settings, VideoSettings)
    check_source(source)
    check_result(out)
    if settings.preview:
        check_preview(settings.preview, [source])
    refuse_unfit(source, out, settings.rainy_from, elsewhere is not None)
    if is_sequence(source) or is_sequence(out):
        check_sequence(source, out, settings, overwrite)
        with kept_for(out):
            begun = run()
            if dry := left_dry(begun):
                return dry
            done = process_sequence(begun, manifest(begun) if source.is_file() else "")
            return replace(done, notes=notes.told)
    refuse_clash(source, out, overwrite)
    with ExitStack() as files:
        clips = [files.enter_context(Clip(source, hardware=settings.hwaccel))]
        clips += [files.enter_context(Clip(source, track, settings.hwaccel)) for track in range(1, clips[0].tracks)]
        choose_encoder(clips[0].codec, out.suffix.lower(), settings.codec)
        check_codec_of(settings.codec, str(out), out.suffix.lower())
        with kept_for(out):
            refuse_clash(source, out, overwrite)  # another run may just have made it
            begun = run()
            return left_dry(begun) or replace(_process_clips(clips, begun), notes=notes.told)


def left_dry(run: Run) -> Done | None:
    """What becomes of a clip in which it does not rain, if such clips are left out; ``None`` of others."""
    if run.settings.rainy_from is None or unfinished(run.out).joinpath("manifest.json").exists():
        return None
    rainy = count_rainy(run)
    if rainy >= RAINY_LOOKS:
        return None
    run.say(f"{run.source}: skipped because it is dry ({rainy} of {LOOKS} frames looked at are rainy)")
    return Done(run.out, 0, 0.0, [], dry=True)


def model_of(model: Derainer | Callable[[], Derainer]) -> Derainer:
    """The network itself, or the one that is called for.

    Raises:
        UsageError: neither.
    """
    found = model() if callable(model) and not isinstance(model, Derainer) else model
    check_model(found)
    return cast(Derainer, found)


@contextmanager
def kept_for(out: Path) -> Iterator[None]:
    """The folder in which a result is made, for this run alone; errors name the result and not what is in the folder.

    Raises:
        PhotoError: another run is at it, or the folder vanishes.
    """
    try:
        with alone(unfinished(out), out):
            yield
    except PhotoError as error:
        raise _of_result(out, error) from None
    except OSError as error:
        named = error.filename if out.name in str(error.filename) else out
        raise PhotoError(f"{named}: {unwritable(error, 'read or written')}") from None


def _of_result(out: Path, error: PhotoError) -> PhotoError:
    said, folder = str(error), f"{unfinished(out)}{os.sep}"
    if said.startswith(folder):
        return PhotoError(f"{out}: {said.removeprefix(folder).partition(': ')[2]}")
    return error


def _process_clips(clips: list[Clip], run: Run) -> Done:
    out, settings = run.out, run.settings
    origin, folder = manifest(run), unfinished(out)
    works = [Work(out, origin, track) for track in range(len(clips))]
    run.notes.keep_in(folder)
    if not run.elsewhere:  # which settles it for itself
        run = replace(run, settings=replace(settings, precision=works[0].precision_of(run)))
    try:
        if any(work.done for work in works):
            run.say(f"continuing after {counted(sum(work.frames for work in works), 'frame')} done before")
        if any(clip.interlaced for clip in clips):
            run.note(f"{clips[0].path}: is interlaced; its frames are deinterlaced")
        if (animated := animation(run.source)) and animated.said_plays:
            run.note(f"plays {animated.said_plays}, which {out.suffix} files do not tell; let the player repeat it")
        began = time.monotonic()
        failed = _encode_all(clips, works, run)
        start = 0.0 if settings.start is None else settings.start + clips[0].begins
        taken = start, float("inf") if settings.end is None else settings.end + clips[0].begins
        whole = folder / f"whole{out.suffix}"
        tracks = [Track(clip, work.segments, work.matrix) for clip, work in zip(clips, works) if work.segments]
        cut = any(work.damage.end and ends_early(clip, work.shown) for clip, work in zip(clips, works))
        beside = join(tracks, whole, FORMATS[out.suffix.lower()], taken, settings.audio, run.note, cut)
        damage = [line for clip, work in zip(clips, works) for line in damage_of(clip, work, settings)]
        damage += [f"{clips[0].path}: {sentence}" for sentence in beside]
        done = Done(out, sum(work.frames for work in works), time.monotonic() - began, failed, damage)
        put(whole, out)
        clear(folder)
        return done
    except Exception:
        if not any(any(work.whole()) for work in works):
            clear(folder)  # nothing to go on with
        raise


class Work:
    """The folder of a run: its manifest, and the segments of one picture track that are whole.

    Raises:
        PhotoError: the folder cannot be written.
        UsageError: it belongs to another run.
    """

    def __init__(self, out: Path, origin: str, track: int = 0) -> None:
        self.folder, self.origin = unfinished(out), origin
        place = self.folder / "manifest.json"
        if place.is_file():
            if place.read_text(encoding="utf-8") != origin:
                say = "was begun with another source or other settings; remove the folder to start over"
                raise UsageError(f"{self.folder}: {say}")
        else:
            make_folder(self.folder)
            write_bytes(place, origin.encode())
        self.own = self.folder / f"track{track}" if track else self.folder
        make_folder(self.own, below=self.folder.parent)
        self.segments = list(self.whole())
        self.done = len(self.segments)

    @staticmethod
    def is_of(out: Path, origin: str) -> bool:
        """Whether the folder is there, and of this run."""
        place = unfinished(out) / "manifest.json"
        return place.is_file() and place.read_text(encoding="utf-8") == origin

    def whole(self) -> Iterator[Path]:
        for index in range(10**6):
            path = self.segment(index)
            if not (path.is_file() and path.with_suffix(".json").is_file()):  # of which one may have vanished
                return
            yield path

    def segment(self, index: int) -> Path:
        return self.own / f"{index:06d}.nut"

    @property
    def shown(self) -> list[int]:
        """Times of the frames that are encoded, in the clip's units."""
        return sorted(at for path in self.segments for at in json.loads(path.with_suffix(".json").read_text()))

    @property
    def frames(self) -> int:
        return len(self.shown)

    def precision_of(self, run: Run) -> str:
        """What the run computes in, which is what it began with."""
        place = self.folder / "precision"
        if not place.is_file():
            device = next(run.model.parameters()).device
            write_bytes(place, settled_precision(run.settings.precision, device).encode())
        return place.read_text()

    @property
    def matrix(self) -> bytes:
        place = self.own / "matrix"
        return place.read_bytes() if place.is_file() else b""

    @property
    def failed(self) -> list[int]:
        """Frames that were passed through, counted from 0."""
        places = [self.own / "failed.json", *self.own.glob("*.failed")]  # of all, and of segments made by others
        return sorted({frame for place in places if place.is_file() for frame in json.loads(place.read_text())})

    @property
    def light(self) -> Light:
        place = self.own / "light.json"
        return Light(*map(bytes.fromhex, json.loads(place.read_text()))) if place.is_file() else Light()

    def note_light(self, light: Light) -> None:
        write_bytes(self.own / "light.json", json.dumps([light.mastering.hex(), light.content.hex()]).encode())

    @property
    def damage(self) -> Damage:
        """What of the clip could not be read before."""
        place = self.own / "damage.json"
        return Damage.of(json.loads(place.read_text())) if place.is_file() else Damage()

    def note(self, failed: list[int], damage: Damage) -> None:
        """Remember what went wrong, in case the run is interrupted."""
        if failed:
            write_bytes(self.own / "failed.json", json.dumps(failed).encode())
        if damage:
            before = self.damage
            before.add(damage)
            write_bytes(self.own / "damage.json", json.dumps(before.as_dict()).encode())


def manifest(run: Run) -> str:
    """What a run is of; only one of the same may go on with its results."""
    origin = {"source": sha256(run.source), "weights": fingerprint(run.model)}
    settings = {name: value for name, value in asdict(run.settings).items() if name != "preview"}
    return json.dumps(origin | {"settings": settings | {"segment": SEGMENT_FRAMES}}, indent=1, default=float)


def _encode_all(clips: list[Clip], works: list[Work], run: Run) -> list[int]:
    """Encode what is missing of every picture track; returns the frames that failed, those of each by its own count.

    Raises:
        PhotoError: no track has a frame in the stretch asked for, or one that fails.
    """
    failed = list[int]()
    total, before = sum(expected(clip, run.settings) for clip in clips), 0
    for track, (clip, work) in enumerate(zip(clips, works)):

        def counted(done: int, total_of_track: int, seconds: float, before: int = before) -> None:
            run.report(before + done, total, seconds)

        part = f"picture track {track + 1}: " if len(clips) > 1 else ""
        of_track = replace(run, report=counted, part=part)
        found = run.elsewhere(clip, work, of_track) if run.elsewhere else None
        failed += _encode(clip, work, of_track) if found is None else found
        before += work.frames
    if not before:
        raise PhotoError(f"{clips[0].path}: holds no frame between `start` and `end`")
    return failed


def _encode(clip: Clip, work: Work, run: Run) -> list[int]:
    """Encode the segments that are missing; returns the frames that failed, in this run or before."""
    settings, done = run.settings, work.frames
    before = max(done - REACH, 0) if settings.temporal != "off" else done  # fusion looks back so far
    network = Network(run.model, settings, run.say, before, done)
    network.failed += (frame for frame in work.failed if frame < done)
    wanted = stretch_of(clip, run, work.shown, before)
    began, preview = time.monotonic(), run.preview()
    with Segments(clip, work, run) as segments:
        results = derained(drawn_ahead(wanted, run.threads.waiting), network, settings)
        for index, (frame, picture) in enumerate(islice(results, done - before, None), start=done + 1):
            segments.add(frame, picture)
            if index % SEGMENT_FRAMES == 0:
                work.note(network.failed, clip.damage)
                segments.end_one()
            run.report(index, 0, time.monotonic() - began)
            preview.show(frame, picture)
        work.note(network.failed, clip.damage)
    work.note(network.failed, clip.damage)
    return network.failed


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

    def add(self, frame: Frame, picture: Photo) -> None:
        """Encode a picture once those before it are; errors are raised by one of the next calls, or at the end.

        Raises:
            PhotoError: a segment cannot be written.
        """
        writer = self.writer = self.writer or self._begin(frame, picture)
        taken_over = writer.encoding.takes_over if self.run.settings.fps_limit is None else frozenset()
        for loss in sorted({*lost_sides(frame.sides, taken_over)} - self.told):
            self.told.add(loss)
            self.run.note(f"{loss} cannot be kept")
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

    def _begin(self, frame: Frame, picture: Photo) -> SegmentWriter:
        work, settings, is_first = self.work, self.run.settings, not self.work.segments
        work.segments.append(work.segment(len(work.segments)))
        for left in (".json", ".failed"):  # of one that others made, after one that is missing
            work.segments[-1].with_suffix(left).unlink(missing_ok=True)
        if is_first:
            work.note_light(Light.of(frame.sides))
        stored, ending = turned_back(picture, frame), Path(work.folder.stem).suffix.lower()
        encoding = encoding_of(self.clip, frame, stored, ending, work.light, settings)
        if is_first:
            say_lost(frame, encoding, ending, self.run.note)
            try_options(encoding, settings, str(self.clip.path), self.run.note)
        writer = SegmentWriter(work.segments[-1], encoding)
        if frame.matrix:
            write_bytes(work.own / "matrix", frame.matrix)
        return writer


def as_stored(writer: SegmentWriter, frame: Frame, picture: Photo, settings: VideoSettings) -> av.VideoFrame:
    """The picture as the encoder takes it; one that nothing was done to as it came, to the last bit."""
    if settings.layer == "background" and picture is frame.pixels and (passed_on := writer.unchanged(frame)):
        return passed_on
    return writer.converted(frame, turned_back(with_alpha(picture, frame, settings), frame))


def write_converted(writer: SegmentWriter, frame: Frame, converted: "Future[av.VideoFrame]") -> None:
    """Encode a picture once it is as the encoder takes it."""
    writer.write(frame, converted.result())


def damage_of(clip: Clip, work: Work, settings: VideoSettings) -> list[str]:
    """Sentences about what could not be read of the stretch that was asked for."""
    first = -float("inf") if settings.start is None else (settings.start + clip.begins) / float(clip.time_base)
    last = float("inf") if settings.end is None else (settings.end + clip.begins) / float(clip.time_base)
    damage = work.damage.within(first, last)
    return [f"{clip.path}: {sentence}" for sentence in damage.said(work.shown, clip.time_base, clip.begins)]


def ends_early(clip: Clip, shown: list[int]) -> bool:
    """Whether the last frame that is there is not the last that the file tells of."""
    if len(shown) < 2:
        return True
    step = shown[-1] - shown[-2]
    return float((shown[-1] + 2 * step) * clip.time_base) <= clip.begins + clip.seconds


def expected(clip: Clip, settings: VideoSettings) -> int:
    """How many frames there will be, about; 0 if the file does not tell."""
    if settings.start is None and settings.end is None and settings.fps_limit is None and clip.stream.frames:
        return int(clip.stream.frames)
    seconds = min(settings.end or clip.seconds, clip.seconds) - (settings.start or 0)
    return max(int(seconds * min(float(clip.rate), settings.fps_limit or float("inf"))), 0)


def turned_back(picture: Photo, frame: Frame) -> Photo:
    """An upright picture as the frame is stored."""
    stored = np.rot90(picture, -frame.rotation // 90)
    return np.ascontiguousarray(stored[::-1] if frame.mirrored else stored)
