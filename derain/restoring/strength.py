"""Where the strength of the removal takes effect, in photos and in clips."""

import numpy as np

from derain.arrays import Pixels, rows_in_cache


def at_strength(rainy: Pixels, background: Pixels, strength: float) -> Pixels:
    """What lies between a rainy photo, at strength 0, and its background, at strength 1; to the nearest value."""
    if strength >= 1:
        return background
    between = np.empty_like(background)
    for rows in rows_in_cache(background):
        between[rows] = rainy[rows] * (1 - strength) + background[rows] * strength + 0.5
    return between
