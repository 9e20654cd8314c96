"""Whether a stream can be derained as it is asked for: told without torch, which takes seconds to load."""

from pathlib import Path

from derain.errors import UsageError
from derain.files.places import ADDRESS
from derain.files.writing import hindrance
from derain.video.formats import ENCODERS, choose_encoder
from derain.video.holding import check_codec
from derain.video.naming import check_result, is_clip, refuse_existing
from derain.video.settings import VideoSettings
from derain.video.streams.addresses import (
    PIPE,
    StreamSettings,
    check_port,
    container_of,
    ending_of,
    is_stream,
    shown_output,
    without_password,
)
from derain.video.streams.known_options import unknown_to_ffmpeg

RAW = "rawvideo"  # FFmpeg's name of frames without a container, and of their encoder
TOLD_BY_RAW = {"format", "pixel_format", "video_size", "framerate"}  # source options


def check(source: str, out: str, settings: VideoSettings, streaming: StreamSettings, overwrite: bool) -> None:
    """
    Raises:
        UsageError: what cannot be, before anything is opened.
        PhotoError: the result cannot be written where it is to be.
    """
    if settings.start is not None:
        raise UsageError("`start`: a stream begins when it is opened; leave it out, and count `end` from there")
    if settings.hwaccel:
        raise UsageError("`hwaccel`: streams are decoded on the CPU; leave it out")
    if settings.codec and settings.codec != RAW and settings.codec not in ENCODERS:
        choose_encoder("", ".ts", settings.codec)
    form = container_of(out, streaming)
    if form == RAW and settings.codec not in (None, RAW):
        instead = "leave it out, or give another container as `format`"
        raise UsageError(f"{shown_output(out)}: {RAW} has no `codec` {settings.codec}; {instead}")
    check_codec(settings.codec, form, ending_of(form), shown_output(out), "another container as `format`")
    if streaming.raw and (twice := TOLD_BY_RAW & streaming.source_options.keys()):
        says = "is told by what raw frames are like"
        raise UsageError(f"{without_password(source)}: the source option {min(twice)} {says}; leave one of the two out")
    if streaming.raw and not is_stream(source) and is_clip(source):
        raise UsageError(f"{source}: is by its name no file of raw frames; leave out their pixel format, size and rate")
    if not is_stream(source) and streaming.live:
        raise UsageError(f"{source}: is a file and cannot be `live`")
    if streaming.reconnect is not None and not ADDRESS.match(source):
        raise UsageError(f"{without_password(source)}: cannot be reconnected; leave out `reconnect`")
    check_port(source, without_password(source))
    check_port(out, shown_output(out))
    if unknown := unknown_to_ffmpeg(streaming.source_options.keys() - {"format"}):
        raise UsageError(
            f"{without_password(source)}: FFmpeg knows no source option {unknown[0]}; correct it or leave it out"
        )
    if out == PIPE or ADDRESS.match(out):
        if overwrite:
            raise UsageError(f"`overwrite`: {shown_output(out)} is no file that could be replaced; leave it out")
        return
    path = Path(out)
    check_result(path)
    refuse_existing(Path(source), path, overwrite)
    if error := hindrance(path, "write elsewhere with `out`"):
        raise error
