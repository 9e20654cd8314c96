"""Whether rain is evidently left in a photo that was derained."""

import cv2
import numpy as np

from derain.arrays import Grey, Heights, Pixels
from derain.rain.amount import centre_of_most, window_around
from derain.rain.clean import dominant_direction, flattest, streak_line

WINDOW = 512  # px, side of what is looked at, at full size and reduced
LEAST_SHORT_SIDE = 400  # px, of the photo reduced
EVIDENT_SHARE = 0.3  # of the streaks' height, from which they are evidently left
EVIDENT_HEIGHT = 0.45  # grey levels over the flattest part, from which they can be seen
EVIDENT_CORRELATION = 0.3  # of what is left with what was taken away


def rain_left(photo: Pixels, background: Pixels) -> float:
    """Share of the height of the streaks of an ``(H, W, 3)`` photo that is evidently left in its background; 0 if none.

    Streaks that were taken away in part stand in the background where the rain layer has them. That is looked for where
    most was taken away, and in the whole photo reduced, where wide streaks are thin, at the same cost for any size.
    Streaks that were not found at all are not seen so.
    """
    window = _densest(photo, background)
    return max(_left(photo[window], background[window]), _left_reduced(photo, background))


def _left(photo: Pixels, background: Pixels) -> float:
    after = _grey(background)
    rain = _grey(photo) - after
    line = streak_line(dominant_direction(rain)[0])
    flat = flattest(after)
    taken, there = (_detail(part, line)[flat] for part in (rain, after))
    both, power = float((taken * there).mean()), float((taken**2).mean())
    share = both / max(power, 1e-9)
    correlation = both / max((power * float((there**2).mean())) ** 0.5, 1e-9)
    if correlation < EVIDENT_CORRELATION or share * power**0.5 < EVIDENT_HEIGHT:
        return 0.0
    left = share / (1 + share)
    return left if left >= EVIDENT_SHARE else 0.0


def _detail(grey: Grey, line: Heights) -> Grey:
    """What stands out along a line, less its mean."""
    found = cv2.filter2D(grey - cv2.GaussianBlur(grey, (0, 0), 3), -1, line)
    return np.asarray(found - found.mean(), np.float32)


def _left_reduced(photo: Pixels, background: Pixels) -> float:
    factor = min(photo.shape[:2]) / LEAST_SHORT_SIDE
    if factor < 2:
        return 0.0
    size = round(photo.shape[1] / factor), round(photo.shape[0] / factor)
    reduced = [np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA)) for part in (photo, background)]
    middle = slice(max((size[0] - WINDOW) // 2, 0), max((size[0] - WINDOW) // 2, 0) + WINDOW)
    return _left(reduced[0][:WINDOW, middle], reduced[1][:WINDOW, middle])


def _densest(photo: Pixels, background: Pixels) -> tuple[slice, slice]:
    """The window in which most was taken away."""
    height, width = photo.shape[:2]
    coarse = max(height, width) // 256 + 1
    size = max(width // coarse, 1), max(height // coarse, 1)
    before, after = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (photo, background))
    taken = cv2.subtract(before, after).astype(np.float32).mean(axis=2)
    side = max(WINDOW // coarse, 1)
    row, column = centre_of_most(taken, side, side)
    return window_around((row * coarse, column * coarse), (WINDOW, WINDOW), photo.shape)


def _grey(part: Pixels) -> Grey:
    """In grey levels of 255."""
    return np.asarray(part.mean(axis=2) * (255 / np.iinfo(part.dtype).max), np.float32)
