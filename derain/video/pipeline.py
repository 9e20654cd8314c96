"""From a clip to its derained clip: decoder, network and encoder side by side, in segments that can be resumed."""

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

from derain.errors import PhotoError, unwritable
from derain.files.writing import alone, atomic, hindrance, irreplaceable, permissions_of
from derain.given import check, to_path
from derain.models.contract import Derainer, check_model
from derain.restoring.ahead import drawn_ahead
from derain.text import counted
from derain.video.animated import animation
from derain.video.encoding import likely_encoding
from derain.video.formats import choose_encoder
from derain.video.holding import check_codec_of
from derain.video.joining import Track, join
from derain.video.judging import looks_at
from derain.video.naming import (
    FORMATS,
    check_preview,
    check_result,
    check_source,
    is_sequence,
    named,
    refuse_clash,
    refuse_unfit,
    unfinished,
    without_effect,
)
from derain.video.notes import Notes
from derain.video.reading import Clip
from derain.video.segments import Segments
from derain.video.sequences import check_sequence, process_sequence
from derain.video.settings import VideoSettings
from derain.video.treatment import (
    Done,
    Elsewhere,
    Network,
    Report,
    Run,
    derained,
    looks_back,
    stretch_of,
)
from derain.video.trial import refuse_options
from derain.video.work import Work, clear, differently, manifest, manifest_beside
from derain.weights import load

DEFAULT_SETTINGS = VideoSettings()
PRIVATE = 0o700  # permissions of a folder in which there are pictures of a clip that may be private


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
    for name, told in (("report", report), ("say", say), ("elsewhere", elsewhere)):
        check(name, told, Callable | None)
    source, out, say = to_path("source", source), to_path("out", out), say or (lambda sentence: None)
    report = report or (lambda done, total, seconds: None)

    notes = Notes(source, say)

    def run() -> Run:
        return Run(source, out, model_of(model), settings, overwrite, report, notes, elsewhere)

    check("settings", settings, VideoSettings)
    check_source(source)
    check_result(out)
    advice = "write elsewhere with `out`"
    error = (
        None if out.is_dir() else hindrance(named(out), advice) or (irreplaceable(out, advice) if overwrite else None)
    )
    if error:
        raise error
    if settings.preview:
        check_preview(settings.preview, [source])
    refuse_unfit(source, out, settings, elsewhere is not None)
    if is_sequence(source) or is_sequence(out):
        check_sequence(source, out, settings, overwrite)
        for sentence in without_effect(source, settings):
            notes.note(sentence)
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
        for clip in clips:
            if likely := likely_encoding(clip, out.suffix.lower(), settings):
                refuse_options(likely, settings, str(source))
        with kept_for(out):
            refuse_clash(source, out, overwrite)  # another run may just have made it
            begun = run()
            start_over(begun)
            return left_dry(begun) or replace(_process_clips(clips, begun), notes=notes.told)


def start_over(run: Run) -> None:
    """Clear what a run of another source, settings or version left, if the result is to be replaced anyway."""
    if not run.overwrite or not manifest_beside(run.out).is_file() or Work.is_of(run.out, manifest(run)):
        return
    folder = unfinished(run.out)
    run.say(f"starting over, as {folder} was begun {differently(manifest_beside(run.out))}")
    clear(folder)


def left_dry(run: Run) -> Done | None:
    """What becomes of a clip in which it does not rain, if such clips are left out; ``None`` of others."""
    if run.settings.rainy_from is None or manifest_beside(run.out).exists():
        return None
    looks = looks_at(run)
    if not looks.are_dry:
        return None
    run.say(f"{run.source}: skipped because it is dry ({looks.rainy} of {looks.made} frames looked at are rainy)")
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
        with alone(unfinished(out), out, mode=PRIVATE):
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
    whole = folder / f"whole{out.suffix}"
    works = [Work(out, origin, track) for track in range(len(clips))]
    run.notes.keep_in(folder)
    if not run.elsewhere:  # which settles it for itself
        run = replace(run, settings=replace(settings, precision=works[0].precision_of(run)))
    try:
        if any(work.done for work in works):
            run.say(f"continuing after {counted(sum(work.frames for work in works), 'frame')} done before")
        if (animated := animation(run.source)) and animated.said_plays:
            run.note(f"plays {animated.said_plays}, which {out.suffix} files do not tell; let the player repeat it")
        began = time.monotonic()
        failed = _encode_all(clips, works, run)
        first, last = settings.stretch(clips[0].begins)
        taken = 0.0 if settings.start is None else first, last
        clips[0].check_there()  # its header and its other tracks are read now
        tracks = [Track(clip, work.segments, work.matrix) for clip, work in zip(clips, works) if work.segments]
        cut = any(work.damage.end and ends_early(clip, work.shown) for clip, work in zip(clips, works))
        beside = join(tracks, whole, FORMATS[out.suffix.lower()], taken, settings.audio, run.note, cut)
        damage = [line for clip, work in zip(clips, works) for line in damage_of(clip, work, settings)]
        damage += [f"{clips[0].path}: {sentence}" for sentence in beside]
        done = Done(out, sum(work.frames for work in works), time.monotonic() - began, failed, damage)
        with atomic(out, mode=permissions_of(run.source)) as part:
            with suppress(OSError):
                shutil.copymode(part, whole)
            whole.replace(part)
        clear(folder)
        return done
    except Exception:
        if not any(any(work.whole()) for work in works):
            clear(folder)  # nothing to go on with
        raise
    finally:
        with suppress(OSError):  # of a result that failed, which may have filled the disk
            whole.unlink()


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
    before = max(done - looks_back(settings), 0)
    network = Network(run.model, settings, run.say, before, done)
    network.failed += (frame for frame in work.failed if frame < done)
    wanted = stretch_of(clip, run, work.shown, before)
    began, preview = time.monotonic(), run.preview()
    with Segments(clip, work, run) as segments:
        results = derained(drawn_ahead(wanted, run.threads.waiting), network, settings)
        for index, (frame, picture) in enumerate(islice(results, done - before, None), start=done + 1):
            segments.add(frame, picture)
            if index % work.SEGMENT_FRAMES == 0:
                work.note(network.failed, clip.damage)
                segments.end_one()
            run.report(index, 0, time.monotonic() - began)
            preview.show(frame, picture, run.source)
        work.note(network.failed, clip.damage)
    return network.failed


def damage_of(clip: Clip, work: Work, settings: VideoSettings) -> list[str]:
    """Sentences about what could not be read of the stretch that was asked for."""
    first, last = (second / float(clip.time_base) for second in settings.stretch(clip.begins))
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
    if settings.stretch() == (-math.inf, math.inf) and settings.fps_limit is None and clip.stream.frames:
        return int(clip.stream.frames)
    first, last = settings.stretch()
    seconds = min(last, clip.seconds) - max(first, 0)
    return max(int(seconds * min(float(clip.rate), settings.fps_limit or float("inf"))), 0)
