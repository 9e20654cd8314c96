"""All that an MP4 or MOV file says and FFmpeg does not know, kept: the source's header around the new samples."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from derain.video.containers import positions
from derain.video.containers.boxes import NESTED, Box, Place, parse, places, read_entry, read_header, top_level
from derain.video.containers.mp4_layout import (
    POINTS_ELSEWHERE,
    append_extras,
    carry_over,
    has_own_samples,
    has_places,
    has_tables,
    lay_out,
)

OF_A_CODEC = {
    *(b"avcC", b"hvcC", b"vpcC", b"av1C", b"esds", b"btrt", b"glbl", b"mvcC", b"svcC", b"lhvC", b"d263", b"alac"),
    *(b"dac3", b"dec3", b"dOps", b"dfLa", b"wave", b"SMI ", b"jp2h", b"strf", b"fiel", b"pasp", b"dvcC", b"dvvC"),
    *(b"dvwC", b"hvcE", b"avcE", b"gama", b"chan", b"sinf"),
}
SECOND_LAYER = {b"lhvC"}  # of alpha or for the other eye, which is not decoded
OF_SECOND_LAYER = {b"vexu", b"hfov"}
OF_ONE_PICTURE = {b"tapt", b"clap", b"st3d", b"sv3d", b"matt", b"clip"}  # true of frames of the source's size only
SIZE = slice(24, 28)  # of a picture, in its sample entry
SAME = {b"hev1": b"hvc1"}  # names of a codec that tell where its parameters lie
KINDS = {b"soun": "sound", b"vide": "pictures", b"sbtl": "subtitles", b"text": "text"}  # by the handlers of tracks
MATRIX_PLACE = {0: 40, 1: 52}  # of the display matrix in a tkhd box, by its version
CODEC_PLACE = 12  # of the codec's name in an stsd box
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """A track in the source and in the result."""

    source: int  # its identifier
    result: int  # its place among the result's
    picture: bool


def is_quicktime(path: Path) -> bool:
    """Whether a file is of QuickTime's kind, not of MP4's; files without a brand are older than both."""
    with path.open("rb") as file:
        first = next(places(file, 0, path.stat().st_size), None)
        if first is None or first.kind != b"ftyp":
            return True
        file.seek(first.inside)
        return file.read(4) == b"qt  "


def movie_timescale(path: Path) -> int | None:
    """What the header counts a second in; None if it cannot be read, and nothing can be grafted on it."""
    header = read_header(path)
    movie = header.find(b"mvhd") if header else None
    return struct.unpack_from(">I", movie.content, 20 if movie.content[:1] == b"\1" else 12)[0] if movie else None


def is_in_fragments(path: Path) -> bool:
    """Whether samples stand in fragments after the header, whose tables then tell nothing."""
    header = read_header(path)
    return header is not None and header.find(b"mvex") is not None


def chapter_tracks(path: Path) -> set[int]:
    """Identifiers of tracks whose samples are the names or pictures of chapters."""
    header = read_header(path)
    references = [each for track in header.all(b"trak") for each in track.all(b"tref")] if header else []
    listed = [box.content for each in references for box in each.all(b"chap")]
    return {key for content in listed for (key,) in struct.iter_unpack(">I", content[: len(content) // 4 * 4])}


def graft(source: Path, result: Path, pairs: list[Pair], whole: bool, dropped: set[int], say: Say) -> list[str]:
    """Give ``result``, which FFmpeg wrote, the header of ``source`` as far as it does not speak of the samples.

    Args:
        pairs: which tracks are the same.
        whole: nothing was cut away in time; tracks that FFmpeg cannot write are then carried over as they are.
        dropped: identifiers of tracks that are not to be in the result.
        say: told of what cannot be kept.

    Returns:
        What of the source is damaged, in sentences.

    Raises:
        ValueError: the source's header does not name a picture track as FFmpeg does.
    """
    old, new = read_header(source), read_header(result)
    if old is None or new is None:
        return []
    tracks, written = {identifier(track): track for track in old.all(b"trak")}, new.all(b"trak")
    if any(pair.picture and pair.source not in tracks for pair in pairs):
        raise ValueError("a picture track is not where the header says")
    pairs = [pair for pair in pairs if pair.source in tracks and pair.result < len(written)]
    joined = {pair.source: _joined(tracks[pair.source], written[pair.result], pair.picture, say) for pair in pairs}
    left = {key: track for key, track in tracks.items() if key not in joined and key not in dropped}
    kept = {key: track for key, track in left.items() if whole and has_own_samples(track)}
    damaged = {key: track for key, track in left.items() if key not in kept and not has_tables(track)}
    for key, track in left.items():
        if key not in kept and key not in damaged and kind(track) not in ("tmcd", "text"):  # which are made anew
            why = "its samples are not where it says" if whole else "it can only be kept as it is"
            say(f"track {key} ({kind(track)}) is left out: {why}")
        elif key in kept and track.find(b"mdia", b"minf", b"vmhd"):
            say(f"track {key} ({kind(track)}) keeps its rain because its codec is unknown")
    with result.open("r+b") as file, source.open("rb") as samples:
        moov = next(place for place in top_level(result) if place.kind == b"moov")
        file.seek(moov.start)
        file.truncate()
        carry_over(list(kept.values()), samples, file)
        by_place = {pair.result: joined[pair.source] for pair in pairs}
        header = _whole(old, new, joined | kept) if whole else _stretch(old, new, by_place)
        taken = _follow_positions(header, whole, source, samples, file, say)
        file.write(bytes(header))
        append_extras(source, samples, file, say, taken)
    lay_out(source, result)
    names = {key: KINDS.get(_handler(track.find(b"mdia") or track), kind(track)) for key, track in damaged.items()}
    return [f"track {key} ({name}) is left out: its part of the header is damaged" for key, name in names.items()]


def _follow_positions(header: Box, whole: bool, source: Path, samples: BinaryIO, file: BinaryIO, say: Say) -> set[int]:
    """Bring along what boxes of the header point to in the source, or tell that it is lost, and the box with it.

    Returns:
        Where in the source that is.
    """
    if any(box.kind == b"meta" and has_places(box) for box in header.boxes):
        header.boxes = [box for box in header.boxes if box.kind != b"meta" or not has_places(box)]
        say(POINTS_ELSEWHERE)
    index = header.find(positions.INDEX)
    blocks = positions.blocks_of(index, samples) if index else []
    if index is None or blocks is not None and not any(length for _, length in blocks):
        if positions.are_among([place for place in top_level(source) if place.kind == b"mdat"], samples):
            say("GPS positions among its samples are lost: no index tells where they are")
        return set()
    there = positions.carry_over(index, blocks, samples, file) if whole and blocks else None
    header.boxes = [there if there and box is index else box for box in header.boxes if there or box is not index]
    if there and blocks:
        return {at for at, length in blocks if length}
    why = "they can only be kept of a whole clip"
    if whole:
        why = "they are not where it says" if blocks is None else "its index tells none in a file of 4 GB"
    say(f"its GPS positions are lost: {why}")
    return set()


def identifier(track: Box) -> int:
    head = track.find(b"tkhd")
    return struct.unpack_from(">I", head.content, 20 if head.content[:1] == b"\1" else 12)[0] if head else 0


def kind(track: Box) -> str:
    """What its samples are, in four letters."""
    table = track.find(b"mdia", b"minf", b"stbl", b"stsd")
    return (table.content[12:16] if table else b"?").decode("latin-1").strip()


def _handler(media: Box) -> bytes:
    box = media.find(b"hdlr")
    return box.content[8:12] if box else b""


def _whole(old: Box, new: Box, tracks: dict[int, Box]) -> Box:
    """The source's header with the tracks that are there, which keep their identifiers."""
    header = Box(b"moov")
    for box in old.boxes:
        if box.kind == b"mvhd":
            header.boxes.append(_timed(box, new.find(b"mvhd"), at=(12, 20)))
        elif box.kind == b"trak":
            header.boxes += [tracks[identifier(box)]] if identifier(box) in tracks else []
        elif box.kind != b"mvex" and not _filling(box):
            header.boxes.append(box)
    for track in header.all(b"trak"):
        for references in track.all(b"tref"):
            for references_of_a_kind in references.boxes:
                listed = [key for (key,) in struct.iter_unpack(">I", references_of_a_kind.content)]
                there = [key for key in listed if key in tracks]
                references_of_a_kind.content = struct.pack(f">{len(there)}I", *there)
            references.boxes = [box for box in references.boxes if box.content]
        track.boxes = [box for box in track.boxes if box.kind != b"tref" or box.boxes]
    return header


