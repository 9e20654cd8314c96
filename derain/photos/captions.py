"""IPTC captions and comments, which several formats hold, each in its own place."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

IPTC = 0x0404  # number of the block among Photoshop's that holds captions and keywords
DERIVED = {1005, 1033, 1036, 1061, IPTC}  # blocks that say nothing more: resolution, thumbnails, IPTC's digest
BLOCK = b"8BIM"
DATASET = b"\x1c"  # with which IPTC begins
DIGITS_A_LINE = 72


@dataclass(frozen=True)
class Captions:
    """What a file says of its photo beside EXIF and XMP."""

    iptc: bytes = b""  # datasets of IPTC's Information Interchange Model
    comments: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)  # further ones, by PNG's names

    def as_options(self) -> dict[str, object]:
        """Under the names that :class:`derain.photos.codec.Format` lists in ``holds``; only what there is."""
        return {name: value for name, value in (("iptc", self.iptc), ("comments", self.comments)) if value}


def blocks(resources: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each of Photoshop's blocks, as far as they are whole."""
    place = 0
    while resources.startswith(BLOCK, place) and place + 8 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, place + 4)
        named = 1 + resources[place + 6]
        place += 6 + named + named % 2
        if place + 4 > len(resources):
            return
        (size,) = struct.unpack_from(">I", resources, place)
        yield number, resources[place + 4 : place + 4 + size]
        place += 4 + size + size % 2


def iptc_of(resources: bytes) -> bytes:
    """IPTC from Photoshop's blocks, or as it is; empty if there is none."""
    if resources.startswith(DATASET):
        return resources
    found = next((content for number, content in blocks(resources) if number == IPTC), b"")
    return found if found.startswith(DATASET) else b""


def holds_more(resources: bytes) -> bool:
    """Whether Photoshop's blocks hold more than IPTC and what follows from the picture."""
    return any(number not in DERIVED for number, _ in blocks(resources))


def as_block(iptc: bytes) -> bytes:
    return BLOCK + struct.pack(">HHI", IPTC, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)


def of_profile(text: str) -> bytes:
    """IPTC of a PNG's text, which holds its name, its length and hexadecimal digits; empty if it is damaged."""
    try:
        _, _, _, digits = text.split("\n", 3)
        return iptc_of(bytes.fromhex("".join(digits.split())))
    except ValueError:
        return b""


def as_profile(iptc: bytes) -> str:
    digits = as_block(iptc).hex()
    lines = (digits[at : at + DIGITS_A_LINE] for at in range(0, len(digits), DIGITS_A_LINE))
    return f"\nIPTC profile\n{len(digits) // 2:8}\n" + "\n".join(lines) + "\n"


def decoded(comment: bytes) -> str:
    """A comment of a JPEG, whose encoding nobody tells."""
    try:
        return comment.decode().rstrip("\0")
    except UnicodeDecodeError:
        return comment.decode("latin-1").rstrip("\0")
