"""derain removes rain from photos; it learns from unpaired photos by non-local contrastive learning (NLCL).

import derain

model = derain.load()
background, rain = model(image)  # (N, 3, H, W) in [0, 1]
background, rain = derain.restore(model, photo)  # (H, W, 3), 8 or 16 bits

The two differ: ``restore`` also looks at reduced sizes of a large photo, and gives back what is not like its rain.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from derain.errors import DerainError, PhotoError, TrainingError, UsageError, WeightsError

if TYPE_CHECKING:
    from derain import batch, photos, serve, video
    from derain.restoring.restorer import restore
    from derain.weights import load

__version__ = "0.1.0"
__all__ = [
    "DerainError",
    "PhotoError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "batch",
    "load",
    "photos",
    "restore",
    "serve",
    "video",
]
_PACKAGES = ("batch", "photos", "serve", "video")
_FUNCTIONS = {"load": "derain.weights", "restore": "derain.restoring.restorer"}


def __getattr__(name: str) -> Any:
    """What needs torch and the decoders is imported when it is first used."""
    if name in _PACKAGES:
        return import_module(f"derain.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'derain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
