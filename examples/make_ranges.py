"""Weights that tell the ranges of their numbers, for int8: `python examples/make_ranges.py OUT PHOTOS`

For each residual block of the network, about the least and greatest number that it gets on the photos, and the
greatest within it. The numbers of the network stay as they are.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import derain
from derain.models.deployable import DerainNet
from derain.photos import find_photos, read_photo
from derain.weights import about, save

SHARE = 0.5  # of the extremes: what lies beyond is seldom, and finer steps are worth more


def ranges(network: DerainNet, photos: list[Path]) -> tuple[float, ...]:
    blocks = [block for level in (*network.encoder, *network.decoder) for block in level]
    least, greatest, within = (np.zeros(len(blocks)) for _ in range(3))

    def look(index: int, given: Tensor, inner: Tensor) -> None:
        least[index] = min(least[index], given.min())
        greatest[index] = max(greatest[index], given.max())
        within[index] = max(within[index], inner.max())

    def hook(index: int, first: nn.Module) -> None:
        first.register_forward_hook(lambda _, given, inner: look(index, given[0], inner))

    for index, block in enumerate(blocks):
        hook(index, block.first)
    for path in photos:
        photo = read_photo(path)[..., :3]
        image = torch.from_numpy(photo.astype(np.float32) / np.iinfo(photo.dtype).max).permute(2, 0, 1)[None]
        with torch.inference_mode():
            network(image)
    told = SHARE * np.stack([least, greatest, within], 1)
    return tuple(float(f"{number:.4g}") for number in told.flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="+", help="folders")
    parser.add_argument("--start", default="derain", help="weights")
    arguments = parser.parse_args()
    network = derain.load(arguments.start)
    assert isinstance(network, DerainNet)
    photos = [path for folder in arguments.photos for path in find_photos(folder)]
    told = DerainNet(dataclasses.replace(network.config, ranges=ranges(network, photos)))
    told.load_state_dict(network.state_dict())
    save(told, arguments.out, about(arguments.start)["training"])


if __name__ == "__main__":
    main()
