"""What to do with a clip: looked at without torch, which takes seconds to load."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from derain.bounds import bounded, choice, share
from derain.errors import UsageError
from derain.files.places import Place
from derain.given import check_fields
from derain.restoring.names import check_precision, check_tile

LATEST = 10**9  # seconds
LEAST_RATE = 0.001  # frames a second
NOT_DECISIVE = {"keep_going", "max_memory", "preview"}  # may change where a run goes on


@dataclass(frozen=True)
class VideoSettings:
    """What to do with a clip, and how to encode it."""

    # auto, on: fuse with the neighbours; causal: with those before; off: frame by frame
    temporal: str = choice("auto", ("auto", "on", "causal", "off"))
    strength: float = share(1.0)  # share of the rain that is taken away
    # rain: the layer itself; compare: before and after side by side
    layer: str = choice("background", ("background", "rain", "compare"))
    codec: str | None = None  # default: the source's
    crf: int | None = None
    preset: str | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the encoder
    start: float | None = bounded(None, 0, LATEST)  # seconds of the source
    end: float | None = bounded(None, 0, math.inf)
    fps_limit: float | None = bounded(None, LEAST_RATE, math.inf)  # frames beyond so many a second are left out
    audio: bool = True
    keep_going: bool = False  # a frame that fails is passed through
    tile: int | None = None  # px
    precision: str = "auto"
    hwaccel: bool = False  # an NVIDIA GPU decodes the clip
    max_memory: float | None = bounded(None, 0, math.inf)  # bytes that the process should take
    preview: Place = Place()  # a picture of before and after that is written now and then
    # score from which it counts as rain; what shows less is left as it is
    rainy_from: float | None = bounded(None, 0, 1)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a value that cannot be.
        """
        check_precision(self.precision)
        check_tile(self.tile)
        check_fields(self)
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise UsageError(f"`end` {self.end:g}: must be after `start` {self.start:g}")

    def stretch(self, begins: float = 0.0) -> tuple[float, float]:
        """From which second on, and before which, frames are taken; infinite where nobody says.

        Args:
            begins: seconds at which the clip's clock begins, from where start and end are counted.
        """
        first = -math.inf if self.start is None else self.start
        last = math.inf if self.end is None else self.end
        return begins + first, begins + last

    def decisive(self) -> dict[str, Any]:
        """What decides on the result, frames that fail apart."""
        return {name: value for name, value in asdict(self).items() if name not in NOT_DECISIVE}
