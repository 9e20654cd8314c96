"""Encoded segments and everything else of the source, put together without encoding anything again."""

import heapq
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import av

from derain.errors import PhotoError, unwritable
from derain.text import counted, listed
from derain.video.clock import CONTINUOUS, Part, StreamClock
from derain.video.colour import Colours, is_rgb, stored_as, tag
from derain.video.containers.matroska_header import set_aspect
from derain.video.containers.mp4_header import chapter_tracks, write_in_header
from derain.video.copies import Copy, Renamed, Samples
from derain.video.damage import MOST_LISTED
from derain.video.decoding import opened, packets_of
from derain.video.encoder import open_output, times_of
from derain.video.headers import BOXES, DAMAGE, ELEMENTS, Header
from derain.video.labels import in_quicktime, lost_labels
from derain.video.naming import what_holds
from derain.video.reading import Clip, is_cover
from derain.video.timecodes import later

FILE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # tags that speak of the old file
LEAST_FREE = 1 << 20  # bytes, below which the disk is full
UNEVEN = 0.1  # of a step, which a frame may be beside the usual times, as where a container counts milliseconds
GAP = 10  # usual steps between frames, from which a longer one is a gap
LONGEST_STEP = 10  # seconds that a last frame may stay
TIMECODE = "timecode"  # name of a tag
TAGGED = ("prores", "rawvideo", "utvideo")  # codecs whose tag tells the pixel format
ROUNDED = 0.02  # of the shape of a pixel, in containers that count how wide the picture is shown
Timed = tuple[float, Any]  # seconds, packet


@dataclass(frozen=True)
class Track:
    """A picture track: of the source, and encoded anew."""

    clip: Clip
    segments: list[Path]
    matrix: bytes  # the display matrix, 36 bytes, or empty


@dataclass
class Beside:
    """Packets beside the pictures that are not as they should be."""

    refused: int = 0  # by the container
    damaged: int = 0
    lacking: list[str] = field(default_factory=list)  # streams of which nothing can be read

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Count a packet that cannot be taken."""
        try:
            yield
        except av.FFmpegError:
            self.refused += 1

    def said(self) -> list[str]:
        """In sentences."""
        left_out = f"{counted(self.refused, 'damaged packet')} of other tracks left out"
        copied = f"{counted(self.damaged, 'damaged packet')} of other tracks copied as found"
        said = [left_out] * (self.refused > 0) + [copied] * (self.damaged > 0)
        return said + [f"{stream} cannot be read and is left out" for stream in self.lacking]


@dataclass(frozen=True)
class Joining:
    """What a result is put together from, and how much of it."""

    tracks: list[Track]
    out: Path
    form: str  # FFmpeg's name of the container
    stretch: tuple[float, float]  # seconds of the source that were taken
    audio: bool
    say: Callable[[str], None]
    keep_header: bool = True  # the source's, with what FFmpeg does not know, where the containers are of one kind
    keep_others: bool = True  # the streams beside the pictures
    cut: bool = False  # the source ends before its header says so

    @property
    def source(self) -> Clip:
        return self.tracks[0].clip

    @cached_property
    def origin(self) -> float:
        """Seconds of the source at which the result begins."""
        if self.stretch[0] or not self.source.origin:
            return self.stretch[0]
        first = [min(map(min, _times(track))) * track.clip.time_base for track in self.tracks]
        return float(min([*first, self.source.origin] if self.audio else first))

    def even_rate(self, track: Track) -> Fraction | None:
        """Of pictures that come so, in AVI, which has an empty one in each step of its clock where none comes."""
        return even_rate(track) if self.form == "avi" else None

    def told_of(self, stream: Any) -> dict[str, str]:
        """Tags of a track."""
        tags = self.told(stream.metadata)
        return in_quicktime(tags) if self.form == "mov" else tags

    def told(self, tags: dict[str, str]) -> dict[str, str]:
        """Tags with the timecode of the first picture that is there."""
        if not self.stretch[0]:
            return tags
        clip, first = self.source, min(map(min, _times(self.tracks[0])))
        before = round((float(first * clip.time_base) - clip.begins) * clip.rate)
        moved = {key: later(tag, before, clip.rate) for key, tag in tags.items() if key.lower() == TIMECODE}
        if None in moved.values():
            self.say("its timecode cannot be counted further and is left out; it is that of the clip's beginning")
        return {key: tag for key in tags if (tag := moved.get(key, tags[key])) is not None}


def join(
    tracks: list[Track],
    out: Path,
    form: str,
    stretch: tuple[float, float],
    audio: bool,
    say: Callable[[str], None],
    cut: bool = False,
) -> list[str]:
    """Write ``out``: the picture tracks anew, and audio, subtitles, chapters, tags and attachments of the source.

    Args:
        form: FFmpeg's name of the container.
        stretch: seconds of the source that were taken; what lies before is cut away, times included.
        say: told of streams that the container cannot hold.
        cut: the source ends before its header says so.

    Returns:
        What of the source is damaged beside the pictures, in sentences.

    Raises:
        PhotoError: the container cannot hold the video, or the disk is full.
    """
    joining, lost = Joining(tracks, out, form, stretch, audio, say, cut=cut), list[str]()
    _say_jumps(joining)
    while True:
        try:
            return lost + _write(joining)
        except DAMAGE:
            if not joining.keep_header:
                raise
            say("its header is damaged; only what FFmpeg knows of it is kept")
            joining = replace(joining, keep_header=False)
        except PhotoError:
            if not joining.keep_others or len(joining.source.container.streams) == len(tracks) or _is_full(out):
                raise
            lost = ["the other tracks are too damaged to be written and are left out"]
            joining = replace(joining, keep_others=False)


def _say_jumps(joining: Joining) -> None:
    """Tell where the source's clock jumps."""
    ends = [float(part.ends + part.shift) for part in joining.source.parts[:-1]]
    begin, end = joining.origin, joining.stretch[1]
    if places := [f"{at - begin:.2f} s" for at in ends if begin < at < end]:
        where = listed(places, MOST_LISTED, "more moments")
        joining.say(f"its clock jumps after {where}, as where recordings were joined; what follows comes right there")


