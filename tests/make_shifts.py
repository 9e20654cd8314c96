"""Three cameras that the bundled weights do not know, each 40 rainy photos without truth and 20 pairs kept back.

    python tests/make_shifts.py CLEAN OUT

makes OUT/{sleet,coarse,squeezed}/{rainy,kept/rainy,kept/clean} from the photos without rain in the folder CLEAN (60
photos of 192 px or more), no photo twice in one camera.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from derain.photos import find_photos, read_photo, write_photo
from derain.rain.compose import add, jpeg, screen, veil
from derain.rain.render import line_kernel

SIDE = 384


def dense_slanted(rng, shape):
    """Sleet: many short thick streaks, all slanted one way by the wind."""
    degrees = rng.uniform(25, 45)
    drops = np.where(rng.random(shape) < 0.006, rng.gamma(3.0, 0.3, shape), 0).astype(np.float32)
    kernel = line_kernel(rng.uniform(10, 18), degrees, rng.uniform(0.9, 1.4))
    return np.clip(cv2.filter2D(drops, -1, kernel / kernel.max()) * rng.uniform(0.2, 0.4), 0, 1)


def coarse(rng, shape):
    """Close to the lens: few wide blurred streaks."""
    drops = np.where(rng.random(shape) < 0.0004, rng.gamma(3.0, 0.3, shape), 0).astype(np.float32)
    kernel = line_kernel(rng.uniform(50, 90), rng.normal(0, 8), rng.uniform(2.0, 3.5))
    return np.clip(cv2.filter2D(drops, -1, kernel / kernel.max()) * rng.uniform(0.25, 0.5), 0, 1)


def thin(rng, shape):
    """Fine rain as a phone sees it."""
    drops = np.where(rng.random(shape) < 0.004, rng.gamma(2.0, 0.5, shape), 0).astype(np.float32)
    kernel = line_kernel(rng.uniform(14, 30), rng.normal(0, 10), 0.6)
    return np.clip(cv2.filter2D(drops, -1, kernel / kernel.max()) * rng.uniform(0.15, 0.35), 0, 1)


def sleet_at_night(rng, clean):
    night = clean**1.6 * 0.5
    return night, add(night, dense_slanted(rng, night.shape[:2])[..., None])


def close_up(rng, clean):
    return clean, veil(clean, coarse(rng, clean.shape[:2])[..., None])


def squeezed(rng, clean):
    return clean, jpeg(np.clip(screen(clean, thin(rng, clean.shape[:2])[..., None]), 0, 1), 40)


CAMERAS = {"sleet": sleet_at_night, "coarse": close_up, "squeezed": squeezed}


def make(clean: Path, out: Path) -> None:
    for number, (name, camera) in enumerate(CAMERAS.items()):
        rng = np.random.default_rng(number)
        photos = [p for p in find_photos(clean) if min(read_photo(p).shape[:2]) >= 192]
        for index, place in enumerate(rng.permutation(len(photos))[:60]):
            truth = read_photo(photos[place])[:SIDE, :SIDE].astype(np.float32) / np.float32(255)
            truth, rainy = camera(rng, truth)
            folder = out / name if index < 40 else out / name / "kept"
            pictures = {"rainy": rainy} if index < 40 else {"rainy": rainy, "clean": truth}
            for kind, picture in pictures.items():
                (folder / kind).mkdir(parents=True, exist_ok=True)
                write_photo(folder / kind / f"{index:02d}.png", (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
