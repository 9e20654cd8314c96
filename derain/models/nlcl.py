"""The paper's two generators (preset ``nlcl``)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain.bounds import bounded
from derain.models.contract import Config, Derainer, nan_where_too_large
from derain.models.strips import Kept, Map

SMOOTHING_RADIUS = 17  # radius in px over which a change of light is no streak
# bytes that two maps of a large photo may take; if they take more, one is computed again and again
LARGEST_KEPT_BYTES = 1.6e9


@dataclass(frozen=True)
class NLCLConfig(Config):
    """Architecture of :class:`NLCL`; the defaults are the paper's."""

    width: int = bounded(32, 1, 256)
    blocks: int = bounded(16, 0, 64)
    keep_colours: bool = True  # false: the background as generated, colours and softness included


def instance_norm(x: Tensor) -> Tensor:
    """Zero mean and unit variance for each channel of each photo, no affine."""
    # For one photo batch norm says the same, and twice as fast where channels are last in memory; on a GPU thrice.
    return F.batch_norm(x, None, None, training=True) if len(x) == 1 else F.instance_norm(x)


class ResidualBlock(nn.Module):
    """conv3x3, instance norm, ReLU, conv3x3, instance norm, plus the skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + instance_norm(self.second(F.relu(instance_norm(self.first(x)))))

    def in_strips(self, x: Kept, spare: Kept | None) -> Kept:
        first = once(x.convolved(self.first), spare).normalised().then(F.relu)
        second = once(first.convolved(self.second), spare).normalised()
        return x.replaced(x.then(torch.add, second))


class Tail(nn.Module):
    """conv3x3, instance norm, ReLU, conv3x3."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(instance_norm(self.first(x))))

    def in_strips(self, x: Kept, spare: Kept | None) -> Map:
        return once(x.convolved(self.first), spare).normalised().then(F.relu).convolved(self.second)


def once(found: Map, spare: Kept | None) -> Map:
    """A map worked out once, in the place of the spare one; without, anew whenever it is asked for."""
    return spare.replaced(found) if spare else found


class Generator(nn.Module):
    """Maps ``(N, 3, H, W)`` in [-1, 1] to one layer in the same scale; no output activation."""

    def __init__(self, config: NLCLConfig = NLCLConfig()) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [
                nn.Conv2d(3, config.width, 3, padding=1),
                *(ResidualBlock(config.width) for _ in range(config.blocks)),
                Tail(config.width),
                nn.Conv2d(config.width, 3, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x, (len(self.levels) - 1,))[0]

    def in_strips(self, photo: Map) -> Kept:
        """The layer of a large photo: never more than two of its maps and some strips are in memory."""
        x = photo.convolved(self.levels[0]).kept()  # type: ignore[arg-type]
        spare = Kept.on(torch.empty_like(x.values), x.strip) if 2 * x.values.nbytes <= LARGEST_KEPT_BYTES else None
        for block in self.levels[1:-2]:
            x = block.in_strips(x, spare)  # type: ignore[operator]
        return self.levels[-2].in_strips(x, spare).convolved(self.levels[-1]).kept()  # type: ignore[operator]

    def features(self, x: Tensor, levels: tuple[int, ...]) -> list[Tensor]:
        """Outputs of the given levels: 0 the first conv, then the blocks, the tail and the last conv, the layer."""
        found = []
        for index in range(max(levels) + 1):
            x = self.levels[index](x)
            if index in levels:
                found.append(x)
        return found


def match_colours(background: Tensor, rainy: Tensor) -> Tensor:
    """Give each channel of ``background`` the gain and offset that bring it nearest to ``rainy`` (least squares).

    Instance norm takes the brightness and contrast of a photo away, and the generator can only guess them back.
    """
    deviation = background - background.mean((2, 3), keepdim=True)
    mean = rainy.mean((2, 3), keepdim=True)
    covariance, variance = covariances(deviation, rainy - mean)
    return covariance / (variance + 1e-6) * deviation + mean


def match_colours_in_strips(background: Map, rainy: Map) -> Map:
    """As :func:`match_colours`."""
    centre, mean = background.moments()[0], rainy.moments()[0]
    covariance, variance = background.mean(lambda b, o: covariances(b - centre, o - mean), rainy).float()
    gain = covariance / (variance + 1e-6)
    return background.then(lambda b: gain * (b - centre) + mean)


def covariances(deviation: Tensor, other: Tensor) -> Tensor:
    """``(2, N, C, 1, 1)``: of two maps of zero mean, and of the first with itself."""
    return torch.stack([(deviation * each).mean((2, 3), keepdim=True) for each in (other, deviation)])


def blur(image: Tensor, radius: int) -> Tensor:
    """Mean of the square of side ``2 radius + 1`` around each pixel, as far as it lies inside the image."""
    for size, pad in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        image = F.avg_pool2d(image, size, 1, pad, count_include_pad=False)
    return image


def height_of_rain(found: Tensor) -> Tensor:
    """``(N, 1, H, W)``: what can be rain of what was found, less its smooth part and as high as its lowest channel."""
    return F.relu(found - blur(found, SMOOTHING_RADIUS)).amin(1, keepdim=True)


class NLCL(Derainer):
    """``background = G_B(O)`` and ``rain = O - G_B(O)``; with ``keep_colours`` only what can be rain of the latter.

    That is what is left of it once the colours are matched, the smooth part is taken away and the rest is no darker
    than 0 and as high as its lowest channel. ``rain_generator`` takes part in training only. Instance norm looks
    across the whole photo, so there is no halo within which tiles agree.
    """

    def __init__(self, config: NLCLConfig = NLCLConfig()) -> None:
        super().__init__()
        self.config = config
        self.background_generator = Generator(config)
        self.rain_generator = Generator(config)
        self.only_removes = config.keep_colours
        self.heaviness = max(4.6 * config.width / NLCLConfig.width, 1.0)

    def layers(self, rainy: Tensor) -> tuple[Tensor, Tensor]:
        if rainy.shape[-2:] == (1, 1):  # one pixel has no statistics to normalise by
            return rainy, rainy * 0
        background = to_unit(self.background_generator(rainy * 2 - 1)).to(rainy.dtype)
        if self.config.keep_colours:
            background = torch.relu(rainy - height_of_rain(rainy - match_colours(background, rainy)))
        else:
            background = background.clamp(0, 1)
        return background, rainy - background

    def in_strips(self, photo: Map) -> Map:
        background = self.background_generator.in_strips(photo.then(lambda x: x * 2 - 1)).then(to_unit)
        if not self.config.keep_colours:
            return background.then(lambda x: x.clamp(0, 1))
        found = photo.then(torch.sub, match_colours_in_strips(background, photo))
        return photo.then(lambda o, r: F.relu(o - r), found.seen_around(height_of_rain, SMOOTHING_RADIUS))


def to_unit(generated: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1], with NaN for what overflowed."""
    return (nan_where_too_large(generated.float()) + 1) / 2
