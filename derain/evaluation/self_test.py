"""Pairs that derain renders itself, so that a score is seen a minute after installing.

They say that the installation works. They say little of real rain: the network was trained on streaks of this kind.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from derain.arrays import UnitRgb, to_bytes
from derain.evaluation.samples import Sample, Samples
from derain.rain.compose import compose
from derain.rain.render import ANY_RAIN, FINE_RAIN, render

SCENE_SIDE = 320  # px, of the drawn scenes
SCENES = 36  # enough that a gain of 5 dB is no noise: from drizzle to downpour they differ by some 8 dB


def rendered_samples(count: int = SCENES, seed: int = 0) -> Samples:
    """``count`` drawn scenes under rendered rain; the same ``seed`` draws the same."""
    return Samples(_render_all(count, seed), [], total=count)


def _render_all(count: int, seed: int) -> Iterator[Sample]:
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        clean = draw_scene(rng, SCENE_SIDE)
        rainy = compose(rng, clean, render(rng, SCENE_SIDE, FINE_RAIN if index % 2 else ANY_RAIN))
        rainy_bytes, clean_bytes = (to_bytes(picture) for picture in (rainy, clean))
        yield Sample(f"rendered {index + 1:02d}", rainy_bytes, clean_bytes)


def draw_scene(rng: np.random.Generator, size: int) -> UnitRgb:
    """A sky, a row of houses with windows and a textured ground: ``(size, size, 3)`` in [0, 1]."""
    height = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    scene = rng.uniform(0.4, 0.7, 3) * (1 - height) + rng.uniform(0.15, 0.5, 3) * height
    scene = np.repeat(scene.astype(np.float32), size, axis=1)
    left = 0
    while left < size:
        width, top = int(rng.integers(30, 90)), int(size * rng.uniform(0.2, 0.6))
        cv2.rectangle(scene, (left, top), (left + width - 4, size), rng.uniform(0.1, 0.6, 3).tolist(), -1)
        pane = rng.uniform(0.05, 0.9, 3).tolist()
        for row in range(top + 8, size - 12, 20):
            for column in range(left + 6, left + width - 14, 14):
                cv2.rectangle(scene, (column, row), (column + 7, row + 10), pane, -1)
        left += width
    ground = int(size * rng.uniform(0.75, 0.9))
    grain = cv2.GaussianBlur(rng.normal(0, 0.12, (size - ground, size, 1)).astype(np.float32), (0, 0), 1.0)
    scene[ground:] = rng.uniform(0.2, 0.5, 3) + grain[..., None]
    return np.clip(cv2.GaussianBlur(scene, (0, 0), 0.6), 0, 1).astype(np.float32)
