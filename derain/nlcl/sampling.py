"""Non-local sampling: the patches of an image that look most like a random one of it (paper section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 16  # side of a compared patch, px
RADIUS = 20  # centres are searched in a window of twice this side around the query, px
MARGIN = 16  # queries keep this far from the border, px


def random_queries(image: Tensor) -> Tensor:
    """One random centre ``(row, column)`` for each of N images, at least 16 px from the border where they allow it."""
    rows, columns = (_random_centres(image.shape[0], side, image.device) for side in image.shape[-2:])
    return torch.stack([rows, columns], dim=1)


def _random_centres(count: int, side: int, device: torch.device) -> Tensor:
    margin = min(MARGIN, (side - 1) // 2)
    return torch.randint(margin, side - margin, (count,)).to(device)


def nearest_patches(image: Tensor, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The centres whose 16x16 patches are nearest to the query's, the query itself first.

    Args:
        image: ``(N, C, H, W)``, any size; where it is smaller than a patch, the patch shrinks to it.
        queries: ``(N, 2)`` rows and columns.
        count: K, how many centres to keep; fewer are returned if the window holds fewer.

    Returns:
        ``(N, K, 2)`` rows and columns, and their ``(N, K)`` Euclidean distances, nearest first.
    """
    size = image.shape[-2:]
    patch = min(PATCH, *size)
    half = patch // 2
    before, after = RADIUS + half, RADIUS + patch - half - 1
    shifts = torch.arange(-RADIUS, RADIUS, device=image.device)
    centres = queries[:, None, :] + torch.cartesian_prod(shifts, shifts)
    last = torch.tensor(size, device=image.device) - (patch - half)
    inside = ((centres >= half) & (centres <= last)).all(dim=2)

    padded = F.pad(image.float(), (before, after, before, after))
    side = 2 * RADIUS + patch - 1
    windows = torch.stack([p[:, r : r + side, c : c + side] for p, (r, c) in zip(padded, queries.tolist())])
    patches = F.unfold(windows, patch)
    itself = RADIUS * 2 * RADIUS + RADIUS
    distances = (patches - patches[:, :, itself : itself + 1]).square().sum(dim=1).sqrt()
    distances = distances.masked_fill(~inside, torch.inf)

    kept = min(count, int(inside.sum(dim=1).min()))
    nearest, index = distances.topk(kept, largest=False)
    return centres.gather(1, index[:, :, None].expand(-1, -1, 2)), nearest


def gather(features: list[Tensor], centres: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """``(N, K, C)`` features at ``centres`` given on an image of ``size``, scaled to each level's own grid."""
    found = []
    for level in features:
        rows, columns = (centres[..., axis] * level.shape[2 + axis] // size[axis] for axis in (0, 1))
        batch = torch.arange(level.shape[0], device=level.device)[:, None]
        found.append(level.permute(0, 2, 3, 1)[batch, rows, columns])
    return found
