"""The two contrastive terms of a photo's layers, each with its sampling, features and heads (paper section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.matching import PATCH, Lattice, matched, patches_in, recurring_and_hard
from derain.nlcl.sampling import fewest_centres, gather, similar_patches

CRITIC_LEVELS = (0, 3, 7)  # after the image itself
LOCATION_PATCHES, BACKGROUND_PATCHES, RAIN_PATCHES = 256, 8, 128
MATCHED_PATCHES = 16, 64  # of the background and of the rain


def critic_widths(critic: Critic) -> tuple[int, ...]:
    """Channels of the image and of the critic's features at :data:`CRITIC_LEVELS`."""
    return 3, *(critic.width * factor for factor in (1, 2, 4))


def matched_widths(critic: Critic) -> tuple[int, ...]:
    """As :func:`critic_widths`, with a whole grey patch in the place of the image's pixel."""
    return PATCH**2, *critic_widths(critic)[1:]


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


def matched_layer_term(
    critic: Critic, heads: Heads, background: Tensor, rain: Tensor, symmetric: bool = True
) -> Tensor:
    """Patches of the background against patches of the rain that only what they show can tell apart.

    They are matched by :mod:`derain.nlcl.matching`; arguments are those of :func:`layer_term`. Both layers share their
    heads: heads of their own tell them apart without looking.
    """
    layers = [matched(layer) for layer in (background, rain)]
    of_background, of_rain = (Lattice.of(layer) for layer in layers)
    chosen, sets = recurring_and_hard(of_background, of_rain, MATCHED_PATCHES), []
    for layer, lattice, index in zip(layers, (of_background, of_rain), chosen):
        size = (layer.shape[2], layer.shape[3])
        features = [mean_of_patches(level, size) for level in critic.features(layer, CRITIC_LEVELS)[1:]]
        sets.append([lattice.at(index), *gather(features, lattice.centres[index], size)])
    background_patches = chosen[0].shape[1]
    projected = heads([standardised(torch.cat(level, dim=1)) for level in zip(*sets)])
    split = [(level[:, :background_patches], level[:, background_patches:]) for level in projected]
    return torch.stack([losses.layer_contrast(b, r, symmetric) for b, r in split]).mean()


def mean_of_patches(features: Tensor, size: tuple[int, int]) -> Tensor:
    """At each place the mean of ``(N, C, h, w)`` over the patch around it; ``size`` is that of the image."""
    height, width = (max(PATCH * length // side // 2 * 2 + 1, 1) for length, side in zip(features.shape[2:], size))
    return F.avg_pool2d(features, (height, width), 1, (height // 2, width // 2), count_include_pad=False)


def standardised(features: Tensor) -> Tensor:
    """``(N, K, C)``, each channel of zero mean and unit variance over the patches: what all share tells nothing."""
    features = features.float()
    deviation = features - features.mean(1, keepdim=True)
    return deviation * (deviation.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def location_saturation(size: tuple[int, int]) -> float:
    """The least that :func:`location_term` can be for photos of this height and width in px."""
    return losses.location_saturation(min(LOCATION_PATCHES, fewest_centres(size)))


def layer_saturation(size: tuple[int, int], symmetric: bool = True, matched: bool = False) -> float:
    """The least that :func:`layer_term` can be, or :func:`matched_layer_term`."""
    if matched:
        background, rain = (2 * min(count // 2, patches_in(size)) for count in MATCHED_PATCHES)
    else:
        background, rain = (min(count, fewest_centres(size)) for count in (BACKGROUND_PATCHES, RAIN_PATCHES))
    return losses.layer_saturation(background, rain, symmetric)
