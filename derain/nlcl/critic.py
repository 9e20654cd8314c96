"""The critic D: a 70x70 PatchGAN that is also the feature encoder of the layer contrast (paper section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain.models.nlcl import instance_norm


class BlurDownsample(nn.Module):
    """3x3 binomial blur with stride 2, so that downsampling does not alias."""

    kernel: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(row, row).expand(width, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        mode = "reflect" if min(x.shape[-2:]) > 1 else "replicate"
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), self.kernel.to(x.dtype), stride=2, groups=x.shape[1])


class InstanceNorm(nn.Module):
    """Zero mean and unit variance for each channel of each photo; on a GPU in the fastest way."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x) if x.is_cuda else F.instance_norm(x)


class Critic(nn.Module):
    """``(N, 3, H, W)`` in [-1, 1] to a map of scores, high where a patch looks clean."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, padding=1), nn.LeakyReLU(0.2), BlurDownsample(width)]
        for wide in (2 * width, 4 * width):
            layers += [nn.Conv2d(wide // 2, wide, 4, padding=1), InstanceNorm()]
            layers += [nn.LeakyReLU(0.2), BlurDownsample(wide)]
        layers += [nn.Conv2d(4 * width, 8 * width, 4, padding=1), InstanceNorm(), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(8 * width, 1, 4, padding=1)]
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight, gain=0.02)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)

    def features(self, image: Tensor, levels: tuple[int, ...]) -> list[Tensor]:
        """The image itself, then the outputs of the given layers."""
        found, x = [image], image
        for index in range(max(levels) + 1):
            x = self.layers[index](x)
            if index in levels:
                found.append(x)
        return found
