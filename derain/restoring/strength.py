"""Where the strength of the removal takes effect, in photos and in clips."""

import numpy as np

from derain.arrays import Pixels, rows_in_cache


def at_strength(none: Pixels | int, full: Pixels, strength: float) -> Pixels:
    """What lies between a layer at strength 0 and the same layer at strength 1, rounded to the nearest value.

    Of the rain that is taken away ``none`` is 0; of the background it is the rainy photo itself.
    """
    if strength >= 1:
        return full
    between = np.empty_like(full)
    for rows in rows_in_cache(full):
        least = none if isinstance(none, int) else none[rows]
        between[rows] = least * (1 - strength) + full[rows] * strength + 0.5
    return between
