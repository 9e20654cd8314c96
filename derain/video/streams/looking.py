"""Pictures of a stream to look at, one of so many."""

from collections.abc import Callable, Iterator
from fractions import Fraction

from derain.errors import PhotoError
from derain.text import counted
from derain.video.reading import UNREADABLE, Decoded, Frame, upright
from derain.video.streams.addresses import StreamSettings, check_port, without_password
from derain.video.streams.intake import Intake, Picture
from derain.video.streams.source import Source


def look_at(address: str, every: int, say: Callable[[str], None]) -> Iterator[Frame]:
    """Every so many-th picture as it comes, until the stream ends; of a live one only what there is time for.

    Raises:
        PhotoError: it cannot be opened, holds no video, gives no picture, or is lost.
        UsageError: FFmpeg knows no such protocol, or a port cannot be.
    """
    check_port(address, without_password(address))
    intake = Intake(live=False, every=every)
    source = Source(address, StreamSettings(), intake, say)
    source.start()
    try:
        base, origin = source.wait_until_open().time_base, None
        for item in intake:
            if not isinstance(item, Picture):
                continue
            origin = item.time if origin is None else origin
            try:
                yield _frame(item, origin, base)
            except UNREADABLE:
                continue
    finally:
        intake.stop()
    if source.failure:
        raise source.failure
    if source.lost or not intake.arrived:
        raise PhotoError(f"{without_password(address)}: {source.lost or 'sent no picture'}")
    if intake.dropped:
        say(f"{without_password(address)}: {counted(intake.dropped, 'picture')} left out for want of time")


def _frame(item: Picture, origin: Fraction, base: Fraction) -> Frame:
    size = item.frame.width, item.frame.height
    return upright(Decoded(item.frame, round((item.time - origin) / base), size), base)
