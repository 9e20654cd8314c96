"""Pictures out of a file that may be damaged: all that can be decoded, and what could not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel

from derain.errors import PhotoError, reason, unreadable
from derain.video.clock import begins_anew
from derain.video.containers.structure import structure
from derain.video.damage import Damage
from derain.video.seeking import Landing, landing

ANY_BYTES = "surrogateescape"  # tags need not be UTF-8, and are written back as they were
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
WITHOUT_PICTURES = ("indeo4", "indeo5")  # codecs with packets that say that nothing changes
LEAST_PICTURE = 20  # bytes
MOST_WAITING = 40  # packets after which a picture does not come any more: twice what codecs may hold back
FLAGGED_AT_END = 5  # packets of a clip that are flagged at the most because another follows
FIELD = 0.025  # seconds that lie between two fields at the most
SIDE_BY_SIDE = {"h264", "hevc", "vp9"}  # codecs of which several pictures are decoded at once, where that is asked for
TRIES = 100  # times in a row that reading may fail before the file is taken to end there


def opened(path: Path, hardware: bool = False) -> Any:
    """A container to read; of the type Any for the streams' sake. A colon in a relative path would name a protocol.

    Args:
        hardware: its pictures are decoded by an NVIDIA GPU, or not at all.
    """
    gpu = HWAccel("cuda", allow_software_fallback=False) if hardware else None
    return av.open(str(path.absolute()), metadata_errors=ANY_BYTES, hwaccel=gpu)


def packets_of(container: Any, streams: Any, first: Any = None, damage: Damage | None = None) -> Iterator[Any]:
    """The packets of streams that hold something; what cannot be read is skipped if more comes after it.

    Args:
        first: the packet before, which begins the row.
        damage: filled on the way, for which the file's structure is followed too.
    """
    if first is not None:
        yield first
    if damage is None:
        yield from _readable(container, streams, damage)
        return
    with structure(Path(container.name), (first.pos if first is not None else None) or 0) as parts:
        before = first
        for packet in _readable(container, streams, damage):
            broken = packet.pos is not None and parts.is_broken_until(packet.pos)
            if broken and (before is not None or not packet.is_keyframe):  # else the header is
                damage.gaps.add(time_of(packet if before is None else before) or 0)
            before = packet
            yield packet
        if damage.end:
            return
        if parts.is_broken_until(parts.size):
            damage.gaps.add((time_of(before) if before is not None else None) or 0)
        if parts.is_cut:
            damage.end = "the file is cut short"


def _readable(container: Any, streams: Any, damage: Damage | None) -> Iterator[Any]:
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
                if damage is not None:
                    damage.end = reason(error)
                return


def time_of(packet: Any) -> int | None:
    """When a packet's picture is shown, or where nothing tells that, when it is decoded."""
    found: int | None = packet.dts if packet.pts is None else packet.pts
    return found


class NotWhole(Exception):
    """A picture that cannot be decoded, or not whole, where several are decoded at once."""


def decoded(
    path: Path, index: int, damage: Damage, since: int | None = None, hardware: bool = False, threads: int = 1
) -> Iterator[av.VideoFrame]:
    """The pictures of the stream with this index in order; those long before ``since`` may be left out.

    Args:
        damage: filled on the way.
        since: in the stream's units.
        hardware: by an NVIDIA GPU.
        threads: decode so many pictures at once, up to the first that is damaged.
    """
    given = 0
    if threads > 1 and not hardware:
        found = Damage()
        try:
            for frame in _decoded_since(path, index, found, since, False, threads):
                damage.add(found)
                yield frame
                given += 1
            return damage.add(found)
        except NotWhole:  # what went wrong, and what comes out all the same, one picture after the other tells
            pass
    yield from islice(_decoded_since(path, index, damage, since, hardware, 1), given, None)


def _decoded_since(
    path: Path, index: int, damage: Damage, since: int | None, hardware: bool, threads: int
) -> Iterator[av.VideoFrame]:
    """The pictures of :func:`decoded`, by so many threads.

    With one, each packet is decoded before the next: of several at once PyAV loses those that come out together with
    an error.

    Raises:
        NotWhole: with several threads.
    """
    try:
        if since is not None:
            with opened(path, hardware) as container:
                stream = prepared(container.streams[index], threads)
                if found := landing(container, stream, lambda: opened(path), since):
                    packets = packets_of(container, stream, found.packet, damage)
                    frames = _decoded(decoder_of(stream), packets, damage, sure=threads > 1)
                    if first := _first(frames, found):
                        yield first
                        yield from frames
                        return
            damage.clear()
        with opened(path, hardware) as container:
            stream = prepared(container.streams[index], threads)
            packets = packets_of(container, stream, damage=damage)
            yield from _decoded(decoder_of(stream), packets, damage, sure=threads > 1)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise PhotoError(f"{path}: {unreadable(error, ' as video')}") from None


def prepared(stream: Any, threads: int = 1) -> Any:
    """The stream with a decoder that is done with each packet before it takes the next, or takes several at once."""
    context = stream.codec_context
    name = context.codec.name
    if threads > 1 and name in SIDE_BY_SIDE:
        context.thread_type, context.thread_count = "FRAME", threads
        return stream
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


