"""Which clips `derain video` is given, and where their results go."""

import glob
import os
from pathlib import Path

from derain.cli.options import SLASHES
from derain.errors import UsageError, unreadable
from derain.files.marks import DERAINED


def matched(sources: list[str]) -> list[str]:
    """The sources with the clips that patterns match in their place, which a shell did not expand; each once."""
    from derain.files.missing import is_unmatched
    from derain.video.naming import is_clip
    from derain.video.streams.addresses import is_stream

    found: list[str] = []
    for source in sources:
        names = sorted(glob.glob(source)) if not is_stream(source) and is_unmatched(Path(source)) else []
        clips = [name for name in names if is_clip(name) and not Path(name).stem.endswith(DERAINED)]
        found += clips or [source]
    once: dict[str, str] = {}
    for source in found:
        once.setdefault(source if is_stream(source) else os.path.abspath(source), source)
    return list(once.values())


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
        UsageError: ``out`` is a file.
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
    if error := hindrance(Path(out) / found[0].name, "give another `out`"):
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
    return [path for path in clips if os.path.isfile(path) or (path.is_symlink() and not os.path.exists(path))]


def folders_left_out(sources: list[str], out: str | None) -> list[str]:
    """A sentence if clips lie in folders in the folders of clips, but for those of results.

    Those are the one that results go to, and others all of whose clips are called as clips of the folder itself.
    """
    from derain.text import counted
    from derain.video.naming import folders_of_clips

    given = [Path(source) for source in sources if Path(source).is_dir()]
    taken = {path.resolve() for path in [*given, *([Path(out)] if out else [])]}
    found = list[Path]()
    for folder in given:
        if own := {clip.stem for clip in clips_in(folder)}:
            inner = folders_of_clips(folder)
            found += [inside for inside in inner if not {clip.stem for clip in clips_in(inside)} <= own]
    left = [folder for folder in found if folder.resolve() not in taken]
    if not left:
        return []
    return [f"{counted(len(left), 'folder')} with clips left out, such as {left[0]}: name it, too"]


def photos_left_out(sources: list[str]) -> list[str]:
    """A sentence if photos lie beside clips in the folders."""
    from derain.photos.names import find_photos, without_results
    from derain.text import counted

    folders = [Path(source) for source in sources if Path(source).is_dir() and clips_in(Path(source))]
    photos = [photo for folder in folders for photo in without_results(find_photos(folder))]
    if not photos:
        return []
    return [f"{counted(len(photos), 'photo')} left out, such as {photos[0]}: `derain run` is for photos"]
