"""Where dash cameras put GPS positions in MP4 and MOV: in blocks among the samples, with an index in the header."""

import re
import struct
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from derain.video.containers.boxes import LONGEST_HEADER, Box, Place, read_header, top_level

INDEX = b"gps "
BEGINS = 8  # byte of the index at which the list of blocks begins, each with its first byte and its length
FARTHEST = (1 << 32) - 1 - LONGEST_HEADER  # byte that an index can tell, also once the header is put before it
HEAD = b"freeGPS "  # of a block, after its length
BLOCK = re.compile(rb"\0..\0" + HEAD, re.DOTALL)
LONGEST_BLOCK = 1 << 20  # bytes; cameras write 32 to 64 kB
MOST_BLOCKS = 1 << 20  # of a clip; cameras write one a second
SEARCHED = 20 << 20  # bytes of samples in which blocks without an index begin


def blocks_of(index: Box, file: BinaryIO) -> list[tuple[int, int]] | None:
    """First byte and length of each block, 0 for places that are not used; None if no blocks are there in the file.

    There are boxes of the same name with text, which name no blocks.
    """
    count, room = int.from_bytes(index.content[4:BEGINS], "big"), max(len(index.content) - BEGINS, 0) // 8
    listed = index.content[BEGINS : BEGINS + 8 * min(count, room, MOST_BLOCKS)]
    found = list(struct.iter_unpack(">II", listed))
    used = sorted({place for place in found if place[1]})
    apart = all(at + length <= after for (at, length), (after, _) in pairwise(used))
    if apart and min(count, room) <= MOST_BLOCKS and all(_is_block(at, length, file) for at, length in used):
        return found
    return None if count <= room else []


def _is_block(at: int, length: int, file: BinaryIO) -> bool:
    if not len(HEAD) + 4 <= length <= LONGEST_BLOCK:
        return False
    end = file.seek(0, 2)
    file.seek(at)
    return at + length <= end and file.read(4 + len(HEAD)) == struct.pack(">I", length) + HEAD


def moved(index: Box, blocks: list[tuple[int, int]]) -> Box:
    """The index with its blocks in these places."""
    listed = b"".join(struct.pack(">II", *block) for block in blocks)
    return Box(INDEX, index.content[:BEGINS] + listed + index.content[BEGINS + len(listed) :])


def carry_over(index: Box, blocks: list[tuple[int, int]], source: BinaryIO, file: BinaryIO) -> Box | None:
    """Append the blocks of the source; returns the index of where they are, or None if it cannot tell that."""
    used = {at: length for at, length in blocks if length}
    total = sum(used.values())
    if file.tell() + total > FARTHEST:
        return None
    file.write(struct.pack(">I4sQ", 1, b"mdat", 16 + total))
    new = {}
    for at, length in used.items():
        new[at] = file.tell()
        source.seek(at)
        file.write(source.read(length))
    return moved(index, [(new[at] if length else at, length) for at, length in blocks])


def are_in(path: Path) -> bool:
    """Whether a file holds blocks, with an index or without."""
    header = read_header(path)
    index = header.find(INDEX) if header else None
    with path.open("rb") as file:
        if index and any(length for _, length in blocks_of(index, file) or []):
            return True
        return are_among([place for place in top_level(path) if place.kind == b"mdat"], file)


def are_among(samples: list[Place], file: BinaryIO) -> bool:
    """Whether blocks are among the samples, for programs that search for them without an index."""
    for place in samples:
        file.seek(place.inside)
        if BLOCK.search(file.read(min(place.end - place.inside, SEARCHED))):
            return True
    return False
