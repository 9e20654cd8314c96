"""Which codecs a container holds, by trial; looked at without torch, which takes seconds to load."""

import io

import av

from derain.errors import UsageError
from derain.video.formats import ENCODERS, HELD, choose_pixel_format
from derain.video.naming import FORMATS

SIDE = 64  # px of the pictures that a codec and a container are tried with
TRIED_FIRST = ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "prores_ks", "ffv1")  # small files before large ones
ENDINGS_TOLD = (".mp4", ".mkv", ".mov")
QUIET = {"libx265": {"x265-params": "log-level=error"}}
ANY_CONTAINER = ("rawvideo", "rtsp", "rtp_mpegts", "hls", "dash", "segment")  # which a trial tells nothing of
UNREADABLE = {("mov", "rawvideo")}  # which FFmpeg writes of few pixel formats, and of others what nobody can read


def holds_codec(form: str, codec: str) -> bool:
    """Whether a container, by FFmpeg's name, takes what an encoder gives.

    What cannot be tried here, such as an encoder that does not open, counts as held.
    """
    if (form, codec) in UNREADABLE:
        return False
    try:
        trial = av.open(io.BytesIO(), "w", format=form)
    except (av.FFmpegError, OSError, ValueError):
        return True
    try:
        with trial:
            _begin(trial, codec)
    except (av.FFmpegError, OSError, ValueError):
        return False
    return True


def _begin(trial: av.container.OutputContainer, codec: str) -> None:
    stream = trial.add_stream(codec, rate=25)
    if not isinstance(stream, av.VideoStream):
        return
    stream.width = stream.height = SIDE
    stream.pix_fmt = choose_pixel_format(codec, "yuv420p", (SIDE, SIDE))
    stream.options = dict(QUIET.get(codec, {}))
    try:
        stream.codec_context.open()
    except (av.FFmpegError, OSError, ValueError):
        return
    trial.start_encoding()


def check_codec(codec: str | None, form: str, ending: str, named: str, instead: str) -> None:
    """
    Args:
        codec: as the user named it.
        form: FFmpeg's name of the container.
        ending: that of files of the container.
        named: what messages call the result.
        instead: what may be given to have another container.

    Raises:
        UsageError: the container does not hold what the codec gives.
    """
    if codec is None or form in ANY_CONTAINER or holds_codec(form, ENCODERS.get(codec, codec)):
        return
    others = [name for name in TRIED_FIRST if ending in HELD[name]][:3]
    choose = f"choose {' or '.join(others)}, or " * bool(others)
    raise UsageError(f"{named}: {form} cannot hold `codec` {codec}; {choose}give {instead}")


def check_codec_of(codec: str | None, named: str, ending: str) -> None:
    """
    Args:
        codec: as the user named it.
        named: what messages call the result.
        ending: the result's; one that is no clip has no codec.

    Raises:
        UsageError: the container that goes by this ending does not hold what the codec gives.
    """
    if codec is None or ending not in FORMATS or holds_codec(FORMATS[ending], ENCODERS.get(codec, codec)):
        return
    others = [other for other in ENDINGS_TOLD if holds_codec(FORMATS[other], ENCODERS.get(codec, codec))]
    instead = f"a result in {' or '.join(others)}" if others else "another one"
    check_codec(codec, FORMATS[ending], ending, named, instead)
