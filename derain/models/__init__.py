"""The presets: one table of models behind one contract."""

from dataclasses import asdict
from typing import Any

from derain.errors import WeightsError
from derain.models.contract import Derainer
from derain.models.deployable import DerainConfig, DerainNet
from derain.models.nlcl import NLCL, NLCLConfig

PRESETS: dict[str, tuple[type, type[Derainer]]] = {
    "derain": (DerainConfig, DerainNet),
    "nlcl": (NLCLConfig, NLCL),
}


def build(preset: str, config: dict[str, Any] | None = None) -> Derainer:
    """A new network of ``preset``; ``config`` holds its dataclass' fields.

    Raises:
        WeightsError: an unknown preset, or fields that its config does not have.
    """
    if preset not in PRESETS:
        raise WeightsError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    config_type, network = PRESETS[preset]
    try:
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in (config or {}).items()}
        return network(config_type(**fields))
    except TypeError as error:
        raise WeightsError(f"this version of derain cannot build preset {preset!r}: {error}") from error


def describe(model: Derainer) -> tuple[str, dict[str, Any]]:
    """Preset name and config fields of a model."""
    preset = next(name for name, (_, network) in PRESETS.items() if type(model) is network)
    return preset, asdict(model.config)  # type: ignore[call-overload]
