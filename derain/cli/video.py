"""`derain video`."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from derain.cli.clips import Telling, begin_several, derain_clips
from derain.cli.inputs import check_weights
from derain.cli.options import (
    Computing,
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
from derain.cli.streaming import is_streamed, raw_frames, stream
from derain.cli.terminal import informer
from derain.cli.which_clips import becomes_frames, clips_of, folders_left_out, inside, matched, photos_left_out
from derain.errors import UsageError

if TYPE_CHECKING:
    from derain.models.contract import Derainer
    from derain.video import VideoSettings


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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a result that exists instead of skipping the clip.")
    ] = False,
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
    from derain.video.naming import check_preview
    from derain.video.settings import VideoSettings
    from derain.video.streams import StreamSettings
    from derain.video.streams.addresses import PIPE
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
    sources = matched(sources)
    raw = raw_frames(sources[0], pixel_format, size, rate)
    streaming = StreamSettings(live, reconnect, raw, format, pairs(source_option), pairs(output_option))
    if len(sources) == 1 and out is not None:
        out = inside(out, sources[0])
    several = [] if len(sources) == 1 and not Path(sources[0]).is_dir() else clips_of(sources, out)
    todo = several or [(Path(sources[0]), Path(out) if out else None)]
    streamed = is_streamed(sources, out, bool(several), streaming, ray)
    telling = Telling(json, informer(quiet), time.monotonic())
    if several:
        for sentence in [*photos_left_out(sources), *folders_left_out(sources, out)]:
            telling.inform(sentence)
        telling.refuse_if_all_are_missing([clip for clip, _ in several])
    elif streamed:
        check_stream(sources[0], str(out), settings, streaming, overwrite)
    else:
        _check_clip(sources[0], out, settings, ray, telling.inform)
    if preview:
        check_preview(preview, [clip for clip, _ in todo], files_of([weights]))
    check_weights(weights)
    if codec and not streamed:
        _check_codec(codec, out or sources[0])
    computing = Computing(weights, device, threads, ray)
    network = _network(computing, telling.inform)
    if streamed:
        return stream(sources[0], str(out), network, (settings, streaming), overwrite, json, quiet)
    if several:
        begin_several(several, out, settings, weights, overwrite, telling)
    derain_clips(todo, bool(several), network, settings, overwrite, computing, telling, quiet)


def _check_clip(
    source: str,
    out: str | None,
    settings: "VideoSettings",
    ray: str | None,
    inform: Callable[[str], None],
) -> None:
    """
    Raises:
        PhotoError: the clip is missing, or the result cannot be written.
        UsageError: what cannot be, before the clip is opened.
    """
    from derain.video.naming import check_names, refuse_unfit

    clip, place = Path(source), Path(out) if out else None
    check_names(clip, place, overwrite=True)  # what is there is skipped later, once all else was checked
    refuse_unfit(clip, place, settings, ray is not None)
    if out and becomes_frames(source, out):
        inform(f"{out}: gets the frames as pictures; to put the clip into a folder, end its name with a slash")


def _check_codec(codec: str, out: str) -> None:
    """
    Raises:
        UsageError: no encoder has this name, or the container of the result cannot hold what it gives.
    """
    from derain.video.formats import choose_encoder
    from derain.video.holding import check_codec_of

    ending = Path(out).suffix.lower()
    choose_encoder("", ending, codec)
    check_codec_of(codec, out, ending)


def _network(computing: Computing, inform: Callable[[str], None]) -> "Callable[[], Derainer]":
    """What loads the network, once. It needs torch, which takes seconds: what is wrong is told before.

    Raises:
        UsageError: there is no such device.
        WeightsError: the weights cannot be fetched.
    """
    from derain.restoring.devices import choose_device
    from derain.weights import load, locate

    weights = computing.weights
    use_threads(computing.threads)
    chosen = choose_device(computing.device if computing.ray is None else "cpu")
    if weights.startswith("hf:"):
        locate(weights)  # fetched before anything is said of them
    inform(f"weights {weights} on {chosen if computing.ray is None else 'Ray'}")
    return cache(lambda: load(weights, chosen))


def pairs(given: list[str] | None) -> dict[str, str]:
    """Options that are given as key=value.

    Raises:
        UsageError: one is not.
    """
    if wrong := [option for option in given or [] if option.find("=") < 1]:
        raise UsageError(f"{wrong[0]}: is no option with a value; give it as key=value")
    return dict(pair.partition("=")[::2] for pair in given or [])
