"""The command line: parses, calls the Python API, prints. torch is imported only by commands that compute."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

import derain
from derain.cli.quiet import quiet_libraries
from derain.cli.terminal import fill_descriptors, open_streams, say, say_error, talk, tell, tell_text
from derain.errors import DerainError, PhotoError, UsageError
from derain.files.writing import is_too_long
from derain.text import as_json, printable


class Commands(TyperGroup):
    """The commands; Ctrl-C ends each of them with a word, and wrong usage is told without terminal escapes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except Exception as error:
            if isinstance(said := getattr(error, "message", None), str):  # Typer's own, of wrong usage
                error.message = printable(said, kept="\n")  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Remove rain from photos and videos, with a network that learned from unpaired photos.",
    epilog="Exit codes: 0 all done, 1 some photo failed, 2 wrong usage, 130 interrupted.",
)

Weights = Annotated[str, typer.Option(help="Bundled name, file, or hf:OWNER/REPO@REVISION/FILE.")]
Strength = Annotated[float, typer.Option(min=0, max=1, help="Share of the rain to take away.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Threads = Annotated[Optional[int], typer.Option(min=1, help="CPU threads for the network; default: all.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]


def main() -> None:
    """Entry point: errors that a user can cause end in one sentence and an exit code."""
    fill_descriptors()
    quiet_libraries()
    results, code = open_streams(), 0
    try:
        app()
    except DerainError as error:
        say_error(error)
        code = error.exit_code
    except OSError as error:
        if not is_too_long(error):
            raise
        say_error(UsageError(f"{error.filename}: is too long a name for this file system"))
        code = UsageError.exit_code
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    sys.stdout.flush()
    sys.exit(code or int(results.said))


def show_version(wanted: bool) -> None:
    if wanted:
        tell(f"derain {derain.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def run(
    inputs: Annotated[
        Optional[list[str]],
        typer.Argument(
            help="Photos, folders, patterns like 'trip/*.jpg', or - for stdin to stdout.", show_default=False
        ),
    ] = None,
    files_from: Annotated[
        Optional[Path], typer.Option(help="Take further photos from this file, one a line; - for stdin.")
    ] = None,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders with all that is in them.")] = False,
    output: Annotated[
        Optional[Path],
        typer.Option("-o", "--output", help="File or folder for the results; default: photo.derained.jpg beside it."),
    ] = None,
    suffix: Annotated[str, typer.Option(help="What results are called beside their photo.")] = ".derained",
    format: Annotated[
        Optional[str], typer.Option(help="jpg, png, webp, tiff, avif or bmp; default: the photo's.")
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the photos themselves.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist, instead of skipping.")
    ] = False,
    weights: Weights = "derain",
    strength: Strength = 1.0,
    rain: Annotated[bool, typer.Option("--rain", help="Write the rain layer too, as photo.rain.png.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Write before and after too, as photo.compare.png.")
    ] = False,
    quality: Annotated[
        Optional[int], typer.Option(min=1, max=100, help="Of lossy formats; default: the photo's own tables, else 95.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Annotated[str, typer.Option(help="auto (by the free memory), none, or the tiles' side in px.")] = "auto",
    max_megapixels: Annotated[float, typer.Option(min=0, help="Refuse photos that are larger.")] = 500.0,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a photo.")] = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say something of each photo.")] = False,
) -> None:
    """Remove the rain from photos.

    Results stand beside their photo as photo.derained.jpg, or where -o says. The photos themselves are never changed,
    unless --in-place says so. A photo without rain comes out as the very file that it was.
    """
    import torch

    from derain import batch
    from derain.restoring.devices import check_precision, choose_device
    from derain.weights import load

    check_precision(precision)
    if tile not in ("auto", "none") and not tile.isdecimal():
        raise UsageError(f"--tile {tile}: give auto, none, or a side in px")
    side = None if tile == "auto" else 0 if tile == "none" else max(int(tile), 64)
    treatment = batch.Treatment(side, precision, strength, quality, max_megapixels, overwrite)
    if threads:
        torch.set_num_threads(threads)
    if inputs == ["-"]:
        if output or files_from or in_place or rain or compare or json:
            raise UsageError(
                "-: the photo goes to stdout, by itself; leave out --output and whatever else writes files"
            )
        for note in batch.through_pipe(load(weights, choose_device(device)), treatment, format):
            talk.print(f"stdin: {note}", markup=False)
        return
    named = [*(inputs or []), *(batch.read_list(files_from) if files_from else [])]
    left = dict[Path, str]()
    jobs = batch.plan(named, batch.Target(output, suffix, format, in_place, rain, compare), recursive, left.__setitem__)
    todo = jobs if overwrite or in_place else batch.pending(jobs)
    if left and not quiet:
        first, why = next(iter(left.items()))
        say(f"{len(left)} left out: {first} is {why}; name it by itself to derain it")
    if len(todo) < len(jobs) and not quiet:
        say(f"{len(jobs) - len(todo)} skipped: their results exist (--overwrite replaces them)")
    for path, why in left.items() if json else ():
        tell_text(batch.skipped_as_json(path, why))
    wanted = set(todo)
    for job in jobs if json else ():
        if job not in wanted:
            tell_text(batch.skipped_as_json(job.source, "its results exist", job.background))
    if not todo:
        return
    chosen = choose_device(device)
    if not quiet:
        say(f"weights {weights} on {chosen}")
    outcomes = []
    with progress_bar(hidden=quiet) as bar:
        task = bar.add_task("photos", total=len(todo))
        for outcome in batch.run(todo, load(weights, chosen), treatment):
            outcomes.append(outcome)
            if outcome.error:
                say_error(outcome.error)
            for note in () if quiet else outcome.notes:
                say(f"{outcome.job.source}: {note}")
            if not outcome.error and (verbose or (outcome.untouched and not quiet)):
                say(f"{outcome.job.source}: {batch.describe(outcome)}")
            if json:
                tell_text(batch.as_json(outcome))
            elif not outcome.error:
                tell(str(outcome.job.background))
            bar.update(task, advance=1, description=f"photos, {batch.pace(outcomes)}")
    if not quiet:
        say(batch.summary(outcomes))
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def video(
    source: Annotated[Path, typer.Argument(help="A clip, a GIF, a folder of frames, or frames/%05d.png.")],
    output: Annotated[
        Optional[Path], typer.Option("-o", "--output", help="The result; default: clip.derained.mp4 beside it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")] = False,
    weights: Weights = "derain",
    temporal: Annotated[
        str, typer.Option(help="on or auto: use the neighbouring frames; off: each frame by itself.")
    ] = "auto",
    strength: Strength = 1.0,
    compare: Annotated[bool, typer.Option("--compare", help="Before and after side by side instead.")] = False,
    rain: Annotated[bool, typer.Option("--rain", help="The rain layer instead.")] = False,
    codec: Annotated[
        Optional[str], typer.Option(help="Encoder, such as libx264; default: the clip's own codec.")
    ] = None,
    crf: Annotated[Optional[int], typer.Option(help="Quality of the encoder, lower is better.")] = None,
    preset: Annotated[Optional[str], typer.Option(help="Speed of the encoder, such as fast or slow.")] = None,
    encoder_option: Annotated[
        Optional[list[str]], typer.Option(help="Further option of the encoder as key=value, several times if you like.")
    ] = None,
    start: Annotated[Optional[float], typer.Option(min=0, help="Begin at this second.")] = None,
    end: Annotated[Optional[float], typer.Option(min=0, help="End before this second.")] = None,
    fps_limit: Annotated[
        Optional[float], typer.Option(min=0.1, help="Leave out frames beyond so many a second.")
    ] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave out the sound.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Pass a frame that fails through, and say so.")
    ] = False,
    preview: Annotated[
        Optional[Path], typer.Option(help="Write a picture of before and after here now and then.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Remove the rain from a clip.

    Frames keep their times; sound, subtitles, chapters and tags are copied. Give the same command again, and an
    interrupted run goes on where it was.
    """
    import torch

    from derain.restoring.devices import choose_device
    from derain.video import VideoSettings, process
    from derain.video.naming import default_result
    from derain.weights import load

    if compare and rain:
        raise UsageError("give one of --compare and --rain")
    options = dict(pair.partition("=")[::2] for pair in encoder_option or [])
    settings = VideoSettings(
        temporal=temporal,
        strength=strength,
        layer="compare" if compare else "rain" if rain else "background",
        codec=codec,
        crf=crf,
        preset=preset,
        options=options,
        start=start,
        end=end,
        fps_limit=fps_limit,
        audio=not no_audio,
        keep_going=keep_going,
        precision=precision,
    )
    out = output or default_result(source)
    if threads:
        torch.set_num_threads(threads)
    chosen = choose_device(device)

    def inform(sentence: str) -> None:
        if not quiet:
            say(sentence)

    inform(f"weights {weights} on {chosen}")
    with progress_bar(hidden=quiet) as bar:
        task = bar.add_task("frames", total=None)

        def report(done: int, total: int, seconds: float) -> None:
            bar.update(task, completed=done, total=total or None)
            bar.update(task, description=f"frames, {bar.tasks[task].speed or 0:.1f} a second")

        result = process(
            source, out, None, settings, overwrite, preview, report, inform, weights=lambda: load(weights, chosen)
        )
    tell(str(result.path))
    inform(f"{result.frames} frames in {result.seconds:.0f} s")
    if result.failed:
        inform(f"{len(result.failed)} frames failed and were passed through")
    for sentence in result.damage:
        say_error(PhotoError(sentence))
    if result.failed or result.damage:
        raise typer.Exit(1)


@app.command()
def train(
    rainy: Annotated[Path, typer.Option(help="Folder of rainy photos.", show_default=False)],
    clean: Annotated[Path, typer.Option(help="Folder of unrelated photos without rain.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log, previews and weights.", show_default=False)],
    preset: Annotated[Optional[str], typer.Option(help="derain (default) or nlcl.")] = None,
    start: Annotated[Optional[str], typer.Option(help="Go on from these weights, a name or a file.")] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Stop after this many steps.")] = None,
    minutes: Annotated[
        Optional[float], typer.Option(min=0.01, help="Stop after this long; steps then only limits.")
    ] = None,
    batch: Annotated[Optional[int], typer.Option(min=1, help="Crops a step.")] = None,
    crop: Annotated[Optional[int], typer.Option(help="Side of a crop in px, a multiple of 16.")] = None,
    lr: Annotated[Optional[float], typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[Optional[int], typer.Option(min=0, help="The same seed gives the same run on a CPU.")] = None,
    device: Annotated[Optional[str], typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    config: Annotated[Optional[Path], typer.Option(help="TOML file of settings; options override it.")] = None,
) -> None:
    """Train on unpaired photos: rainy ones, and unrelated ones without rain.

    Prints the path of the self-describing weights, which `derain run --weights` takes.
    """
    began = time.monotonic()
    from derain.training.clock import Clock
    from derain.training.config import load_config
    from derain.training.loop import train as run_training

    given = {"preset": preset, "start": start, "steps": steps, "minutes": minutes, "batch": batch, "crop": crop}
    settings = load_config(config, **given, lr=lr, seed=seed, device=device)
    with training_bar() as (report, watch):
        clock = Clock(settings.minutes, began, watch)
        result = run_training(settings, rainy, clean, out, resume, report, say, clock=clock)
    tell(str(result))


@app.command()
def finetune(
    photos: Annotated[Path, typer.Argument(help="Folder of rainy photos or clips of one camera.", show_default=False)],
    output: Annotated[
        Optional[Path], typer.Option("-o", "--output", help="The weights; default: the folder's name.safetensors.")
    ] = None,
    clean: Annotated[
        Optional[Path], typer.Option(help="Folder of photos without rain, instead of the bundled ones.")
    ] = None,
    minutes: Annotated[
        Optional[float],
        typer.Option(min=0.01, help="Of the whole run; default: 15 on a CPU, 3 on a GPU. Less if nothing improves."),
    ] = None,
    steps: Annotated[Optional[int], typer.Option(min=1, help="Train so many steps, instead of minutes.")] = None,
    change: Annotated[str, typer.Option("--strength-of-change", help="low, medium or high.")] = "medium",
    start: Annotated[str, typer.Option(help="Weights to begin with, a name or a file.")] = "derain",
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier run.")] = False,
    push: Annotated[
        Optional[str],
        typer.Option(help="Upload weights, if they are better, and a model card to OWNER/REPO on the Hub."),
    ] = None,
) -> None:
    """Adapt the network to your own camera, from rainy photos alone.

    A part of the photos is held out and judges; if nothing gets better, the starting weights are handed back. Beside
    the weights stands a folder with previews and a summary. Ctrl-C keeps the best so far.
    """
    began = time.monotonic()
    from derain.finetuning.best import described
    from derain.finetuning.finetune import finetune as run_finetuning
    from derain.weights.publish import check_repo
    from derain.weights.publish import push as upload

    if push:
        check_repo(push)
    weights = output or Path(f"{photos.resolve().name}.safetensors")

    with training_bar() as (report, watch):
        found = run_finetuning(
            photos,
            weights,
            clean,
            minutes=minutes,
            steps=steps,
            change=change,
            start=start,
            device=device,
            resume=resume,
            overwrite=overwrite,
            report=report,
            say=say,
            watch=watch,
            began=began,
        )
    if found.judged:
        say(described(found.before, found.after))
    verdict = "better" if found.better else "no better" if found.judged else "not judged"
    say(f"{verdict}; before and after: {found.summary}")
    tell(str(found.weights))
    if push and found.better and not found.interrupted:
        say(f"uploaded to {upload(push, found.weights)}")
    elif push:
        say("not uploaded: the run was interrupted" if found.interrupted else "not uploaded: it is no better")
    if found.interrupted:
        say("interrupted: the best so far is kept; --resume goes on")
        raise typer.Exit(130)


@app.command("eval")
def evaluate(
    rainy: Annotated[Optional[Path], typer.Option(help="Rainy photos: a folder, a photo or a clip.")] = None,
    clean: Annotated[Optional[Path], typer.Option(help="Their truths; without them: scores that need none.")] = None,
    weights: Annotated[
        Optional[list[str]], typer.Option(help="Weights to score, several times if you like; none for none.")
    ] = None,
    restored: Annotated[
        Optional[list[str]], typer.Option(help="Results of another tool: DIR or NAME=DIR, several times if you like.")
    ] = None,
    report: Annotated[Optional[Path], typer.Option(help="Write the report to this HTML file.")] = None,
    json: Annotated[Optional[Path], typer.Option(help="Write everything to this JSON file; - for stdout.")] = None,
    csv: Annotated[Optional[Path], typer.Option(help="Write each picture's scores to this file; - for stdout.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier evaluation.")] = False,
    frames: Annotated[Optional[int], typer.Option(min=1, help="Take only so many frames of a clip.")] = None,
    self_test: Annotated[bool, typer.Option("--self-test", help="Score pairs that derain renders itself.")] = False,
    benchmark: Annotated[bool, typer.Option("--benchmark", help="Measure speed and memory instead.")] = False,
    device: Device = "auto",
    workers: Annotated[Optional[int], typer.Option(min=1, help="Threads for the metrics; default: all cores.")] = None,
) -> None:
    """Score the removal of rain: PSNR, SSIM and more, with intervals, beside the input's own score.

    With --clean, pictures are matched by name. Several --weights and --restored are compared in one table.
    """
    from derain.evaluation import evaluate as evaluation
    from derain.evaluation import results
    from derain.evaluation.report import Gallery, as_html
    from derain.evaluation.samples import open_samples
    from derain.evaluation.self_test import rendered_samples
    from derain.restoring.devices import choose_device
    from derain.weights import load

    if sum((rainy is not None, self_test, benchmark)) != 1:
        raise UsageError("give one of --rainy, --self-test and --benchmark")
    ours, theirs = results.method_names([w for w in weights or ["derain"] if w != "none"], restored or [])
    if benchmark and (report or csv):
        raise UsageError("--benchmark writes --json; leave out --report and --csv")
    results.refuse_existing([path for path in (report, json, csv) if path], overwrite)
    chosen = choose_device(device)
    if benchmark:
        from derain.evaluation.benchmark import benchmark as measure

        speeds = measure(list(ours.values()), chosen, report=lambda line: say(line, "dim"))
        talk.print(results.speed_table(speeds))
        if json:
            results.write(json, results.speeds_as_json(speeds))
        return
    given = open_samples(rainy, clean, theirs, frames) if rainy else rendered_samples()
    for left in given.left_out:
        say(left)
    models = {name: load(file, chosen) for name, file in ours.items()}
    gallery = Gallery()
    with progress_bar() as bar:
        task = bar.add_task("pictures", total=given.total)

        def watch(*seen: Any) -> None:
            gallery.watch(*seen)
            bar.advance(task)

        found = evaluation.evaluate(given, models, workers, watch)
    talk.print(results.table(found))
    for problem in found.problems:
        say(f"not scored: {problem}", "yellow")
    if json:
        results.write(json, results.as_json(found))
    if csv:
        results.write(csv, results.as_csv(found))
    if report:
        title = "/".join(rainy.resolve().parts[-2:]) if rainy else "Self-test"
        results.write(report, as_html(found, gallery, title, results.roles(rainy, clean, ours, theirs)))
    if found.problems:
        say(f"{len(found.problems)} problems, {len(found.rows)} pictures scored")
        raise typer.Exit(1)


@app.command()
def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False) -> None:
    """What derain finds on this machine, as a table to paste into a bug report."""
    from derain.doctor import examine

    with talk.status("looking around"):
        found = dict(examine())
    if json:
        tell_text(as_json(found))
        return
    tell("| what | found |")
    tell("| --- | --- |")
    for what, finding in found.items():
        tell(f"| {what} | {finding} |")


models = typer.Typer(no_args_is_help=True, help="Weights: what there is, where it is, whether it is whole.")
app.add_typer(models, name="models")
WeightsArgument = Annotated[str, typer.Argument(help="Bundled name, file, or hf:OWNER/REPO@REVISION/FILE.")]


@models.command("list")
def list_models() -> None:
    """Names of the bundled weights."""
    from derain.weights import bundled_weights

    for name, path in bundled_weights().items():
        tell(f"{name}\t{path.stat().st_size / 1e6:.1f} MB\t{path}")


@models.command()
def download(weights: WeightsArgument) -> None:
    """Fetch weights from the Hub into its cache and print where they are."""
    from derain.weights import locate

    tell(str(locate(weights)))


@models.command()
def path(weights: WeightsArgument = "derain") -> None:
    """Print where weights are, fetched first if they are on the Hub and not here."""
    from derain.weights import locate

    tell(str(locate(weights)))


@models.command()
def info(weights: WeightsArgument = "derain") -> None:
    """What weights say of themselves, as JSON."""
    from derain.weights import about

    tell_text(as_json(about(weights), indent=1))


@models.command()
def verify(weights: WeightsArgument = "derain") -> None:
    """Check digest and content."""
    from derain.weights import verify

    tell(f"{verify(weights)}  {weights}: whole")


@contextmanager
def training_bar() -> Iterator[tuple[Callable[[int, float, dict[str, float]], None], Callable[[str, float], None]]]:
    """Live losses, stages and time left; without a terminal a line of losses now and then."""
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=talk, redirect_stdout=False, disable=not talk.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)

        def report(step: int, progress: float, losses: dict[str, float]) -> None:
            values = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
            if talk.is_terminal:
                bar.update(task, completed=progress, description=f"step {step} {values}")
            else:
                say(f"step {step} {values}")

        def watch(stage: str, progress: float) -> None:
            bar.update(task, completed=progress, description=stage)

        yield report, watch


def progress_bar(hidden: bool = False) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=talk, redirect_stdout=False, disable=hidden or not talk.is_terminal)
