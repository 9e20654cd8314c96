"""Where the strength of the removal takes effect, in photos and in clips."""

import numpy as np

from derain.arrays import Pixels


def at_strength(none: Pixels | int, full: Pixels, strength: float) -> Pixels:
    """What lies between a layer at strength 0 and the same layer at strength 1, rounded to the nearest value.

    Of the rain that is taken away ``none`` is 0; of the background it is the rainy photo itself.
    """
    if strength >= 1:
        return full
    return np.asarray(none * (1 - strength) + full * strength + 0.5).astype(full.dtype)
