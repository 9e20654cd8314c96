"""`derain score`."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derain.cli.inputs import absence, check_weights
from derain.cli.left_out import LeftOut
from derain.cli.options import Device, Precision, Quiet, Weights
from derain.cli.terminal import progress_bar, say, say_error, tell, tell_text
from derain.errors import PhotoError
from derain.text import as_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from derain.arrays import Pixels
    from derain.rain.amount import Amount


def score(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO", help="Photos, folders, patterns such as 'trip/*.jpg', clips, or URLs."),
    ],
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Include subfolders.")] = False,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="In a clip or stream, look at every Nth frame.")] = 25,
    weights: Weights = "derain",
    device: Device = "auto",
    precision: Precision = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo or frame.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure how much rain there is, without writing pictures.

    The score is the share of the picture that shows rain. From 0.02 on, a picture counts as rainy. In tests, that was
    so for 83% of photos taken in rain and for 2% of photos without rain.
    """
    left_out = LeftOut()
    sources = list(_sources(inputs, recursive, left_out))
    for sentence in () if quiet else left_out.sentences("score", "name a clip itself to score it"):
        say(sentence)
    absent = {source: why for source in sources if isinstance(source, Path) and (why := absence(source))}
    if sources and len(absent) == len(sources):
        for one, why in absent.items():
            _tell_failure(one, why, json)
        raise typer.Exit(1)
    check_weights(weights)
    from derain.rain.amount import amount  # torch takes seconds: what is missing is told before
    from derain.restoring.devices import choose_device
    from derain.restoring.restorer import Restorer
    from derain.weights import load

    failed = False
    with progress_bar(hidden=quiet) as bar:
        task = bar.add_task("looking", total=len(sources), doing="loading the network")
        restorer = Restorer(load(weights, choose_device(device)), precision)
        for source in sources:
            try:
                short = source.name if isinstance(source, Path) else _name(source)
                bar.update(task, doing=f"{short}: reading")
                for time, pixels in _pictures(source, every):
                    found = restorer.layers(pixels, partial(_show_part, bar, task, short, time))
                    _tell(source, time, amount(found.rain), json)
            except PhotoError as error:
                failed = True
                _tell_failure(source, str(error), json)
            bar.update(task, advance=1)
    if not sources:
        say("no photos found")
    if failed:
        raise typer.Exit(1)


def _show_part(bar: "Progress", task: "TaskID", name: str, time: float | None, part: str) -> None:
    at = "" if time is None else f" at {time:.2f} s"
    bar.update(task, doing=f"{name}{at}: {part}")


def _sources(inputs: list[str], recursive: bool, left_out: LeftOut) -> Iterator[str | Path]:
    from derain import batch
    from derain.batch.planning import is_moving
    from derain.video.streams.addresses import is_stream

    streams = [given for given in inputs if is_stream(given)]
    inputs = [given for given in inputs if not is_stream(given)]
    yield from streams
    clips = [Path(given) for given in inputs if is_moving(Path(given))]
    yield from clips
    if photos := [given for given in inputs if not is_moving(Path(given))]:
        yield from (job.source for job in batch.plan(photos, recursive=recursive, leave=left_out.add))


def _pictures(source: str | Path, every: int) -> "Iterator[tuple[float | None, Pixels]]":
    """A photo, or frames of a clip or a stream with their times.

    Raises:
        PhotoError: it cannot be read; of a clip that is damaged after what can be.
    """
    from derain.batch.planning import is_moving

    if isinstance(source, str):
        from derain.video.streams.looking import look_at

        yield from ((frame.time, frame.pixels) for frame in look_at(source, every, say))
    elif is_moving(source):
        from derain.video.reading import Clip

        with Clip(source) as clip:
            shown = []
            for n, frame in enumerate(clip.frames()):
                shown.append(frame.pts)
                if n % every == 0:
                    yield frame.time, frame.pixels
            if clip.damage:
                raise PhotoError(f"{source}: {'; '.join(clip.damage.said(shown, clip.time_base, clip.begins))}")
    else:
        from derain.photos import read_original

        yield None, read_original(source).pixels


def _name(source: str | Path) -> str:
    """What messages call it."""
    from derain.video.streams.addresses import shown

    return shown(source) if isinstance(source, str) else str(source)


def _tell_failure(source: str | Path, why: str, json: bool) -> None:
    said = why if _name(source) in why else f"{source}: {why}"
    say_error(PhotoError(said))
    if json:
        tell_text(as_json({"input": _name(source), "error": said}))


def _tell(source: str | Path, time: float | None, found: "Amount", json: bool) -> None:
    if json:
        said = {"input": _name(source), "time": time, **asdict(found), "rainy": found.rainy, "error": None}
        tell_text(as_json(said))
        return
    parts = [_name(source)] if time is None else [_name(source), f"{time:.2f} s"]
    parts += [f"{found.score:.3f}", "rainy" if found.rainy else "not rainy"]
    if streaks := found.streaks:
        parts.append(f"{streaks.degrees:+.0f} degrees, {streaks.length:.0f} px long, {streaks.width:.1f} px wide")
    tell("\t".join(parts))
