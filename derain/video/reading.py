"""Clips as frames: upright RGB with their times; all of them, some stretch, or a few spread over the length."""

import math
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer

from derain.arrays import Pixels, Plane, Rgb8
from derain.bounds import Bounds
from derain.errors import PhotoError, UsageError, reason, unreadable
from derain.files.missing import absence
from derain.files.writing import refuse_special
from derain.given import check, to_path
from derain.photos import Original, to_8_bit
from derain.restoring.ahead import ahead
from derain.video.clock import LONGEST_PAUSE, Part, StreamClock, begins_anywhere, may_begin_anew, parts_of
from derain.video.colour import Colours, refuse_unknown_matrix, to_rgb
from derain.video.containers.boxes import top_level
from derain.video.damage import Damage
from derain.video.decoding import decoded, opened, packets_of
from derain.video.deinterlacing import deinterlaced
from derain.video.naming import is_pattern, list_pictures
from derain.video.sides import has_sides_to_take_over

UNREADABLE = (av.FFmpegError, OSError, ValueError, cv2.error)
MATRIX = struct.Struct("=9i")
BEGINS_MP4 = {b"ftyp", b"mdat", b"wide", b"free", b"skip"}  # what stands first in MP4 and MOV
SPLIT_IT = "to keep theirs, split the clip where it changes"
NEAR_BEGINNING = 1.0  # seconds from the beginning, up to which there is nothing to gain by beginning later


@dataclass(frozen=True)
class Frame:
    """One frame, upright."""

    pixels: Pixels  # (H, W, 3) RGB, uint8, or uint16 of clips with more than 8 bits
    pts: int  # when it is shown, in units of the clip's time base
    time: float  # when, in seconds
    colours: Colours
    rotation: int  # degrees that it was turned by, counter-clockwise, to stand upright
    matrix: bytes  # the container's display matrix, 36 bytes; empty if there is none
    alpha: Plane | None = None  # (H, W), as deep as the pixels; None if all is opaque
    sides: dict[str, bytes] = field(default_factory=dict)  # what stands beside the pixels, by FFmpeg's names
    decoded: av.VideoFrame | None = None  # as it came, if an encoder takes over what stands beside the pixels
    untouched: av.VideoFrame | None = None  # as it came and is stored, to be passed on if nothing is done to it
    changes: tuple[str, ...] = ()  # what was made of it, as it was not as the others, in sentences

    @property
    def mirrored(self) -> bool:
        """Whether it was mirrored, top to bottom, before it was turned."""
        return is_mirrored(self.matrix)


@dataclass(frozen=True)
class Decoded:
    """A frame as it is stored."""

    frame: av.VideoFrame
    pts: int  # when it is shown, in units of the clip's time base
    size: tuple[int, int]  # width and height that it is to have
    changes: tuple[str, ...] = ()  # what is made of it, in sentences


class PictureTrack:
    """What is known of the pictures of a clip or of a live stream that is open."""

    stream: Any  # PyAV's
    time_base: Fraction

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return str(self.stream.codec_context.codec.canonical_name)

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        average, guessed = self.stream.average_rate, self.stream.guessed_rate
        if (
            average and guessed and guessed < average and average * self.time_base == 1
        ):  # it is the clock's, as of raw DV
            return Fraction(guessed)
        return Fraction(average or guessed or 25)


