"""NLCL's objective beside the pairs of preset ``derain``: a critic that learns along, and contrasts in its features.

What the network generates can only be the photo less light, so the critic can ask of it nothing but rain taken away.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from derain.nlcl import losses
from derain.nlcl.critic import Critic
from derain.nlcl.heads import Heads
from derain.nlcl.terms import (
    CRITIC_LEVELS,
    critic_widths,
    layer_saturation,
    location_saturation,
    location_term,
    matched_layer_term,
    matched_widths,
)
from derain.restoring.devices import moved_to
from derain.training.config import TrainConfig
from derain.training.learner import adam_options


class LiveObjective(nn.Module):
    """A critic with its optimiser, and the heads, which the network's optimiser steps.

    Photos and backgrounds are ``(N, 3, H, W)`` in [0, 1].
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        super().__init__()
        self.config = config
        self.critic = Critic()
        self.location_heads = Heads(critic_widths(self.critic))
        self.layer_heads = Heads(matched_widths(self.critic))
        moved_to(self, device)
        self.optimiser = torch.optim.Adam(
            self.critic.parameters(), config.lr, betas=(0.5, 0.999), **adam_options(device)
        )

    def heads(self) -> Iterator[nn.Parameter]:
        yield from self.location_heads.parameters()
        yield from self.layer_heads.parameters()

    def of_critic(self, background: Tensor, clean: Tensor) -> dict[str, Tensor]:
        """What the critic is to lower: 0 if it tells both apart, 1/4 if it cannot."""
        fake, real = self.critic(background.detach() * 2 - 1), self.critic(clean * 2 - 1)
        return {"critic": (losses.adversarial(fake, False) + losses.adversarial(real, True)) / 2}

    def of_network(self, rainy: Tensor, background: Tensor) -> dict[str, Tensor]:
        """What the network is to lower."""
        O, B = rainy * 2 - 1, background * 2 - 1
        found = {}
        if self.config.critic:
            found["adversarial"] = self.config.critic * losses.adversarial(self.critic(B), True)
        if self.config.contrasted:
            with torch.no_grad():
                keys = self.critic.features(O, CRITIC_LEVELS)
            queries = self.critic.features(B, CRITIC_LEVELS)
            location = location_term(queries, keys, self.location_heads, (O.shape[2], O.shape[3]))
            found["location"] = self.config.contrasted * location
            found["layer"] = self.config.contrasted * matched_layer_term(self.critic, self.layer_heads, B, O - B)
        return found

    def distances(self, found: dict[str, float]) -> dict[str, float]:
        size = (self.config.crop, self.config.crop)
        least = {"location": location_saturation(size), "layer": layer_saturation(size, matched=True)}
        weight = self.config.contrasted
        return {f"{name}_above_least": found[name] / weight - least[name] for name in least if name in found}
