"""Where things lie in an MP4 or MOV file: samples, header, and what cameras put beside them."""

import struct
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

from derain.video.containers import positions
from derain.video.containers.boxes import Box, Place, parse, top_level

SAMPLE_BOXES = {
    b"moov",
    b"mdat",
    b"moof",
    b"mfra",
    b"sidx",
    b"ssix",
    b"styp",
    b"prft",
    b"emsg",
    b"imda",
    b"pdin",
    b"ftyp",
}
FILLING_BOXES = {b"free", b"skip", b"wide"}
BYTES_COPIED_AT_ONCE = 1 << 24
MOST_SAMPLES = 1 << 24  # of a track that is carried over
POINTS_ELSEWHERE = "a box of pictures beside the clip is left out because it points into the old file"
FARTHEST_STCO_OFFSET = (1 << 32) - 1  # bytes into a file that stco tells


def has_own_samples(track: Box) -> bool:
    """Whether its samples lie in the file itself, where its tables say."""
    tables = track.find(b"mdia", b"minf", b"stbl")
    if tables is None or tables.find(b"stsz") is None or tables.find(b"stsc") is None:
        return False
    references = track.find(b"mdia", b"minf", b"dinf", b"dref")
    own = references is None or references.content[16:20] == b"\0\0\0\1"
    return own and bool(_offsets(tables))


def has_tables(track: Box) -> bool:
    """Whether its tables of samples can be read, as far as they are told."""
    tables = track.find(b"mdia", b"minf", b"stbl")
    if tables is None or tables.find(b"stsc") is None:
        return False
    return tables.find(b"stsz") is not None or tables.find(b"stz2") is not None


def _offsets(tables: Box) -> list[int]:
    """First bytes of the chunks."""
    box = tables.find(b"stco") or tables.find(b"co64")
    if box is None:
        return []
    form = ">I" if box.kind == b"stco" else ">Q"
    return [place for (place,) in struct.iter_unpack(form, box.content[8:])]


def _set_offsets(tables: Box, offsets: list[int], wide: bool) -> None:
    kind, letter = (b"co64", "Q") if wide else (b"stco", "I")
    content = struct.pack(f">II{len(offsets)}{letter}", 0, len(offsets), *offsets)
    tables.boxes = [Box(kind, content) if box.kind in (b"stco", b"co64") else box for box in tables.boxes]


def _lengths(tables: Box, chunks: int) -> list[int]:
    """Bytes of every chunk."""
    runs, sizes = tables.find(b"stsc"), tables.find(b"stsz")
    assert runs is not None and sizes is not None
    entries = list(struct.iter_unpack(">III", runs.content[8:]))
    if [first for first, _, _ in entries[:1]] != [1]:
        raise ValueError("chunks that do not begin with the first")
    firsts = [min(first - 1, chunks) for first, _, _ in entries] + [chunks]
    counts = [count for (start, end), (_, count, _) in zip(pairwise(firsts), entries) for _ in range(start, end)]
    alike, total = struct.unpack_from(">II", sizes.content, 4)
    if total > MOST_SAMPLES:
        raise ValueError("too many samples")
    each = [alike] * total if alike else [size for (size,) in struct.iter_unpack(">I", sizes.content[12:])]
    ends = [0, *accumulate(each)]
    samples = [min(number, len(each)) for number in (0, *accumulate(counts))]
    return [ends[after] - ends[before] for before, after in pairwise(samples)]


def carry_over(tracks: list[Box], source: BinaryIO, file: BinaryIO) -> None:
    """Append the samples of tracks of the source, and let their tables say where."""
    tables = [found for track in tracks if (found := track.find(b"mdia", b"minf", b"stbl"))]
    lengths = [_lengths(found, len(_offsets(found))) for found in tables]
    if not tables:
        return
    end = source.seek(0, 2)
    if any(at + size > end for found, sizes in zip(tables, lengths) for at, size in zip(_offsets(found), sizes)):
        raise ValueError("samples beyond the end of the file")
    file.write(struct.pack(">I4sQ", 1, b"mdat", 16 + sum(map(sum, lengths))))
    for found, sizes in zip(tables, lengths):
        moved = []
        for offset, size in zip(_offsets(found), sizes):
            moved.append(file.tell())
            source.seek(offset)
            file.write(source.read(size))
        _set_offsets(found, moved, wide=moved[-1] > FARTHEST_STCO_OFFSET)