def _stretch(old: Box, new: Box, joined: dict[int, Box]) -> Box:
    """The result's header, and what the source's says of all; chapters and timecodes are those made anew."""
    header = Box(b"moov", boxes=[_timed(box, new.find(b"mvhd"), at=(12, 20)) for box in old.all(b"mvhd")])
    for number, written in enumerate(new.all(b"trak")):
        track = joined.get(number, written)
        if track is not written:
            _take_over(track, written, b"tref")
            head = track.find(b"tkhd")
            assert head is not None
            at = 20 if head.content[:1] == b"\1" else 12
            head.content = head.content[:at] + struct.pack(">I", identifier(written)) + head.content[at + 4 :]
        header.boxes.append(track)
    for box in old.boxes:
        if box.kind not in (b"mvhd", b"trak", b"mvex", b"udta") and not _filling(box):
            header.boxes.append(box)
    ours, theirs = ([b for user in h.all(b"udta") for b in parse(user.content, set()) or []] for h in (old, new))
    boxes = [box for box in ours if box.kind != b"chpl"] + [box for box in theirs if box.kind == b"chpl"]
    header.boxes += [Box(b"udta", boxes=boxes)] if boxes else []
    return header


def _filling(box: Box) -> bool:
    return box.kind in (b"free", b"skip", b"wide") and not any(box.content)


