"""What a frame's pixels are in a neighbour, and where that shows the same things; at the size of the flow."""

from dataclasses import dataclass

import cv2
import numpy as np

from derain.arrays import Grey, Mask
from derain.motion import FLOW_TOLERANCE, Field, Motion, Small, camera_flow, pixel_grid, warped
from derain.ordering import ordered

CAMERA_PREFERENCE = 2.0  # grey levels by which the camera's motion may fit worse than a pixel's own and is taken
ALIGNMENT_TOLERANCE = 10.0  # grey levels by which aligned frames without thin bright lines may differ
RESIDUAL_RAIN = 4.0  # grey levels more of tolerance for each that the network took as rain around there
DARK_RAIN = 30.0  # the same of a sky behind dark rain, without thin dark lines
STEADY = 8  # grey levels by which what keeps its place in the picture may differ from frame to frame
SCATTER = 1.0  # grey levels by which it must differ less in its place than along the motion
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


def choose_flow(here: Look, neighbour: Look, there: Motion, back: Motion) -> Field:
    """The camera's motion where it fits, elsewhere the pixel's own."""
    places = pixel_grid(*here.smooth.shape)
    candidates = camera_flow(there.camera, places), there.flow
    differences = (cv2.absdiff(warped(neighbour.smooth, field), here.smooth).astype(np.float32) for field in candidates)
    misfits = [np.asarray(cv2.GaussianBlur(difference, (0, 0), 3.0)) for difference in differences]
    astray = there.flow + warped(back.flow, there.flow)
    own = (misfits[0] > misfits[1] + CAMERA_PREFERENCE) & (np.hypot(astray[..., 0], astray[..., 1]) < FLOW_TOLERANCE)
    return np.where(own[..., None], there.flow, candidates[0])


def stays(here: Look, neighbours: list[Look], fields: list[Field], alike: list[Mask]) -> Mask:
    """Where something keeps its place in the picture while the rest moves, such as a date that a camera writes.

    Args:
        alike: of each neighbour, where it is :func:`as_here`.
    """
    unmoved = [here.smooth, *(neighbour.smooth for neighbour in neighbours)]
    followed = [here.smooth, *(warped(neighbour.smooth, field) for neighbour, field in zip(neighbours, fields))]
    steady = 2 * np.sum(alike, axis=0) >= len(alike)  # a streak may cross it in some, a digit may have changed
    steady &= scatter(followed, steady) > scatter(unmoved, steady) + SCATTER
    return np.asarray(cv2.dilate(steady.astype(np.uint8), np.ones((3, 3)))) > 0


def as_here(here: Look, neighbour: Look) -> Mask:
    """Where the neighbour shows the same in the same place."""
    return np.asarray(cv2.absdiff(neighbour.rainy, here.rainy)) < STEADY


def scatter(pictures: list[Small], where: Mask) -> Grey:
    """How far they are from their median, in the mean of all and of such places around."""
    median = ordered(pictures, np.minimum, np.maximum)[len(pictures) // 2]
    off = np.mean([cv2.absdiff(picture, median) for picture in pictures], axis=0, dtype=np.float32)
    there = where.astype(np.float32)
    sums, counts = (np.asarray(cv2.GaussianBlur(each, (0, 0), 3.0), np.float32) for each in (off * there, there))
    return np.asarray(sums / np.maximum(counts, np.float32(1e-3)), np.float32)


def same_things(here: Look, neighbour: Look, field: Field) -> Small:
    """1 where the neighbour shows the same things, if what is thin and bright is rain."""
    difference = warped(neighbour.plain, field).astype(np.float32) - here.plain
    brighter = np.asarray(cv2.GaussianBlur(difference, (0, 0), 2.0))
    darkest = -(ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * here.rain)
    valid = (brighter > darkest) & (brighter < ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * warped(neighbour.rain, field))
    return surely(valid, field)


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
