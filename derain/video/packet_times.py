"""When the frames of a clip are shown, as its packets tell; no frame is decoded, which takes many times as long."""

from collections.abc import Iterator
from heapq import heappop, heappush

import av

from derain.errors import PhotoError, unreadable
from derain.video.damage import Damage
from derain.video.decoding import MOST_WAITING, has_picture, opened, packets_of
from derain.video.reading import Clip

CONTAINERS = {"mov", "matroska", "webm"}  # that give each packet the time of its frame
CODECS = {"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores", "dnxhd", "ffv1"}  # with a packet a frame


class UntoldError(Exception):
    """Only decoding tells the times of a clip's frames."""


def told_times(clip: Clip, since: float | None = None) -> Iterator[int]:
    """The times that :meth:`Clip.times` gives, as long as every packet that is due gives a whole frame.

    Raises:
        UntoldError: at the first packet that does not tell, or at the end where the file is damaged.
        PhotoError: the file cannot be read.
    """
    if clip.interlaced or clip.codec not in CODECS or not CONTAINERS & set(clip.container.format.name.split(",")):
        raise UntoldError
    damage, waiting, last = Damage(), list[int](), None
    try:
        with opened(clip.path) as container:
            for packet in packets_of(container, container.streams[clip.stream.index], damage=damage):
                if packet.is_discard or not has_picture(clip.codec, packet):
                    continue
                if packet.pts is None or packet.is_corrupt:
                    raise UntoldError
                heappush(waiting, packet.pts)
                if len(waiting) > MOST_WAITING:
                    last = _after(last, heappop(waiting))
                    if _is_shown(clip, last, since):
                        yield last
    except (av.FFmpegError, OSError, IndexError) as error:
        raise PhotoError(f"{clip.path}: {unreadable(error, ' as video')}") from None
    if damage:
        raise UntoldError
    while waiting:
        last = _after(last, heappop(waiting))
        if _is_shown(clip, last, since):
            yield last


def _after(last: int | None, at: int) -> int:
    """
    Raises:
        UntoldError: times do not rise, as where clips were joined.
    """
    if last is not None and at <= last:
        raise UntoldError
    return at


def _is_shown(clip: Clip, at: int, since: float | None) -> bool:
    return since is None or float(at * clip.time_base) >= since
