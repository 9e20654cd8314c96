"""Draws the patterns in weights/finetune/clean: what stands upright and is no rain.

python examples/make_bank.py weights/finetune/clean
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZE = 512


def rough(rng, sigma: float, strength: float) -> np.ndarray:
    """Noise of a grain of ``sigma`` px around 1."""
    noise = cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE)).astype(np.float32), (0, 0), sigma)
    return (1 + strength * noise / noise.std())[..., None]


def wall(rng, upright: bool) -> np.ndarray:
    """Bricks in rows, each of its own shade, or the same wall on its side."""
    picture = np.full((SIZE, SIZE, 3), rng.uniform(0.55, 0.75), np.float32)
    colour, long, high = rng.uniform(0.2, 0.6, 3), int(rng.integers(40, 64)), int(rng.integers(16, 26))
    for row, top in enumerate(range(0, SIZE, high)):
        for left in range(-long // 2 * (row % 2), SIZE, long):
            shade = (colour * rng.uniform(0.75, 1.2)).clip(0, 1).tolist()
            cv2.rectangle(picture, (left + 2, top + 2), (left + long - 2, top + high - 2), shade, -1)
    picture = picture.transpose(1, 0, 2) if upright else picture
    return cv2.GaussianBlur(np.ascontiguousarray(picture), (0, 0), 0.8) * rough(rng, 1.2, 0.06) * rough(rng, 6, 0.05)


def fence(rng) -> np.ndarray:
    """Boards of uneven width with gaps, in light from one side."""
    picture = np.full((SIZE, SIZE, 3), rng.uniform(0.1, 0.3, 3), np.float32)
    wood, left = np.array([0.6, 0.5, 0.4]), 0
    while left < SIZE:
        width = int(rng.integers(5, 26))
        cv2.rectangle(picture, (left, 0), (left + width, SIZE), (wood * rng.uniform(0.6, 1.4)).tolist(), -1)
        cv2.line(picture, (left, 0), (left, SIZE), [0.95] * 3, 1)
        left += width + int(rng.integers(2, 9))
    for top in (SIZE // 5, 4 * SIZE // 5):
        cv2.rectangle(picture, (0, top), (SIZE, top + 18), rng.uniform(0.2, 0.6, 3).tolist(), -1)
    return cv2.GaussianBlur(picture, (0, 0), 0.7) * rough(rng, 1.0, 0.04)


def meadow(rng) -> np.ndarray:
    """Blades of grass and reed that lean every way, the near ones longer."""
    picture = np.full((SIZE, SIZE, 3), (0.12, 0.2, 0.08), np.float32)
    for top in np.sort(rng.uniform(0, SIZE, 5000)):
        x, lean, long = rng.uniform(0, SIZE), rng.normal(0, 0.35), rng.uniform(0.5, 1) * (8 + top / 10)
        tip = (int(x + lean * long), int(top - long))
        shade = np.array([0.45, 0.6, 0.25]) * rng.uniform(0.3, 1.4)
        cv2.line(picture, (int(x), int(top)), tip, shade.clip(0, 1).tolist(), int(rng.integers(1, 3)), cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.6)


if __name__ == "__main__":
    out, rng = Path(sys.argv[1]), np.random.default_rng(0)
    patterns = {
        "wall": wall(rng, False),
        "wall_on_its_side": wall(rng, True),
        "fence": fence(rng),
        "meadow": meadow(rng),
    }
    for name, picture in patterns.items():
        pixels = (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(pixels).save(out / f"drawn_{name}.jpg", quality=95, subsampling=0)