def _is_full(out: Path) -> bool:
    return shutil.disk_usage(out.parent).free < LEAST_FREE


def _write(joining: Joining) -> list[str]:
    """Write the result once; returns what is damaged, in sentences.

    Raises:
        PhotoError: FFmpeg cannot write it.
        DAMAGE: the source's header cannot be kept.
    """
    source, out, say = joining.source, joining.out, joining.say
    whole = joining.stretch == (0, math.inf) and not joining.cut
    header = Header.for_result(source, out, joining.form, whole, joining.keep_header)
    beside = Beside()
    try:
        with open_output(out, header.form, **_options(joining.tracks, header)) as container:
            container.metadata.update(joining.told(_tags(source)))
            pictures, copied = _add_streams(container, joining, header)
            if not header.has_chapters:
                _set_chapters(container, source, joining.origin, joining.stretch[1])
            container.start_encoding()  # an error of the header is none of a packet
            packets = heapq.merge(
                *(_video_packets(track, new, joining, header.whole) for track, new in pictures),
                _other_packets(joining, copied, beside),
                key=lambda timed: timed[0],
            )
            for _, packet in packets:
                try:
                    container.mux(packet)
                except (av.FFmpegError, ValueError) as error:  # of this packet, or of one that waited for it
                    if isinstance(error, OSError) or not copied:
                        raise
                    beside.refused += 1
        if beside.refused:
            _check_pictures(out, pictures)
    except (av.FFmpegError, OSError, ValueError, ArithmeticError) as error:
        advice = "; try a result in .mkv" if isinstance(error, ValueError) and joining.form not in ELEMENTS else ""
        raise PhotoError(f"{out}: {unwritable(error, f'written as {joining.form}')}{advice}") from None
    for sentence in header.what_is_lost(source) if joining.keep_header else []:
        say(sentence)
    if joining.form in BOXES:
        write_in_header(out, *(track.matrix for track, _ in pictures))
    elif not header.kept and any(track.matrix for track in joining.tracks):
        say(f"{joining.form} cannot hold rotation; frames are stored as in the source, so rotate them in the player")
    anew = {track.clip.stream.index: stream.index for track, stream in pictures}
    damaged = header.write(source, out, anew, copied, joining.audio and joining.keep_others, say)
    if joining.form in ELEMENTS:
        set_aspect(out, {stream.index: track.clip.stream.sample_aspect_ratio for track, stream in pictures})
    if not header.kept:
        _say_lost_labels(joining, anew | {index: copy.stream.index for index, copy in copied.items()})
    _say_lost_aspect(out, pictures, say)
    _say_lost_colours(joining, pictures)
    beside.lacking = [] if damaged else beside.lacking  # which are the same
    return beside.said() + damaged


