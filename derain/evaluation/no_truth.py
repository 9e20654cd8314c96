"""Scores of a restored rainy photo without its truth; none needs a download.

Each can be fooled alone, so read all four: a network that blurs leaves no rain and no sharpness, and one that does
nothing changes nothing and leaves all the rain.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.evaluation.metrics import Picture, size_of, values
from derain.rain.clean import ANGLES, clean_rain, dominant_direction
from derain.rain.render import line_kernel

CLEAR = 0.02  # certainty of direction under which a photo has no streaks to speak of


def unpaired_scores(picture: Picture, rainy: Picture) -> dict[str, float]:
    """What became of a rainy photo.

    ``rain_left``: streak energy relative to the input's, 1 unchanged, 0 none; NaN if the input has no clear streaks.
    ``change_outside``: RMS in grey levels of what was changed beside bright, colourless streaks.
    ``colour_shift``: mean absolute change of chroma in grey levels.
    ``sharpness_kept``: energy of the derivative along the streaks, which they hardly touch, relative to the input's.

    Raises:
        ValueError: the sizes differ.
    """
    if picture.shape[:2] != rainy.shape[:2]:
        raise ValueError(f"{size_of(picture)} px, but the rainy photo {size_of(rainy)}")
    before, after = (_rgb(p) for p in (rainy, picture))
    grey_before, grey_after = before.mean(axis=2), after.mean(axis=2)
    degrees, certainty = dominant_direction(np.maximum(_thin(grey_before), 0))
    energy = streak_energy(grey_before, degrees)
    change = before - after
    layer = clean_rain(np.maximum(change, 0) / 255)[0][..., None] * 255
    colours_before, colours_after = (p - p.mean(axis=2, keepdims=True) for p in (before, after))
    along_before, along_after = (_derivative(p, degrees) for p in (grey_before, grey_after))
    clear = certainty > CLEAR and energy > 0
    return {
        "rain_left": streak_energy(grey_after, degrees) / energy if clear else float("nan"),
        "change_outside": float(np.sqrt(np.mean((change - layer) ** 2))),
        "colour_shift": float(np.abs(colours_before - colours_after).mean()),
        "sharpness_kept": along_after / along_before if along_before > 0 else 1.0,
    }


def streak_energy(grey: NDArray[np.float32], degrees: float) -> float:
    """Energy of thin bright lines along ``degrees`` beyond that of the other directions, in squared grey levels."""
    detail = np.maximum(_thin(grey), 0)
    found = {
        a: float((cv2.filter2D(detail, -1, line_kernel(13, float(a), 0.5)) ** 2).mean()) for a in (*ANGLES, degrees)
    }
    others = [energy for angle, energy in found.items() if abs((angle - degrees + 90) % 180 - 90) > 40]
    return max(found[degrees] - float(np.mean(others)), 0.0)


def _rgb(picture: Picture) -> NDArray[np.float32]:
    floats = values(picture).astype(np.float32)
    return floats if floats.ndim == 3 else np.repeat(floats[..., None], 3, axis=2)


def _thin(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), 2), np.float32)


def _derivative(grey: NDArray[np.float32], degrees: float) -> float:
    down, right = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    slope = down * cv2.Sobel(grey, cv2.CV_32F, 0, 1) + right * cv2.Sobel(grey, cv2.CV_32F, 1, 0)
    return float(np.mean(slope**2))


def flicker(frame: Picture, before: Picture, rainy: Picture, rainy_before: Picture) -> float:
    """Mean change in grey levels from the frame before to this one, where motion does not explain it.

    The motion is the optical flow (DIS) of the smoothed rainy frames, so every method is judged by the same.
    """
    grey, grey_before = (_rgb(p).mean(axis=2) for p in (frame, before))
    smooth, smooth_before = (
        cv2.GaussianBlur(_rgb(p).mean(axis=2), (0, 0), 3).astype(np.uint8) for p in (rainy, rainy_before)
    )
    no_flow = np.zeros((*smooth.shape, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(smooth, smooth_before, no_flow)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
    moved = cv2.remap(grey_before, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
    inside = cv2.remap(np.ones_like(grey), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR) > 0.99
    return float(np.abs(grey - moved)[inside].mean()) if inside.any() else float("nan")