class Clip(PictureTrack):
    """A clip that is open for reading, of which one picture track is shown; use it as a context manager.

    Args:
        track: the number of that track among those that can be decoded.
        hardware: an NVIDIA GPU decodes it.

    Raises:
        UsageError: no such GPU is there, or it does not know the codec.
        PhotoError: the file is missing, is no clip, holds no video, or is damaged at its beginning.
    """

    def __init__(self, path: Path, track: int = 0, hardware: bool = False) -> None:
        self.path, self.hardware = path, hardware
        refuse_special(path)
        try:
            if path.is_dir():
                raise PhotoError(f"{path}: is a folder; give a clip")
            if not path.is_file():
                raise PhotoError(f"{path}: {absence(path)}")
            self.found = path.stat()
            if not self.found.st_size:
                raise PhotoError(f"{path}: is empty")
            self.container = opened(path)
        except (av.FFmpegError, OSError) as error:
            raise PhotoError(f"{path}: {fault(path) or unreadable(error, ' as video')}") from None
        videos = [stream for stream in self.container.streams.video if not is_cover(stream)]
        if not videos:
            self.container.close()
            raise PhotoError(f"{path}: holds no video")
        known = [stream for stream in videos if stream.codec_context is not None]
        if not known:
            self.container.close()
            raise PhotoError(f"{path}: its video codec is unknown; convert it to H.264 first")
        self.tracks, self.stream = len(known), known[track]
        try:
            refuse_unknown_matrix(str(path), self.stream)
        except PhotoError:
            self.container.close()
            raise
        if hardware and (why := self._trouble_with_hardware()):
            self.container.close()
            raise UsageError(f"{path}: no GPU decodes it here ({why}); leave out `hwaccel`")
        self.damage = Damage()
        self.time_base = self.stream.time_base or Fraction(1, 90000)

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def check_there(self) -> None:
        """
        Raises:
            PhotoError: its name is another file's by now, or none's.
        """
        with suppress(OSError):
            before, now = self.found, self.path.stat()
            if (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino):
                return
            if (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns):  # not all systems keep numbers
                return
        raise PhotoError(
            f"{self.path}: was removed or replaced while it was derained; put it back, then give the same command again"
        )

    @property
    def seconds(self) -> float:
        """Length, 0 if the file does not tell."""
        told = float((self.stream.duration or 0) * self.time_base) or (self.container.duration or 0) / av.time_base
        if told > LONGEST_PAUSE and len(self.parts) > 1:  # it is from the first time to the last of a clock that jumps
            return float(self.parts[-1].ends + self.parts[-1].shift) - self.begins
        return told

    @property
    def begins(self) -> float:
        """Seconds at which the clip's own clock begins."""
        return (self.container.start_time or 0) / av.time_base

    @property
    def origin(self) -> Fraction:
        """Seconds at which a file that counts from 0 begins, if this one's clock may begin anywhere; else 0."""
        if not begins_anywhere(self.container):
            return Fraction(0)
        streams = [*self.container.streams.video, *self.container.streams.audio]
        known = [stream for stream in streams if stream.start_time is not None]
        return min((stream.start_time * stream.time_base for stream in known), default=Fraction(0))

    @cached_property
    def parts(self) -> list[Part]:
        """The parts in each of which the clock goes on, for which the whole file is read; none if it always does.

        Raises:
            PhotoError: the file cannot be read.
        """
        if not may_begin_anew(self.container):
            return []
        try:
            with opened(self.path) as container:
                return parts_of(packets_of(container, list(container.streams)))
        except (av.FFmpegError, OSError) as error:
            raise PhotoError(f"{self.path}: {unreadable(error, ' as video')}") from None

    @property
    def interlaced(self) -> bool:
        return str(self.stream.codec_context.field_order) not in ("0", "1", "unknown", "progressive", "None")

    def frames(self, since: float | None = None, converters: int = 0, decoders: int = 1) -> Iterator[Frame]:
        """Every frame in order, all of the first one's size; interlaced ones deinterlaced.

        Frames that are damaged are left out and noted in ``damage``.

        Args:
            since: seconds by the clip's own clock; only frames from there on, read from the keyframe before if that
                gives the same.
            converters: threads that make RGB of frames while further ones are decoded.
            decoders: threads that decode, where the codec lets them.

        Raises:
            PhotoError: no frame can be decoded, or they have no times.
        """
        self.damage = Damage()
        for frame in ahead(self._frame, self._decoded(since, decoders), converters + 1, converters):
            if frame is not None:
                yield frame

    def times(self, since: float | None = None) -> Iterator[int]:
        """When each of the :meth:`frames` is shown, in units of the time base; no pictures are made of them."""
        self.damage = Damage()
        for found in self._decoded(since):
            yield found.pts

    def _decoded(self, since: float | None, threads: int = 1) -> Iterator["Decoded"]:
        """Frames as they are stored, at times that rise."""
        last: int | None = None
        clock, step = StreamClock(self.time_base, self.stream.index), round(1 / self.rate / self.time_base)
        size: tuple[int, int] | None = None
        whole = since is None or since <= self.begins + NEAR_BEGINNING
        first, fields = None if whole else self._first(), list[str]()
        for frame in self._deinterlaced(None if first is None else since, first, threads, fields.append):
            size = size or ((first.width, first.height) if first else (frame.width, frame.height))
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None and last is None:
                raise PhotoError(f"{self.path}: its frames have no timestamps; remux it, for example to .mkv")
            own = frame.time_base or self.time_base  # the deinterlacer has another than the clip
            pts = (last or 0) + step if pts is None else round(pts * own / self.time_base)
            pts += clock.moved(pts, step, self.parts if clock.is_odd(pts) else ())
            if last is not None and pts <= last:
                self.damage.behind[pts] += 1
                continue  # a frame that no player would show
            step = step if last is None else pts - last
            last = pts
            if since is None or float(pts * self.time_base) >= since:
                yield Decoded(frame, pts, size, (*fields, *resized(frame, size)))
        if last is None and self.damage and (self.tracks == 1 or not self.damage.gaps):
            why = self.damage.reason or self.damage.end or "no frame can be read"
            raise PhotoError(f"{self.path}: is damaged ({why})")

    def _first(self) -> av.VideoFrame | None:
        return next(decoded(self.path, self.stream.index, Damage(), hardware=self.hardware), None)

    def _trouble_with_hardware(self) -> str:
        try:
            return "" if self._first() else "it gives no picture"
        except (NotImplementedError, RuntimeError):  # PyAV's, without a reason
            return f"it does not know {self.codec}"
        except PhotoError as error:
            return reason(error.__context__ or error)

    def _frame(self, decoded: "Decoded") -> Frame | None:
        try:
            return upright(decoded, self.time_base)
        except UNREADABLE as error:
            self.damage.lost.add(decoded.pts)
            self.damage.reason = reason(error)
            return None

    def _deinterlaced(
        self, since: float | None, first: av.VideoFrame | None, threads: int, note: Callable[[str], None]
    ) -> Iterator[av.VideoFrame]:
        """Frames from about ``since`` on, as if they came after the ``first``; before one is changed, a note of it."""
        since_pts = None if since is None else math.floor(since / self.time_base)
        is_avi = self.container.format.name == "avi"
        frames = decoded(self.path, self.stream.index, self.damage, since_pts, self.hardware, 1 if is_avi else threads)
        if is_avi:
            frames = ordered(frames)
        weave = first is not None and first.interlaced_frame
        return deinterlaced(frames, self.time_base, weave, lambda: note("is interlaced; its frames are deinterlaced"))


