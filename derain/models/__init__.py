"""The presets: one table of models behind one contract."""

from dataclasses import asdict, dataclass, field, fields
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from derain.errors import WeightsError
from derain.given import with_tuples
from derain.text import shown

if TYPE_CHECKING:
    from derain.models.contract import Config, Derainer


@dataclass(frozen=True)
class Preset:
    """Everything that derain needs to know about a network; classes as ``module:class``, imported when they are used,
    as they take torch.
    """

    config_name: str  # of a frozen dataclass of the architecture
    network_name: str  # of what is made of it
    learner_name: str  # see derain.training.learner
    defaults: dict[str, Any] = field(default_factory=dict)  # of the training, where they differ from others'

    @property
    def config(self) -> "type[Config]":
        found: type[Config] = resolve_name(self.config_name)
        return found

    @property
    def network(self) -> "type[Derainer]":
        found: type[Derainer] = resolve_name(self.network_name)
        return found


PRESETS = {
    "derain": Preset(
        "derain.models.deployable:DerainConfig", "derain.models.deployable:DerainNet", "derain.training.distil:Distil"
    ),
    "nlcl": Preset(
        "derain.models.nlcl:NLCLConfig",
        "derain.models.nlcl:NLCL",
        "derain.training.contrast:Contrast",
        {"batch": 1, "crop": 256, "lr": 2e-4, "warm": 0.0, "ema": 0.0},
    ),
}
MOST_MILLIONS = 100  # of parameters


def build(preset: str, config: dict[str, Any] | None = None) -> "Derainer":
    """A new network of ``preset``; ``config`` holds the fields of its dataclass.

    Raises:
        WeightsError: an unknown preset, fields that its config does not have, values outside their bounds, or a network
            that is too large.
    """
    blank(preset, config)
    return network_of(preset, config)


def blank(preset: str, config: dict[str, Any] | None = None) -> "Derainer":
    """The network without its numbers: it has shapes and takes no memory.

    Raises:
        WeightsError: as :func:`build`.
    """
    network = network_of(preset, config, "meta")
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    if millions > MOST_MILLIONS:
        raise WeightsError(f"a network of {millions:.0f} million parameters; {MOST_MILLIONS} million are the most")
    return network


def network_of(preset: str, config: dict[str, Any] | None, device: str = "cpu") -> "Derainer":
    """As :func:`build`, of any size: for a config whose network :func:`blank` has been before.

    Its numbers are float32 on ``device``, whatever torch's defaults are.
    """
    import torch

    if not isinstance(preset, str) or preset not in PRESETS:
        raise WeightsError(f"unknown preset {shown(preset)}: choose one of {', '.join(PRESETS)}")
    config_type, network = PRESETS[preset].config, PRESETS[preset].network
    known = [each.name for each in fields(config_type)]  # type: ignore[arg-type]
    if not isinstance(config, dict | None):
        raise WeightsError(f"the config of preset {preset!r} is {shown(config)}; it must name {', '.join(known)}")
    if unknown := [name for name in config or {} if name not in known]:
        raise WeightsError(f"this version of derain cannot build preset {preset!r} with {shown(unknown[0])}")
    with torch.device(device):
        return network(config_type(**with_tuples(config or {}))).float()


def describe(model: "Derainer") -> tuple[str, dict[str, Any]]:
    """Preset name and config fields of a model."""
    preset = next(name for name, preset in PRESETS.items() if type(model) is preset.network)
    return preset, asdict(model.config)  # type: ignore[call-overload]
