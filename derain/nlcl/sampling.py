"""Non-local sampling: the patches of an image that look most like a random one of it (paper section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 16  # side of a compared patch, px
SEARCH_RADIUS = 20  # centres are searched in a window of twice this side around the query, px
BORDER_MARGIN = 16  # queries keep this far from the border, px


def random_queries(image: Tensor) -> Tensor:
    """One random centre ``(row, column)`` for each of N images, at least 16 px from the border where they allow it."""
    rows, columns = (_random_centres(image.shape[0], side, image.device) for side in image.shape[-2:])
    return torch.stack([rows, columns], dim=1)


def _random_centres(count: int, side: int, device: torch.device) -> Tensor:
    margin = min(BORDER_MARGIN, (side - 1) // 2)
    return torch.randint(margin, side - margin, (count,), device=device)


def similar_patches(image: Tensor, count: int) -> Tensor:
    """``(N, K, 2)`` rows and columns of the patches nearest to a random one of each image, as :func:`nearest_patches`.

    How many they are follows from the image's size alone, so that nothing is read back from a GPU.
    """
    held = fewest_centres((image.shape[2], image.shape[3]))
    return nearest_patches(image, random_queries(image), min(count, held))[0]


def fewest_centres(size: tuple[int, int]) -> int:
    """How many centres the window of the least favourable random query holds, in an image of ``size``."""
    fewest = 1
    for side in size:
        margin, half, patch = min(BORDER_MARGIN, (side - 1) // 2), min(PATCH, *size) // 2, min(PATCH, *size)
        fewest *= min(
            min(query + SEARCH_RADIUS - 1, side - (patch - half)) - max(query - SEARCH_RADIUS, half) + 1
            for query in (margin, side - margin - 1)
        )
    return fewest


def _centres(queries: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``(N, M, 2)`` centres in the windows of the queries, and whether their patches lie inside the image."""
    patch = min(PATCH, *size)
    half = patch // 2
    shifts = torch.arange(-SEARCH_RADIUS, SEARCH_RADIUS, device=queries.device)
    centres = queries[:, None, :] + torch.cartesian_prod(shifts, shifts)
    low = (centres >= half).all(dim=2)
    return centres, low & (centres[..., 0] <= size[0] - patch + half) & (centres[..., 1] <= size[1] - patch + half)


def nearest_patches(image: Tensor, queries: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The centres whose 16x16 patches are nearest to the query's, the query itself first.

    Args:
        image: ``(N, C, H, W)``, any size; where it is smaller than a patch, the patch shrinks to it.
        queries: ``(N, 2)`` rows and columns.
        count: K, how many centres to give; where the window holds fewer, others infinitely far away.

    Returns:
        ``(N, K, 2)`` rows and columns, and their ``(N, K)`` Euclidean distances, nearest first.
    """
    size = (image.shape[2], image.shape[3])
    centres, inside = _centres(queries, size)
    patch = min(PATCH, *size)
    half = patch // 2
    before, after = SEARCH_RADIUS + half, SEARCH_RADIUS + patch - half - 1
    padded = F.pad(image.float(), (before, after, before, after))
    reach = torch.arange(2 * SEARCH_RADIUS + patch - 1, device=image.device)
    rows, columns = (queries[:, axis, None] + reach for axis in (0, 1))
    of_image = torch.arange(len(image), device=image.device)[:, None, None]
    windows = padded.permute(0, 2, 3, 1)[of_image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    patches = F.unfold(windows.contiguous(), patch)
    itself = SEARCH_RADIUS * 2 * SEARCH_RADIUS + SEARCH_RADIUS
    distances = (patches - patches[:, :, itself : itself + 1]).square().sum(dim=1).sqrt()
    distances = distances.masked_fill(~inside, torch.inf)
    nearest, index = distances.topk(count, largest=False)
    return centres.gather(1, index[:, :, None].expand(-1, -1, 2)), nearest


def gather(features: list[Tensor], centres: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """``(N, K, C)`` features at ``centres`` given on an image of ``size``, scaled to each level's own grid."""
    found = []
    for level in features:
        rows, columns = (centres[..., axis] * level.shape[2 + axis] // size[axis] for axis in (0, 1))
        batch = torch.arange(level.shape[0], device=level.device)[:, None]
        found.append(level.permute(0, 2, 3, 1)[batch, rows, columns])
    return found
