"""Makes the example pictures: rendered rain over scikit-image's picture of a rocket (SpaceX, public domain)."""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

import derain
from derain.batch import side_by_side
from derain.photos import read_photo, write_photo
from derain.rain.compose import screen
from derain.rain.render import curtain

if __name__ == "__main__":
    rng = np.random.default_rng(7)
    clean = cv2.resize(data.rocket(), (640, 427), interpolation=cv2.INTER_AREA)
    rain = 0.3 * curtain(rng, 640, 30, 12, 0.5) + 0.2 * curtain(rng, 640, 18, 10, 0.5)
    rainy = screen(clean.astype(np.float32) / 255, rain[:427, :, None].clip(0, 0.9))
    folder = Path(__file__).parent
    write_photo(folder / "clean.jpg", clean)
    write_photo(folder / "rainy.jpg", (rainy * 255 + 0.5).astype(np.uint8))
    before = read_photo(folder / "rainy.jpg")
    write_photo(folder / "before_after.jpg", side_by_side(before, derain.restore(derain.load(), before)[0]))
    background, rain_layer = derain.restore(derain.load("nlcl"), before)
    brightened = np.minimum(2 * rain_layer.astype(int), 255).astype(np.uint8)
    layers = np.hstack([before, background, brightened])
    write_photo(folder / "layers.jpg", cv2.resize(layers, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
