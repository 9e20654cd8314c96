"""Time finds rain: what a fixed camera sees in one frame and not in those around it.

A streak is at a place in one frame and gone in the next. So a frame less the median of the frames around it is its
rain, in its own colours and with no network's guess in it, and that median is the truth behind. Where the scene itself
moves, pixels are darker about as often as brighter, stay so from frame to frame, or change over more than a streak's
width: there the truth is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.arrays import Heights, Rgb8, UnitRgb
from derain.motion import MINIMUM_SIDE, camera_flow, camera_motion, optical_flow, pixel_grid
from derain.ordering import ordered

FRAMES_EACH_SIDE = 4  # frames before and after that tell what is behind the rain
WINDOW = 2 * FRAMES_EACH_SIDE + 1
MOTION_SIDE = 320  # px, longer side at which the camera's motion is estimated
STILL_CAMERA_MOTION = 0.5  # px, mean over half a window up to which the camera stands still
LEAST_SHIFT = 2.0  # px, by which the whole picture moves at the least where the flow is too fast to be followed
MOVING_CAMERA_SHARE = 0.6  # share of the frame that moves from which the camera does
SURROUNDINGS_REDUCTION = 2  # by which differences are reduced where only their surroundings count
SURROUNDINGS_SIGMA = 5.0  # reduced px, sigma of the surroundings that tell whether a place moves
FAINT_DIFFERENCE = 1.0  # grey levels, up to which a difference is none
# correlation of one frame's differences with the next one's; rain's is less, but for the codec
STAYING_CORRELATION = (0.4, 0.55)
DARKENING = (4.0, 10.0)  # squared grey levels of darkening, from which a place may move, unless it brightens
CERTAIN_DARKENING = (40.0, 80.0)  # squared grey levels of darkening, from which a place moves however much it brightens
BRIGHTENING_RATIO = (1.5, 3.0)  # times as much as it darkens: as what moves does, as rain does
WIDEST_STREAK = 1 / 16  # of the frame's shorter side, from which what is brighter is no streak
LEAST_WIDEST_STREAK = 8  # reduced px, of the widest streak in small frames
ALL_BRIGHT = (4.0, 8.0)  # grey levels by which all of a wide thing is brighter, and is no streak
EVENNESS = (0.35, 0.6)  # least brightening of a wide thing as a share of its most; a streak falls off to its sides
LIGHT_REDUCTION = 8  # by which differences are reduced to see changes of light
LIGHT_SIDE = 15  # reduced px, over which the median is a change of light
BELIEVED_NOISE_RATIO = (1.2, 2.4)  # times the noise, from which a pixel may be, and surely is, rain
MOST_NOISE_DARKENING = 25  # grey levels of darkening that count as noise at the most


@dataclass(frozen=True)
class Moment:
    """A frame of a fixed camera, and what time tells of it."""

    rainy: Rgb8
    rain: UnitRgb  # at most the frame
    trust: Heights  # how surely the truth is known, in [0, 1]


def moment(frames: Sequence[Rgb8]) -> Moment | None:
    """The rain of the middle one of an odd number of frames, 5 or more; ``None`` if the camera moves."""
    middle = len(frames) // 2
    if not stands_still(frames):
        return None
    behind = median([*frames[:middle], *frames[middle + 1 :]])
    difference = frames[middle] - behind
    difference = difference - changed_light(difference)
    trust = 1 - moves([frame - behind for frame in frames], difference)
    if trust.mean() < 1 - MOVING_CAMERA_SHARE:
        return None
    seen = rain_seen(difference.mean(axis=2))
    rain = np.clip(difference, 0, frames[middle]) * (seen * trust)[..., None] / np.float32(255)
    return Moment(frames[middle], np.asarray(rain, np.float32), trust)


def median(frames: Sequence[Rgb8]) -> UnitRgb:
    """The median in grey levels, pixel by pixel."""
    found: list[NDArray[Any]] = ordered(frames, cv2.min, cv2.max)
    low, high = found[(len(found) - 1) // 2], found[len(found) // 2]
    return np.asarray(cv2.addWeighted(low, 0.5, high, 0.5, 0, dtype=cv2.CV_32F), np.float32)


def stands_still(frames: Sequence[Rgb8]) -> bool:
    """Whether the camera does, by what is behind the rain of the first and of the last frames."""
    span = len(frames) // 2 + 1
    reduction = max(max(frames[0].shape[:2]) / MOTION_SIDE, 1.0)
    first, last = (reduced(median(part).mean(axis=2), reduction) for part in (frames[:span], frames[-span:]))
    if min(first.shape) < MINIMUM_SIDE:
        return False
    window = cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F)
    shift = cv2.phaseCorrelate(first, last, window)[0]
    if reduction * np.hypot(shift[0], shift[1]) > LEAST_SHIFT:
        return False
    here, there = first.astype(np.uint8), last.astype(np.uint8)
    flow = camera_flow(camera_motion(here, there, optical_flow(here, there)), pixel_grid(*here.shape))
    return bool(reduction * np.abs(flow).mean() < STILL_CAMERA_MOTION)


def moves(differences: Sequence[UnitRgb], now: UnitRgb) -> Heights:
    """How surely the scene itself moves at each pixel ``(H, W)``.

    Args:
        differences: of each frame to what is behind the rain, in grey levels.
        now: that of the frame itself, without changes of light.
    """
    grey = np.stack([reduced(difference.mean(axis=2), SURROUNDINGS_REDUCTION) for difference in differences])
    brighter, darker = (around((np.maximum(side * grey - FAINT_DIFFERENCE, 0) ** 2).sum(axis=0)) for side in (1, -1))
    energy, shared = around((grey**2).mean(axis=0)), around((grey[1:] * grey[:-1]).mean(axis=0))
    moving = ramp(shared / (energy + FAINT_DIFFERENCE), STAYING_CORRELATION)
    unlike_rain = 1 - ramp(brighter / (darker + FAINT_DIFFERENCE), BRIGHTENING_RATIO)
    darkening = darker / len(grey)
    moving = np.maximum(
        moving, np.maximum(ramp(darkening, DARKENING) * unlike_rain, ramp(darkening, CERTAIN_DARKENING))
    )
    moving = np.maximum(moving, wide(reduced(now.mean(axis=2), SURROUNDINGS_REDUCTION)))
    height, width = now.shape[:2]
    return np.asarray(cv2.resize(cv2.GaussianBlur(moving, (0, 0), 1), (width, height)), np.float32)


def wide(brighter: Heights) -> Heights:
    """Where all of an area wider than a streak is brighter."""
    side = max(round(min(brighter.shape) * WIDEST_STREAK), LEAST_WIDEST_STREAK)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    smooth = cv2.GaussianBlur(brighter, (0, 0), 1)
    least, most = cv2.erode(smooth, disc), cv2.dilate(smooth, disc)
    surely = ramp(least, ALL_BRIGHT) * ramp(least / np.maximum(most, FAINT_DIFFERENCE), EVENNESS)
    return np.asarray(cv2.dilate(surely, np.ones((side + 4, side + 4))), np.float32)


def changed_light(difference: UnitRgb) -> UnitRgb:
    """What changed over wide areas: the light."""
    height, width = difference.shape[:2]
    small = cv2.resize(
        difference, (max(width // LIGHT_REDUCTION, 1), max(height // LIGHT_REDUCTION, 1)), interpolation=cv2.INTER_AREA
    )
    eighths = np.clip(8 * small + 128, 0, 255).astype(np.uint8)
    changed = (cv2.medianBlur(eighths, LIGHT_SIDE).astype(np.float32) - 128) / 8
    return np.asarray(cv2.resize(changed, (width, height)), np.float32)


def rain_seen(brighter: Heights) -> Heights:
    """How surely each pixel is rain and no noise, by how many grey levels ``(H, W)`` it is brighter."""
    darker = np.clip(-brighter, 0, MOST_NOISE_DARKENING)
    noise = np.sqrt(2 * np.maximum(cv2.blur(darker**2, (41, 41)), 0)) + 0.4
    return ramp(cv2.GaussianBlur(brighter, (0, 0), 0.8) / noise, BELIEVED_NOISE_RATIO)


def reduced(picture: NDArray[Any], factor: float) -> Heights:
    return np.asarray(cv2.resize(picture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA), np.float32)


def around(values: NDArray[Any]) -> Heights:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), SURROUNDINGS_SIGMA), np.float32)


def ramp(values: NDArray[Any], limits: tuple[float, float]) -> Heights:
    """0 up to the first of two limits, 1 from the second on."""
    return np.asarray(np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1), np.float32)
