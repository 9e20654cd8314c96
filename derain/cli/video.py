"""`derain video`."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from derain.cli.options import Device, MaxMemory, Precision, Quiet, Strength, Threads, Weights
from derain.cli.terminal import progress_bar, say, say_error, tell
from derain.errors import PhotoError, UsageError


def video(
    source: Annotated[Path, typer.Argument(help="A clip, a GIF, a folder of frames, or frames/%05d.png.")],
    out: Annotated[
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
    fps_limit: Annotated[Optional[float], typer.Option(min=0.1, help="Keep at most this many frames a second.")] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave out the sound.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Pass a frame that fails through, and say so.")
    ] = False,
    preview: Annotated[
        Optional[Path], typer.Option(help="Write a picture of before and after here now and then.")
    ] = None,
    hwaccel: Annotated[bool, typer.Option("--hwaccel", help="Decode on an NVIDIA GPU.")] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
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
        hwaccel=hwaccel,
        max_memory=max_memory and max_memory * 1e9,
        preview=preview,
    )
    out = out or default_result(source)
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

        result = process(source, out, lambda: load(weights, chosen), settings, overwrite, report, inform)
    tell(str(result.path))
    inform(f"{result.frames} frames in {result.seconds:.0f} s")
    if result.failed:
        inform(f"{len(result.failed)} frames failed and were passed through")
    for sentence in result.damage:
        say_error(PhotoError(sentence))
    if result.failed or result.damage:
        raise typer.Exit(1)
