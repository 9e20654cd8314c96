"""The guide of finetuning: a critic and projection heads, trained once on the clean bank and then frozen.

The critic tells clean patches from rainy ones, and its features carry NLCL's two contrastive terms. All that it has
seen are the bundled clean pictures and rendered rain: ``examples/make_guide.py``.
"""

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.terms import CRITIC_LEVELS, critic_widths, layer_term, location_term
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
