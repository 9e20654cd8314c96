"""What a frame's pixels are in a neighbour, and where that shows the same things; at the size of the flow."""

from dataclasses import dataclass

import cv2
import numpy as np

from derain.arrays import Mask
from derain.motion import FLOW_TOLERANCE, Field, Motion, Small, camera_flow, pixel_grid, warped

CAMERA_PREFERENCE = 2.0  # grey levels by which the camera's motion may fit worse than a pixel's own and is taken
ALIGNMENT_TOLERANCE = 10.0  # grey levels by which aligned frames without thin bright lines may differ
RESIDUAL_RAIN = 4.0  # grey levels more of tolerance for each that the network took as rain around there
DARK_RAIN = 30.0  # the same of a sky behind dark rain, without thin dark lines
ALIGNMENT_MARGIN = 3  # px at the size of the flow, side of the square that must be alike as a whole


@dataclass(frozen=True)
class Look:
    """A frame's background at the size of the flow."""

    smooth: Small  # blurred by a pixel
    plain: Small  # blurred so, and without thin bright lines
    rain: Small  # grey levels that the network took around there
    rainy: Small  # the frame itself
    taken: Small  # grey levels that the network took
    even: Small  # the frame blurred by a pixel, without thin dark lines
    may_show_dark_rain: bool


def choose_flow(here: Look, neighbour: Look, there: Motion, back: Motion) -> tuple[Field, Small]:
    """The camera's motion where it fits, elsewhere the pixel's own; and 1 where one of them does."""
    places = pixel_grid(*here.smooth.shape)
    candidates = camera_flow(there.camera, places), there.flow
    differences = (cv2.absdiff(warped(neighbour.smooth, field), here.smooth).astype(np.float32) for field in candidates)
    misfits = [np.asarray(cv2.GaussianBlur(difference, (0, 0), 3.0)) for difference in differences]
    astray = there.flow + warped(back.flow, there.flow)
    own = (misfits[0] > misfits[1] + CAMERA_PREFERENCE) & (np.hypot(astray[..., 0], astray[..., 1]) < FLOW_TOLERANCE)
    field = np.where(own[..., None], there.flow, candidates[0])
    difference = warped(neighbour.plain, field).astype(np.float32) - here.plain
    brighter = np.asarray(cv2.GaussianBlur(difference, (0, 0), 2.0))
    darkest = -(ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * here.rain)
    valid = (brighter > darkest) & (brighter < ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * warped(neighbour.rain, field))
    return field, surely(valid, field)


def same_sky(here: Look, neighbour: Look, field: Field) -> Small:
    """1 where the neighbour shows the same things, if what is thin and dark is rain."""
    difference = warped(neighbour.even, field).astype(np.float32) - here.even
    return surely(np.abs(cv2.GaussianBlur(difference, (0, 0), 2.0)) < DARK_RAIN, field)


def surely(valid: Mask, field: Field) -> Small:
    """1 where all around is valid, too, and within the neighbour."""
    within = cv2.erode(valid.astype(np.uint8), np.ones((ALIGNMENT_MARGIN, ALIGNMENT_MARGIN), np.uint8)) > 0
    for target, size in zip(cv2.split(pixel_grid(*valid.shape) + field), reversed(valid.shape)):
        within &= (target > -0.5) & (target < size - 0.5)
    return within.astype(np.uint8)
