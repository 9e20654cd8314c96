"""`derain run`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import derain
from derain.cli.inputs import check_weights, known_weights
from derain.cli.interrupts import how_to_go_on
from derain.cli.options import (
    Computing,
    Device,
    MaxMemory,
    OnlyIfRainy,
    Output,
    Precision,
    Quiet,
    RainyFrom,
    Ray,
    Strength,
    Threads,
    Weights,
    beyond_memory,
    to_output,
    use_threads,
)
from derain.cli.telling import Telling, done_before
from derain.cli.terminal import progress_bar, say
from derain.errors import UsageError
from derain.files.marks import DERAINED
from derain.signals import INTERRUPTED
from derain.text import listed
from derain.weights.places import refuse_unknown

if TYPE_CHECKING:
    from derain.batch import Job, Outcome, Target, Treatment
    from derain.batch.clashes import Read
    from derain.batch.journal import Journal
    from derain.batch.reasons import Reason
    from derain.batch.running import Watch

    Treating = Callable[["Journal | None"], Treatment]


def run(
    inputs: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="PHOTO",
            help="Photos, folders, patterns such as 'trip/*.jpg', or - to read stdin and write stdout.",
            show_default=False,
        ),
    ] = None,
    files_from: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", help="Read more names of photos from this file, one per line; - for stdin."),
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Include subfolders.")] = False,
    output: Annotated[
        Optional[Output],
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=to_output,
            help="Where results go: a file for one photo, otherwise a folder.",
        ),
    ] = None,
    suffix: Annotated[str, typer.Option(metavar="TEXT", help="Text added to the photo's name.")] = DERAINED,
    format: Annotated[
        Optional[str],
        typer.Option(
            metavar="FORMAT", help="Output format: jpg, png, webp, tiff, avif, bmp or heic; default: the photo's own."
        ),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the photos themselves.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing results instead of skipping them.")
    ] = False,
    weights: Weights = "derain",
    strength: Strength = 1.0,
    only_if_rainy: OnlyIfRainy = False,
    rainy_from: RainyFrom = None,
    rain: Annotated[bool, typer.Option("--rain", help="Also write the rain layer, as photo.rain.png.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write before and after side by side, as photo.compare.png.")
    ] = False,
    quality: Annotated[
        Optional[int],
        typer.Option(
            min=1, max=100, metavar="N", help="Quality of lossy formats; default: the photo's own, otherwise 95."
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Annotated[
        str, typer.Option(metavar="SIDE", help="Tile size in px, at least 64; auto (by free memory) or none.")
    ] = "auto",
    max_megapixels: Annotated[float, typer.Option(min=0, metavar="MP", help="Refuse larger photos.")] = 500.0,
    max_memory: MaxMemory = None,
    threads: Threads = None,
    ray: Ray = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per photo.")] = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Report on each photo.")] = False,
) -> None:
    """Remove the rain from photos.

    The result is saved beside the photo, as photo.derained.jpg, or where -o says. The photo itself never changes unless
    you give --in-place. A photo without rain is copied unchanged.
    """
    from derain import batch
    from derain.batch.jobs import check_target
    from derain.cli.outputs import files_of

    if quiet and verbose:
        raise UsageError("choose either --quiet or --verbose")
    side = side_of(tile)
    if not (inputs or files_from):
        raise UsageError("no photos given; name photos or folders, as in `derain run photo.jpg`")
    piped = inputs == ["-"]
    if piped:
        refuse_for_pipe(
            {
                "--output": output,
                "--files-from": files_from,
                "--recursive": recursive,
                "--suffix": suffix != DERAINED,
                "--in-place": in_place,
                "--overwrite": overwrite,
                "--rain": rain,
                "--compare": compare,
                "--json": json,
                "--ray": ray is not None,
            }
        )
    elif "-" in (*(inputs or []), str(output and output.place)):
        raise UsageError("-: one photo goes from stdin to stdout, as in `derain run - < rainy.jpg > dry.jpg`")
    target = target_of(output, suffix=suffix, format=format, in_place=in_place, rain=rain, compare=compare)
    check_target(target)
    refuse_unknown(weights)
    telling, computing = Telling(json, quiet, verbose), Computing(weights, device, threads, ray)

    def treatment(journal: "Journal | None") -> "Treatment":
        from derain.rain.amount import threshold

        return batch.Treatment(
            side,
            precision,
            strength,
            quality,
            max_megapixels,
            max_memory,
            threshold(only_if_rainy, rainy_from),
            look_for_rest=json or verbose,
            overwrite=overwrite,
            journal=journal if in_place else None,
        )

    if side is not None and max_memory is not None:
        telling.say("--max-memory: does not bound what the network takes, as --tile decides that")
    if piped:
        return _piped(format, treatment, computing, telling)
    more = batch.read_list(files_from) if files_from else []
    named = [*inputs, *more] if inputs else more
    if suffix not in (DERAINED, "") and output:
        telling.say(f"--suffix {suffix}: is added only to results that go beside their photos")
    decisive = (strength, quality, precision, only_if_rainy, rainy_from)
    journal = _journal(named, target, recursive, overwrite, weights, str(decisive))
    with journal.kept() if journal else nullcontext():
        read = {"weights": files_of([weights]), "files_from": [files_from] if files_from else []}
        try:
            if todo := _todo(named, target, recursive, overwrite, telling, journal, read):
                _photos(todo, treatment, journal, computing, telling)
        except KeyboardInterrupt:
            goes_on = not journal.trouble if journal else not (in_place or overwrite)
            say(how_to_go_on() if goes_on else "interrupted")
            raise typer.Exit(INTERRUPTED) from None
        telling.finish(journal)
    if telling.tally.failed:
        raise typer.Exit(1)


def _piped(format: str | None, treatment: "Treating", computing: Computing, telling: Telling) -> None:
    """Derain the photo on stdin to stdout."""
    check_weights(computing.weights)
    from derain import batch
    from derain.restoring.devices import choose_device  # with torch, which takes seconds
    from derain.weights import load

    use_threads(computing.threads)
    model = load(computing.weights, choose_device(computing.device))
    telling.tell_of(batch.through_pipe(model, treatment(None), format))


def _photos(
    todo: "Iterable[Job]", treatment: "Treating", journal: "Journal | None", computing: Computing, telling: Telling
) -> None:
    """Derain photos, and tell of each as it is done."""
    check_weights(computing.weights)
    use_threads(computing.threads)
    with progress_bar(hidden=telling.quiet) as bar:
        task = bar.add_task("photos", total=None, doing="loading the network")

        def watch(job: "Job", doing: str) -> None:
            bar.update(task, doing=f"{job.source.name}: {doing}")

        wanted = treatment(journal)
        memory = {"max_memory": wanted.max_memory, "device": computing.device}
        told = bool(beyond_memory(memory))
        for outcome in _outcomes(todo, wanted, computing, watch, telling.say):
            telling.done(outcome, journal)
            if not told and (said := beyond_memory(memory, outcome.width * outcome.height)):
                telling.say(f"{outcome.job.source}: {said}")
                told = True
            total, found = telling.progress.total, telling.progress.planned
            so_far = "" if total else f", {found} found so far"
            pace = f"photos{telling.tally.pace}{so_far}"
            bar.update(task, advance=1, total=total, description=pace, doing="reading and writing")


def _outcomes(
    todo: "Iterable[Job]", treatment: "Treatment", computing: Computing, watch: "Watch", say: Callable[[str], None]
) -> "Iterator[Outcome]":
    """What becomes of photos, here or on Ray."""
    from derain.weights import load

    weights, device = computing.weights, computing.device
    if computing.ray is None:
        from derain import batch
        from derain.restoring.devices import choose_device

        chosen = choose_device(device)
        model = load(weights, chosen)
        say(f"weights {weights} on {chosen}")
        return batch.run(todo, model, treatment, watch)
    from derain import cluster

    model = load(weights)
    say(f"weights {weights} on Ray")
    return cluster.run(todo, model, treatment, computing.ray, device, computing.threads, say)


def target_of(output: Output | None, **how: Any) -> "Target":
    from derain.batch import Target

    return Target(output.place, is_folder=output.is_folder, **how) if output else Target(**how)


def side_of(tile: str) -> int | None:
    """Tiles in px: ``None`` by the free memory, 0 none.

    Raises:
        UsageError: no word for it, or too few px.
    """
    from derain.restoring.names import SMALLEST_TILE

    if tile in ("auto", "none"):
        return 0 if tile == "none" else None
    if not tile.isdecimal() or int(tile) < SMALLEST_TILE:
        raise UsageError(f"--tile {tile}: give auto, none, or a side of {SMALLEST_TILE} px or more")
    return int(tile)


def refuse_for_pipe(given: Mapping[str, object]) -> None:
    """
    Raises:
        UsageError: options are given that mean nothing where one photo goes from stdin to stdout.
    """
    if names := [name for name, value in given.items() if value]:
        raise UsageError(f"-: the result of a photo from stdin goes to stdout; leave out {listed(names)}")


def _journal(
    named: Sequence[str], target: "Target", recursive: bool, overwrite: bool, weights: str, decisive: str
) -> "Journal | None":
    """Of what is replaced."""
    if not (target.in_place or overwrite):
        return None
    from derain.batch.journal import digest, journal_of

    settings = digest(derain.__version__, known_weights(weights), decisive)
    return journal_of(named, target, recursive, overwrite, settings)


def _todo(
    named: Sequence[str],
    target: "Target",
    recursive: bool,
    overwrite: bool,
    telling: Telling,
    journal: "Journal | None",
    read: "Read",
) -> "Iterable[Job]":
    """What is to be done, where there is much of it as it is found; ends the command if nothing can be."""
    from derain import batch

    if batch.is_long(named, target, recursive, overwrite, read):
        return telling.found(named, target, recursive, overwrite, journal)
    left, clashes = dict[Path, "Reason"](), dict["Job", str]()
    jobs = batch.plan(named, target, recursive, left.__setitem__, read, clashes.__setitem__)
    is_done = done_before(journal, overwrite)
    todo = [job for job in jobs if not is_done(job)]
    telling.skipped(left, jobs, set(todo), journal)
    refused = {job: error for job in todo if (error := batch.obstacle(job))}
    for job, other in clashes.items():
        telling.clashed(job, other)
    if todo and len(refused) == len(todo):
        telling.refused(refused)
        raise typer.Exit(1)
    telling.progress.planned = telling.progress.total = len(todo)
    return todo
