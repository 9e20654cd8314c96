"""The losses of the paper. Features are unit vectors ``(N, K, D)``; every function returns a scalar mean."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.07


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine over temperature, always in float32: at 1/0.07 the steps of half precision drown the differences."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().mT / TEMPERATURE


def reconstruction(background: Tensor, rain: Tensor, rainy: Tensor) -> Tensor:
    """The layers add up: MSE(B + R, O)."""
    return F.mse_loss(background.float() + rain.float(), rainy)


def fidelity(background: Tensor, rainy: Tensor) -> Tensor:
    """The background stays near the input: L1(B, O)."""
    return F.l1_loss(background.float(), rainy)


def adversarial(score: Tensor, real: bool) -> Tensor:
    """Least-squares GAN: scores of 1 for real, 0 for fake."""
    return (score.float() - float(real)).square().mean()


def location_contrast(queries: Tensor, keys: Tensor) -> Tensor:
    """Patch InfoNCE for each patch, ``(N, K)``: its key is the one at its own place, the others are negatives."""
    logits = similarity(queries, keys)
    target = torch.arange(queries.shape[1], device=queries.device).expand(queries.shape[0], -1)
    return F.cross_entropy(logits.mT, target, reduction="none")


def layer_contrast(background: Tensor, rain: Tensor, symmetric: bool = True) -> Tensor:
    """Patches of one layer belong together, patches of the two layers do not.

    Supervised contrastive loss with all positives outside the logarithm. The asymmetric form (arXiv 2211.00837) takes
    its mean over the rain patches, which it pulls into one cluster; a background patch only has itself as positive,
    so it is pushed away from the rain and left free otherwise.
    """
    features = torch.cat([background, rain], dim=1)
    count, of_background = features.shape[1], background.shape[1]
    is_rain = torch.arange(count, device=features.device) >= of_background
    itself = torch.eye(count, dtype=torch.bool, device=features.device)
    logits = similarity(features, features).masked_fill(itself, -1e9)
    if symmetric:
        positives = (is_rain[:, None] == is_rain) & ~itself
        log_share = logits - logits.logsumexp(dim=-1, keepdim=True)
        return -((log_share * positives).sum(-1) / positives.sum(-1)).mean()
    pulled = logits[:, of_background:] - logits[:, of_background:].logsumexp(dim=-1, keepdim=True)
    positives = is_rain[None, :] & ~itself[of_background:]
    pull = -((pulled * positives).sum(-1) / positives.sum(-1)).mean()
    apart = similarity(background, rain)
    push = F.softplus(apart.logsumexp(dim=-1) - 1 / TEMPERATURE).mean()
    return pull + push


def location_saturation(patches: int) -> float:
    """The least mean of :func:`location_contrast`: each patch equals its key, and all are as far apart as they can."""
    others = patches - 1
    return math.log1p(others * math.exp(-(1 + 1 / others) / TEMPERATURE)) if others else 0.0


def layer_saturation(background: int, rain: int, symmetric: bool = True) -> float:
    """The least :func:`layer_contrast` of so many patches: each layer's are one point, opposite to the other's.

    For 8 and 128 this is (128 ln 127 + 8 ln 7) / 136 = 4.674: from there on the loss teaches nothing.
    """
    opposite = math.exp(-2 / TEMPERATURE)
    if not symmetric:
        return math.log(rain - 1) + math.log1p(rain * opposite)
    own = background * math.log(background - 1 + rain * opposite) + rain * math.log(rain - 1 + background * opposite)
    return own / (background + rain)
