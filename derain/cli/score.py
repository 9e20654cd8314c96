"""`derain score`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain.cli.inputs import absence, check_weights
from derain.cli.left_out import LeftOut
from derain.cli.options import Device, Precision, Quiet, Weights
from derain.cli.terminal import informer, progress_bar, say, say_error, tell_row, tell_text, with_options
from derain.errors import DerainError, PhotoError, reason
from derain.text import as_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from derain.arrays import Pixels
    from derain.rain.amount import Amount

USUAL_STEP = 25  # frames


def score(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO", help="Photos, folders, patterns such as 'trip/*.jpg', clips, buckets, or URLs."
        ),
    ],
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Include subfolders.")] = False,
    every: Annotated[
        int, typer.Option(min=1, metavar="N", help="In a clip or stream, look at every Nth frame.")
    ] = USUAL_STEP,
    weights: Weights = "derain",
    device: Device = "auto",
    precision: Precision = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo or frame.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure how much rain there is, without writing pictures.

    The score is the share of the picture that shows rain. From 0.02 on, a picture counts as rainy. In tests, that was
    so for 82% of photos taken in rain and for 2% of photos without rain.
    """
    from derain.video.naming import is_clip

    left_out = LeftOut()
    sources = _sources(inputs, recursive, left_out)
    inform = informer(quiet)
    for sentence in left_out.sentences("score", "only clips on this machine can be looked at"):
        inform(sentence)
    if every != USUAL_STEP and not any(isinstance(source, str) or is_clip(source) for source in sources):
        inform("`every` counts for nothing because there is no clip or stream")
    absent = {source: absence(source) if isinstance(source, Path) else "" for source in sources}
    if sources and all(absent.values()):
        for one, why in absent.items():
            _tell_failure(one, why, json)
        raise typer.Exit(1)
    check_weights(weights)
    from derain.rain.amount import amount  # torch takes seconds: what is missing is told before
    from derain.restoring.devices import choose_device
    from derain.restoring.restorer import Restorer
    from derain.weights import load

    telling = Telling(json, alone=len(sources) == 1)
    with progress_bar(hidden=quiet) as bar:
        task = bar.add_task("looking", total=len(sources), doing="loading the network")
        restorer = Restorer(load(weights, choose_device(device)), precision)
        for source in sources:
            short = source.name if isinstance(source, Path) else _name(source)
            bar.update(task, doing=f"{short}: reading")
            with telling.of(source):
                if why := absent[source]:
                    raise PhotoError(f"{source}: {why}")
                for time, pixels in _pictures(source, every, inform):
                    found = restorer.bright_layers(pixels, partial(_show_part, bar, task, short, time))
                    telling.tell(source, time, amount(found.rain))
            bar.update(task, advance=1)
    if telling.failed:
        raise typer.Exit(1)


def _show_part(bar: "Progress", task: "TaskID", name: str, time: float | None, part: str) -> None:
    at = "" if time is None else f" at {time:.2f} s"
    bar.update(task, doing=f"{name}{at}: {part}")


def _sources(inputs: list[str], recursive: bool, left_out: LeftOut) -> list[str | Path]:
    """Streams, photos and clips, in the order they are given."""
    from derain.batch.finding import found_to_look_at
    from derain.files.places import is_elsewhere
    from derain.video.streams.addresses import is_stream

    streams = {given for given in inputs if is_stream(given) and not is_elsewhere(given)}
    files = [given for given in inputs if given not in streams]
    found = iter(found_to_look_at(files, recursive, left_out.add) if files else [])
    return [source for given in inputs for source in ([given] if given in streams else next(found))]


def _pictures(source: str | Path, every: int, inform: Callable[[str], None]) -> "Iterator[tuple[float | None, Pixels]]":
    """A photo, or frames of a clip or a stream with their times.

    Raises:
        PhotoError: it cannot be read; of a clip that is damaged after what can be.
    """
    from derain.files.places import is_remote
    from derain.video.naming import is_clip

    if isinstance(source, str):
        from derain.video.streams.looking import look_at

        yield from ((frame.time, frame.pixels) for frame in look_at(source, every, say))
    elif is_clip(source) and is_remote(source):
        raise PhotoError(f"{source}: only clips on this machine can be looked at; copy it here first")
    elif is_clip(source):
        from derain.video.reading import Clip

        with Clip(source) as clip:
            if clip.tracks > 1:
                inform(f"{source}: only the first of its {clip.tracks} picture tracks is looked at")
            shown = []
            for n, frame in enumerate(clip.frames()):
                shown.append(frame.pts)
                if n % every == 0:
                    yield frame.time, frame.pixels
            if clip.damage:
                said = clip.damage.said(shown, clip.time_base, clip.begins, written=False)
                raise PhotoError(f"{source}: {'; '.join(said)}")
    else:
        from derain.photos import read_original

        yield None, read_original(source).pixels


def _name(source: str | Path) -> str:
    """What messages call it."""
    from derain.video.streams.addresses import without_password

    return without_password(source) if isinstance(source, str) else str(source)


def _tell_failure(source: str | Path, why: str, json: bool) -> None:
    said = with_options(why if _name(source) in why else f"{source}: {why}")
    say_error(PhotoError(said))
    if json:
        from derain.rain.amount import UNKNOWN

        tell_text(as_json(UNKNOWN | {"input": _name(source), "error": said}))


@dataclass
class Telling:
    """What is told of pictures: results on stdout, as a table or as JSON, and what fails on stderr."""

    json: bool
    alone: bool  # whether there is one source
    failed: bool = False
    waiting: dict[str, Any] | None = None  # the last frame of a clip, whose damage is known only after all

    @contextmanager
    def of(self, source: str | Path) -> "Iterator[None]":
        """All that is told inside is of this; a failure is told with the last frame, or by itself."""
        try:
            yield
        except Exception as error:  # whatever it is, the other sources go on
            if self.alone and not isinstance(error, PhotoError):
                raise
            self.failed = True
            said = str(error) if isinstance(error, DerainError) else f"cannot be looked at ({reason(error)})"
            last, self.waiting = self.waiting, None
            _tell_failure(source, said, self.json and last is None)
            if last:
                tell_text(as_json(last | {"error": with_options(said)}))
        finally:
            self._let_go()

    def tell(self, source: str | Path, time: float | None, found: "Amount") -> None:
        if not self.json:
            _tell_row(source, time, found)
            return
        self._let_go()
        from derain.rain.amount import row_of

        self.waiting = row_of(_name(source), time, found)
        if isinstance(source, str):  # a stream, of which each is told as it comes
            self._let_go()

    def _let_go(self) -> None:
        if self.waiting:
            tell_text(as_json(self.waiting))
            self.waiting = None


def _tell_row(source: str | Path, time: float | None, found: "Amount") -> None:
    parts = [_name(source)] if time is None else [_name(source), f"{time:.2f} s"]
    parts += [f"{found.score:.3f}", "rainy" if found.rainy else "not rainy"]
    if streaks := found.streaks:
        parts.append(f"{streaks.degrees:+.0f} degrees, {streaks.length:.0f} px long, {streaks.width:.1f} px wide")
    tell_row(*parts)