def _take_over(track: Box, written: Box, kind_of_box: bytes) -> None:
    """Put the result's box of a kind in the place of the source's, or after the first."""
    track.boxes = [box for box in track.boxes if box.kind != kind_of_box]
    track.boxes[1:1] = written.all(kind_of_box)


def _joined(old: Box, new: Box, picture: bool, say: Say) -> Box:
    """A track of the source with the result's samples."""
    entry_old, entry_new = _entry(old), _entry(new)
    same_size = bool(entry_old and entry_new and entry_old.content[SIZE] == entry_new.content[SIZE])
    track = Box(b"trak")
    for box in old.boxes:
        if box.kind == b"tkhd":
            track.boxes.append(_timed(box, new.find(b"tkhd"), at=(16, 24), size=picture and not same_size))
        elif box.kind == b"mdia":
            track.boxes.append(_joined_media(box, new, picture, same_size, say))
        elif not _filling(box) and (same_size or not picture or box.kind not in OF_ONE_PICTURE):
            track.boxes.append(box)
    _take_over(track, new, b"edts")
    return track


def _joined_media(old: Box, new: Box, picture: bool, same_size: bool, say: Say) -> Box:
    media = Box(b"mdia")
    for box in old.boxes:
        if box.kind == b"mdhd":
            media.boxes.append(_timed(box, new.find(b"mdia", b"mdhd"), at=(12, 20)))
        elif box.kind == b"minf":
            tables, data = new.find(b"mdia", b"minf", b"stbl"), new.find(b"mdia", b"minf", b"dinf")
            assert tables is not None
            before = box.find(b"stbl", b"stsd")
            if picture or _handler(old) == b"soun" or before is None:
                before = _descriptions(before, tables, picture, same_size, say)
            samples = Box(b"stbl", boxes=[before, *(b for b in tables.boxes if b.kind != b"stsd")])
            swapped = {b"stbl": samples, b"dinf": data}
            media.boxes.append(Box(b"minf", boxes=[swapped.get(part.kind) or part for part in box.boxes]))
        else:
            media.boxes.append(box)
    return media


