"""Put a rain layer over a background, the ways that light and cameras do."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def add(background: Image, rain: Image) -> Image:
    """Light adds: ``O = B + R``, clipped by the camera."""
    return np.clip(background + rain, 0, 1)


def screen(background: Image, rain: Image) -> Image:
    """``O = B + R - B R``: streaks fade over bright background."""
    return background + rain - background * rain


def veil(background: Image, rain: Image, light: float = 0.85) -> Image:
    """A drop covers what is behind it with the sky's light: ``O = B + R max(light - B, 0)``."""
    return background + rain * np.maximum(light - background, 0)


def add_linear(background: Image, rain: Image) -> Image:
    """Light adds in linear light; the photo is seen through gamma 2.2."""
    return (np.clip(background**2.2 + rain**1.6, 0, 1) ** (1 / 2.2)).astype(np.float32)


def compose(
    rng: np.random.Generator, background: Image, rain: Image, share: float = 0.3, quality: tuple[int, int] = (60, 96)
) -> Image:
    """A random composition of an ``(H, W, 3)`` background and an ``(H, W)`` rain layer, both in [0, 1].

    A ``share`` of them go through JPEG, of a random ``quality``.
    """
    tint = 1 + rng.normal(0, 0.02, 3).astype(np.float32)
    rule = rng.choice(np.array([add, add, screen, veil, add_linear], dtype=object))
    rainy = np.clip(rule(background, rain[..., None] * tint), 0, 1).astype(np.float32)
    return jpeg(rainy, int(rng.integers(quality[0], quality[1] + 1))) if rng.random() < share else rainy


def jpeg(image: Image, quality: int) -> Image:
    """The photo after a JPEG round trip."""
    codes = cv2.imencode(".jpg", (image * 255 + 0.5).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(codes, cv2.IMREAD_COLOR), np.float32) / np.float32(255)
