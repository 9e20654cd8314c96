"""What stands beside the pixels of a frame: light of the display it was graded on, and what is lost of the rest."""

import struct
from collections.abc import Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av

MASTERING_DISPLAY, CONTENT_LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"
CHROMATICITY_UNITS, LUMINANCE_UNITS = 50_000, 10_000  # parts of one in the bitstream's messages
ENCODERS_SETTINGS = {  # names of the messages in which they tell their settings
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),  # x264
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),  # x265
}
LOST_KINDS = {
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata that follow the scenes",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata that follow the scenes",
    "DOVI_METADATA": "Dolby Vision metadata that follow the scenes",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata that follow the scenes",
    "A53_CC": "closed captions inside the pictures",
    "S12M_TIMECODE": "timecodes inside the pictures",
    "GOP_TIMECODE": "timecodes inside the pictures",
    "SEI_UNREGISTERED": "vendor messages inside the pictures",
    "STEREO3D": "what pictures themselves may tell of both eyes",
    "AFD": "which part of the picture is to be shown",
    "AMBIENT_VIEWING_ENVIRONMENT": "what pictures themselves may tell of the room that they are for",
}
KINDS_TAKEN_OVER = {
    "libx264": {"A53_CC", "SEI_UNREGISTERED", "STEREO3D"}
}  # by encoders, from the frames that they are given
ANY_TIME_BASE = Fraction(1, 25)


@dataclass(frozen=True)
class Light:
    """Static HDR metadata: the mastering display's gamut and luminance, and how bright the content gets."""

    mastering: bytes = b""  # FFmpeg's AVMasteringDisplayMetadata
    content: bytes = b""  # AVContentLightMetadata

    @classmethod
    def of(cls, sides: dict[str, bytes]) -> "Light":
        return cls(sides.get(MASTERING_DISPLAY, b""), sides.get(CONTENT_LIGHT, b""))

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
    place: Any = (lambda n: round(n * CHROMATICITY_UNITS)) if whole else float
    light: Any = (lambda n: round(n * LUMINANCE_UNITS)) if whole else float
    red, green, blue, white = (f"({place(x)},{place(y)})" for x, y in zip(primaries[::2], primaries[1::2]))
    least, most = map(light, luminance)
    return f"G{green}B{blue}R{red}WP{white}L({most},{least})"


def lost_sides(sides: dict[str, bytes], taken_over: Set[str] = frozenset()) -> list[str]:
    """What of a frame's side data cannot be kept, in words.

    Args:
        taken_over: kinds that the encoder keeps.
    """
    return sorted({LOST_KINDS[kind] for kind in _own_sides(sides) - taken_over if kind in LOST_KINDS})


def has_sides_to_take_over(sides: dict[str, bytes]) -> bool:
    return any(_own_sides(sides) & kinds for kinds in KINDS_TAKEN_OVER.values())


def _own_sides(sides: dict[str, bytes]) -> set[str]:
    """Kinds of side data without what the source's encoder says of itself, and that a picture is for one eye alone."""
    flat = {"STEREO3D"} if not any(sides.get("STEREO3D", b"")[:4]) else set()
    return sides.keys() - flat - ({"SEI_UNREGISTERED"} if _is_of_encoder(sides) else set())


def _is_of_encoder(sides: dict[str, bytes]) -> bool:
    return sides.get("SEI_UNREGISTERED", b"")[:16] in ENCODERS_SETTINGS


def bare(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame without what stands beside its pixels, which encoders would take over."""
    graph: Any = av.filter.Graph()
    begin = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=ANY_TIME_BASE)
    graph.link_nodes(begin, graph.add("sidedata", "mode=delete"), graph.add("buffersink")).configure()
    graph.push(frame)
    return _coloured(graph.pull(), frame)


def _coloured(new: av.VideoFrame, frame: av.VideoFrame) -> av.VideoFrame:
    """The frame ``new`` with the meaning of another's colours, which filters need not know."""
    new.colorspace, new.color_range = frame.colorspace, frame.color_range
    new.color_primaries, new.color_trc = frame.color_primaries, frame.color_trc
    return new


class Carrier:
    """Puts new pixels into frames that were decoded, so that what stands beside the old ones comes along.

    PyAV attaches no side data to frames; FFmpeg's filters hand them on.
    """

    def __init__(self) -> None:
        self.graph: Any = None
        self.form: tuple[Any, ...] = ()  # that the graph is made for
        self.count = 0

    def carried(self, old: av.VideoFrame, new: av.VideoFrame, sides: dict[str, bytes]) -> av.VideoFrame:
        """The frame ``new`` with the side data of ``old``, which are ``sides``; the times of both are changed."""
        form = old.format.name, old.width, old.height, new.format.name, new.width, new.height, _is_of_encoder(sides)
        if form != self.form:
            self.graph, self.form = av.filter.Graph(), form  # which is to live as long as its ends
            self.ends = _blending(self.graph, old, new, without_messages=_is_of_encoder(sides))
        at, base = new.pts, new.time_base
        for frame, end in zip((old, new), self.ends):
            frame.pts, frame.time_base = self.count, ANY_TIME_BASE
            end.push(frame)
        self.count += 1
        result = self.ends[2].pull()
        result.pts, result.time_base, result.pict_type = at, base, 0  # the encoder chooses the type
        return _coloured(result, new)


def _blending(graph: Any, old: av.VideoFrame, new: av.VideoFrame, without_messages: bool) -> tuple[Any, Any, Any]:
    """The ends of a graph that gives the second frame's pixels with what stands beside the first one's."""
    ends = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=ANY_TIME_BASE)
        for frame in (old, new)
    ]
    chain = [ends[0], graph.add("scale", f"{new.width}:{new.height}"), graph.add("format", new.format.name)]
    chain += [graph.add("sidedata", "delete:SEI_UNREGISTERED")] if without_messages else []
    blend, sink = graph.add("blend", "all_mode=normal:all_opacity=0"), graph.add("buffersink")
    for before, after in pairwise([*chain, blend, sink]):
        before.link_to(after)
    ends[1].link_to(blend, 0, 1)
    graph.configure()
    return ends[0], ends[1], sink


def merged(options: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Options of an encoder with more of them, put before those that stand under the same name."""
    return options | {key: ":".join(filter(None, (value, options.get(key)))) for key, value in more.items()}
