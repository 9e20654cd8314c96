"""Pictures sorted pixel by pixel: by comparisons of whole pictures, which is quicker than to sort each pixel."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Picture = TypeVar("Picture")


def ordered(
    pictures: Sequence[Picture],
    least: Callable[[Picture, Picture], Picture],
    most: Callable[[Picture, Picture], Picture],
) -> list[Picture]:
    """From the picture of the least numbers to that of the greatest.

    Args:
        least: of two pictures, at each pixel.
        most: the same.
    """
    found = list(pictures)
    for turn in range(len(found)):
        for n in range(turn % 2, len(found) - 1, 2):
            found[n], found[n + 1] = least(found[n], found[n + 1]), most(found[n], found[n + 1])
    return found
