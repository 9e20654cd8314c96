"""The deployable network (preset ``derain``): predicts the rain layer and subtracts it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain.bounds import bounded
from derain.errors import WeightsError
from derain.models.contract import LARGEST_NUMBER, Config, Derainer, nan_where_too_large
from derain.models.shuffling import only_infers_on_cpu, pixel_shuffle
from derain.models.strips import Map

STEEPEST_FADING = 4.0  # that of rain under a sky of a quarter of the greatest brightness
# brightness from which a channel may be, and surely is, clipped; JPEG makes it uneven
CLIPPED_BRIGHTNESS = (0.94, 0.99)
STANDARD_DEVIATIONS = 4.8  # of the Gaussian that the network sees, within which all is that counts


@dataclass(frozen=True)
class DerainConfig(Config):
    """Architecture of :class:`DerainNet`."""

    # channels at 1/2, 1/4, 1/8 and 1/16 of the resolution
    widths: tuple[int, ...] = bounded((24, 48, 96, 96), 1, 512, lengths=(1, 6))
    # residual blocks at each level, the last at the bottom
    blocks: tuple[int, ...] = bounded((1, 2, 2, 3), 0, 32, lengths=(1, 6))
    # channels within each residual block, those of the encoder's levels first; none: as many as at its level
    inner: tuple[int, ...] = bounded((), 1, 512, lengths=(0, 400))
    # the least and greatest number that each of these blocks gets, and the greatest within it; none: not known
    ranges: tuple[float, ...] = bounded((), -LARGEST_NUMBER, LARGEST_NUMBER, lengths=(0, 1200))
    # how far the rain's colour channels may differ, as a share of its height
    chroma: float = bounded(0.1, 0, 1)
    # whether there may be any less rain in a channel that the camera clipped
    clipping: bool = False
    # whether the rain's colour may depend on the photo's own
    fading: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.widths) != len(self.blocks):
            raise WeightsError(f"widths has {len(self.widths)} levels and blocks {len(self.blocks)}; give as many")
        count = sum(self.blocks) + sum(self.blocks[:-1])
        if self.inner and len(self.inner) != count:
            raise WeightsError(f"inner has {len(self.inner)} numbers and the levels {count} blocks; give as many")
        if self.ranges and len(self.ranges) != 3 * count:
            raise WeightsError(
                f"ranges has {len(self.ranges)} numbers and the levels {count} blocks; give three for each"
            )
        for least, greatest, within in zip(*[iter(self.ranges)] * 3):
            if not (least < greatest and within > 0):
                raise WeightsError(f"ranges {least}, {greatest}, {within} of a block are none")

    def blocks_of_levels(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Of the encoder's levels and then the decoder's: the width, and the channels within each block."""
        levels = [*zip(self.widths, self.blocks), *zip(self.widths[:-1], self.blocks[:-1])]
        inner = iter(self.inner or [width for width, blocks in levels for _ in range(blocks)])
        for width, blocks in levels:
            yield width, tuple(islice(inner, blocks))