def _entry(track: Box) -> Box | None:
    """The first sample entry."""
    table = track.find(b"mdia", b"minf", b"stbl", b"stsd")
    entries = parse(table.content[8:], set()) if table else None
    return entries[0] if entries else None


def _descriptions(old: Box | None, tables: Box, picture: bool, same_size: bool, say: Say) -> Box:
    """The result's descriptions of its samples with the source's boxes that the codec has no part in."""
    new = tables.find(b"stsd")
    assert new is not None
    theirs, ours = parse(new.content[8:], set()), parse(old.content[8:], set()) if old else None
    if not theirs or not ours:
        return new
    of = b"vide" if picture else b"soun"
    read_new, read_old = read_entry(theirs[0], of), read_entry(ours[0], of)
    if read_new is None or read_old is None:
        return new
    (fixed, boxes), (fixed_old, boxes_old) = read_new, read_old
    name, name_old = (SAME.get(entry.kind, entry.kind) for entry in (theirs[0], ours[0]))
    same = name == name_old and len(fixed) == len(fixed_old)
    if same and not picture and old:
        return old  # its packets are the same
    layered = bool({box.kind for box in boxes_old} & SECOND_LAYER)
    if picture and layered:
        say("the second layer of its HEVC (transparency, or the other eye's picture) is lost")
    unfit = OF_A_CODEC | (OF_SECOND_LAYER if layered else set())
    unfit |= OF_ONE_PICTURE if picture and not same_size else set()
    there = {box.kind for box in boxes}
    boxes += [box for box in boxes_old if box.kind not in unfit and box.kind not in there]
    if same and same_size:
        fixed = fixed_old[:6] + fixed[6:8] + fixed_old[8:]
    return Box(b"stsd", new.content[:8] + bytes(Box(theirs[0].kind, fixed, boxes)) + b"".join(map(bytes, theirs[1:])))


def _timed(old: Box, new: Box | None, at: tuple[int, int], size: bool = False) -> Box:
    """A header of the source with the result's duration, and where it stands just before it, the timescale.

    Args:
        at: byte of the timescale, or of what else stands before the duration, in boxes of version 0 and 1.
        size: take the result's width and height too.
    """
    assert new is not None
    long_old, long_new = old.content[:1] == b"\1", new.content[:1] == b"\1"
    first = at[long_new]
    duration = int.from_bytes(new.content[first + 4 : first + (12 if long_new else 8)], "big")
    start = at[long_old]
    width = 8 if long_old else 4
    duration = min(duration, (1 << 8 * width) - 1)
    content = old.content[: start + 4] + duration.to_bytes(width, "big") + old.content[start + 4 + width :]
    if old.kind != b"tkhd":
        content = content[:start] + new.content[first : first + 4] + content[start + 4 :]
    return Box(old.kind, content[:-8] + new.content[-8:] if size else content)


def write_in_header(path: Path, *matrices: bytes) -> None:
    """Put display matrices into the picture tracks of an MP4 or MOV file, and name HEVC as Apple's players want it.

    The file's own library has no call for either.
    """
    moov = next(place for place in top_level(path) if place.kind == b"moov")
    with path.open("r+b") as file:
        tracks = [_within(file, box) for box in places(file, moov.inside, moov.end) if box.kind == b"trak"]
        for track, matrix in zip((track for track in tracks if b"vmhd" in track), matrices):
            if matrix:
                file.seek(track[b"tkhd"].inside)
                file.seek(track[b"tkhd"].inside + MATRIX_PLACE[file.read(1)[0]])
                file.write(struct.pack(">9i", *struct.unpack("=9i", matrix)))
            name = track[b"stsd"].inside + CODEC_PLACE
            file.seek(name)
            if file.read(4) == b"hev1":
                file.seek(name)
                file.write(b"hvc1")


def _within(file: BinaryIO, box: Place) -> dict[bytes, Place]:
    """The boxes in a box by their kinds, at any depth."""
    found = {}
    for inner in places(file, box.inside, box.end):
        found[inner.kind] = inner
        if inner.kind in NESTED:
            found |= _within(file, inner)
    return found
