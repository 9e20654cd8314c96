"""The guide of finetuning, trained on clean pictures and rendered rain: `python examples/make_guide.py OUT`"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from derain.files.writing import atomic
from derain.finetuning.guide import Guide
from derain.nlcl import losses
from derain.rain.compose import add
from derain.rain.render import ANY_RAIN, FINE_RAIN, render
from derain.training.crops import Crops, to_tensor
from derain.weights import bundled_folder

CROP, BATCH = 128, 4


def trained(clean: Path, steps: int) -> Guide:
    """A guide that knows the pictures in ``clean`` and rendered rain on them."""
    torch.manual_seed(0)
    guide, crops = Guide(), Crops(clean, CROP)
    optimiser = torch.optim.Adam(guide.parameters(), 2e-4, betas=(0.5, 0.999))
    for step in range(steps):
        rng = np.random.default_rng((0, step))
        truths = crops.batch(rng, BATCH)
        layers = [render(rng, CROP, FINE_RAIN if rng.random() < 0.5 else ANY_RAIN) for _ in truths]
        rainy = np.stack([add(t, r[..., None]).astype(np.float32) for t, r in zip(truths, layers)])
        B, O = (to_tensor(images, torch.device("cpu")) for images in (truths, rainy))
        scores = guide.critic(O * 2 - 1), guide.critic(B * 2 - 1)
        loss: Tensor = losses.adversarial(scores[0], False) + losses.adversarial(scores[1], True)
        loss = loss + sum(guide.terms(O, B).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step} loss {float(loss.detach()):.3f}")
    return guide


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clean", type=Path, default=bundled_folder() / "finetune" / "clean")
    parser.add_argument("--steps", type=int, default=1500)
    asked = parser.parse_args()
    guide = trained(asked.clean, asked.steps)
    with atomic(asked.out) as part:
        save_file({name: tensor.half() for name, tensor in guide.state_dict().items()}, part)
    print(asked.out)
