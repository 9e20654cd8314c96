"""Pictures of a photo before and after."""

import cv2
import numpy as np

from derain.arrays import Rgb8, check_pixels
from derain.rain.amount import densest


def comparison(photo: Rgb8, background: Rgb8) -> Rgb8:
    """Before and after side by side, labelled; below them, enlarged, the square with the most rain.

    Of a panorama it is a part of that square, no higher than twice the strip.
    """
    strip = side_by_side(photo, background)
    height, width = photo.shape[:2]
    columns = min(max(min(height, width) // 4, 32), height, width)
    rows = min(columns, max(2 * height * columns // width, 1))
    where = densest(np.where(photo > background, photo - background, 0).mean(axis=2), rows, columns)
    enlarged = side_by_side(_enlarge(photo[where], width), _enlarge(background[where], width))
    return np.vstack([strip, np.full((4, strip.shape[1], 3), 255, np.uint8), enlarged])


def _enlarge(crop: Rgb8, width: int) -> Rgb8:
    size = width, crop.shape[0] * width // crop.shape[1]
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def side_by_side(photo: Rgb8, background: Rgb8) -> Rgb8:
    """Before and after, labelled, with a thin gap between."""
    check_pixels("photo", photo, "derain.photos.read_photo() returns")
    check_pixels("background", background, "derain.restore() returns", like=photo)
    gap = np.full((photo.shape[0], 4, 3), 255, np.uint8)
    return np.hstack([_labelled(photo, "before"), gap, _labelled(background, "after")])


def _labelled(photo: Rgb8, text: str) -> Rgb8:
    scale = max(photo.shape[0] / 600, 0.4)
    place = (int(12 * scale), int(28 * scale))
    picture = photo.copy()
    weight = max(round(1.5 * scale), 1)  # of both: letters of another weight are of another width

    def write(colour: int, right: int, down: int) -> None:
        there = place[0] + right, place[1] + down
        cv2.putText(picture, text, there, cv2.FONT_HERSHEY_SIMPLEX, scale, (colour,) * 3, weight, cv2.LINE_AA)

    for right, down in ((-weight, 0), (weight, 0), (0, -weight), (0, weight)):
        write(0, right, down)
    write(255, 0, 0)
    return picture
