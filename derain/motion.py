"""How the pixels of one frame have moved in another: optical flow, and the motion of the camera."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MINIMUM_SIDE = 24  # px, of frames whose motion can be estimated
STILL_CAMERA = 0.12  # px, mean motion of the whole frame up to which the camera counts as standing still
FLOW_TOLERANCE = 1.0  # px by which two motions of one pixel may differ and count as the same
MISFIT_CAP = np.uint8(20)  # grey levels, from which a difference says no more of the camera's motion
REFINEMENT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 1e-4)  # most steps and least gain of a step
EQUAL_MISFIT = 1.02  # a simpler motion of the camera is taken if its misfit is at most so many times the best's
CUT_THRESHOLD = 0.5  # share of a frame's contrast that differs after alignment from which it is another scene

BAND = 32  # px, rows in which what moves is told from what stands still, and how far apart its columns are

Small = NDArray[np.uint8]  # grey, at the size at which motion is estimated
Field = NDArray[np.float32]  # (H, W, 2) px to the right and down
Camera = NDArray[np.float64]  # (3, 3), or its first two rows


@dataclass(frozen=True)
class Motion:
    """Where the pixels of a frame are in a neighbour."""

    flow: Field  # each pixel's own
    camera: Camera  # what most of them follow


Motions = dict[tuple[int, int], Motion | None]  # from a frame to a neighbour; None across a cut


def motion_both_ways(here: Small, there: Small) -> tuple[Motion, Motion] | None:
    """Motion from one frame to the next and back; ``None`` across a cut."""
    flow, back = optical_flow(here, there), optical_flow(there, here)
    contrast = np.abs(here - here.mean()).mean() + 4
    if cv2.absdiff(warped(there, flow), here).mean() > CUT_THRESHOLD * contrast:
        return None
    camera = camera_motion(here, there, flow)
    return Motion(flow, camera), Motion(back, np.asarray(np.linalg.inv(camera), np.float64))


def optical_flow(here: Small, there: Small) -> Field:
    """Where each pixel of one grey picture is in another, relative to where it was; none in tiny pictures."""
    none = np.zeros((*here.shape, 2), np.float32)
    if min(here.shape) < MINIMUM_SIDE:
        return none
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(dis.calc(here, there, none), np.float32)


def camera_motion(here: Small, there: Small, flow: Field) -> Camera:
    """The simplest motion of a whole frame, none, a shift or an affine one, that fits what most of the flow follows."""
    none, places = np.eye(3), pixel_grid(*here.shape)
    if min(here.shape) < MINIMUM_SIDE:
        return none
    step = min(here.shape) // MINIMUM_SIDE
    some = (slice(step // 2, None, step), slice(step // 2, None, step))
    pairs = places[some].reshape(-1, 2), (places + flow)[some].reshape(-1, 2)
    found = cv2.estimateAffine2D(*pairs, ransacReprojThreshold=0.5)[0]
    if found is None:
        return none
    affine = np.asarray(found, np.float64)
    off = camera_flow(affine, places) - flow
    followers = (np.hypot(off[..., 0], off[..., 1]) < FLOW_TOLERANCE).astype(np.uint8)
    centre = np.array([here.shape[1] / 2, here.shape[0] / 2, 1])
    shift = np.hstack([np.eye(2), (affine @ centre - centre[:2])[:, None]])
    cameras = [
        none,
        refined_camera(here, there, shift, cv2.MOTION_TRANSLATION, followers),
        refined_camera(here, there, affine, cv2.MOTION_AFFINE, followers),
    ]
    fields = [camera_flow(camera, places) for camera in cameras]
    differences = [np.minimum(cv2.absdiff(warped(there, field), here), MISFIT_CAP) for field in fields]
    misfits = np.array([cv2.mean(difference, followers)[0] for difference in differences])
    chosen = int(np.argmax(misfits <= EQUAL_MISFIT * misfits.min()))
    return none if np.abs(fields[chosen]).mean() < STILL_CAMERA else cameras[chosen]


def refined_camera(here: Small, there: Small, start: Camera, form: int, followers: Small) -> Camera:
    """The camera's motion that aligns the pixels of its ``followers`` best; their flow, one by one, is vague."""
    try:
        found = cv2.findTransformECC(here, there, start.astype(np.float32), form, REFINEMENT, followers, 5)[1]
    except cv2.error:  # does not converge, as on frames without texture
        found = start
    return np.vstack([found, [0, 0, 1]]).astype(np.float64)


def camera_flow(camera: Camera, places: Field) -> Field:
    """How far the camera's motion takes each place."""
    return np.asarray(cv2.subtract(cv2.transform(places, camera[:2]), places))


@lru_cache(4)
def pixel_grid(height: int, width: int) -> Field:
    """Each pixel's column and row."""
    return np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=2)


def warped(picture: NDArray[Any], flow: Field, form: int = cv2.INTER_LINEAR) -> NDArray[Any]:
    """The picture sampled where ``flow`` says."""
    return sampled(picture, cv2.add(pixel_grid(*flow.shape[:2]), flow), form)


def warped_where_it_moves(picture: NDArray[Any], flow: Field, form: int) -> NDArray[Any]:
    """As :func:`warped`, but what stands still is copied, which is much quicker."""
    found, places = picture.copy(), pixel_grid(*flow.shape[:2])
    for top in range(0, len(flow), BAND):
        rows = slice(top, top + BAND)
        moving = np.flatnonzero(np.abs(flow[rows]).max(0).any(1))
        for columns in np.split(moving, np.flatnonzero(np.diff(moving) > BAND) + 1):
            if columns.size:
                part = rows, slice(columns[0], columns[-1] + 1)
                found[part] = sampled(picture, cv2.add(places[part], flow[part]), form)
    return found


def sampled(picture: NDArray[Any], places: NDArray[Any], form: int) -> NDArray[Any]:
    """The picture at places; beyond its edge are the edge's own values."""
    return np.asarray(cv2.remap(picture, places, None, form, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def composed_motion(motions: Motions, here: int, there: int) -> Motion | None:
    """Motion over several frames, one after the other; ``None`` if there is a cut between."""
    step = 1 if there > here else -1
    total: Motion | None = None
    for index in range(here, there, step):
        further = motions[index, index + step]
        if further is None:
            return None
        if total is None:
            total = further
        else:
            total = Motion(
                np.asarray(cv2.add(total.flow, warped(further.flow, total.flow)), np.float32),
                further.camera @ total.camera,
            )
    return total
