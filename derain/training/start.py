"""The network that a training begins with."""

from derain.errors import TrainingError
from derain.models import build, describe
from derain.models.contract import Derainer
from derain.training.config import TrainConfig
from derain.weights import load


def first_network(config: TrainConfig) -> Derainer:
    """A new network of the preset, or the one whose weights ``config.start`` names.

    Raises:
        TrainingError: those weights are of another preset.
        WeightsError: there are no such weights.
    """
    if not config.start:
        return build(config.preset, config.model)
    network = load(config.start)
    preset, _ = describe(network)
    if preset != config.preset:
        raise TrainingError(f"{config.start}: is of preset {preset!r}; give --preset {preset}")
    return network.train().requires_grad_(True)
