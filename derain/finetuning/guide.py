"""The guide of finetuning: a critic and projection heads, trained once on the clean bank and then frozen.

    python -m derain.finetuning.guide weights/finetune/clean weights/finetune/guide.safetensors

The critic tells clean patches from rainy ones, and its features carry NLCL's two contrastive terms. All that it has
seen are the bundled clean pictures and rendered rain.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from derain.files.writing import atomic
from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.terms import CRITIC_LEVELS, critic_widths, layer_term, location_term
from derain.rain.compose import add
from derain.rain.render import ANY_RAIN, FINE_RAIN, render
from derain.training.crops import Crops, to_tensor
from derain.weights import bundled_folder, refuse_damaged

WIDTH, DIMENSION = 24, 128  # of the critic and the heads: a tenth of the paper's parameters
FILE = "guide.safetensors"


class Guide(nn.Module):
    """Judges ``(N, 3, H, W)`` pictures in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = Critic(WIDTH)
        widths = critic_widths(self.critic)
        self.location_heads = Heads(widths, DIMENSION)
        self.background_heads = Heads(widths, DIMENSION)
        self.rain_heads = Heads(widths, DIMENSION)

    def cleanness(self, picture: Tensor) -> Tensor:
        """``(N,)``: about 1 for a clean picture, 0 for a rainy one."""
        return self.critic(picture * 2 - 1).float().mean(dim=(1, 2, 3))

    def terms(self, rainy: Tensor, background: Tensor) -> dict[str, Tensor]:
        """NLCL's location and layer contrast of a network's background of a rainy photo."""
        O, B = rainy * 2 - 1, background * 2 - 1
        with torch.no_grad():
            keys = self.critic.features(O, CRITIC_LEVELS)
        size = (O.shape[2], O.shape[3])
        return {
            "location": location_term(self.critic.features(B, CRITIC_LEVELS), keys, self.location_heads, size),
            "layer": layer_term(self.critic, self.background_heads, self.rain_heads, B, O - B),
        }


def load_guide(device: torch.device | str = "cpu") -> Guide:
    """The bundled guide, frozen.

    Raises:
        WeightsError: its SHA-256 digest is wrong.
    """
    path = bundled_folder() / "finetune" / FILE
    refuse_damaged(path, bundled_folder())
    guide = Guide()
    guide.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return guide.to(device).eval().requires_grad_(False)


def train_guide(clean: Path, steps: int, crop: int = 128, batch: int = 4, seed: int = 0) -> Guide:
    """A guide that knows the pictures in ``clean`` and rendered rain on them."""
    torch.manual_seed(seed)
    guide, crops = Guide(), Crops(clean, crop)
    optimiser = torch.optim.Adam(guide.parameters(), 2e-4, betas=(0.5, 0.999))
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        truths = crops.batch(rng, batch)
        layers = [render(rng, crop, FINE_RAIN if rng.random() < 0.5 else ANY_RAIN) for _ in truths]
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
    parser.add_argument("clean", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    arguments = parser.parse_args()
    trained = train_guide(arguments.clean, arguments.steps)
    with atomic(arguments.out) as part:
        save_file({name: tensor.half() for name, tensor in trained.state_dict().items()}, part)
