"""Pictures out of a file that may be damaged: all that can be decoded, and what could not."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av

from derain.errors import reason
from derain.video.damage import Damage
from derain.video.seeking import Landing, landing

ANY_BYTES = "surrogateescape"  # tags need not be UTF-8, and are written back as they were
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
TRIES = 100  # times in a row that reading may fail before the file is taken to end there


def opened(path: Path) -> Any:
    """A container to read; of the type Any for the streams' sake. A colon in a relative path would name a protocol."""
    return av.open(str(path.absolute()), metadata_errors=ANY_BYTES)


def packets_of(container: Any, streams: Any, damage: Damage | None = None) -> Iterator[Any]:
    """The packets of streams that hold something; what cannot be read is skipped if more comes after it."""
    failures = 0
    while True:
        try:
            packets: Iterator[Any] = container.demux(streams)
            for packet in packets:
                if packet.size:  # an empty one would end the decoder
                    failures = 0
                    yield packet
            return
        except (av.FFmpegError, OSError, IndexError) as error:  # PyAV finds no stream that appears midway
            failures += 1
            if failures == TRIES:
                if damage:
                    damage.end = reason(error)
                return


def decoded(path: Path, index: int, damage: Damage, since: int | None = None) -> Iterator[av.VideoFrame]:
    """The pictures of the stream with this index in order; those long before ``since`` may be left out.

    One packet after the other is decoded, because of several at once PyAV loses those that come out together with an
    error.

    Args:
        damage: filled on the way.
        since: in the stream's units.
    """
    if since is not None:
        with opened(path) as container:
            stream = prepared(container.streams[index])
            if found := landing(container, stream, lambda: opened(path), since):
                frames = _decoded(decoder_of(stream), _chained(found, container, stream, damage), damage)
                if first := _first(frames, found):
                    yield first
                    yield from frames
                    return
        damage.clear()
    with opened(path) as container:
        stream = prepared(container.streams[index])
        yield from _decoded(decoder_of(stream), packets_of(container, stream, damage), damage)


def prepared(stream: Any) -> Any:
    """The stream with a decoder that is done with each packet before it takes the next."""
    context = stream.codec_context
    name = context.codec.name
    context.thread_type = "NONE" if name == "h264" else "SLICE"  # H.264 mends no damage where slices run side by side
    if name == "libdav1d":
        context.options = {"max_frame_delay": "1"}
    return stream


def decoder_of(stream: Any) -> Any:
    """The stream's own, or where it has a second stream of alpha in its packets, the one that reads it."""
    tagged = {key.lower(): value for key, value in stream.metadata.items()}
    name = ALPHA_DECODERS.get(stream.codec_context.codec.canonical_name)
    if tagged.get("alpha_mode") != "1" or name is None:
        return stream.codec_context
    return av.CodecContext.create(name, "r")


def _decoded(decoder: Any, packets: Iterable[Any], damage: Damage) -> Iterator[av.VideoFrame]:
    waiting: set[int] | None = None  # times of packets after a damaged one: the decoder may drop them without a word
    for packet in packets:
        try:
            frames = decoder.decode(packet)
        except (av.FFmpegError, OSError) as error:
            _note(packet, error, damage)
            waiting = waiting or set()
            continue
        if waiting is not None and packet.pts is not None:
            waiting.add(packet.pts)
        for frame in frames:
            if waiting and frame.pts is not None:
                damage.lost |= {at for at in waiting if at < frame.pts}
                waiting = {at for at in waiting if at > frame.pts}
            yield frame
    try:
        for frame in decoder.decode(None):
            if waiting:
                waiting.discard(frame.pts)
            yield frame
    except (av.FFmpegError, OSError) as error:
        damage.reason = reason(error)
    damage.lost |= waiting or set()


def _note(packet: Any, error: Exception, damage: Damage) -> None:
    damage.reason = reason(error)
    at = packet.dts if packet.pts is None else packet.pts
    if at is None:
        damage.untimed += 1
    else:
        damage.lost.add(at)


def _chained(found: Landing, container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    yield found.packet
    yield from packets_of(container, stream, damage)


def _first(frames: Iterator[av.VideoFrame], found: Landing) -> av.VideoFrame | None:
    """The picture of the keyframe, if it stands by itself; those before it lack what they were made from."""
    for frame in frames:
        if found.is_reached(frame):
            return frame if frame.pict_type == av.video.frame.PictureType.I else None
    return None
