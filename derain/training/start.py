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
        WeightsError: there are no such weights, or no such model.
    """
    if not config.start:
        return build(config.preset, config.model)
    network = load(config.start)
    preset, architecture = describe(network)
    if preset != config.preset:
        raise TrainingError(f"{config.start}: is of preset {preset!r}; give `preset` {preset}")
    if config.model:
        network = grown(network, build(preset, architecture | config.model), config.start)
    return network.train().requires_grad_(True)


def grown(network: Derainer, larger: Derainer, name: str) -> Derainer:
    """``larger`` with the weights of ``network``, which it equals as long as what it adds are residual blocks.

    Raises:
        TrainingError: it is no larger one of the same widths.
    """
    try:
        fits = not larger.load_state_dict(network.state_dict(), strict=False).unexpected_keys
    except RuntimeError:  # of other widths
        fits = False
    if not fits:
        raise TrainingError(f"{name}: does not fit into model; give its widths, and no fewer blocks")
    return larger
