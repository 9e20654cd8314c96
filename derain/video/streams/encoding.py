"""How the pictures of a stream are encoded: each at once, and so that others may join in later."""

from dataclasses import replace

from derain.arrays import Pixels
from derain.video.encoding import Encoding, encoding_of, likely_encoding
from derain.video.formats import choose_encoder
from derain.video.headers import BOXES
from derain.video.reading import Frame
from derain.video.settings import VideoSettings
from derain.video.sides import Light
from derain.video.streams.addresses import RawFrames, ending_of
from derain.video.streams.checking import RAW
from derain.video.streams.source import Connection

WITHOUT_DELAY = {  # options of encoders that give each picture at once
    "libx264": {"tune": "zerolatency"},
    "libx265": {"tune": "zerolatency"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "h264_nvenc": {"tune": "ull", "delay": "0", "zerolatency": "1"},
    "hevc_nvenc": {"tune": "ull", "delay": "0", "zerolatency": "1"},
}
TELL_ASPECT = {"libx264", "libx265", "mpeg4", "mjpeg", "png", "h264_nvenc", "hevc_nvenc"}  # in what they encode
KEYFRAMES = 2  # seconds between two


def is_raw(form: str, settings: VideoSettings) -> bool:
    return RAW in (form, settings.codec)


def check_encoder(connection: Connection, form: str, settings: VideoSettings) -> None:
    """
    Raises:
        UsageError: no such encoder, or not for this container.
    """
    if not is_raw(form, settings):
        choose_encoder(connection.codec, ending_of(form), settings.codec)


def likely_encoding_for(connection: Connection, form: str, settings: VideoSettings) -> Encoding | None:
    """How pictures will be encoded, as far as the header of the source tells; ``None`` if it does not."""
    likely = likely_encoding(connection, ending_of(form), settings)
    return replace(likely, codec=RAW, options={}) if likely and is_raw(form, settings) else likely


def encoding_for(
    connection: Connection, frame: Frame, picture: Pixels, form: str, raw: RawFrames | None, settings: VideoSettings
) -> Encoding:
    """How pictures like this one of a stream go into a container.

    Args:
        form: FFmpeg's name of the container.
        raw: what came in, if it has no container.
    """
    height, width = picture.shape[:2]
    aspect = connection.stream.sample_aspect_ratio or None
    if aspect and frame.rotation % 180:  # which is undone
        aspect = 1 / aspect
    if is_raw(form, settings):
        pixel_format = raw.pixel_format if raw else frame.colours.pixel_format
        return Encoding(RAW, width, height, pixel_format, connection.rate, connection.time_base, aspect)
    chosen = encoding_of(connection, frame, picture, ending_of(form), Light.of(frame.sides), settings)
    at_once = WITHOUT_DELAY.get(chosen.codec, {}) | {"g": str(max(round(KEYFRAMES * chosen.rate), 1))}
    return replace(chosen, aspect=aspect, options=chosen.options | at_once | settings.options)


def lost_aspect(encoding: Encoding, form: str) -> str:
    """A sentence about pixels that are not square, but look so in the container: PyAV tells few of it."""
    if encoding.aspect in (None, 1) or encoding.codec in TELL_ASPECT or form in BOXES:
        return ""
    shape = f"{encoding.aspect.numerator}:{encoding.aspect.denominator}"
    return f"the shape of its pixels, {shape}, cannot be kept in {form} with this codec; set it in the player"
