"""Temporal fusion: a streak is gone in the next frame.

The rainy frames around a frame are aligned to it. What most of them show is the background, so the single-image result
is held to it, the more closely the better the alignment: streaks that the network left go, detail that it took comes
back, and frames agree with each other. Where nothing can be aligned the single-image result stays.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain.photos import Photo, to_8_bit

REACH = 2  # frames to each side
FLOW_SIDE = 480  # px, long side at which motion is estimated
STILL = 0.15  # px of motion that is none
UNSURE = 0.8  # px of camera motion that may be the flow's mistake
ASTRAY = 1.0  # px by which motion there and back may differ
UNLIKE = 24  # grey levels by which smoothed aligned frames without thin bright lines may differ
SIMPLER = 4.0  # grey levels by which a simpler motion may fit worse and is still taken
AROUND = 61  # px at that size, in which the network has to see rain for the neighbours to be asked
RAINING = 0.3 / 255  # mean height of the rain there
THIN = 7  # px at that size, up to which bright lines may be streaks
CUT = 25  # grey levels, mean difference after alignment from which it is another scene
NOISE = 5 / 255  # by which samples of the same background differ
SLACK = 3 / 255  # by which the result may differ from what the neighbours show, where things move

Layer = NDArray[np.float32]
Field = NDArray[np.float32]  # (H, W, 2) px to the right and down


@dataclass
class Shot:
    """A frame with what its neighbours need of it."""

    rainy: Photo
    background: Photo
    small: NDArray[np.uint8]  # grey background at the size of motion estimation, smoothed
    plain: NDArray[np.uint8]  # the same without thin bright lines
    raining: Layer  # at that size, in [0, 1]: whether the network sees rain around

    @classmethod
    def of(cls, rainy: Photo, background: Photo) -> "Shot":
        height, width = background.shape[:2]
        scale = min(1.0, FLOW_SIDE / max(height, width))
        size = max(int(width * scale), 1), max(int(height * scale), 1)
        grey = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        smooth = np.asarray(cv2.GaussianBlur(to_8_bit(np.asarray(grey)), (0, 0), 1.0), np.uint8)
        plain = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THIN, THIN)))
        white = np.iinfo(rainy.dtype).max
        rain = cv2.resize(greatest(np.asarray(cv2.subtract(rainy, background))), size, interpolation=cv2.INTER_AREA)
        around = cv2.blur(rain.astype(np.float32), (AROUND, AROUND)) / (RAINING * white)
        return cls(rainy, background, smooth, np.asarray(plain, np.uint8), np.minimum(around, 1).astype(np.float32))


def fused(pairs: Iterable[tuple[Photo, Photo]]) -> Iterator[Photo]:
    """Backgrounds that agree with the frames around them, :data:`REACH` frames late.

    Each depends on nothing but the pairs up to REACH frames before and after it.

    Args:
        pairs: ``(H, W, 3)`` rainy frames with their single-image backgrounds, uint8 or uint16.
    """
    shots: deque[Shot] = deque()
    motions: dict[tuple[int, int], Field | None] = {}
    done, first = 0, 0
    ended = False
    stream = iter(pairs)
    while not ended or done < first + len(shots):
        while not ended and first + len(shots) <= done + REACH:
            pair = next(stream, None)
            if pair is None:
                ended = True
                break
            shots.append(Shot.of(*pair))
        if done >= first + len(shots):
            return
        near = range(max(done - REACH, first), min(done + REACH + 1, first + len(shots)))
        window = {index - done: shots[index - first] for index in near}
        for a, b in ((i, i + 1) for i in near if i + 1 in near):
            for pair_of in ((a, b), (b, a)):
                if pair_of not in motions:
                    motions[pair_of] = motion(shots[pair_of[0] - first].small, shots[pair_of[1] - first].small)
        yield fuse(window, {key: motions[key] for key in motions if key[0] in near and key[1] in near}, done)
        done += 1
        while first < done - REACH:
            shots.popleft()
            first += 1
            motions = {key: value for key, value in motions.items() if min(key) >= first}


def motion(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Field | None:
    """Where each pixel is in the other frame, DIS optical flow; ``None`` across a cut."""
    if min(here.shape) < 16:
        flow = np.zeros((*here.shape, 2), np.float32)
    else:
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        flow = np.asarray(dis.calc(here, there, np.zeros((*here.shape, 2), np.float32)), np.float32)
    followed = warped(there, flow)
    if np.abs(followed.astype(np.float32) - here).mean() > CUT:
        return None
    return flow


def warped(picture: NDArray[Any], flow: Field) -> NDArray[Any]:
    """The picture sampled where ``flow`` says."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(
        cv2.remap(
            picture, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    )


def path(motions: dict[tuple[int, int], Field | None], here: int, there: int) -> Field | None:
    """Motion over several frames, one after the other; ``None`` if there is a cut between."""
    step = 1 if there > here else -1
    total: Field | None = None
    for index in range(here, there, step):
        flow = motions.get((index, index + step))
        if flow is None:
            return None
        total = flow if total is None else total + np.asarray(warped(flow, total), np.float32)
    return total


