"""Put a rain layer over a background, the ways that light and cameras do."""

from functools import partial

import cv2
import numpy as np

from derain.arrays import UnitRgb, in_unit, to_bytes

FADING = (0.0, 1.2)  # from light that adds to drops under a sky darker than the brightest background
LEAST_HEIGHT_SHARE = 0.25  # of a streak's height that is left on the brightest background
BRIGHTNESS_BINS, LEAST_IN_BIN = 10, 0.03  # of brightness; share of the pixels that tells anything
STREAK_PERCENTILE = 90  # percentile of the heights: on streaks, not between them
COLOUR_FADINGS = np.arange(0, 1.65, 0.1)
TELLING_MISFIT = 1.5  # times the best fading's that the worst one's has where colours tell


def add(background: UnitRgb, rain: UnitRgb) -> UnitRgb:
    """Light adds: ``O = B + R``, clipped by the camera."""
    return np.clip(background + rain, 0, 1)


def screen(background: UnitRgb, rain: UnitRgb) -> UnitRgb:
    """``O = B + R - B R``: streaks fade over bright background."""
    return background + rain - background * rain


def cover(background: UnitRgb, rain: UnitRgb, light: float) -> UnitRgb:
    """A drop covers what is behind it with the sky's light, be that brighter or darker: ``O = B + R (light - B)``."""
    return background + rain * (np.float32(light) - background)


def add_linear(background: UnitRgb, rain: UnitRgb) -> UnitRgb:
    """Light adds in linear light; the photo is seen through gamma 2.2."""
    return (np.clip(background**2.2 + rain**1.6, 0, 1) ** (1 / 2.2)).astype(np.float32)


def in_colour(rain: UnitRgb) -> UnitRgb:
    """``(H, W)`` heights as ``(H, W, 1)``; a layer in colour as it is."""
    return rain[..., None] if rain.ndim == 2 else rain


def fade(background: UnitRgb, rain: UnitRgb, fading: float) -> UnitRgb:
    """``O = B + R (1 - u B)`` with the fading ``u``: 0 adds, 1 is :func:`screen`, more is :func:`cover`."""
    return np.clip(background + rain * (1 - np.float32(fading) * background), 0, 1)


def unfaded(height: UnitRgb, background: UnitRgb, fading: float) -> UnitRgb:
    """``(H, W)`` heights of the rain over black, given those over an ``(H, W)`` background."""
    return np.asarray(height / np.maximum(1 - fading * background, LEAST_HEIGHT_SHARE), np.float32)


def measured_fading(height: UnitRgb, background: UnitRgb) -> float:
    """The fading of rain of ``(H, W)`` heights over an ``(H, W)`` background; 0 if their pixels cannot tell.

    Rain falls alike on what is dark and what is bright, so how its height falls with brightness tells how the two
    were composed.
    """
    bins = np.minimum((background * BRIGHTNESS_BINS).astype(int), BRIGHTNESS_BINS - 1)
    filled = [n for n in range(BRIGHTNESS_BINS) if (bins == n).mean() > LEAST_IN_BIN]
    if len(filled) < 3:
        return 0.0
    brightness = [background[bins == n].mean() for n in filled]
    heights = [np.percentile(height[bins == n], STREAK_PERCENTILE) for n in filled]
    slope, over_black = np.polyfit(brightness, heights, 1, w=[np.sqrt((bins == n).mean()) for n in filled])
    return float(np.clip(-slope / max(over_black, 1e-6), *FADING))


def fading_by_colour(rain: UnitRgb, background: UnitRgb) -> float | None:
    """The fading of coloured ``(N, 3)`` rain over an ``(N, 3)`` background; ``None`` if their colours do not tell.

    A drop shows the sky and hides the backdrop: over green it adds red and blue light. So of colourless rain the
    fading that explains its colours best is its own.
    """
    misfits = []
    for fading in COLOUR_FADINGS:
        left = np.maximum(1 - np.float32(fading) * background, LEAST_HEIGHT_SHARE)
        height = (rain * left).sum(axis=1, keepdims=True) / (left**2).sum(axis=1, keepdims=True)
        misfits.append(float(((rain - height * left) ** 2).mean()))
    best = int(np.argmin(misfits))
    return float(COLOUR_FADINGS[best]) if max(misfits) > TELLING_MISFIT * misfits[best] else None


def compose(rng: np.random.Generator, background: UnitRgb, rain: UnitRgb) -> UnitRgb:
    """A random composition of an ``(H, W, 3)`` background and a rain layer, ``(H, W)`` or in colour, all in [0, 1]."""
    tint = 1 + rng.normal(0, 0.02, 3).astype(np.float32)
    covered = partial(cover, light=rng.uniform(0.55, 0.95))
    rule = rng.choice(np.array([add, add, screen, covered, covered, add_linear], dtype=object))
    return np.clip(rule(background, in_colour(rain) * tint), 0, 1).astype(np.float32)


def jpeg(image: UnitRgb, quality: int) -> UnitRgb:
    """The photo after a JPEG round trip."""
    codes = cv2.imencode(".jpg", to_bytes(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return in_unit(np.asarray(cv2.imdecode(codes, cv2.IMREAD_COLOR)))
