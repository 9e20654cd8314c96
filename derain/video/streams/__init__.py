"""Streams: pictures that come from a camera, a connection or a pipe, derained as they come, and sent on.

derain.video.streams.Streaming("rtsp://camera/1", "udp://127.0.0.1:5000").run(derain.load())
"""

from typing import TYPE_CHECKING

from derain.lazy import parts_of
from derain.video.streams.addresses import RawFrames, StreamSettings, is_stream

if TYPE_CHECKING:
    from derain.video.streams.streaming import Progress, Streamed, Streaming

__all__ = ["Progress", "RawFrames", "StreamSettings", "Streamed", "Streaming", "is_stream"]
__getattr__ = parts_of(__name__, dict.fromkeys(__all__, "streaming"))
