"""Streams: pictures that come from a camera, a connection or a pipe, derained as they come, and sent on.

derain.video.streams.Streaming("rtsp://camera/1", "udp://127.0.0.1:5000").run(derain.load())
"""

from derain.video.streams.addresses import RawFrames, StreamSettings, is_stream
from derain.video.streams.streaming import Progress, Streamed, Streaming

__all__ = ["Progress", "RawFrames", "StreamSettings", "Streamed", "Streaming", "is_stream"]
