"""What to do with a clip: looked at without torch, which takes seconds to load."""

from dataclasses import dataclass, field
from pathlib import Path

from derain.errors import UsageError
from derain.restoring.names import check_precision, check_tile


@dataclass(frozen=True)
class VideoSettings:
    """What to do with a clip, and how to encode it."""

    temporal: str = "auto"  # auto, on: fuse with the neighbours; causal: with those before; off: frame by frame
    strength: float = 1.0  # share of the rain that is taken away, 0 to 1
    layer: str = "background"  # background, rain (the layer itself), compare (before and after side by side)
    codec: str | None = None  # default: the source's
    crf: int | None = None
    preset: str | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the encoder
    start: float | None = None  # seconds of the source
    end: float | None = None
    fps_limit: float | None = None  # frames beyond so many a second are left out
    audio: bool = True
    keep_going: bool = False  # a frame that fails is passed through
    tile: int | None = None  # px
    precision: str = "auto"
    hwaccel: bool = False  # an NVIDIA GPU decodes the clip
    max_memory: float | None = None  # bytes that the process should take
    preview: Path | None = None  # a picture of before and after that is written now and then
    rainy_from: float | None = None  # score from which it counts as rain; what shows less is left as it is


def check_settings(settings: VideoSettings) -> None:
    """
    Raises:
        UsageError: settings that cannot be.
    """
    if settings.temporal not in ("auto", "on", "causal", "off"):
        raise UsageError(f"`temporal` {settings.temporal}: choose auto, on, causal or off")
    check_precision(settings.precision)
    check_tile(settings.tile)
    if settings.start is not None and settings.end is not None and settings.end <= settings.start:
        raise UsageError(f"`end` {settings.end:g}: must be after `start` {settings.start:g}")
