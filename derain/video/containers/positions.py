"""Where dash cameras put GPS positions in MP4 and MOV: in blocks among the samples, with an index in the header."""

import re
import struct
from pathlib import Path
from typing import BinaryIO

from derain.video.containers.boxes import LONGEST_HEADER, Box, Place, read_header, top_level

INDEX = b"gps "
BEGINS = 8  # byte of the index at which the list of blocks begins, each with its first byte and its length
FARTHEST = (1 << 32) - 1 - LONGEST_HEADER  # byte that an index can tell, also once the header is put before it
BLOCK = re.compile(rb"\0..\0freeGPS ", re.DOTALL)
SEARCHED = 20 << 20  # bytes of samples in which blocks without an index begin


def blocks_of(index: Box, size: int) -> list[tuple[int, int]] | None:
    """First byte and length of each block; None if they are not in a file of this size.

    There are boxes of the same name with text, which name no blocks.
    """
    count, room = int.from_bytes(index.content[4:BEGINS], "big"), max(len(index.content) - BEGINS, 0) // 8
    found = list(struct.iter_unpack(">II", index.content[BEGINS : BEGINS + 8 * min(count, room)]))
    if all(at + length <= size for at, length in found):
        return found
    return None if count <= room else []


def moved(index: Box, blocks: list[tuple[int, int]]) -> Box:
    """The index with its blocks in these places."""
    listed = b"".join(struct.pack(">II", *block) for block in blocks)
    return Box(INDEX, index.content[:BEGINS] + listed + index.content[BEGINS + len(listed) :])


def carry_over(index: Box, blocks: list[tuple[int, int]], source: BinaryIO, file: BinaryIO) -> Box | None:
    """Append the blocks of the source; returns the index of where they are, or None if it cannot tell that."""
    total = sum(length for _, length in blocks)
    if file.tell() + total > FARTHEST:
        return None
    file.write(struct.pack(">I4sQ", 1, b"mdat", 16 + total))
    found = []
    for at, length in blocks:
        found.append((file.tell() if length else at, length))
        source.seek(at)
        file.write(source.read(length))
    return moved(index, found)


def are_in(path: Path) -> bool:
    """Whether a file holds blocks, with an index or without."""
    header = read_header(path)
    index = header.find(INDEX) if header else None
    if index:
        return bool(blocks_of(index, path.stat().st_size))
    with path.open("rb") as file:
        return are_among([place for place in top_level(path) if place.kind == b"mdat"], file)


def are_among(samples: list[Place], file: BinaryIO) -> bool:
    """Whether blocks are among the samples, for programs that search for them without an index."""
    for place in samples:
        file.seek(place.inside)
        if BLOCK.search(file.read(min(place.end - place.inside, SEARCHED))):
            return True
    return False
