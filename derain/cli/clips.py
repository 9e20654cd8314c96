"""`derain video` of clips: one after the other, and what is told of them."""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import derain
from derain.cli.inputs import known_weights
from derain.cli.interrupts import how_to_go_on
from derain.cli.options import Computing
from derain.cli.terminal import progress_bar, say, say_error, tell, tell_text, with_options
from derain.errors import DerainError, PhotoError, UsageError, WeightsError, reason
from derain.files.marks import DERAINED
from derain.files.sparing import refuse_replacing
from derain.signals import INTERRUPTED
from derain.text import as_json, counted

if TYPE_CHECKING:
    from derain.batch.journal import Journal
    from derain.models.contract import Derainer
    from derain.video import Done, VideoSettings

    Todo = list[tuple[Path, Path | None]]  # clips, each with the place of its result, or of several with its folder


@dataclass
class Telling:
    """What is told of clips: results on stdout, as paths or as JSON, and all else on stderr."""

    json: bool
    inform: Callable[[str], None]
    began: float
    journal: "Journal | None" = None  # of what cannot be told by the results
    bad: int = 0  # clips that failed
    clashes: int = 0  # those of them whose results would be others', too
    flawed: int = 0  # clips with results of which frames or parts failed
    left: int = 0  # clips whose results were there already
    results: dict[Path, Path] = field(default_factory=dict)  # clips that are results of others, each with that one
    places: dict[str, Path] = field(default_factory=dict)  # whose each is, as a source or result

    def know(self, clips: list[Path]) -> None:
        """To be told of all of several clips, before the first is done."""
        from derain.photos.names import results_among

        self.results = results_among(clips, (DERAINED,))
        self.places = {os.path.abspath(clip): clip for clip in clips if clip not in self.results}

    def place_for(self, clip: Path, folder: Path | None) -> Path:
        """Where the result of one of several clips goes: into the folder of results, or beside the clip.

        Raises:
            PhotoError: it is missing, or no clip that can be read.
            UsageError: another clip's result goes there, if that can be made, or another clip lies there.
        """
        from derain.video.naming import default_result, result_in
        from derain.video.reading import Clip

        place = result_in(folder, clip) if folder else default_result(clip)
        other = self.places.setdefault(os.path.abspath(place), clip)
        if other != clip:
            with Clip(clip) as opened:
                next(opened.times(), None)  # what is wrong with the clip itself is told rather
            self.clashes += 1
            way_out = "rename one of the two, or derain it by itself with another `out`"
            raise UsageError(f"{clip}: its result would be {place}, which belongs to {other}; {way_out}")
        return place

    def is_done(self, clip: Path, place: Path) -> bool:
        """Whether an earlier run of the command replaced the result, or found that there is none."""
        if self.journal is None:
            return False
        from derain.batch import Job
        from derain.batch.journal import NothingLeft

        return self.journal.is_done(NothingLeft(clip)) or self.journal.is_done(Job(clip, place))

    def note(self, clip: Path, result: "Done") -> None:
        if self.journal is None:
            return
        from derain.batch import Job
        from derain.batch.journal import NothingLeft

        if trouble := self.journal.note(NothingLeft(clip) if result.dry else Job(clip, result.path)):
            self.inform(f"progress cannot be recorded ({trouble}); if this run is cut off, the next one starts over")

    def done(self, clip: Path, result: "Done", nodes: list[str] | None = None) -> None:
        self.note(clip, result)
        trouble = [f"{clip}: {_failed(result)}"] * bool(result.failed) + result.damage
        if self.json:
            told = {"frames": result.frames, "seconds": result.seconds, "failed": result.failed}
            told |= {"damage": result.damage, "dry": result.dry, "notes": list(map(with_options, result.notes))}
            told |= {"error": "; ".join(trouble) or None} | ({} if nodes is None else {"nodes": nodes})
            tell_text(as_json(nothing_of(clip, None if result.dry else result.path) | told))
        elif not result.dry:
            tell(str(result.path))
        if result.dry:
            return
        self.inform(f"{clip}: {counted(result.frames, 'frame')} in {result.seconds:.0f} s")
        for sentence in trouble:
            say_error(PhotoError(sentence))
        self.flawed += bool(trouble)

    def leaves_out(self, clip: Path) -> bool:
        """Whether nothing is done for a clip because it is a result, as where a shell expands ``*.mp4`` again."""
        if clip not in self.results:
            return False
        self.left += 1
        source = self.results[clip].name
        self.inform(f"{clip}: left out because it is a result of {source}; name it alone to derain it")
        if self.json:
            tell_text(as_json(nothing_of(clip, None) | {"skipped": f"a result of {source}"}))
        return True

    def skipped(self, clip: Path, place: Path, made: Path) -> None:
        """
        Args:
            made: what is there: the result, or the first of its pictures.
        """
        self.left += 1
        self.inform(f"{clip}: skipped because {made} exists (--overwrite replaces it)")
        if self.json:
            tell_text(as_json(nothing_of(clip, place) | {"skipped": "its result exists"}))

    def done_before(self, clip: Path) -> None:
        self.left += 1
        self.inform(f"{clip}: was done by an earlier run; to start over, {self.journal and self.journal.how_to_forget}")
        if self.json:
            tell_text(as_json(nothing_of(clip, None) | {"skipped": "an earlier run did it"}))

    def failed(self, clip: Path, error: DerainError) -> None:
        self.bad += 1
        say_error(error)
        if self.json:
            tell_text(as_json(nothing_of(clip, None) | {"error": with_options(str(error))}))

    def refuse_if_all_are_missing(self, clips: list[Path]) -> None:
        from derain.video.naming import check_source

        missing: dict[Path, DerainError] = {}
        for clip in clips:
            try:
                check_source(clip)
            except DerainError as error:
                missing[clip] = error
        if len(missing) < len(set(clips)):
            return
        for clip, why in missing.items():
            self.failed(clip, why)
        self.finish(len(missing))

    def finish(self, count: int) -> None:
        if count > 1:
            others = {"written with faults": self.flawed, "skipped": self.left, "failed": self.bad}
            whole = count - sum(others.values())
            done = f"{whole} of {count} clips done in {time.monotonic() - self.began:.0f} s"
            self.inform(", ".join([done, *(f"{number} {what}" for what, number in others.items() if number)]))
        if self.journal and self.bad == self.clashes and not self.flawed:  # nothing that another try might mend
            self.journal.forget()
        if self.bad or self.flawed:
            raise typer.Exit(1)


