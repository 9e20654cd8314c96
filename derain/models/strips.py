"""Maps of a whole photo that are computed a strip of rows at a time: what instance norm needs of a large photo, and
what spares the memory of a whole one.

A map gives any of its rows on demand, and works out only those. What is asked for again and again is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5  # of instance norm


@dataclass(frozen=True)
class Map:
    """``rows(first, last)`` is ``(1, C, last - first, W)``; it is asked for ``strip`` rows at a time."""

    rows: Callable[[int, int], Tensor]
    height: int
    strip: int

    def strips(self) -> Iterator[tuple[int, int]]:
        return ((first, min(first + self.strip, self.height)) for first in range(0, self.height, self.strip))

    def around(self, first: int, last: int, halo: int) -> tuple[Tensor, int]:
        """The rows and up to ``halo`` more on each side, as far as the map goes; and how many of those are above."""
        top = max(first - halo, 0)
        return self.rows(top, min(last + halo, self.height)), first - top

    def of(self, rows: Callable[[int, int], Tensor]) -> "Map":
        return Map(rows, self.height, self.strip)

    def then(self, function: Callable[..., Tensor], *others: "Map") -> "Map":
        """A function of the pixels of this map and of others."""
        return self.of(lambda a, b: function(*(each.rows(a, b) for each in (self, *others))))

    def seen_around(self, function: Callable[[Tensor], Tensor], halo: int) -> "Map":
        """A function that sees so far around each pixel, and takes the end of its rows for that of the photo."""

        def rows(first: int, last: int) -> Tensor:
            x, above = self.around(first, last, halo)
            return function(x)[:, :, above : above + last - first]

        return self.of(rows)

    def halved(self, function: Callable[[Tensor], Tensor], above: int = 0) -> "Map":
        """A function that makes one row of two, and sees so many more above them."""

        def rows(first: int, last: int) -> Tensor:
            start = max(first - above, 0)
            return function(self.rows(2 * start, 2 * last))[:, :, first - start :]

        return Map(rows, self.height // 2, self.strip)

    def doubled(self) -> "Map":
        """Each pixel four times."""

        def rows(first: int, last: int) -> Tensor:
            start = first // 2
            twice = F.interpolate(self.rows(start, (last + 1) // 2), scale_factor=2.0, mode="nearest")
            return twice[:, :, first - 2 * start : last - 2 * start]

        return Map(rows, 2 * self.height, self.strip)

    def convolved(self, conv: nn.Conv2d) -> "Map":
        """By a 3x3 convolution with zeros around the photo."""

        def rows(first: int, last: int) -> Tensor:
            x, above = self.around(first, last, 1)
            below = x.shape[2] - above - (last - first)
            if not above or not below:  # rarely, for padding takes longer than the convolution
                x = F.pad(x, (0, 0, 1 - above, 1 - below))
            return F.conv2d(x, conv.weight, conv.bias, padding=(0, 1))

        return self.of(rows)

    def normalised(self) -> "Map":
        """Zero mean and unit variance for each channel of the whole map."""
        mean, variance = self.moments()
        scale = (variance + EPSILON).rsqrt()
        shift = -mean * scale
        return self.then(lambda x: torch.addcmul(shift, x.float(), scale).to(x.dtype))

    def moments(self) -> tuple[Tensor, Tensor]:
        """``(1, C, 1, 1)`` mean and variance of each channel of the whole map."""
        mean, square = self.mean(_mean_and_square)
        return mean.float(), (square - mean.square()).float()

    def mean(self, numbers: Callable[..., Tensor], *others: "Map") -> Tensor:
        """Mean over the whole map of what are means over a strip of this map and of others; in float64."""
        of = self.then(numbers, *others)
        first, *more = (of.rows(a, b).double() * (b - a) for a, b in self.strips())
        return sum(more, first) / self.height

    def kept(self, exactly: bool = False) -> "Kept":
        """The whole map, worked out once; in half precision, or exactly.

        Raises:
            MemoryError: where the system tells that there is no room for it.
        """
        first = self.rows(0, 1)
        dtype = first.dtype if exactly or first.dtype == torch.bfloat16 else torch.float16
        kept = torch.empty((self.height, first.shape[3], first.shape[1]), dtype=dtype, device=first.device)
        return Kept.on(kept, self.strip).replaced(self)


@dataclass(frozen=True)
class Kept(Map):
    """A map in memory, ``(H, W, C)``."""

    values: Tensor

    @classmethod
    def on(cls, values: Tensor, strip: int) -> "Kept":
        """Rows of bfloat16 are given as such, as autocast makes them; others are computed with in float32."""

        def rows(first: int, last: int) -> Tensor:
            found = values[first:last].permute(2, 0, 1)[None]
            return found if found.dtype == torch.bfloat16 else found.float()

        return cls(rows, len(values), strip, values)

    def replaced(self, new: Map) -> "Kept":
        """The new map in the place of this one, which it may be made of, strip by strip from few rows around."""
        done: tuple[int, int, Tensor] | None = None
        for first, last in self.strips():
            found = new.rows(first, last)
            if done:  # no earlier: the strip below sees the old rows above it
                self.write(*done)
            done = first, last, found
        if done:
            self.write(*done)
        return self

    def write(self, first: int, last: int, rows: Tensor) -> None:
        self.values[first:last] = rows[0].permute(1, 2, 0)


def _mean_and_square(x: Tensor) -> Tensor:
    x = x.float()  # torch.var_mean takes ten times as long
    return torch.stack([each.mean((2, 3), keepdim=True) for each in (x, x.square())])
