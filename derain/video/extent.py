"""How long a clip's file says that it is, against what is there."""

import os
import struct
from pathlib import Path

from derain.video import ebml

LEAST_HEAD = 8  # bytes of a box or chunk before its content
LONGEST_HEAD = 64  # bytes of a Matroska file's head, at the most
UNKNOWN = (0, 0xFFFFFFFF)  # sizes of a RIFF file that was written without going back


def is_cut_short(path: Path) -> bool:
    """Whether the file ends before an MP4's, AVI's or Matroska's own end; False where it does not say."""
    try:
        size = os.stat(path).st_size
        with path.open("rb") as file:
            begin = file.read(LONGEST_HEAD)
            if begin[:4] == b"RIFF" and len(begin) >= LEAST_HEAD:
                said = int.from_bytes(begin[4:8], "little")
                return said not in UNKNOWN and said + LEAST_HEAD > size
            if begin[:4] == ebml.identifier(ebml.HEAD):
                return _segment_end(begin) > size
            if begin[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return False
            end = 0
            while end + LEAST_HEAD <= size:
                file.seek(end)
                length, head = int.from_bytes(file.read(4), "big"), file.read(12)
                length = struct.unpack(">Q", head[4:])[0] if length == 1 and len(head) == 12 else length
                if not length:  # to the end of the file
                    return False
                if length < LEAST_HEAD or not head[:4].isascii() or not head[:4].strip(b"\0"):
                    return False  # something else than a box follows
                end += length
            return end > size
    except (OSError, ValueError, struct.error):
        return False


def _segment_end(begin: bytes) -> int:
    """Where the segment of a Matroska file that begins so ends; 0 if that is not known."""
    end = 0
    for name in (ebml.HEAD, ebml.SEGMENT):
        found = ebml.opening_at(begin, end)
        if found is None or found[0] != name or found[1] is None:
            return 0
        end = found[2] + found[1]
    return end
