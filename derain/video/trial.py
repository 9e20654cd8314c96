"""What an encoder makes of the options it is given: FFmpeg passes over in silence what it does not know."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import NoReturn

import av

from derain.errors import UsageError, reason
from derain.text import listed
from derain.video.encoding import Encoding, encoder_options
from derain.video.formats import NVENC
from derain.video.settings import VideoSettings

MOST_CRF = {"libx264": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63, "mpeg4": 31, "mjpeg": 31}
MOST_CRF |= {"h264_nvenc": 51, "hevc_nvenc": 51}
BY_NAME = "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow or placebo"
PRESETS = {"libx264": BY_NAME, "libx265": BY_NAME, "libsvtav1": "from 0, which is slow, to 13"}
PRESETS |= dict.fromkeys(("h264_nvenc", "hevc_nvenc", "av1_nvenc"), "p1, which is fast, to p7, or slow, medium or fast")


UNTAKEN = (av.FFmpegError, OSError, ValueError)  # what PyAV raises of an encoder that does not take its options


def try_options(encoding: Encoding, settings: VideoSettings, named: str, say: Callable[[str], None]) -> None:
    """Refuse options that the encoder does not know or take; say that it has no ``crf`` or ``preset``.

    Args:
        named: what messages call the clip.

    Raises:
        UsageError: as :func:`refuse_options`.
    """
    refuse_options(encoding, settings, named)
    _say_without_effect(encoding, settings, named, say)


def refuse_options(encoding: Encoding, settings: VideoSettings, named: str) -> None:
    """
    Args:
        named: what messages call the clip.

    Raises:
        UsageError: the encoder does not know or take an option that was given; that it has no ``crf`` or ``preset``
            is no reason.
    """
    if settings.crf is None and settings.preset is None and not settings.options:
        return
    codec, most = encoding.codec, MOST_CRF.get(encoding.codec)
    if settings.crf is not None and most is not None and not 0 <= settings.crf <= most:
        raise UsageError(f"{named}: {codec} takes `crf` from 0 to {most}, not {settings.crf}")
    try:
        left_over = _unknown(encoding)
    except UNTAKEN as error:
        if not _takes(encoding, VideoSettings()):
            return  # they are not to blame, and the encoder will say what is
        _blame(encoding, settings, named, error)
    known = encoding.options.keys() - left_over  # raw frames have none
    if unknown := sorted(settings.options.keys() - known):
        raise UsageError(f"{named}: {codec} has no encoder option {unknown[0]}; correct it or leave it out")


def _blame(encoding: Encoding, settings: VideoSettings, named: str, error: BaseException) -> NoReturn:
    """
    Raises:
        UsageError: of the options that the encoder does not take.
    """
    parts = {} if settings.crf is None else {f"`crf` {settings.crf}": VideoSettings(crf=settings.crf)}
    if settings.preset is not None:
        parts[f"`preset` {settings.preset}"] = VideoSettings(preset=settings.preset)
    for name, value in settings.options.items():
        parts[f"encoder option {name}={value}"] = VideoSettings(options={name: value})
    guilty = [said for said, alone in parts.items() if not _takes(encoding, alone)] or list(parts)
    if guilty == [f"`preset` {settings.preset}"] and (taken := PRESETS.get(encoding.codec)):
        raise UsageError(f"{named}: {encoding.codec} takes `preset` {taken}, not {settings.preset}")
    why, values = reason(error), "another value" if len(guilty) == 1 else "other values"
    raise UsageError(f"{named}: {encoding.codec} does not take {listed(guilty)} ({why}); give {values}")


def _say_without_effect(encoding: Encoding, settings: VideoSettings, named: str, say: Callable[[str], None]) -> None:
    given = {name for name, value in (("crf", settings.crf), ("preset", settings.preset)) if value is not None}
    if not given:
        return
    try:
        unknown = _unknown(encoding) | given - encoding.options.keys()
    except UNTAKEN:
        return
    if encoding.codec.endswith(NVENC) or "qmax" in encoding.options:
        unknown.discard("crf")  # which another option stands for
    for name in sorted(unknown & given):
        say(f"{named}: {encoding.codec} has no `{name}`, so it counts for nothing")


def _takes(encoding: Encoding, given: VideoSettings) -> bool:
    """Whether the encoder takes its usual options, and those that are given."""
    try:
        _unknown(replace(encoding, options=encoder_options(encoding.codec, given.crf, given.preset, given.options)))
    except UNTAKEN:
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
