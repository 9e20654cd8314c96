"""What rain falls on and what sees it: a dull day, and a camera that softens, sharpens and adds noise.

Photos without rain are mostly sunny, colourful and sharp, and rain rendered on them is sharper still. On a real rainy
day the background is grey and hazy, and rain and background went through the same lens and the same processing.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Grey, Heights, UnitRgb
from derain.rain.render import between

LAMP_SIGMA = 12.0  # px, of the light around a lamp
LEAST_LIT = 0.15  # of the light that falls on rain far from all lamps


def overcast(rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    """An ``(H, W, 3)`` photo in [0, 1] with less light and colour, under a haze of the sky's light."""
    grey = photo.mean(axis=2, keepdims=True)
    dull = grey + (photo - grey) * np.float32(rng.uniform(0.4, 1))
    dark = dull ** np.float32(between(rng, (0.7, 2.2)))
    haze, light = np.float32(rng.uniform(0, 0.6)), rng.uniform(0.2, 0.8) * (1 + rng.normal(0, 0.03, 3))
    return np.clip(dark * (1 - haze) + haze * light.astype(np.float32), 0, 1)


def misty(rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    """An ``(H, W, 3)`` photo in [0, 1] behind pale mist, which mostly thickens upwards, where the distance lies."""
    air = np.float32(rng.uniform(0.45, 0.95)) * (1 + rng.normal(0, 0.03, 3).astype(np.float32))
    thickest, thinnest = np.sort(rng.uniform(0.05, 0.9, 2)).astype(np.float32)
    clear = np.linspace(thickest, thinnest, len(photo), dtype=np.float32)[:, None, None]
    if rng.random() < 0.4:
        clear = np.full_like(clear, rng.uniform(0.1, 0.8))
    return np.asarray(np.clip(photo * clear + air * (1 - clear), 0, 1), np.float32)


def turned_along(photo: UnitRgb, rain: Heights) -> UnitRgb:
    """A square photo whose edges run like the streaks, as far as quarter turns and mirror images can make them."""
    streaks, edges = slopes(rain if rain.ndim == 2 else rain.mean(axis=2)), slopes(photo.mean(axis=2))
    if streaks[0] * edges[0] < 0:
        photo, edges = photo.transpose(1, 0, 2), edges * (-1, 1)
    return np.ascontiguousarray(photo[:, ::-1] if streaks[1] * edges[1] < 0 else photo)


def slopes(grey: Grey) -> NDArray[np.float64]:
    """Of ``(H, W)`` brightness: how much more it changes across than down, and down to the right than to the left."""
    across, down = np.diff(grey, axis=1)[:-1].astype(float), np.diff(grey, axis=0)[:, :-1].astype(float)
    return np.array([(across**2 - down**2).sum(), (across * down).sum()])


def night(rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    """An ``(H, W, 3)`` photo in [0, 1] as if taken by night: only its lights are bright, and they are warm or cold."""
    lamps = np.float32(1) + rng.normal(0, 0.15) * np.array([1, 0, -1], np.float32)
    return np.clip(photo ** np.float32(rng.uniform(1.3, 2.6)) * np.float32(rng.uniform(0.35, 0.95)) * lamps, 0, 1)


def lit(photo: UnitRgb) -> Heights:
    """``(H, W)`` in [0, 1]: how much light falls on the rain of an ``(H, W, 3)`` photo by night, near lamps most."""
    around = cv2.GaussianBlur(photo.max(axis=2), (0, 0), LAMP_SIGMA)
    return np.asarray(LEAST_LIT + (1 - LEAST_LIT) * around / max(float(around.max()), 1e-3), np.float32)


def defocused(rng: np.random.Generator, photo: UnitRgb) -> UnitRgb:
    """An ``(H, W, 3)`` photo that is out of focus, as the scene is where the camera focuses on the rain."""
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), between(rng, (0.8, 5))), np.float32)


def photographed(rng: np.random.Generator, *pictures: UnitRgb) -> list[UnitRgb]:
    """``(H, W, 3)`` pictures in [0, 1] as one camera gives them: softened, sharpened, and now and then with noise."""
    soft, around, amount = rng.uniform(0.01, 0.8), rng.uniform(0.6, 1.6), np.float32(rng.uniform(0, 1))
    noise = np.zeros_like(pictures[0])
    if rng.random() < 0.1:
        noise += grain(rng, noise.shape) * np.float32(between(rng, (0.002, 0.02)))
    seen = []
    for picture in pictures:
        softened = cv2.GaussianBlur(picture, (0, 0), soft)
        sharpened = softened + amount * (softened - cv2.GaussianBlur(softened, (0, 0), around))
        seen.append(np.clip(sharpened + noise, 0, 1))
    return seen


def noisy(rng: np.random.Generator, *pictures: UnitRgb) -> list[UnitRgb]:
    """``(H, W, 3)`` pictures in [0, 1] under one camera's noise, the same on each."""
    noise = grain(rng, pictures[0].shape) * np.float32(between(rng, (0.003, 0.03)))
    return [np.clip(picture + noise, 0, 1) for picture in pictures]


def grain(rng: np.random.Generator, shape: tuple[int, ...]) -> UnitRgb:
    """Noise of a sensor, a little softened as by its processing."""
    return np.asarray(cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 0.5), np.float32)
