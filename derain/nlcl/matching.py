"""Patches that tell rain from background by what they show, and by nothing else.

The layer contrast as published compares patches as they are: a rain layer near 0 and a photo are told apart by their
brightness, and nothing is left to learn. Here both layers are grey, high-passed and of equal local contrast; each
query's positives are those that recur anywhere in its layer, and its negatives are found by the same search across the
layers: the background patches most like this rain are rain that was left in the background.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 16  # side of a compared patch, px
STRIDE = 4  # px between compared patches
NORMALISING_RADIUS = 8  # px around a pixel whose mean and contrast are taken away
LEAST_CONTRAST = 0.03  # contrast in [-1, 1] that is not raised any further: some four grey levels, noise


def matched(layer: Tensor) -> Tensor:
    """``(N, 3, H, W)`` in [-1, 1] to the same shape: grey, of local mean 0 and local variance 1 at the most."""
    grey = layer.float().mean(1, keepdim=True)
    detail = grey - _around(grey)
    contrast = (_around(detail.square()) + LEAST_CONTRAST**2).sqrt()
    return (detail / contrast).expand(-1, 3, -1, -1)


def _around(image: Tensor) -> Tensor:
    """Mean of the square around each pixel."""
    return F.avg_pool2d(image, 2 * NORMALISING_RADIUS + 1, 1, NORMALISING_RADIUS, count_include_pad=False)


@dataclass(frozen=True)
class Lattice:
    """All patches of a matched layer that begin at every so many-th pixel.

    ``directions`` are unit vectors ``(N, L, P)``, ``lengths`` their lengths before that, ``(N, L)``, and ``centres``
    ``(L, 2)`` rows and columns in px.
    """

    directions: Tensor
    lengths: Tensor
    centres: Tensor

    @classmethod
    def of(cls, layer: Tensor) -> "Lattice":
        """Of ``(N, 3, H, W)``; where it is smaller than a patch, the patch shrinks to it."""
        patch = min(PATCH, *layer.shape[-2:])
        patches = F.unfold(layer[:, :1], patch, stride=STRIDE).mT
        lengths = patches.norm(dim=2)
        rows, columns = (torch.arange(0, side - patch + 1, STRIDE, device=layer.device) for side in layer.shape[-2:])
        return cls(F.normalize(patches, dim=2), lengths, torch.cartesian_prod(rows, columns) + patch // 2)

    def query(self) -> Tensor:
        """``(N, 1)``: a random patch of each layer, the likelier the more there is in it."""
        share = self.lengths.square() + 1e-6
        return (share.log() - torch.rand_like(share).clamp_min(1e-9).log().neg().log()).argmax(1, keepdim=True)

    def at(self, index: Tensor) -> Tensor:
        """``(N, K, P)`` directions."""
        return self.directions.gather(1, index[:, :, None].expand(-1, -1, self.directions.shape[2]))

    def most_like(self, query: Tensor, count: int) -> Tensor:
        """``(N, K)``: the patches whose directions are nearest to the query's, ``(N, 1, P)``."""
        likeness = (self.directions @ query.mT)[:, :, 0]
        return likeness.topk(min(count, likeness.shape[1]), dim=1).indices


def patches_in(size: tuple[int, int]) -> int:
    """How many patches the lattice of an image of ``size`` has."""
    return math.prod((side - min(PATCH, *size)) // STRIDE + 1 for side in size)


def recurring_and_hard(background: Lattice, rain: Lattice, counts: tuple[int, int]) -> list[Tensor]:
    """Which patches of the background and which of the rain to contrast: ``(N, K)`` each.

    Half of each set recurs around a random query of its own layer; the other half is most like the query of the other
    layer.

    Args:
        counts: how many patches of the background and of the rain.
    """
    layers = (background, rain)
    with torch.no_grad():
        queries = [layer.at(layer.query()) for layer in layers]
        return [
            torch.cat([layer.most_like(query, count // 2) for query in (own, other)], dim=1)
            for layer, own, other, count in zip(layers, queries, reversed(queries), counts)
        ]
