"""`derain video` of a stream."""

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from derain.cli.terminal import informer, is_closed, progress_bar, say, tell, tell_text
from derain.errors import PhotoError, UsageError
from derain.signals import HANGUP, INTERRUPTED, ending, handled
from derain.text import as_json, counted, listed

if TYPE_CHECKING:
    from derain.models.contract import Derainer
    from derain.video import VideoSettings
    from derain.video.streams import Progress, RawFrames, Streamed, StreamSettings


def raw_frames(source: str, pixel_format: str | None, size: str | None, rate: str | None) -> "RawFrames | None":
    """What frames without a container are like; ``None`` if nothing says that they are.

    Raises:
        UsageError: what is said is not enough, or makes no sense, be it of this source.
    """
    from derain.video.colour import is_pixel_format
    from derain.video.streams import RawFrames

    said = {"--pixel-format": pixel_format, "--size": size, "--rate": rate}
    if not (given := [option for option, value in said.items() if value is not None]):
        return None
    _refuse_for_files(source, given)
    if pixel_format is None or size is None:
        raise UsageError("raw frames need --pixel-format and --size, and --rate unless it is 25")
    if not is_pixel_format(pixel_format):
        raise UsageError(f"--pixel-format {pixel_format}: no such format; try rgb24 or yuv420p")
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--size {size}: give width and height, such as 1280x720")
    try:
        each = Fraction(rate or "25")
    except (ValueError, ZeroDivisionError):
        each = Fraction(0)
    if each <= 0:
        raise UsageError(f"--rate {rate}: give frames a second, such as 25 or 30000/1001")
    return RawFrames(pixel_format, int(width), int(height), each)


def _refuse_for_files(source: str, given: list[str]) -> None:
    """
    Raises:
        UsageError: a source is by its name no raw frames.
    """
    from derain.video.naming import is_clip, is_pattern
    from derain.video.streams import is_stream

    if is_stream(source):
        return
    what = "is by its name no file of raw frames" if is_clip(source) else ""
    if os.path.isdir(source):
        what = "is a folder and no file of raw frames"
    if is_pattern(Path(source)):
        what = "names pictures, which only become pictures, and no raw frames"
    if what:
        raise UsageError(f"{source}: {what}; leave out {listed(given)}")


def is_streamed(
    sources: list[str], out: str | None, several: bool, streaming: "StreamSettings", ray: str | None
) -> bool:
    """Whether what is given makes a stream, and not a clip or ``several``.

    Raises:
        UsageError: a stream is not alone, nobody says where it goes, or it is to go through Ray.
    """
    from derain.video.streams import StreamSettings, is_stream
    from derain.video.streams.addresses import without_password

    if len(sources) > 1 and (streams := [one for one in sources if is_stream(one)]):
        raise UsageError(f"{without_password(streams[0])}: is a stream; give it alone")
    if several and streaming != StreamSettings():
        named: dict[str, Any] = {
            "--no-live" if streaming.live is False else "--live": streaming.live,
            "--reconnect": streaming.reconnect,
            "--format": streaming.form,
            "--pixel-format": streaming.raw,
            "--source-option": streaming.source_options,
            "--output-option": streaming.output_options,
        }
        unfit = [option for option, value in named.items() if value not in (None, {})]
        them = "them" if len(unfit) > 1 else "it"
        raise UsageError(f"{listed(unfit)}: for one stream or clip, not for several; leave {them} out")
    source = sources[0]
    if not (is_stream(source) or out is not None and is_stream(out) or streaming != StreamSettings()):
        return False
    if out is None:
        raise UsageError(
            f"{without_password(source)}: is a stream; use --output to say where it goes: a file, a URL or -"
        )
    if ray is not None:
        raise UsageError(f"{without_password(source)}: is a stream, which --ray does not support; leave it out")
    return True


def stream(
    source: str,
    out: str,
    load: "Callable[[], Derainer]",
    settings: "tuple[VideoSettings, StreamSettings]",
    overwrite: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Derain a stream until it ends, or Ctrl-C ends it.

    Raises:
        UsageError: what cannot be.
        PhotoError: it cannot be opened, or the result cannot be written.
    """
    if out == "-" and is_closed():
        raise PhotoError("stdout: is closed; let it lead somewhere, or give a file as `out`")
    from derain.video.streams import Streaming

    inform = informer(quiet)
    with progress_bar(hidden=quiet) as bar:
        task = bar.add_task("pictures", total=None)

        def report(progress: "Progress") -> None:
            dropped = f", {progress.dropped} dropped" if progress.dropped else ""
            bar.update(task, completed=progress.shown, description=f"pictures{dropped}")

        streaming = Streaming(source, out, *settings, overwrite=overwrite, report=report, say=inform)
        with ended_by_signals(streaming.stop):
            streaming.open()
            done = streaming.run(load())
    _tell(done, json, inform, to_stdout=out == "-")
    if done.interrupted:
        say("interrupted; the output is complete up to here")
        raise typer.Exit(INTERRUPTED)
    if done.failed or (done.damaged or done.cut) and not done.live:
        raise typer.Exit(1)


def _tell(done: "Streamed", json: bool, inform: Callable[[str], None], to_stdout: bool) -> None:
    if json:
        told = asdict(done)
        tell_text(as_json({"input": told.pop("source"), "output": told.pop("out")} | told))
    elif not to_stdout:
        tell(done.out)
    inform(f"{counted(done.frames, 'picture')} in {done.seconds:.0f} s")
    inform(f"latency: {counted(done.latency_frames, 'picture')}, {done.latency_seconds:.2f} s at most")
    dry, late, failed = (counted(count, "picture") for count in (done.passed, done.late, len(done.failed)))
    said = {
        f"{done.dropped} dropped because the machine was too slow": done.dropped,
        f"{dry} passed through while it was dry": done.passed,
        f"{counted(done.damaged, 'packet')} could not be decoded": done.damaged,
        f"{late} arrived out of order and dropped": done.late,
        f"reconnected {counted(done.reconnections, 'time')}": done.reconnections,
        f"{failed} failed and passed through unchanged": len(done.failed),
        f"{done.source}: the connection ended ({done.lost})": done.lost,
        f"{done.source}: is not whole: {done.cut}": done.cut,
    }
    for sentence, count in said.items():
        if count:
            inform(sentence)


def ended_by_signals(stop: Callable[[], None]) -> AbstractContextManager[None]:
    """Ctrl-C, SIGTERM and SIGHUP ask for the end; a second one of the first two does not wait for it."""

    def ask(number: int, frame: FrameType | None) -> None:
        if number != HANGUP:
            signal.signal(number, signal.SIG_DFL)
        stop()

    return handled(ask, *ending())