def _decoded(decoder: Any, packets: Iterable[Any], damage: Damage, sure: bool = False) -> Iterator[av.VideoFrame]:
    """The pictures of packets in order, and in ``damage`` those that do not come out, or not whole.

    A decoder may drop pictures without a word, even those of packets that were whole, after damage before them.

    Raises:
        NotWhole: the first such picture, if all are to be ``sure``.
    """
    decoder.copy_opaque = True
    due = Due(decoder, damage, sure)
    for packet in packets:
        due.add(packet)
        try:
            frames = decoder.decode(packet)
        except (av.FFmpegError, OSError) as error:
            due.fail(packet, error)
            continue
        for frame in frames:
            due.remove(frame)
            yield frame
    try:
        for frame in decoder.decode(None):
            due.remove(frame)
            yield frame
    except (av.FFmpegError, OSError) as error:
        if sure:
            raise NotWhole from None
        damage.reason = reason(error)
    due.end()


@dataclass(frozen=True, eq=False)
class Ticket:
    """What a packet gets that the decoder hands on to its picture."""

    number: int
    time: int | None  # in the stream's units
    is_suspect: bool  # whether the packet is flagged


class Due:
    """The packets of which a picture is to come.

    Raises:
        NotWhole: by each method, if all pictures are to be ``sure`` and one is not.
    """

    def __init__(self, decoder: Any, damage: Damage, sure: bool = False) -> None:
        self.codec, self.damage, self.sure = decoder.codec.canonical_name, damage, sure
        self.tickets: dict[int, Ticket] = {}
        self.count, self.timed = 0, True
        self.failed = False  # then those before the first that is shown are lost too; else nobody misses them
        self.first: int | None = None  # time of the first that is shown
        self.suspects: list[Ticket] = []  # of packets that are flagged, as the last ones before another clip are too
        self.last: Any = None

    def add(self, packet: Any) -> None:
        # one of its own: PyAV knows it by its place
        ticket = packet.opaque = Ticket(self.count, time_of(packet), packet.is_corrupt)
        self.count += 1
        self.timed = packet.stream.container.format.name != "avi"  # which has no times but those of decoding
        if self._is_new_clip(packet):
            self.suspects.clear()
        self._flaw_suspects(older_than=self.count - FLAGGED_AT_END)
        if packet.is_corrupt:
            self.suspects.append(ticket)
        self.last = packet
        if not packet.is_discard and has_picture(self.codec, packet):
            self.tickets[ticket.number] = ticket

    def fail(self, packet: Any, error: Exception) -> None:
        self._doubt()
        self.failed, self.damage.reason = True, reason(error)
        self._lose(packet.opaque)

    def remove(self, frame: av.VideoFrame) -> None:
        """Note that a picture came out; those before it that did not are lost."""
        ticket, at = frame.opaque, frame.pts if frame.pts is not None else frame.dts
        if not isinstance(ticket, Ticket):
            return
        self.tickets.pop(ticket.number, None)
        if frame.is_corrupt and not ticket.is_suspect:
            self._flaw(at)
        second = self.tickets.get(ticket.number + 1)
        if second and frame.interlaced_frame and self._is_field(second, at, frame.time_base or Fraction(0)):
            del self.tickets[second.number]
        if self.first is None:
            self.first = at
            if not self.failed:
                self.tickets = {number: other for number, other in self.tickets.items() if number > ticket.number}
        for other in [other for other in self.tickets.values() if other.number < ticket.number]:
            late = self.timed and other.time is not None and at is not None and other.time < at
            if late or other.number < ticket.number - MOST_WAITING:
                self._lose(other)

    def end(self) -> None:
        self._flaw_suspects(older_than=self.count)
        if self.failed or self.first is not None:
            for ticket in list(self.tickets.values()):
                self._lose(ticket)

    def _doubt(self) -> None:
        if self.sure:
            raise NotWhole

    def _lose(self, ticket: Ticket) -> None:
        self._doubt()
        self.tickets.pop(ticket.number, None)
        if ticket.time is None:
            self.damage.untimed += 1
        elif self.failed or self.first is None or ticket.time > self.first:
            self.damage.lost.add(ticket.time)

    def _flaw(self, at: int | None) -> None:
        self._doubt()
        if at is not None:
            self.damage.flawed.add(at)

    @staticmethod
    def _is_field(ticket: Ticket, first: int | None, base: Fraction) -> bool:
        """Whether a packet may hold the second field of the picture whose first one is shown then."""
        return ticket.time is None or first is None or 0 <= (ticket.time - first) * base < FIELD

    def _flaw_suspects(self, older_than: int) -> None:
        while self.suspects and self.suspects[0].number < older_than:
            self._flaw(self.suspects.pop(0).time)

    def _is_new_clip(self, packet: Any) -> bool:
        """Whether this begins another clip that was put after the one before."""
        before, at = self.last and time_of(self.last), time_of(packet)
        return before is not None and at is not None and begins_anew(before, at, packet.time_base)


def has_picture(codec: str, packet: Any) -> bool:
    """Whether a whole packet of a codec must give a picture."""
    if codec in ("mpeg4", "mpeg2video", "mpeg1video"):
        return bool(packet.size > LEAST_PICTURE)  # less says that nothing changes, or ends a sequence
    if codec not in ("vp8", "vp9"):
        return codec not in WITHOUT_PICTURES
    content = memoryview(packet)
    if codec == "vp8":
        return bool(content[0] & 0x10)
    several, shift = content[-1] & 0xE0 == 0xC0, content[0] >> 4 & 3 == 3
    return several or bool(content[0] >> (2 if shift else 3) & 1) or bool(content[0] >> (0 if shift else 1) & 1)


def _first(frames: Iterator[av.VideoFrame], found: Landing) -> av.VideoFrame | None:
    """The picture of the keyframe, if it stands by itself; those before it lack what they were made from."""
    for frame in frames:
        if found.is_reached(frame):
            return frame if frame.pict_type == av.video.frame.PictureType.I else None
    return None
