"""Sound and subtitles that are passed on as they are: what a container holds of them, and how it wants them."""

import io
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from derain.video.copies import add_copy
from derain.video.streams import parts

TRIED_AS = {"hls": "mpegts", "segment": "mpegts", "dash": "mp4", "rtsp": "rtp"}  # what is inside of what is no one file
OF_TRIAL = {"packetsize": "1400"}  # which RTP wants to know
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
AAC_OBJECTS = {"Main": 1, "LC": 2, "SSR": 3, "LTP": 4, "HE-AAC": 2, "HE-AACv2": 2}  # kinds of coding, by profile
IN_TS = {  # codecs of which MPEG-TS tells what they are; others are data in it that no player knows
    *("mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m", "dvb_subtitle"),
}
AAC_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 7}  # arrangements, by the number of channels


class Copied:
    """A stream of an open container that takes the packets of a stream of the source.

    Raises:
        ValueError, TypeError, av.FFmpegError: the container cannot hold it.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.last = -1  # time of decoding of the packet before
        self.filter: BitStreamFilterContext | None = None
        self.stream: Any = add_copy(container, stream)
        if is_headed_aac(stream):
            self.stream.codec_context.extradata = aac_config(stream.codec_context)
            self.filter = BitStreamFilterContext("aac_adtstoasc", stream)

    def taken(self, packet: Any) -> list[Any]:
        """The packet as the container takes it; nothing if it is too damaged for that."""
        base = packet.time_base  # which the filter takes from it
        try:
            packets = [packet] if self.filter is None else [_plain(one) for one in self.filter.filter(packet)]
        except av.FFmpegError:
            return []
        for one in packets:
            one.stream, one.time_base = self.stream, base
        return packets


def _plain(packet: Any) -> Any:
    """The packet without what the filter found out of the stream, which made Matroska write its header again."""
    plain = av.Packet(bytes(packet))
    plain.pts, plain.dts, plain.duration, plain.is_keyframe = packet.pts, packet.dts, packet.duration, True
    return plain


def check_held(form: str, stream: Any, options: dict[str, str] | None = None) -> None:
    """
    Args:
        options: of the container.

    Raises:
        ValueError, TypeError, av.FFmpegError: a container of this form cannot hold the stream.
    """
    webvtt = stream.type == "subtitle" and stream.codec_context.name == "webvtt"
    if stream.type == "subtitle" and form in parts.FORMS and not (webvtt and form == "hls"):
        raise ValueError("sound alone")
    tried = "mp4" if (options or {}).get("hls_segment_type") == "fmp4" else TRIED_AS.get(form, form)
    if tried in ("mpegts", "rtp_mpegts") and stream.codec_context.codec.canonical_name not in IN_TS and not webvtt:
        raise ValueError("data that nobody knows")
    with av.open(io.BytesIO(), "w", format=tried, options=OF_TRIAL if tried == "rtp" else {}) as trial:
        Copied(trial, stream)
        trial.start_encoding()  # which fails where asking whether the container holds it does not


def is_headed_aac(stream: Any) -> bool:
    """Whether it is AAC that is described in each packet and not beside them, as in MPEG-TS."""
    return stream.codec_context.name == "aac" and not stream.codec_context.extradata


def aac_config(context: Any) -> bytes:
    """The AudioSpecificConfig of ISO 14496-3 that describes a stream of AAC.

    Raises:
        ValueError: it has no short one.
    """
    expands = context.profile in ("HE-AAC", "HE-AACv2")  # what is coded is half as dense
    rate = context.sample_rate // (1 + expands)
    channels = 1 if context.profile == "HE-AACv2" else AAC_CHANNELS.get(context.channels)
    if rate not in AAC_RATES or channels is None or context.profile not in AAC_OBJECTS:
        raise ValueError("unusual AAC")
    config = AAC_OBJECTS[context.profile] << 11 | AAC_RATES.index(rate) << 7 | channels << 3
    return config.to_bytes(2, "big")
