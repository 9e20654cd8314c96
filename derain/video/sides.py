"""What stands beside the pixels of a frame: light of the display it was graded on, and what is lost of the rest."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MASTERING, LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
CHROMATICITY, LUMINANCE = 50_000, 10_000  # parts of one in the bitstream's messages
OF_ENCODERS = {  # names of the messages in which they tell their settings
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),  # x264
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),  # x265
}
LOST = {
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata, which follow the scenes,",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata, which follow the scenes,",
    "DOVI_METADATA": "Dolby Vision metadata, which follow the scenes,",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata, which follow the scenes,",
    "A53_CC": "closed captions inside the pictures",
    "S12M_TIMECODE": "timecodes inside the pictures",
    "GOP_TIMECODE": "timecodes inside the pictures",
    "SEI_UNREGISTERED": "a maker's messages inside the pictures",
}


@dataclass(frozen=True)
class Light:
    """Static HDR metadata: the mastering display's gamut and luminance, and how bright the content gets."""

    mastering: bytes = b""  # FFmpeg's AVMasteringDisplayMetadata
    content: bytes = b""  # AVContentLightMetadata

    @classmethod
    def of(cls, sides: dict[str, bytes]) -> "Light":
        return cls(sides.get(MASTERING, b""), sides.get(LIGHT, b""))

    @property
    def display(self) -> tuple[list[Fraction], list[Fraction]] | None:
        """x and y of red, green, blue and white; the least and most of cd/m2. None if only one is told."""
        if len(self.mastering) < 88:
            return None
        *numbers, primaries, luminance = struct.unpack("=22i", self.mastering[:88])
        if not (primaries and luminance and all(numbers[1::2])):
            return None
        parts = [Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2])]
        return parts[:8], parts[8:]

    @property
    def levels(self) -> tuple[int, int] | None:
        """The brightest pixel's and the brightest frame's mean cd/m2."""
        return struct.unpack("=2I", self.content[:8]) if len(self.content) >= 8 else None

    def options(self, codec: str) -> dict[str, str]:
        """How the encoder is told; empty if it cannot be."""
        names = {
            "libx265": ("x265-params", "master-display", "max-cll"),
            "libx264": ("x264-params", "mastering-display", "cll"),
            "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
        }.get(codec)
        if names is None:
            return {}
        said = []
        if self.display:
            said.append(f"{names[1]}={_described(*self.display, whole=codec != 'libsvtav1')}")
        if self.levels:
            said.append(f"{names[2]}={self.levels[0]},{self.levels[1]}")
        return {names[0]: ":".join(said)} if said else {}


def _described(primaries: list[Fraction], luminance: list[Fraction], whole: bool) -> str:
    """In the encoders' way: green first, parts of one as whole numbers or as decimals."""
    place: Any = (lambda n: round(n * CHROMATICITY)) if whole else float
    light: Any = (lambda n: round(n * LUMINANCE)) if whole else float
    red, green, blue, white = (f"({place(x)},{place(y)})" for x, y in zip(primaries[::2], primaries[1::2]))
    least, most = map(light, luminance)
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"


def lost_sides(sides: dict[str, bytes]) -> list[str]:
    """What of a frame's side data cannot be kept, in words."""
    of_encoder = sides.get("SEI_UNREGISTERED", b"")[:16] in OF_ENCODERS
    kinds = sides.keys() - ({"SEI_UNREGISTERED"} if of_encoder else set())
    return sorted({LOST[kind] for kind in kinds if kind in LOST})


def merged(options: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Options of an encoder with more of them, put before those that stand under the same name."""
    return options | {key: ":".join(filter(None, (value, options.get(key)))) for key, value in more.items()}
