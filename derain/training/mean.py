"""The mean of a network's weights over the steps, which does better than those of any one step."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class RunningMean(Generic[Network]):
    """Of the weights of ``network``, in ``module``; its memory is short at first.

    Args:
        decay: share of the mean that is left after a step, later on.
    """

    def __init__(self, network: Network, decay: float, device: torch.device) -> None:
        self.network, self.decay = network, decay
        self.module: Network = copy.deepcopy(network).requires_grad_(False)
        self.forgetting = torch.zeros((), device=device)  # in a step; a GPU records where it is, not what

    def begin_step(self, step: int) -> None:
        self.forgetting.fill_(1 - min(self.decay, (step + 1) / (step + 10)))

    def end_step(self) -> None:
        for mean, new in zip(self.module.parameters(), self.network.parameters()):
            mean.lerp_(new.detach(), self.forgetting)
