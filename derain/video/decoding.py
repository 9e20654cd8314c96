"""Pictures out of a file that may be damaged: all that can be decoded, and what could not."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av

from derain.errors import reason
from derain.video.damage import Damage
from derain.video.extent import is_cut_short
from derain.video.seeking import Landing, landing

ANY_BYTES = "surrogateescape"  # tags need not be UTF-8, and are written back as they were
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
ONE_BY_ONE = {
    "h264",
    "hevc",
    "prores",
    "mjpeg",
    "ffv1",
}  # decoders that show each packet's picture, if it is a whole one
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
            if damage is not None and is_cut_short(Path(container.name)):
                damage.end = "the file is cut short"
            return
        except (av.FFmpegError, OSError, IndexError) as error:  # PyAV finds no stream that appears midway
            failures += 1
            if failures == TRIES:
                if damage is not None:
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
    """The pictures of packets in order, and in ``damage`` those that do not come out.

    After damage a decoder may drop pictures without a word, even those of packets that were whole.
    """
    waiting = set[int]()  # times of packets whose pictures are to come
    sure, strict = decoder.name in ONE_BY_ONE, False  # strict after an error: whatever does not come out is lost
    last_decoded = last_shown = -(2**62)
    for packet in packets:
        if packet.dts is not None:  # where clips were joined the same times come again, and AVI has no others
            sure = sure and packet.dts > last_decoded and packet.stream.container.format.name != "avi"
            last_decoded = packet.dts
        try:
            frames = decoder.decode(packet)
        except (av.FFmpegError, OSError) as error:
            _note(packet, error, damage)
            strict = True
            continue
        if packet.pts is not None and not packet.is_discard and (strict or packet.pts > last_shown):
            waiting.add(packet.pts)
        for frame in frames:
            sure = sure and not frame.interlaced_frame  # which may have come in two packets
            if frame.pts is not None:
                if strict or sure and last_shown > -(2**62):
                    damage.lost |= {at for at in waiting if at < frame.pts}
                waiting = {at for at in waiting if at > frame.pts}
                last_shown = frame.pts
            yield frame
    try:
        for frame in decoder.decode(None):
            if sure and frame.pts is not None and last_shown > -(2**62):
                damage.lost |= {at for at in waiting if at < frame.pts}
            waiting.discard(frame.pts)
            if sure and frame.pts is not None:
                waiting = {at for at in waiting if at > frame.pts}
                last_shown = frame.pts
            yield frame
    except (av.FFmpegError, OSError) as error:
        damage.reason = reason(error)
    if strict or sure:
        damage.lost |= waiting


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
