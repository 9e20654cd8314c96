"""Several clips at once for `derain video`: which they are, where their results go, and what is told of them."""

import glob
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import derain
from derain.cli.inputs import known_weights
from derain.cli.options import SLASHES
from derain.cli.terminal import say_error, tell, tell_text, with_options
from derain.errors import DerainError, PhotoError, UsageError, unreadable
from derain.files.marks import DERAINED
from derain.text import as_json, counted

if TYPE_CHECKING:
    from derain.batch.journal import Journal
    from derain.video import Done, VideoSettings


@dataclass
class Telling:
    """What is told of clips: results on stdout, as paths or as JSON, and all else on stderr."""

    json: bool
    inform: Callable[[str], None]
    began: float
    journal: "Journal | None" = None  # of what cannot be told by the results
    bad: int = 0  # clips that failed
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
            PhotoError: it is missing, or no clip.
            UsageError: another clip's result goes there, or another clip lies there.
        """
        from derain.video.naming import default_result, result_in

        place = result_in(folder, clip) if folder else default_result(clip)
        other = self.places.setdefault(os.path.abspath(place), clip)
        if other != clip:
            raise UsageError(f"{clip}: the place of its result, {place}, is taken by {other}; give it another `out`")
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

    def skipped(self, clip: Path, place: Path) -> None:
        self.left += 1
        self.inform(f"{clip}: skipped because {place} exists (--overwrite replaces it)")
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
        if self.bad or self.flawed:
            raise typer.Exit(1)
        if self.journal:
            self.journal.forget()


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


def matched(sources: list[str]) -> list[str]:
    """The sources with the clips that patterns match in their place, which a shell did not expand."""
    from derain.files.missing import is_unmatched
    from derain.video.naming import is_clip
    from derain.video.streams.addresses import is_stream

    found: list[str] = []
    for source in sources:
        names = sorted(glob.glob(source)) if not is_stream(source) and is_unmatched(Path(source)) else []
        clips = [name for name in names if is_clip(name) and not Path(name).stem.endswith(DERAINED)]
        found += clips or [source]
    return found


def inside(out: str, source: str) -> str:
    """Where the result of a single source goes: of a clip into ``out`` if that means a folder for it.

    A folder that is there without a slash is one for its frames if it holds them already.

    Raises:
        PhotoError: the clip is missing, or no clip.
        UsageError: it is a photo, or the name of ``out`` ends both as a folder's and as a clip's.
    """
    from derain.video.naming import NUMBERED_NAME, is_clip, result_in, unfinished
    from derain.video.streams.addresses import is_stream

    if is_stream(source) or is_stream(out) or not os.path.isfile(source):
        if out.endswith(SLASHES) and not is_stream(out) and is_clip(Path(out)):
            raise UsageError(f"{out}: ends as a folder's name does; leave out the slash to write a clip")
        return out
    has_frames = os.path.lexists(Path(out, NUMBERED_NAME % 0)) or unfinished(Path(out)).exists()
    if out.endswith(SLASHES) or (os.path.isdir(out) and not has_frames):
        return str(result_in(Path(out), Path(source)))
    return out


def becomes_frames(source: str, out: str) -> bool:
    """Whether a clip is to become pictures, which only the lack of an ending in ``out`` says."""
    from derain.files.writing import is_special
    from derain.video.naming import is_gif, is_pattern, is_sequence

    place = Path(out)
    is_told = is_pattern(place) or is_gif(place) or is_special(place)
    return os.path.isfile(source) and not is_sequence(Path(source)) and is_sequence(place) and not is_told


def clips_of(sources: list[str], out: str | None) -> list[tuple[Path, Path | None]]:
    """Each clip with the folder its result goes to; those of folders too, unless a folder holds frames and no clip.

    A single folder of frames gives none: it is a clip itself.

    Raises:
        UsageError: ``out`` is a file, or two results would be in one place.
        PhotoError: nothing can be written in it.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        inside = clips_in(source) if source.is_dir() else []
        found += inside or [source]
    found = list(dict.fromkeys(found))
    if found == [Path(sources[0])]:
        return []
    if out is None:
        return [(clip, None) for clip in found]
    from derain.files.writing import hindrance
    from derain.video.streams.addresses import is_stream

    is_folder = os.path.isdir(out) or out.endswith(SLASHES) or not Path(out).suffix
    if is_stream(out) or os.path.isfile(out) or not is_folder:
        raise UsageError(f"{out}: one file cannot hold {len(found)} clips; give a folder")
    results = [Path(out) / clip.name for clip in found]
    if twice := [path for path in results if results.count(path) > 1]:
        raise UsageError(f"{twice[0]}: two clips would be written to it; give them one by one")
    if error := hindrance(results[0], "give another `out`"):
        raise error
    return [(clip, Path(out)) for clip in found]


def clips_in(folder: Path) -> list[Path]:
    """Clips directly in a folder, but for hidden ones and results, sorted by name; links that lead nowhere are there.

    Raises:
        UsageError: it cannot be read.
    """
    from derain.batch.listing import is_own_clip

    try:
        clips = sorted(path for path in folder.iterdir() if is_own_clip(path.name))
    except OSError as error:
        raise UsageError(f"{folder}: {unreadable(error)}") from None
    return [path for path in clips if path.is_file() or (path.is_symlink() and not os.path.exists(path))]


def journal_of_clips(
    clips: list[Path], out: str | None, settings: "VideoSettings", weights: str, overwrite: bool
) -> "Journal | None":
    """Of what is replaced, and of clips that are dry; the existing results tell the rest."""
    if not (overwrite or settings.rainy_from is not None):
        return None
    from derain.batch import Target
    from derain.batch.journal import digest, journal_of

    target = Target(Path(out) if out else None)
    decisive = replace(settings, max_memory=None, preview=None)
    return journal_of(clips, target, False, True, digest(derain.__version__, known_weights(weights), repr(decisive)))