def _say_lost_labels(joining: Joining, pairs: dict[int, int]) -> None:
    with opened(joining.out) as result:
        lost = lost_labels(joining.source.container, result, pairs, joining.stretch != (0, math.inf))
    if lost:
        advice = "" if joining.form in ELEMENTS else "; a result in .mkv keeps them"
        joining.say(f"left out because {joining.form} cannot hold them: {listed(lost, len(lost))}{advice}")


def _say_lost_aspect(out: Path, pictures: list[tuple[Track, Any]], say: Callable[[str], None]) -> None:
    """Tell of pixels that are not square, but look so in the result."""
    aspects = {stream.index: track.clip.stream.sample_aspect_ratio or 1 for track, stream in pictures}
    if set(aspects.values()) == {1}:
        return
    with opened(out) as container:
        kept = {stream.index: stream.sample_aspect_ratio or 1 for stream in container.streams.video}
    for index, aspect in aspects.items():
        if abs(kept.get(index, 1) / aspect - 1) > ROUNDED:
            shape = f"{aspect.numerator}:{aspect.denominator}"
            say(f"the shape of its pixels, {shape}, cannot be kept with this codec; set it in the player")


def _say_lost_colours(joining: Joining, pictures: list[tuple[Track, Any]]) -> None:
    """Tell of colours that the result tells nothing of, so that players take them for others."""
    stored = {stream.index: _stored_colours(track.clip, stream.codec_context) for track, stream in pictures}
    unlike = {index: found for index, found in stored.items() if found and found.coding != found.presumed.coding}
    if not unlike:
        return
    with opened(joining.out) as container:
        told = {stream.index: Colours.told(stream.codec_context) for stream in container.streams.video}
    for index, wanted in unlike.items():
        if (found := told.get(index)) and not is_rgb(found.pixel_format) and found.coding != wanted.coding:
            joining.say(f"{joining.form} cannot tell of this codec that its colours are {wanted.said}; tell the player")


def _check_pictures(out: Path, pictures: list[tuple[Track, Any]]) -> None:
    """
    Raises:
        ValueError: not every picture is in the result.
    """
    with opened(out) as container:
        found = Counter(packet.stream_index for packet in container.demux(container.streams.video) if packet.size)
    for track, stream in pictures:
        if found[stream.index] < sum(len(times) for times in _times(track)):
            raise ValueError("a picture is refused")


def _times(track: Track) -> list[list[int]]:
    """Of the pictures in each segment, in the order of decoding."""
    return [times_of(path) for path in track.segments]


def _options(tracks: list[Track], header: Header) -> dict[str, str]:
    """Of the container."""
    options, source = dict(header.options), tracks[0].clip
    clocks = {track.clip.time_base.denominator for track in tracks}
    if header.form in BOXES and len(clocks) == 1:  # else each has its own, or a multiple of it
        options["video_track_timescale"] = str(*clocks)
    apples = any(key.startswith("com.apple.") for key in _tags(source))
    if header.form in BOXES and apples and not any(map(is_cover, source.container.streams)):
        options["movflags"] = "use_metadata_tags"  # else only tags that have older names too are written; so are covers
    return options


def _tags(source: Clip) -> dict[str, str]:
    return {key: value for key, value in source.container.metadata.items() if key not in FILE_TAGS}


def _add_streams(container: Any, joining: Joining, header: Header) -> tuple[list[tuple[Track, Any]], dict[int, Copy]]:
    """Streams in the order of the source: those of the picture tracks, and by their numbers those that are copied."""
    anew = {track.clip.stream.index: track for track in joining.tracks}
    pictures, copied, form = [], dict[int, Copy](), container.format.name
    of_chapters = chapter_tracks(joining.source.path) if "mp4" in joining.source.container.format.name else set()
    for stream in joining.source.container.streams:
        if stream.index in anew:
            pictures.append((anew[stream.index], _add_picture(container, anew[stream.index], joining)))
            continue
        if not joining.keep_others or stream.type == "audio" and not joining.audio or header.holds(stream):
            continue
        if stream.type == "data" and (TIMECODE in stream.metadata or stream.id in of_chapters):
            continue  # written anew from the video's tag, and from the chapters
        copy = _copy_in(container, stream, header)
        codec = stream.codec_context.name if stream.codec_context else stream.name or stream.type
        named = f"stream {stream.index} ({stream.type}, {codec})"
        if copy is None and not header.says_what_is_missing():
            better = what_holds(stream)
            advice = f"; a result in {better} keeps it" if better else ""
            joining.say(f"{named} is left out: {form} cannot hold it{advice}")
        if copy is None:
            continue
        if isinstance(copy, Samples):
            stored = copy.stream.codec_context.name
            joining.say(f"{named} cannot be copied into {form} and is stored as {stored}, which sounds the same")
        copy.stream.metadata.update(joining.told_of(stream))
        copy.stream.disposition = stream.disposition
        if stream.type != "attachment":
            copied[stream.index] = copy
    return pictures, copied