class ResidualBlock(nn.Module):
    """conv3x3, ReLU, conv3x3, plus the skip; no normalisation, so that tiles agree."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, inner, 3, padding=1)
        self.second = nn.Conv2d(inner, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x), inplace=True)).add_(x)


def stack(width: int, inner: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, each) for each in inner))


class DerainNet(Derainer):
    """A U-Net on pixel-unshuffled photos with ``0 <= rain`` and near-achromatic rain by construction.

    The rain layer is ``s * (1 + chroma * tanh(c))`` with one height ``s >= 0`` a pixel and one tint ``c`` a channel,
    limited to the photo itself so that ``background = photo - rain`` stays in [0, 1]. With ``clipping``, ``chroma`` is
    1 downwards where a channel is at its brightest: of light that the camera clipped any part may be the background's.
    With ``fading`` the layer is ``s * (1 + chroma * tanh(c)) * (1 - u * (O - mean O))``, the mean over the channels of
    the photo ``O``: a drop hides the backdrop and shows the sky, so over green it adds red and blue light
    (:func:`derain.rain.compose.fade`), and under a coloured lamp (``u < 0``) light of the lamp's colour.
    """

    reductions = (2, 4, 8)
    may_have_half_weights = True
    finds_dark_streaks = True

    def __init__(self, config: DerainConfig = DerainConfig()) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        levels = list(config.blocks_of_levels())
        self.head = nn.Conv2d(12, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(stack(*level) for level in levels[: len(widths)])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:]))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:]))
        self.decoder = nn.ModuleList(stack(*level) for level in levels[len(widths) :])
        self.tail = nn.Conv2d(widths[0], 16, 3, padding=1)
        if not self.tail.weight.is_meta:  # torch would load its compiler for that, which takes a second
            nn.init.normal_(self.tail.weight, std=1e-2)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        if config.fading:
            self.fade = nn.Conv2d(widths[0], 4, 3, padding=1)
            nn.init.zeros_(self.fade.weight)
            nn.init.zeros_(self.fade.bias)  # type: ignore[arg-type]
        self.multiple = 2 ** len(widths)
        self.halo = effective_radius(config)
        self.may_compute_in_int8 = bool(config.ranges)
        self.heaviness = max(numbers_a_pixel(config) / numbers_a_pixel(DerainConfig()), 1.0)

    def forget_ranges(self) -> None:
        """For training, which changes the numbers that they are of."""
        self.config, self.may_compute_in_int8 = replace(self.config, ranges=()), False

    def layers(self, rainy: Tensor) -> tuple[Tensor, Tensor]:
        return self.composed(rainy, *self.outputs(rainy))

    def composed(self, rainy: Tensor, *outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Background and rain, given the :meth:`outputs`."""
        height, tint, *fading = self.unfolded(outputs, rainy.dtype)
        if only_infers_on_cpu(rainy):
            rainy = rainy.contiguous()  # in planes, as they are: one number for all channels costs less there
        if not tint.is_contiguous():  # of a slice tanh takes twenty times as long
            tint = tint.contiguous(memory_format=torch.channels_last)
        # In training a little leaks below 0: a plain ReLU dies on photos that are mostly dry.
        height = F.leaky_relu(height, 0.1) if self.training else F.relu(height)
        colour = 1 + self.difference(torch.tanh(tint), rainy)
        for u in fading:
            colour = colour * F.relu(1 - u * (rainy - rainy.mean(1, keepdim=True)))
        rain = torch.minimum(height * colour, rainy)
        return rainy - rain, rain

    def difference(self, tint: Tensor, rainy: Tensor) -> Tensor:
        """By what share of its height the rain differs in each channel, given its tint in [-1, 1]."""
        chroma = self.config.chroma
        if not self.config.clipping:
            return chroma * tint
        clipped = ((rainy - CLIPPED_BRIGHTNESS[0]) / (CLIPPED_BRIGHTNESS[1] - CLIPPED_BRIGHTNESS[0])).clamp(0, 1)
        return ((chroma + (1 - chroma) * clipped) * tint).clamp(max=chroma)

    def unfolded(self, outputs: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
        """Of the :meth:`outputs` ``(N, 1, H, W)`` signed height of the rain layer before its clipping at 0,
        ``(N, 3, H, W)`` tint, and with ``fading`` the ``(N, 1, H, W)`` fading, from ``-STEEPEST_FADING`` to
        ``STEEPEST_FADING``.
        """
        out, *fading = (pixel_shuffle(nan_where_too_large(each)).to(dtype) for each in outputs)
        return [out[:, :1], out[:, 1:], *(STEEPEST_FADING * torch.tanh(u / STEEPEST_FADING) for u in fading)]

    def outputs(self, rainy: Tensor) -> list[Tensor]:
        """What is predicted, for four pixels in each: ``(N, 16, H/2, W/2)``, and with ``fading`` 4 more."""
        x = self.head(F.pixel_unshuffle(rainy - 0.5, 2).to(self.head.weight.dtype))
        skips = []
        for blocks, down in zip(self.encoder, self.down):
            x = blocks(x)
            skips.append(x)
            x = F.relu(down(x), inplace=True)
        x = self.encoder[-1](x)
        for blocks, up in zip(reversed(self.decoder), reversed(self.up)):
            x = blocks(F.interpolate(up(x), scale_factor=2.0, mode="nearest").add_(skips.pop()))
        return [output(x) for output in self.output_layers()]

    def output_layers(self) -> list[nn.Module]:
        return [self.tail, self.fade] if self.config.fading else [self.tail]

    def in_strips(self, photo: Map) -> Map:
        """Of all maps only the skips are kept whole, which takes a third of the memory."""
        folded = photo.halved(lambda rainy: F.pixel_unshuffle(rainy - 0.5, 2).to(self.head.weight.dtype))
        decoded = self.level_in_strips(0, folded.seen_around(self.head, 1))

        def rows(first: int, last: int) -> Tensor:
            top, bottom = first // 2, (last + 1) // 2
            x, above = decoded.around(top, bottom, 1)
            outputs = [output(x)[:, :, above : above + bottom - top] for output in self.output_layers()]
            found = self.composed(photo.rows(2 * top, 2 * bottom), *outputs)[0]
            return found[:, :, first - 2 * top : last - 2 * top]

        return Map(rows, photo.height, 2 * photo.strip)  # as many rows at half the height as those of the levels

    def level_in_strips(self, level: int, x: Map) -> Map:
        """What a level of the U-Net, with all below it, makes of its input."""
        encode = self.encoder[level]
        if level == len(self.encoder) - 1:
            whole = encode(x.rows(0, x.height))
            return x.of(lambda first, last: whole[:, :, first:last])
        down, up, decode = self.down[level], self.up[level], self.decoder[level]
        skip = x.seen_around(encode, 2 * len(encode)).kept(exactly=True)  # type: ignore[arg-type]
        below = self.level_in_strips(level + 1, skip.halved(lambda found: F.relu(down(found), inplace=True), above=1))
        joined = below.then(up).doubled().then(torch.Tensor.add_, skip)
        decoded = joined.seen_around(decode, 2 * len(decode))  # type: ignore[arg-type]
        return decoded if level == 0 else skip.replaced(decoded)


def numbers_a_pixel(config: DerainConfig) -> float:
    """How many numbers stand for a pixel at all levels together."""
    return sum(width / 4 ** (level + 1) for level, width in enumerate(config.widths))


def receptive_radius(config: DerainConfig) -> int:
    """Pixels that one output pixel sees to each side, rounded up to the padding grid."""
    return _on_grid(sum(pixel * reach for pixel, reach in _convolutions(config)), config)


def effective_radius(config: DerainConfig) -> int:
    """Pixels to each side beyond which nothing changes an output pixel by a grey level of 255.

    What a stack of 3x3 convolutions sees falls off like a Gaussian, the variance of which each of them adds to. With
    the bundled weights nothing at a distance of ``STANDARD_DEVIATIONS`` (a cut, white, black, noise, another photo)
    changed a pixel by more than an eighth of a grey level; at 4.3 of them it was three levels for a cut.
    """
    variance = sum(2 / 3 * pixel**2 * reach for pixel, reach in _convolutions(config))
    return min(_on_grid(STANDARD_DEVIATIONS * math.sqrt(variance), config), receptive_radius(config))


def _convolutions(config: DerainConfig) -> Iterator[tuple[int, int]]:
    """The size of pixels in those of the photo, and how many 3x3 convolutions see them, from head and tail on."""
    yield 2, 2
    for level, blocks in enumerate(config.blocks):
        bottom = level == len(config.widths) - 1
        yield 2 ** (level + 1), 2 * blocks if bottom else 4 * blocks + 2


def _on_grid(pixels: float, config: DerainConfig) -> int:
    grid = 2 ** len(config.widths)
    return math.ceil(pixels / grid) * grid