def resized(frame: av.VideoFrame, size: tuple[int, int]) -> Iterator[str]:
    """That it gets this size, if it has another, in words."""
    if size != (found := (frame.width, frame.height)):
        stored, own_size = ("x".join(map(str, each)) for each in (size, found))
        yield f"pictures of {own_size} are stored in the first one's size, {stored}; {SPLIT_IT}"


def ordered(frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Frames of an AVI, which has no times but those of decoding."""
    at = -1
    for frame in frames:
        at = frame.pts = frame.dts if frame.dts is not None else at + 1
        yield frame


def upright(decoded: Decoded, time_base: Fraction) -> Frame:
    """
    Raises:
        UNREADABLE: its pixels cannot be read.
    """
    frame, pts, size = decoded.frame, decoded.pts, decoded.size
    colours = Colours.of(frame)
    turned = round((frame.rotation or 0) / 90) % 4
    stored, as_it_came = to_rgb(frame, colours), size == (frame.width, frame.height)
    if not as_it_came:  # a browser's recording changes it with the network's speed
        stored = np.asarray(cv2.resize(stored, size, interpolation=cv2.INTER_AREA), stored.dtype)
        colours = replace(colours, lines=size[1])
    beside: Any = SideDataContainer(frame)  # type: ignore[call-arg]  # frame.side_data would keep the frame alive
    sides = {side.type.name: bytes(side) for side in beside}
    matrix = sides.get("DISPLAYMATRIX", b"")
    if is_mirrored(matrix):
        stored = stored[::-1]
    pixels = np.rot90(stored[..., :3], turned)
    alpha = np.rot90(stored[..., 3], turned) if stored.shape[2] == 4 else None
    kept = frame if has_sides_to_take_over(sides) else None
    untouched = frame if as_it_came else None
    time, turn = float(pts * time_base), 90 * turned
    return Frame(pixels, pts, time, colours, turn, matrix, alpha, sides, kept, untouched, decoded.changes)


def is_mirrored(matrix: bytes) -> bool:
    """Whether a display matrix, of 9 numbers, shows a mirror image."""
    if len(matrix) < MATRIX.size:
        return False
    right, down, _, up, left, *_ = MATRIX.unpack_from(matrix)
    return bool(right * left - down * up < 0)


def fault(path: Path) -> str:
    """What is wrong with a file that FFmpeg does not open, and what to do; empty if that is not known."""
    with suppress(OSError):
        if not path.stat().st_size:
            return "is empty"
        with path.open("rb") as file:
            begins = file.read(8)[4:]
        if begins in BEGINS_MP4 and not any(part.kind == b"moov" for part in top_level(path)):
            return (
                "its index is missing because the recording was not finished or the file is cut; "
                "the camera that made it may repair it, or else the tool untrunc, with a whole clip from that camera"
            )
    return ""


def is_cover(stream: Any) -> bool:
    """Whether it holds still pictures that belong to the clip as a whole."""
    kinds = stream.disposition
    return bool(kinds & (kinds.attached_pic | kinds.timed_thumbnails))


def frames(path: str | Path) -> Iterator[Frame]:
    """The frames of a clip, upright, one at a time; or the pictures of a folder, or of a pattern such as ``%05d.png``.

    Raises:
        PhotoError: the file is not a clip that can be read.
        UsageError: there are no pictures.
    """
    path = to_path("path", path)
    if path.is_dir() or is_pattern(path):
        from derain.video.sequences import read_pictures  # which reads clips, too

        originals = dict[int, Original]()
        for frame in read_pictures(list_pictures(path), originals):
            originals.clear()
            yield frame
        return
    with Clip(path) as clip:
        yield from clip.frames()


def read_frames(path: str | Path) -> Iterator[Rgb8]:
    """The frames of a clip, upright and in 8 bits, one at a time.

    Raises:
        PhotoError: the file is not a clip that can be read.
    """
    for frame in frames(path):
        yield to_8_bit(frame.pixels)


def sample_frames(path: str | Path, count: int) -> Iterator[Rgb8]:
    """``count`` frames, spread evenly over the clip; fewer if it is short. Upright, 8 bits.

    Raises:
        PhotoError: the file is not a clip that can be read.
    """
    check("count", count, int, Bounds(1, math.inf))
    with Clip(to_path("path", path)) as clip:
        if clip.seconds <= count / 10:  # too short to seek in, or of unknown length
            yield from (to_8_bit(frame.pixels) for frame in islice(clip.frames(), 0, 10 * count, 10))
            return
        for second in (np.arange(count) + 0.5) / count * clip.seconds + clip.begins:
            frame = next(clip.frames(float(second)), None)
            if frame is not None:
                yield to_8_bit(frame.pixels)