def append_extras(source: Path, samples: BinaryIO, file: BinaryIO, say: Callable[[str], None], taken: set[int]) -> None:
    """Append boxes at the top level that are neither samples nor header, and what stands after all boxes.

    Args:
        taken: first bytes of boxes that are there already.
    """
    found = top_level(source)
    for place in found:
        if place.start in taken or place.kind in SAMPLE_BOXES:
            continue
        if place.kind in FILLING_BOXES and _is_empty(samples, place):
            continue
        if place.kind == b"meta" and has_places(Box(place.kind, _read(samples, place)[place.inside - place.start :])):
            say(POINTS_ELSEWHERE)
            continue
        copy(samples, place.start, place.end, file)
    end = source.stat().st_size
    last = found[-1].end if found else end
    kinds = {place.kind for place in found}
    if {b"moov", b"mdat"} <= kinds and b"moof" not in kinds and last < end:
        samples.seek(last)
        if samples.read(8)[4:] not in SAMPLE_BOXES:
            copy(samples, last, end, file)


def _is_empty(file: BinaryIO, place: Place) -> bool:
    file.seek(place.inside)
    return not any(file.read(min(place.end - place.inside, BYTES_COPIED_AT_ONCE)))


def has_places(meta: Box) -> bool:
    """Whether a box of kind meta tells where in the file the pictures of which it speaks are."""
    return any(box.kind == b"iloc" for box in parse(meta.content[4:], set()) or [])


def copy(source: BinaryIO, start: int, end: int, file: BinaryIO) -> None:
    source.seek(start)
    while start < end and (piece := source.read(min(BYTES_COPIED_AT_ONCE, end - start))):
        file.write(piece)
        start += len(piece)


def lay_out(source: Path, result: Path) -> None:
    """Begin ``result`` as ``source`` does: with its brands, and the header first if it is first there."""
    found, written = top_level(source), top_level(result)
    order = [place.kind for place in found]
    first = b"moov" in order and b"mdat" in order and order.index(b"moov") < order.index(b"mdat")
    with source.open("rb") as file:
        brands = next((_read(file, place) for place in found if place.kind == b"ftyp"), b"")
    moov = next(place for place in written if place.kind == b"moov")
    begins = written[0].end if written[0].kind == b"ftyp" else 0
    with result.open("rb") as file:
        if not first and _read(file, written[0]) == brands:
            return
        file.seek(moov.inside)
        header = Box(b"moov", boxes=parse(file.read(moov.end - moov.inside)) or [])
        samples = [box for track in header.all(b"trak") if (box := track.find(b"mdia", b"minf", b"stbl"))]
        offsets = [_offsets(chunked) for chunked in samples]
        wide = result.stat().st_size + len(brands) + len(bytes(header)) * 2 > FARTHEST_STCO_OFFSET
        for chunked, chunks in zip(samples, offsets):
            _set_offsets(chunked, chunks, wide)  # which makes the header as long as it will be
        moved = len(brands) - begins + (len(bytes(header)) if first else 0)
        for chunked, chunks in zip(samples, offsets):
            _set_offsets(chunked, [offset + moved for offset in chunks], wide)
        _move_positions(header, moved, file)
        again = result.with_name(f"{result.name}.again")
        with again.open("wb") as new:
            new.write(brands + (bytes(header) if first else b""))
            copy(file, begins, moov.start, new)
            new.write(b"" if first else bytes(header))
            copy(file, moov.end, result.stat().st_size, new)
    again.replace(result)


def _move_positions(header: Box, by: int, file: BinaryIO) -> None:
    index = header.find(positions.INDEX)
    if index and (blocks := positions.blocks_of(index, file)):
        there = positions.moved(index, [(at + by * (length > 0), length) for at, length in blocks])
        header.boxes = [there if box is index else box for box in header.boxes]


def _read(file: BinaryIO, place: Place) -> bytes:
    file.seek(place.start)
    return file.read(place.end - place.start)