def _copy_in(container: Any, stream: Any, header: Header) -> Copy | None:
    """A stream that takes another's packets in the way that keeps most of them; ``None`` if there is none."""
    ways: list[type[Copy]] = [Copy]
    ways += [Renamed] if header.names_codecs else [] if header.kept else [Samples]
    for way in ways:
        with suppress(av.FFmpegError, ValueError, TypeError):
            return way(container, stream)
    return None


def _add_picture(container: Any, track: Track, joining: Joining) -> Any:
    with opened(track.segments[0]) as first:
        encoded = first.streams.video[0]
        video = container.add_stream_from_template(encoded, opaque=True)
        if encoded.codec_context.name in TAGGED:
            video.codec_context.codec_tag = encoded.codec_context.codec_tag
        _tag(video.codec_context, track.clip, encoded.codec_context)
    if aspect := track.clip.stream.sample_aspect_ratio:
        video.codec_context.sample_aspect_ratio = aspect  # which not every codec tells in its pictures
    video.codec_context.framerate = track.clip.rate
    rate = joining.even_rate(track)
    video.time_base = 1 / rate if rate else track.clip.time_base
    video.metadata.update(joining.told_of(track.clip.stream))
    video.disposition = track.clip.stream.disposition
    return video


def _tag(context: Any, clip: Clip, encoded: Any) -> None:
    """Tell the container what colours mean, as not every codec tells it in its pictures."""
    if found := _stored_colours(clip, encoded):
        tag(context, found, encoded.format.name)


def _stored_colours(clip: Clip, encoded: Any) -> Colours | None:
    """What the colours of a clip mean in the pictures that were encoded."""
    colours = Colours.told(clip.stream.codec_context)
    if colours is None or encoded.format is None:
        return None
    return stored_as(colours, encoded.codec.canonical_name, encoded.format.name)


def _set_chapters(container: Any, source: Clip, begin: float, end: float) -> None:
    kept = []
    chapters: list[Any] = source.container.chapters()
    for chapter in chapters:
        base = float(chapter["time_base"])
        if chapter["end"] * base > begin and chapter["start"] * base < end:
            shift = round(begin / base)
            kept.append(
                chapter | {"start": max(chapter["start"] - shift, 0), "end": min(chapter["end"], end / base) - shift}
            )
    if kept:
        container.set_chapters([c | {"end": int(c["end"])} for c in kept])


def _video_packets(track: Track, stream: Any, joining: Joining, whole: bool) -> Iterator[Timed]:
    """Packets in the order of decoding."""
    origin = joining.origin
    segments, base, times = track.segments, track.clip.time_base, _times(track)
    in_order = [pts for segment in times for pts in segment]
    shown, decoded = sorted(in_order), decoding_times(in_order)
    steps = [after - before for before, after in pairwise(shown)]
    steps += [_last_step(track.clip, shown[-1]) or steps[-1]] if steps and whole else steps[-1:]
    lasts = dict(zip(shown, steps))
    if steps:  # what MP4 and MOV take for the time after the last decoding
        lasts[in_order[-1]] = decoded[0] + shown[-1] - shown[0] + steps[-1] - decoded[-1]
    shift, index = round(origin / base), 0
    rate = joining.even_rate(track)
    begins = round((float(shown[0] * base) - origin) * rate) if rate else 0
    for path in segments:
        with opened(path) as container:
            for packet in container.demux(video=0):
                if packet.size == 0:
                    continue
                step = lasts.get(in_order[index]) or round(packet.duration * packet.time_base / base)
                packet.stream, packet.time_base, packet.duration = stream, base, step
                packet.pts, packet.dts = in_order[index] - shift, decoded[index] - shift
                if rate:
                    packet.time_base, packet.duration = 1 / rate, 1
                    packet.pts = packet.dts = begins + round((in_order[index] - shown[0]) * base * rate)
                yield float(packet.dts * packet.time_base), packet
                index += 1


