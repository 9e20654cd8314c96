"""Narrower blocks for a network that finds the same: `python examples/make_lean.py OUT PHOTOS --minutes 60`

`--inner 16 16 …` says how many channels are left within each residual block, the encoder's levels first; without it
those go in which nothing ever happens. In each block the channels that matter least on crops of the photos go, and its
second convolution is fitted anew to what is left. Then the network learns from the one that it was.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import derain
from derain.models.deployable import DerainNet, ResidualBlock
from derain.photos import find_photos, read_photo
from derain.rain.compose import compose
from derain.rain.render import render
from derain.weights import save

CROP, BATCH, LOOKED_AT = 128, 16, 400  # px; crops in a step; crops by which channels are judged
RENDERED = 0.3  # share of the crops that get rendered rain as well
BELOW = 0.02  # of heights below 0, where there is no rain, so much is taught


def batches(folder: Path, rng: np.random.Generator) -> Iterator[Tensor]:
    photos = [photo for path in find_photos(folder) if min((photo := read_photo(path)).shape[:2]) >= CROP]
    while True:
        crops = []
        for _ in range(BATCH):
            photo = photos[rng.integers(len(photos))]
            top, left = (rng.integers(length - CROP + 1) for length in photo.shape[:2])
            crop = photo[top : top + CROP, left : left + CROP, :3].astype(np.float32) / np.iinfo(photo.dtype).max
            crop = np.ascontiguousarray(crop[:, :: rng.choice((-1, 1))])
            crops.append(compose(rng, crop, render(rng, CROP)) if rng.random() < RENDERED else crop)
        yield torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def blocks(network: DerainNet) -> list[ResidualBlock]:
    return [block for part in (*network.encoder, *network.decoder) for block in part]


def moments(network: DerainNet, given: Iterator[Tensor]) -> list[Tensor]:
    """For each block ``(9 K + 1, 9 K + 1)``: the second moments of what its second convolution sees, a 1 the last."""
    found: list[Tensor] = [torch.zeros(())] * len(blocks(network))

    def look(index: int, inner: Tensor) -> None:
        seen = F.unfold(F.relu(inner), 3, padding=1, stride=2).transpose(0, 1).flatten(1)
        seen = torch.cat([seen, torch.ones_like(seen[:1])])
        found[index] = found[index] + (seen @ seen.T).double()

    hooks = [
        block.first.register_forward_hook(lambda _, __, inner, index=index: look(index, inner))
        for index, block in enumerate(blocks(network))
    ]
    with torch.inference_mode():
        for _ in range(LOOKED_AT // BATCH):
            network(next(given))
    for hook in hooks:
        hook.remove()
    return found


def narrowed(network: DerainNet, inner: list[int], seen: list[Tensor]) -> DerainNet:
    """The network with the channels that matter most, and second convolutions fitted by least squares."""
    state = network.state_dict()
    names = {id(block): name for name, block in network.named_modules()}
    left = []
    for block, second_moments, wanted in zip(blocks(network), seen, inner or [len(m) for m in seen]):
        weight = block.second.weight.detach().double()
        energy = second_moments.diagonal()[:-1].view(-1, 9).mean(1)
        matter = energy * weight.square().sum((0, 2, 3))
        alive = max(int((energy > 0).sum()), 1)
        kept = matter.argsort(descending=True)[: min(wanted, alive)].sort().values
        columns = torch.cat([*(torch.arange(9 * each, 9 * each + 9) for each in kept.tolist()), torch.tensor([-1])])
        whole = torch.cat([weight.flatten(1), block.second.bias.detach().double()[:, None]], 1)  # type: ignore[union-attr]
        fitted = whole[:, columns].float()
        if len(kept) < alive:
            some = second_moments[columns][:, columns]
            some = some + 1e-6 * some.diagonal().mean() * torch.eye(len(some))
            fitted = torch.linalg.solve(some, second_moments[columns] @ whole.T).T.float()
        name = names[id(block)]
        state[f"{name}.first.weight"], state[f"{name}.first.bias"] = (
            numbers.detach()[kept] for numbers in block.first.parameters()
        )
        state[f"{name}.second.weight"] = fitted[:, :-1].reshape(-1, len(kept), 3, 3)
        state[f"{name}.second.bias"] = fitted[:, -1]
        left.append(len(kept))
    narrow = DerainNet(dataclasses.replace(network.config, inner=tuple(left), ranges=()))
    narrow.load_state_dict(state)
    return narrow.eval()


def learn(narrow: DerainNet, network: DerainNet, given: Iterator[Tensor], minutes: float, rate: float) -> None:
    optimiser = torch.optim.AdamW(narrow.parameters(), rate, (0.9, 0.99), weight_decay=0)
    started, gone, step = time.monotonic(), 0.0, 0
    while gone < 1:
        rainy = next(given)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            taught = network.outputs(rainy)
        with torch.autocast("cpu", torch.bfloat16):
            learned = narrow.outputs(rainy)
        taught, learned = ([output.float() for output in outputs] for outputs in (taught, learned))
        difference = narrow.composed(rainy, *learned)[1] - network.composed(rainy, *taught)[1]
        heights, asked = (outputs[0][:, :4].clamp(min=-BELOW) for outputs in (learned, taught))
        psnr = -10 * torch.log10(difference.square().mean((1, 2, 3)) + 1e-6).mean()
        loss = difference.abs().mean() + 0.5 * (heights - asked).abs().mean() - 3e-4 * psnr
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (1 + np.cos(np.pi * gone)) / 2
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(narrow.parameters(), 0.5)
        optimiser.step()
        gone, step = (time.monotonic() - started) / 60 / minutes, step + 1
        if step % 100 == 0:
            print(f"{gone:.0%}: {float(psnr):.1f} dB from what the network finds", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="derain")
    parser.add_argument("--inner", type=int, nargs="*", default=[])
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--rate", type=float, default=1.5e-4)
    asked = parser.parse_args()
    if asked.out.exists():
        parser.error(f"{asked.out}: exists; give another name")
    teacher = derain.load(asked.weights)
    if not isinstance(teacher, DerainNet):
        parser.error(f"{asked.weights}: give weights of the preset derain")
    if asked.inner and len(asked.inner) != len(blocks(teacher)):
        parser.error(f"give {len(blocks(teacher))} numbers, one for each block")
    crops = batches(asked.photos, np.random.default_rng(0))
    student = narrowed(teacher, asked.inner, moments(teacher, crops))
    print("channels within the blocks:", *student.config.inner)
    if asked.minutes:
        learn(student.requires_grad_(True), teacher, crops, asked.minutes, asked.rate)
    save(student, asked.out, {"lean": derain.weights.about(asked.weights)["sha256"]})
    print(asked.out)
