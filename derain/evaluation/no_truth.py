"""Scores of a restored rainy photo without its truth; none needs a download.

Each can be fooled alone, so read all four: a network that blurs leaves no rain and no sharpness, and one that does
nothing changes nothing and leaves all the rain.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.evaluation.metrics import Picture, size_of, values
from derain.photos import as_rgb
from derain.rain.clean import clean_rain, line_energies
from derain.video.fusion import optical_flow

CLEAR = 0.08  # certainty of direction under which a photo has no streaks to speak of
FLAT = 1 / 3  # share of a photo, the flattest, in which streaks are measured: elsewhere edges drown them


def unpaired_scores(picture: Picture, rainy: Picture) -> dict[str, float]:
    """What became of a rainy photo.

    ``rain_left``: height of the streaks relative to the input's, 1 unchanged, 0 none; NaN if the input has none to
    speak of.
    ``change_outside``: RMS in grey levels of what was changed beside bright, colourless streaks.
    ``colour_shift``: mean absolute change of chroma in grey levels.
    ``sharpness_kept``: energy of the gradient away from those streaks, relative to the input's.

    Raises:
        ValueError: the sizes differ.
    """
    if picture.shape[:2] != rainy.shape[:2]:
        raise ValueError(f"{size_of(picture)} px, but the rainy photo {size_of(rainy)}")
    before, after = (_rgb(p) for p in (rainy, picture))
    grey_before, grey_after = before.mean(axis=2), after.mean(axis=2)
    flat = _flattest(grey_before)
    energies = line_energies(_thin_bright(grey_before), flat)
    degrees = max(energies, key=energies.__getitem__)
    clear = energies[degrees] > 0 and 1 - np.mean(list(energies.values())) / energies[degrees] > CLEAR
    remaining = line_energies(_thin_bright(grey_after), flat)
    left = _beyond_others(remaining, degrees) / max(_beyond_others(energies, degrees), 1e-9)
    change = before - after
    layer = clean_rain(np.maximum(change, 0) / np.float32(255))[0][..., None] * 255
    colours_before, colours_after = (p - p.mean(axis=2, keepdims=True) for p in (before, after))
    away = cv2.dilate(layer, np.ones((7, 7))) < 1
    sharp_before, sharp_after = (_sharpness(p, away) for p in (grey_before, grey_after))
    return {
        "rain_left": float(np.sqrt(left)) if clear else float("nan"),
        "change_outside": float(np.sqrt(np.mean((change - layer) ** 2))),
        "colour_shift": float(np.abs(colours_before - colours_after).mean()),
        "sharpness_kept": sharp_after / sharp_before if sharp_before > 0 else float("nan"),
    }


def _thin_bright(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.maximum(grey - cv2.GaussianBlur(grey, (0, 0), 2), 0), np.float32)


def _beyond_others(energies: dict[float, float], degrees: float) -> float:
    """Energy at one angle above the mean of those that lie across it, which texture without direction has too."""
    others = [energy for angle, energy in energies.items() if abs((angle - degrees + 90) % 180 - 90) > 40]
    return max(energies[degrees] - float(np.mean(others)), 0.0)


def _flattest(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    smooth = cv2.GaussianBlur(grey, (0, 0), 3)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    around = cv2.blur(slope, (15, 15))
    return around <= np.quantile(around, FLAT)


def _rgb(picture: Picture) -> NDArray[np.float32]:
    return as_rgb(values(picture).astype(np.float32))


def _sharpness(grey: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    slope = cv2.Sobel(grey, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(grey, cv2.CV_32F, 0, 1) ** 2
    return float(slope[where].sum())


def motion(rainy: Picture, before: Picture) -> NDArray[np.float32]:
    """Where each pixel of a frame was in the frame before: ``(H, W, 2)`` columns and rows.

    The optical flow (DIS) of the smoothed frames.
    """
    smooth, smooth_before = (
        cv2.GaussianBlur(_rgb(p).mean(axis=2), (0, 0), 3).astype(np.uint8) for p in (rainy, before)
    )
    flow = optical_flow(smooth, smooth_before)
    rows, columns = np.mgrid[: smooth.shape[0], : smooth.shape[1]].astype(np.float32)
    return np.asarray(np.dstack([columns, rows]) + flow, np.float32)


def flicker(frame: Picture, before: Picture, moved: NDArray[np.float32]) -> float:
    """Mean change in grey levels from the frame before to this one, as far as neither rest nor motion explains it.

    ``moved`` is the :func:`motion` of the rainy frames, so every method is judged by the same.
    """
    grey, grey_before = (_rgb(p).mean(axis=2) for p in (frame, before))
    followed = cv2.remap(grey_before, moved[..., 0], moved[..., 1], cv2.INTER_LINEAR)
    return float(np.minimum(np.abs(grey - followed), np.abs(grey - grey_before)).mean())
