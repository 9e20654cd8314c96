"""`derain video`."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from derain.cli.options import Device, MaxMemory, Precision, Quiet, Ray, Strength, Threads, Weights
from derain.cli.streaming import raw_frames, stream
from derain.cli.terminal import progress_bar, say, say_error, tell, tell_text
from derain.errors import PhotoError, UsageError
from derain.text import as_json

if TYPE_CHECKING:
    from derain.models.contract import Derainer


def video(
    source: Annotated[
        str,
        typer.Argument(help="A clip, GIF, folder of frames, frames/%05d.png, URL, /dev/video0, or - for stdin."),
    ],
    out: Annotated[
        Optional[str],
        typer.Option("-o", "--output", help="File, URL or - for stdout; default: clip.derained.mp4 beside it."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")] = False,
    weights: Weights = "derain",
    temporal: Annotated[
        str,
        typer.Option(help="on: use the neighbouring frames; causal: those before; off: none; auto: causal if live."),
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
    only_if_rainy: Annotated[
        bool, typer.Option("--only-if-rainy", help="Leave out a dry clip; pass on a stream's pictures while it is dry.")
    ] = False,
    rainy_from: Annotated[
        Optional[float],
        typer.Option(min=0, max=1, help="The score from which a frame counts as rainy, instead of 0.1."),
    ] = None,
    format: Annotated[
        Optional[str],
        typer.Option("-f", "--format", help="Container of a stream, such as mpegts or rawvideo."),
    ] = None,
    pixel_format: Annotated[
        Optional[str], typer.Option(help="Of raw frames in and out, such as rgb24 or yuv420p.")
    ] = None,
    size: Annotated[Optional[str], typer.Option(help="Of raw frames, such as 1280x720.")] = None,
    rate: Annotated[Optional[str], typer.Option(help="Of raw frames, a second; default: 25.")] = None,
    live: Annotated[
        Optional[bool],
        typer.Option("--live/--no-live", help="Drop frames of a stream rather than delay; default: if it is endless."),
    ] = None,
    reconnect: Annotated[
        Optional[float], typer.Option(min=0, help="Take a lost connection up again, for so many seconds.")
    ] = None,
    source_option: Annotated[
        Optional[list[str]], typer.Option(help="Option of FFmpeg for the source, such as rtsp_transport=tcp.")
    ] = None,
    output_option: Annotated[
        Optional[list[str]], typer.Option(help="Option of FFmpeg for the output, such as hls_time=2.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
    threads: Threads = None,
    ray: Ray = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Quiet = False,
) -> None:
    """Remove the rain from a clip or a stream.

    Frames keep their times; sound, subtitles, chapters and tags are copied. Give the same command again, and an
    interrupted run goes on where it was. A stream goes on until it ends or Ctrl-C ends it, and nothing is kept of it.
    """
    import torch

    from derain.rain.amount import threshold
    from derain.restoring.devices import choose_device
    from derain.video import VideoSettings, process
    from derain.video.naming import default_result
    from derain.video.streams import StreamSettings, is_stream
    from derain.video.streams.addresses import shown
    from derain.weights import load

    if compare and rain:
        raise UsageError("give one of --compare and --rain")
    options = pairs(encoder_option)
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
        rainy_from=threshold(True, rainy_from) if only_if_rainy or rainy_from is not None else None,
    )
    raw = raw_frames(pixel_format, size, rate)
    streaming = StreamSettings(live, reconnect, raw, format, pairs(source_option), pairs(output_option))
    is_streamed = is_stream(source) or (out is not None and is_stream(out)) or streaming != StreamSettings()
    if is_streamed and out is None:
        raise UsageError(f"{shown(source)}: is a stream; say with --output where it goes: a file, a URL or -")
    if is_streamed and ray is not None:
        raise UsageError(f"{shown(source)}: is a stream, which one machine does; leave out --ray")
    if threads:
        torch.set_num_threads(threads)
    chosen = choose_device("cpu" if ray is not None else device)

    def inform(sentence: str) -> None:
        if not quiet:
            say(sentence)

    def network() -> "Derainer":
        return load(weights, chosen)

    inform(f"weights {weights} on {chosen if ray is None else 'Ray'}")
    if is_streamed:
        return stream(source, str(out), network, (settings, streaming), overwrite, json, quiet)
    clip, result_path = Path(source), Path(out) if out else default_result(Path(source))
    with workers_of(ray, device, threads) as elsewhere, progress_bar(hidden=quiet) as bar:
        task = bar.add_task("frames", total=None)

        def report(done: int, total: int, seconds: float) -> None:
            bar.update(task, completed=done, total=total or None)
            bar.update(task, description=f"frames, {bar.tasks[task].speed or 0:.1f} a second")

        result = process(clip, result_path, network, settings, overwrite, report, inform, elsewhere)
    if json:
        told = {"input": source, "output": None if result.dry else str(result.path), "frames": result.frames}
        said = {"seconds": result.seconds, "failed": result.failed, "damage": result.damage}
        tell_text(as_json(told | {"dry": result.dry} | said))
    elif not result.dry:
        tell(str(result.path))
    if result.dry:
        return
    inform(f"{result.frames} frames in {result.seconds:.0f} s")
    if result.failed:
        inform(f"{len(result.failed)} frames failed and were passed through")
    for sentence in result.damage:
        say_error(PhotoError(sentence))
    if result.failed or result.damage:
        raise typer.Exit(1)


def pairs(given: list[str] | None) -> dict[str, str]:
    """Options that are given as key=value."""
    return dict(pair.partition("=")[::2] for pair in given or [])


def workers_of(ray: str | None, device: str, threads: int | None) -> AbstractContextManager[Any]:
    """What makes the segments of clips elsewhere, if it is asked for."""
    if ray is None:
        return nullcontext()
    from derain.cluster import workers

    return workers(ray, device, threads)
