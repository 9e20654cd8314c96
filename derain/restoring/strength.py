"""Where the strength of the removal takes effect, in photos and in clips."""

import numpy as np

from derain.arrays import Pixels

ROWS_AT_A_TIME = 64  # at a time: numbers in between take 24 times the memory of the layer


def at_strength(none: Pixels | int, full: Pixels, strength: float) -> Pixels:
    """What lies between a layer at strength 0 and the same layer at strength 1, rounded to the nearest value.

    Of the rain that is taken away ``none`` is 0; of the background it is the rainy photo itself.
    """
    if strength >= 1:
        return full
    between = np.empty_like(full)
    for top in range(0, len(full), ROWS_AT_A_TIME):
        rows = slice(top, top + ROWS_AT_A_TIME)
        least = none if isinstance(none, int) else none[rows]
        between[rows] = least * (1 - strength) + full[rows] * strength + 0.5
    return between
