"""What an encoder makes of the options it is given: FFmpeg passes over in silence what it does not know."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import av

from derain.errors import PhotoError, reason
from derain.video.encoding import Encoding, encoder_options
from derain.video.formats import NVENC
from derain.video.settings import VideoSettings

MOST_CRF = {"libx264": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63, "mpeg4": 31, "mjpeg": 31}


def try_options(encoding: Encoding, settings: VideoSettings, named: str, say: Callable[[str], None]) -> None:
    """Say which of the options that were given the encoder does not know.

    Args:
        named: what messages call the clip.

    Raises:
        PhotoError: it takes the encoder's usual options but not these.
    """
    given = {name: value for name, value in (("crf", settings.crf), ("preset", settings.preset)) if value is not None}
    if not given and not settings.options:
        return
    most = MOST_CRF.get(encoding.codec)
    if settings.crf is not None and most is not None and not 0 <= settings.crf <= most:
        raise PhotoError(f"{named}: {encoding.codec} takes `crf` from 0 to {most}, not {settings.crf}")
    told = [f"`{name}` {value}" for name, value in given.items()]
    told += [f"encoder option {name}={value}" for name, value in settings.options.items()]
    try:
        unknown = _unknown(encoding)
    except (av.FFmpegError, OSError, ValueError) as error:
        if not _takes_usual_options(encoding):
            return  # they are not to blame, and the encoder will say what is
        raise PhotoError(
            f"{named}: {encoding.codec} does not take {', '.join(told)} ({reason(error)}); give other values"
        ) from None
    names = {*given, *settings.options}
    unknown |= names - encoding.options.keys()  # raw frames have none
    if encoding.codec.endswith(NVENC) or "qmax" in encoding.options:
        unknown.discard("crf")  # which another option stands for
    for name in sorted(unknown & names):
        option = f"encoder option {name}" if name in settings.options else f"`{name}`"
        say(f"{named}: {encoding.codec} has no {option}, so it counts for nothing")


def _takes_usual_options(encoding: Encoding) -> bool:
    try:
        _unknown(replace(encoding, options=encoder_options(encoding.codec, None, None, {})))
    except (av.FFmpegError, OSError, ValueError):
        return False
    return True


def _unknown(encoding: Encoding) -> set[str]:
    """Options that the encoder leaves over when it is opened."""
    context = av.CodecContext.create(encoding.codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.pixel_format
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.options = dict(encoding.options)
    context.open()
    return set(context.options)