def fuse(window: dict[int, Shot], motions: dict[tuple[int, int], Field | None], index: int) -> Photo:
    """The background of the frame in the middle of the window, given motion between neighbours."""
    shot = window[0]
    white = np.iinfo(shot.rainy.dtype).max
    height, width = shot.rainy.shape[:2]
    rainy, backgrounds, moving = [shot.rainy], [shot.background], np.zeros(shot.small.shape, np.float32)
    for offset, other in window.items():
        if offset == 0:
            continue
        flow, back = path(motions, index, index + offset), path(motions, index + offset, index)
        if flow is None or back is None:
            rainy.append(shot.background)
            continue
        flow, valid = settled(shot.plain, other.plain, flow, back)
        still = np.hypot(flow[..., 0], flow[..., 1]) < STILL
        moving = np.maximum(moving, ~still)
        aligned = [other.rainy, other.background] if abs(offset) == 1 else [other.rainy]
        if not still.all():
            enlarged = cv2.resize(np.where(still[..., None], 0, flow), (width, height), interpolation=cv2.INTER_LINEAR)
            enlarged *= np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
            aligned = [warped(picture, np.asarray(enlarged, np.float32)) for picture in aligned]
        if not valid.all():
            where = cv2.resize(valid.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            aligned = [np.where(where[..., None] > 0, picture, shot.background) for picture in aligned]
        for samples, picture in zip((rainy, backgrounds), aligned):
            samples.append(picture)
    if len(rainy) < 3 or not shot.raining.any():
        return shot.background
    shown = consensus(rainy, backgrounds, int(NOISE * white))
    if moving.any():
        slack = cv2.resize(cv2.GaussianBlur(moving, (0, 0), 2), (width, height))[..., None] * np.float32(SLACK * white)
        shown = np.clip(shot.background, shown - slack, shown + slack)
    raining = cv2.resize(shot.raining, (width, height))[..., None]
    led = shot.background + raining * (shown - shot.background)
    held = np.asarray(cv2.min(led.round().astype(shot.rainy.dtype), shot.rainy))
    brighter, darker = (np.asarray(cv2.subtract(*p)) for p in ((held, shot.background), (shot.background, held)))
    coloured = (greatest(brighter) > NOISE * white) & (greatest(darker) > NOISE * white)
    return np.where(coloured[..., None], shot.background, held)


def greatest(picture: NDArray[Any]) -> NDArray[Any]:
    """The greatest of the three channels."""
    return np.asarray(cv2.max(cv2.max(picture[..., 0], picture[..., 1]), picture[..., 2]))


def settled(
    here: NDArray[np.uint8], there: NDArray[np.uint8], flow: Field, back: Field
) -> tuple[Field, NDArray[np.bool_]]:
    """The motion of the camera where it fits, elsewhere the pixel's own; and where one of them does."""
    candidates = [of_the_camera(here, there, flow), flow]
    differences = [warped(there, c).astype(np.float32) - here for c in candidates]
    misfits = [cv2.GaussianBlur(np.abs(difference), (0, 0), 2.0) for difference in differences]
    misfits[1][np.linalg.norm(flow + warped(back, flow), axis=2) > ASTRAY] = np.inf
    least = np.minimum.reduce(misfits)
    chosen = np.argmax([misfit <= least + SIMPLER for misfit in misfits], axis=0)
    remaining = cv2.GaussianBlur(np.choose(chosen, differences), (0, 0), 3.0)
    valid = np.abs(remaining) < UNLIKE
    return np.choose(chosen[..., None], candidates).astype(np.float32), valid


def of_the_camera(here: NDArray[np.uint8], there: NDArray[np.uint8], flow: Field) -> Field:
    """The shift, turn and zoom that explain most of the flow, or none at all if that fits as well."""
    none = np.zeros_like(flow)
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([columns, rows], axis=2)
    step = max(min(height, width) // 24, 1)
    some = (slice(step // 2, None, step), slice(step // 2, None, step))
    model, _ = cv2.estimateAffinePartial2D(
        places[some].reshape(-1, 2), (places + flow)[some].reshape(-1, 2), ransacReprojThreshold=0.5
    )
    if model is None:
        return none
    moved = (places @ model[:, :2].T + model[:, 2] - places).astype(np.float32)
    misfit, misfit_of_none = (np.median(np.abs(warped(there, f).astype(np.float32) - here)) for f in (moved, none))
    steady = np.linalg.norm(moved, axis=2).mean() < UNSURE and misfit_of_none <= misfit + 0.5
    return none if steady else moved


def consensus(rainy: list[Photo], backgrounds: list[Photo], noise: int) -> Layer:
    """What most frames show: rain only brightens, so the mean of those near the second darkest.

    Where few agree because rain is dense, what the network makes of most frames says more.
    """
    wide = np.int16 if rainy[0].dtype == np.uint8 else np.int32
    ordered = ascending(rainy)
    low: NDArray[Any] = ordered[1].astype(wide)
    above, count = np.zeros(low.shape, wide), np.ones(low.shape, np.uint8)
    for sample in (ordered[0], *ordered[2:]):
        beyond = sample.astype(wide) - low
        near = np.abs(beyond) <= noise
        above += (beyond * near).astype(wide)
        count += near
    shown = low + above / count.astype(np.float32)
    network = ascending(backgrounds)[len(backgrounds) // 2]
    distrust = np.array([0, 1, 0.5, *[0] * len(rainy)], np.float32)[count]
    return np.asarray(shown + distrust * np.minimum(network - shown, 0), np.float32)


def ascending(samples: list[Photo]) -> list[Photo]:
    """The samples sorted at each pixel: every odd and even neighbours exchanged in turn."""
    ordered = list(samples)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            low, high = cv2.min(ordered[i], ordered[i + 1]), cv2.max(ordered[i], ordered[i + 1])
            ordered[i], ordered[i + 1] = np.asarray(low), np.asarray(high)
    return ordered