def _failed(result: "Done") -> str:
    count = len(result.failed)
    return f"{counted(count, 'frame')} failed and {'was' if count == 1 else 'were'} passed through unchanged"


def nothing_of(clip: Path, place: Path | None) -> dict[str, Any]:
    """What is told of a clip as JSON, before anything is known of it."""
    return {
        "input": str(clip),
        "output": str(place) if place else None,
        "frames": 0,
        "seconds": 0.0,
        "failed": [],
        "damage": [],
        "dry": False,
        "notes": [],
        "skipped": None,
        "error": None,
    }


def journal_of_clips(
    clips: list[Path], out: str | None, settings: "VideoSettings", weights: str, overwrite: bool
) -> "Journal | None":
    """Of what is replaced, and of clips that are dry; the existing results tell the rest."""
    if not (overwrite or settings.rainy_from is not None):
        return None
    from derain.batch import Target
    from derain.batch.journal import digest, journal_of

    target = Target(Path(out) if out else None)
    decisive = repr(settings.decisive())
    return journal_of(clips, target, False, True, digest(derain.__version__, known_weights(weights), decisive))


def begin_several(
    todo: "Todo", out: str | None, settings: "VideoSettings", weights: str, overwrite: bool, telling: Telling
) -> None:
    """Make the folder for the results of several clips, and find what an earlier run did.

    Raises:
        PhotoError: the folder cannot be made.
    """
    from derain.files.writing import make_folder

    if out is not None:
        make_folder(Path(out))
    clips = [clip for clip, _ in todo]
    telling.know(clips)
    telling.journal = journal_of_clips(clips, out, settings, weights, overwrite)


def derain_clips(
    todo: "Todo",
    several: bool,
    network: "Callable[[], Derainer]",
    settings: "VideoSettings",
    overwrite: bool,
    computing: Computing,
    telling: Telling,
    quiet: bool,
) -> None:
    """Derain one clip after the other; where there are several, an error ends only its own."""
    from derain.video import process

    with workers_of(computing, telling.inform) as elsewhere, progress_bar(hidden=quiet) as bar:
        task = bar.add_task("frames", total=None, doing="loading the network")
        for clip, given in todo:
            name = f"{clip.name}: " if several else ""

            def report(done: int, total: int, seconds: float, name: str = name) -> None:
                pace = f"{name}frames, {bar.tasks[task].speed or 0:.1f} a second"
                bar.update(task, completed=done, total=total or None, description=pace, doing="encoding and joining")

            try:
                if place := _place(clip, given, several, settings, overwrite, computing.weights, telling):
                    found = process(clip, place, network, settings, overwrite, report, telling.inform, elsewhere)
                    telling.done(clip, found, elsewhere.names_of_nodes() if elsewhere else None)
            except Exception as error:  # whatever it is, the other clips go on; without weights none could
                if not several or isinstance(error, WeightsError):
                    raise
                said = f"{clip}: cannot be derained ({reason(error)})"
                telling.failed(clip, error if isinstance(error, DerainError) else PhotoError(said))
            except KeyboardInterrupt:
                say(how_to_go_on())
                raise typer.Exit(INTERRUPTED) from None
    telling.finish(len(todo))


def _place(
    clip: Path,
    given: Path | None,
    several: bool,
    settings: "VideoSettings",
    overwrite: bool,
    weights: str,
    telling: Telling,
) -> Path | None:
    """Where the result of a clip goes; ``None`` if there is nothing to do, which is told.

    Args:
        given: where to, or of several clips into which folder.

    Raises:
        PhotoError: it is missing, or no clip.
        UsageError: it would replace something that is read, or be in the place of another's.
    """
    from derain.cli.outputs import files_of
    from derain.video.naming import default_result, made_before
    from derain.video.sequences import all_made_before

    if telling.leaves_out(clip):
        return None
    place = telling.place_for(clip, given) if several else given or default_result(clip)
    refuse_replacing(place, {"weights": files_of([weights])})
    if not overwrite and (made := made_before(clip, place) or all_made_before(clip, place, settings)):
        telling.skipped(clip, place, made)
        return None
    if telling.is_done(clip, place):
        telling.done_before(clip)
        return None
    return place


def workers_of(computing: Computing, inform: Callable[[str], None]) -> AbstractContextManager[Any]:
    """What makes the segments of clips elsewhere, if it is asked for."""
    if computing.ray is None:
        return nullcontext()
    from derain.cluster import workers

    return workers(computing.ray, computing.device, computing.threads, inform)
