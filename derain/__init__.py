"""derain removes rain from photos; it learns from unpaired photos by non-local contrastive learning (NLCL).

import derain

model = derain.load()
background, rain = model(image)  # (N, 3, H, W) in [0, 1]
"""

from typing import TYPE_CHECKING, Any

from derain.errors import DerainError, PhotoError, TrainingError, UsageError, WeightsError

if TYPE_CHECKING:
    from derain.restoring.scales import restore
    from derain.weights import load

__version__ = "0.1.0"
__all__ = ["DerainError", "PhotoError", "TrainingError", "UsageError", "WeightsError", "load", "restore"]
_HOMES = {"load": "derain.weights", "restore": "derain.restoring.scales"}


def __getattr__(name: str) -> Any:
    """Names that need torch are imported when first used."""
    if name == "video":
        from importlib import import_module

        return import_module("derain.video")
    if name not in _HOMES:
        raise AttributeError(f"module 'derain' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
