"""The two contrastive terms of a photo's layers, each with its sampling, features and heads (paper section 3)."""

import torch
from torch import Tensor

from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.sampling import gather, similar_patches

CRITIC_LEVELS = (0, 3, 7)  # after the image itself
LOCATION_PATCHES, BACKGROUND_PATCHES, RAIN_PATCHES = 256, 8, 128


def critic_widths(critic: Critic) -> tuple[int, ...]:
    """Channels of the image and of the critic's features at :data:`CRITIC_LEVELS`."""
    return 3, *(critic.width * factor for factor in (1, 2, 4))


def location_term(queries: list[Tensor], keys: list[Tensor], heads: Heads, size: tuple[int, int]) -> Tensor:
    """A patch of the background corresponds to the patch of the rainy photo at the same place.

    Args:
        queries: an encoder's features of the background, a level each.
        keys: its features of the rainy photo, detached.
        size: height and width of the photo in px.
    """
    centres = similar_patches(keys[0], LOCATION_PATCHES)
    projected = heads(gather(queries, centres, size))
    with torch.no_grad():
        targets = heads(gather(keys, centres, size))
    return torch.stack([losses.location_contrast(q, k).mean() for q, k in zip(projected, targets)]).mean()


def layer_term(
    critic: Critic, of_background: Heads, of_rain: Heads, background: Tensor, rain: Tensor, symmetric: bool = True
) -> Tensor:
    """Patches that recur in the background against patches that recur in the rain, in the critic's features.

    ``background`` and ``rain`` are ``(N, 3, H, W)`` and add up to the photo in [-1, 1].
    """
    sets = []
    for layer, count, heads in ((background, BACKGROUND_PATCHES, of_background), (rain, RAIN_PATCHES, of_rain)):
        centres = similar_patches(layer.detach(), count)
        features = critic.features(layer, CRITIC_LEVELS)
        sets.append(heads(gather(features, centres, (layer.shape[2], layer.shape[3]))))
    return torch.stack([losses.layer_contrast(b, r, symmetric) for b, r in zip(*sets)]).mean()
