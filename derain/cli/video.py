"""`derain video`."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from derain.cli.clips import Telling, becomes_frames, clips_of, inside, journal_of_clips, matched
from derain.cli.inputs import check_weights
from derain.cli.options import (
    Device,
    MaxMemory,
    Precision,
    Quiet,
    RainyFrom,
    Ray,
    Strength,
    Threads,
    Weights,
    to_file,
    use_threads,
)
from derain.cli.streaming import raw_frames, stream
from derain.cli.terminal import informer, progress_bar, say
from derain.errors import PhotoError, UsageError
from derain.files.sparing import refuse_replacing
from derain.text import listed

if TYPE_CHECKING:
    from derain.models.contract import Derainer


def video(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP",
            help="Clips, GIFs, folders of clips or of frames, frames/%05d.png; a URL, /dev/video0, or - for stdin.",
        ),
    ],
    out: Annotated[
        Optional[str],
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, URL or - for stdout; a folder, such as dry/; frames/%05d.png for the frames as pictures. "
            "Default: clip.derained.mp4 beside the clip.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that exists.")] = False,
    weights: Weights = "derain",
    temporal: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="on: use the neighbouring frames; causal: those before; off: none; auto: causal if live.",
        ),
    ] = "auto",
    strength: Strength = 1.0,
    compare: Annotated[bool, typer.Option("--compare", help="Write before and after side by side instead.")] = False,
    rain: Annotated[bool, typer.Option("--rain", help="Write the rain layer instead.")] = False,
    codec: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Encoder, such as libx264; default: the clip's own codec.")
    ] = None,
    crf: Annotated[Optional[int], typer.Option(metavar="N", help="Quality of the encoder, lower is better.")] = None,
    preset: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Speed of the encoder, such as fast or slow.")
    ] = None,
    encoder_option: Annotated[
        Optional[list[str]],
        typer.Option(metavar="KEY=VALUE", help="Another option of the encoder, such as tune=film; repeatable."),
    ] = None,
    start: Annotated[Optional[float], typer.Option(min=0, metavar="SECONDS", help="Begin at this second.")] = None,
    end: Annotated[Optional[float], typer.Option(min=0, metavar="SECONDS", help="End before this second.")] = None,
    fps_limit: Annotated[
        Optional[float], typer.Option(min=0.1, metavar="FPS", help="Keep at most this many frames a second.")
    ] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Leave out the sound.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Pass a frame that fails through unchanged, and report it.")
    ] = False,
    preview: Annotated[
        Optional[Path],
        typer.Option(metavar="FILE", parser=to_file, help="Write a before/after picture here every few seconds."),
    ] = None,
    hwaccel: Annotated[bool, typer.Option("--hwaccel", help="Decode on an NVIDIA GPU.")] = False,
    only_if_rainy: Annotated[
        bool, typer.Option("--only-if-rainy", help="Skip dry clips; pass a stream through unchanged while it is dry.")
    ] = False,
    rainy_from: RainyFrom = None,
    format: Annotated[
        Optional[str],
        typer.Option("-f", "--format", metavar="NAME", help="Container of a stream, such as mpegts or rawvideo."),
    ] = None,
    pixel_format: Annotated[
        Optional[str], typer.Option(metavar="NAME", help="Pixel format of raw frames, such as rgb24 or yuv420p.")
    ] = None,
    size: Annotated[Optional[str], typer.Option(metavar="WxH", help="Size of raw frames, such as 1280x720.")] = None,
    rate: Annotated[Optional[str], typer.Option(metavar="FPS", help="Frame rate of raw frames; default: 25.")] = None,
    live: Annotated[
        Optional[bool],
        typer.Option(
            "--live/--no-live", help="Drop frames of a stream rather than fall behind; default: if it is endless."
        ),
    ] = None,
    reconnect: Annotated[
        Optional[float],
        typer.Option(min=0, metavar="SECONDS", help="Try for this long to restore a lost connection."),
    ] = None,
    source_option: Annotated[
        Optional[list[str]],
        typer.Option(metavar="KEY=VALUE", help="FFmpeg option for the source, such as rtsp_transport=tcp."),
    ] = None,
    output_option: Annotated[
        Optional[list[str]],
        typer.Option(metavar="KEY=VALUE", help="FFmpeg option for the output, such as hls_time=2."),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    max_memory: MaxMemory = None,
    threads: Threads = None,
    ray: Ray = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per clip.")] = False,
    quiet: Quiet = False,
) -> None:
    """Remove the rain from clips or from a stream.

    Frames keep their times; sound, subtitles, chapters and tags are copied. To continue an interrupted run, give the
    same command again. A stream runs until it ends or you press Ctrl-C, and nothing of it is kept on disk.
    """
    from derain.cli.outputs import files_of
    from derain.rain.amount import threshold
    from derain.video.formats import choose_encoder
    from derain.video.holding import check_codec_of
    from derain.video.naming import check_names, check_preview, default_result, refuse_unfit
    from derain.video.settings import VideoSettings
    from derain.video.streams import StreamSettings, is_stream
    from derain.video.streams.addresses import PIPE, shown
    from derain.video.streams.checking import check as check_stream

    if compare and rain:
        raise UsageError("choose either --compare or --rain")
    if json and out == PIPE:
        raise UsageError("--json: the pictures go to stdout; leave --json out")
    settings = VideoSettings(
        temporal=temporal,
        strength=strength,
        layer="compare" if compare else "rain" if rain else "background",
        codec=codec,
        crf=crf,
        preset=preset,
        options=pairs(encoder_option),
        start=start,
        end=end,
        fps_limit=fps_limit,
        audio=not no_audio,
        keep_going=keep_going,
        precision=precision,
        hwaccel=hwaccel,
        max_memory=max_memory,
        preview=preview,
        rainy_from=threshold(True, rainy_from) if only_if_rainy or rainy_from is not None else None,
    )
    raw = raw_frames(pixel_format, size, rate)
    streaming = StreamSettings(live, reconnect, raw, format, pairs(source_option), pairs(output_option))
    sources = matched(sources)
    if len(sources) == 1 and out is not None:
        out = inside(out, sources[0])
    clips = [] if len(sources) == 1 and not Path(sources[0]).is_dir() else clips_of(sources, out)
    source = sources[0]
    if len(sources) > 1 and (streams := [one for one in sources if is_stream(one)]):
        raise UsageError(f"{shown(streams[0])}: is a stream; give it alone")
    if clips and streaming != StreamSettings():
        named: dict[str, Any] = {
            "--live": live,
            "--reconnect": reconnect,
            "--format": format,
            "--pixel-format": pixel_format,
            "--source-option": source_option,
            "--output-option": output_option,
        }
        unfit = listed(option for option, value in named.items() if value not in (None, []))
        raise UsageError(f"{unfit}: for one stream or clip, not for several; leave it out")
    is_streamed = is_stream(source) or (out is not None and is_stream(out)) or streaming != StreamSettings()
    if is_streamed and out is None:
        raise UsageError(f"{shown(source)}: is a stream; use --output to say where it goes: a file, a URL or -")
    if is_streamed and ray is not None:
        raise UsageError(f"{shown(source)}: is a stream, which --ray does not support; leave it out")
    inform = informer(quiet)
    telling = Telling(json, inform, time.monotonic())
    if clips:
        telling.refuse_if_all_are_missing([clip for clip, _ in clips])
    elif is_streamed:
        check_stream(source, str(out), settings, streaming, overwrite)
    else:
        check_names(Path(source), Path(out) if out else None, overwrite)
        refuse_unfit(Path(source), Path(out) if out else None, settings.rainy_from, ray is not None)
        if out and becomes_frames(source, out):
            inform(f"{out}: gets the frames as pictures; to put the clip into a folder, end its name with a slash")
    if preview:
        check_preview(preview, [clip for clip, _ in clips] or [Path(source)], files_of([weights]))
    check_weights(weights)
    if codec and not is_streamed:
        ending = Path(out or source).suffix.lower()
        choose_encoder("", ending, codec)
        check_codec_of(codec, out or source, ending)
    from derain.files.writing import make_folder
    from derain.restoring.devices import choose_device  # with torch, which takes seconds
    from derain.video import process
    from derain.weights import load, locate

    use_threads(threads)
    chosen = choose_device("cpu" if ray is not None else device)

    @cache
    def network() -> "Derainer":
        return load(weights, chosen)

    if weights.startswith("hf:"):
        locate(weights)  # fetched before anything is said of them
    inform(f"weights {weights} on {chosen if ray is None else 'Ray'}")
    if is_streamed:
        return stream(source, str(out), network, (settings, streaming), overwrite, json, quiet)
    if clips:
        if out is not None:
            make_folder(Path(out))
        telling.know([clip for clip, _ in clips])
        telling.journal = journal_of_clips([clip for clip, _ in clips], out, settings, weights, overwrite)
    todo: list[tuple[Path, Path | None]] = clips or [(Path(source), Path(out) if out else None)]
    with workers_of(ray, device, threads, inform) as elsewhere, progress_bar(hidden=quiet) as bar:
        task = bar.add_task("frames", total=None, doing="loading the network")
        for clip, given in todo:
            name = f"{clip.name}: " if clips else ""

            def report(done: int, total: int, seconds: float, name: str = name) -> None:
                pace = f"{name}frames, {bar.tasks[task].speed or 0:.1f} a second"
                bar.update(task, completed=done, total=total or None, description=pace, doing="encoding and joining")

            if telling.leaves_out(clip):
                continue
            try:
                place = telling.place_for(clip, given) if clips else given or default_result(clip)
                refuse_replacing(place, {"weights": files_of([weights])})
                if clips and os.path.lexists(place) and not overwrite:
                    telling.skipped(clip, place)
                    continue
                if telling.is_done(clip, place):
                    telling.done_before(clip)
                    continue
                found = process(clip, place, network, settings, overwrite, report, inform, elsewhere)
                telling.done(clip, found, elsewhere.names_of_nodes() if elsewhere else None)
            except (PhotoError, UsageError) as error:
                if not clips:
                    raise
                telling.failed(clip, error)
            except KeyboardInterrupt:
                say(f"interrupted; to continue: {shlex.join(['derain', *sys.argv[1:]])}")
                raise typer.Exit(130) from None
    telling.finish(len(todo))


def pairs(given: list[str] | None) -> dict[str, str]:
    """Options that are given as key=value.

    Raises:
        UsageError: one is not.
    """
    if wrong := [option for option in given or [] if option.find("=") < 1]:
        raise UsageError(f"{wrong[0]}: is no option with a value; give it as key=value")
    return dict(pair.partition("=")[::2] for pair in given or [])


def workers_of(
    ray: str | None, device: str, threads: int | None, inform: Callable[[str], None]
) -> AbstractContextManager[Any]:
    """What makes the segments of clips elsewhere, if it is asked for."""
    if ray is None:
        return nullcontext()
    from derain.cluster import workers

    return workers(ray, device, threads, inform)