def even_rate(track: Track) -> Fraction | None:
    """Frames a second, if all come in steps of that, or in several at once, and in the order of decoding."""
    times = [pts for segment in _times(track) for pts in segment]
    if any(after <= before for before, after in pairwise(times)):
        return None
    for rate in (track.clip.stream.guessed_rate, track.clip.rate):
        places = [(at - times[0]) * track.clip.time_base * rate for at in times] if rate else [Fraction(1, 2)]
        steps = [round(after) - round(before) for before, after in pairwise(places)]
        if all(abs(place - round(place)) < UNEVEN for place in places) and all(step > 0 for step in steps):
            return Fraction(rate)
    return None


def decoding_times(in_order: list[int]) -> list[int]:
    """When pictures are decoded that are shown at these times: in the steps in which they are shown, as late as may be.

    One that is shown before a gap in time, but decoded after one beyond it, does not make all wait as long as the gap.
    """
    shown = sorted(in_order)
    steps = [after - before for before, after in pairwise(shown)]
    usual = sorted(steps)[len(steps) // 2] if steps else 0
    closer = accumulate((step if step <= GAP * usual else usual for step in steps), initial=0)  # without gaps
    place = dict(zip(shown, closer))
    late = max(place[early] - place[pts] for early, pts in zip(shown, in_order))
    decoded = [early - late for early in shown]
    latest = in_order[-1] + 1
    for index in reversed(range(len(decoded))):
        latest = decoded[index] = min(decoded[index], in_order[index], latest - 1)
    return decoded


def _last_step(clip: Clip, last: int) -> int:
    """How long the last frame stays; 0 if the file does not tell, and then as long as the one before it."""
    told = (clip.stream.start_time or 0) + (clip.stream.duration or 0) - last
    return told if 0 < told * clip.time_base < LONGEST_STEP else 0


def _other_packets(joining: Joining, copied: dict[int, Copy], beside: Beside) -> Iterator[Timed]:
    """The source's packets of the streams that are copied, from the beginning."""
    if not copied:
        return
    parts = joining.source.parts
    with Clip(joining.source.path) as clip:
        streams = [clip.container.streams[index] for index in copied]
        clocks = {stream.index: StreamClock(stream.time_base, stream.index) for stream in streams}
        damaged, seen = set[int](), set[int]()  # streams whose last packet is, and those of which there are packets
        for packet in packets_of(clip.container, streams):
            index, clock = packet.stream.index, clocks[packet.stream.index]
            seen.add(index)
            jump = clock.jump
            try:
                moved = _moved(packet, clock, parts, joining)
            except (ArithmeticError, ValueError, TypeError):  # at times that no file holds
                beside.refused += 1
                continue
            if clock.jump != jump and index in damaged:  # it only ended a clip that this one was put after
                beside.damaged -= 1
            damaged.discard(index)
            if moved is not None:
                if packet.is_corrupt:
                    beside.damaged += 1
                    damaged.add(index)
                with beside.refusing():
                    yield from _in_time(copied[index].taken(moved))
        lacking = [
            stream for stream in streams if stream.type == "audio" and stream.duration and stream.index not in seen
        ]
        beside.lacking += [f"stream {stream.index} (audio, {stream.codec_context.name})" for stream in lacking]
        for stream in streams:
            with beside.refusing():
                yield from _in_time(copied[stream.index].rest(stream))


def _in_time(packets: Iterable[Any]) -> Iterator[Timed]:
    for packet in packets:
        yield float((packet.pts if packet.dts is None else packet.dts) * packet.time_base), packet


def _moved(packet: Any, clock: StreamClock, parts: list[Part], joining: Joining) -> Any:
    """A packet at its time in the result; None if it is not in the stretch, or without a time."""
    origin, (begin, end) = joining.origin, joining.stretch
    if packet.stream.type not in CONTINUOUS:  # it may come long before them
        begin = origin
    if is_cover(packet.stream):
        packet.pts = packet.dts = math.ceil(origin / packet.time_base)
    if packet.dts is None and packet.pts is None:
        return None
    base, pts, dts = packet.time_base, packet.pts, packet.dts
    moved = clock.moved(pts if dts is None else dts, packet.duration or 0, parts)
    pts, dts = (None if t is None else t + moved for t in (pts, dts))
    late = math.ceil(begin / base) - (dts if pts is None else pts)
    if begin and packet.stream.type == "subtitle" and 0 < late < packet.duration:  # it shows at the beginning
        pts, dts = (None if t is None else t + late for t in (pts, dts))
        packet.duration -= late
    time = float((dts if pts is None else pts) * base)
    if begin and time < begin or time >= end:
        return None
    shift = round(origin / base)
    packet.pts, packet.dts = (None if t is None else t - shift for t in (pts, dts))
    return packet
