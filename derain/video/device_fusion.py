"""Fusion of frames on a device such as a GPU: to a grey level what :mod:`derain.video.fusion` gives on a processor.

All neighbours of a frame are taken at once: a GPU is quicker at it than the host is at telling it what to do.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derain import motion
from derain.arrays import Pixels, Plane
from derain.motion import FLOW_TOLERANCE, Camera, Motion
from derain.ordering import ordered
from derain.restoring.evidence import blurred
from derain.restoring.on_device import own_stream
from derain.restoring.resizing import reduced_plane
from derain.video.alignment import (
    ALIGNMENT_MARGIN,
    ALIGNMENT_TOLERANCE,
    CAMERA_PREFERENCE,
    DARK_RAIN,
    RESIDUAL_RAIN,
    SCATTER,
    STEADY,
    Look,
)
from derain.video.consensus import (
    BRIGHTER_TOLERANCE,
    CHROMA_PER_HEIGHT,
    CHROMA_PER_RAIN,
    DARKER_TOLERANCE,
    NOISE_ABOVE,
    RAIN_CHROMA,
    RAIN_TOLERANCE,
    SINGLE_IMAGE_WEIGHT,
)
from derain.video.dark_rain import BRIGHT, DEEPEST, shares_of_dark_rain

LUMA = 9798, 19235, 3735  # weights of red, green and blue in OpenCV's grey, of 32768
STEPS = 32  # places between two pixels that OpenCV tells apart as it warps


@dataclass(frozen=True)
class Placed:
    """A frame on the device; values as the frame's, from 0 to its white, uint8 or, if that is too small, float32."""

    rainy: Tensor  # (3, H, W)
    background: Tensor  # (3, H, W)
    grey: Tensor  # (H, W), of the background


@dataclass(frozen=True)
class PlacedShot:
    """A frame on the device with its :class:`derain.video.alignment.Look`, ``(h, w)`` float32 each."""

    frame: Placed
    may_show_dark_rain: bool
    smooth: Tensor
    plain: Tensor
    rain: Tensor
    rainy: Tensor
    taken: Tensor
    even: Tensor


@dataclass(frozen=True)
class PlacedMotion:
    """A motion whose flow is on the device, ``(2, h, w)``."""

    flow: Tensor
    camera: Camera


@dataclass(frozen=True)
class PlacedView:
    """A neighbour, and the way from the frame to it and back, by motions from one frame to the next."""

    other: PlacedShot
    there: list[PlacedMotion]
    back: list[PlacedMotion]


@dataclass(frozen=True)
class Seen:
    """Neighbours on the device, as they look from a frame."""

    rainy: Tensor  # (N, 3, H, W) float32
    grey: Tensor  # (N, H, W) float32
    sample: Tensor  # (N, H, W) float32, their grey, and the frame's own background where they show something else
    background: Tensor  # (N, H, W) float32, the same of their backgrounds
    seen: Tensor  # (N, H, W) float32, 1 where they show the same things


def place_frame(rainy: Pixels, background: Pixels, device: torch.device) -> Placed:
    with torch.inference_mode(), own_stream(device):
        there = [uploaded(photo, device).permute(2, 0, 1).contiguous() for photo in (rainy, background)]
        kind = torch.uint8 if rainy.dtype == np.uint8 else torch.float32
        return Placed(there[0].to(kind), there[1].to(kind), grey(there[1]).to(kind))


def place_shot(frame: Placed, look: Look) -> PlacedShot:
    there = np.stack([look.smooth, look.plain, look.rain, look.rainy, look.taken, look.even])
    with torch.inference_mode(), own_stream(frame.grey.device):
        maps = uploaded(there, frame.grey.device).float().unbind()
    return PlacedShot(frame, look.may_show_dark_rain, *maps)


def place_motion(both: tuple[Motion, Motion], device: torch.device) -> tuple[PlacedMotion, PlacedMotion]:
    with torch.inference_mode(), own_stream(device):
        there, back = uploaded(np.stack([each.flow for each in both]), device).permute(0, 3, 1, 2).contiguous()
    return PlacedMotion(there, both[0].camera), PlacedMotion(back, both[1].camera)


def uploaded(photo: NDArray[Any], device: torch.device) -> Tensor:
    if device.type != "cuda":
        return torch.from_numpy(np.ascontiguousarray(photo))
    here = torch.empty(photo.shape, dtype=torch.from_numpy(np.empty(0, photo.dtype)).dtype, pin_memory=True)
    here.numpy()[...] = photo  # torch would copy by all cores, which wait for each other
    return here.to(device, non_blocking=True)


def downloaded(picture: Tensor) -> NDArray[Any]:
    """What is there as soon as the device is done with all before."""
    if picture.device.type != "cuda":
        return picture.numpy()
    here = torch.empty(picture.shape, dtype=picture.dtype, pin_memory=True)
    here.copy_(picture, non_blocking=True)
    return here.numpy()


def grey(picture: Tensor) -> Tensor:
    """``(..., H, W)`` float32 of ``(..., 3, H, W)``, the very values that OpenCV gives."""
    red, green, blue = (part.int() * weight for part, weight in zip(picture.unbind(-3), LUMA))
    return ((red + green + blue + (1 << 14)) >> 15).float()


def smalls_of(frame: Placed, width: int, height: int) -> tuple[Plane, Plane]:
    """Background and rain of a frame in grey, ``(height, width)`` and as deep as the frame."""
    with torch.inference_mode(), own_stream(frame.grey.device):
        rain = (grey(frame.rainy) - frame.grey.float()).clamp_(min=0)
        layers = reduced_plane(torch.stack([frame.grey.float(), rain]), width, height)
        deep = frame.grey.dtype != torch.uint8
        background, rain = downloaded(layers.to(torch.int32 if deep else torch.uint8))
    return (background.astype(np.uint16), rain.astype(np.uint16)) if deep else (background, rain)


def fused_on_device(shot: PlacedShot, views: list[PlacedView], white: int) -> Pixels:
    """The background that a frame and its neighbours agree on; ``(H, W, 3)`` uint8, or uint16 if white says so."""
    own = shot.frame
    with torch.inference_mode(), own_stream(own.grey.device):
        frame = Placed(own.rainy.float(), own.background.float(), own.grey.float())
        size = tuple(frame.grey.shape)
        field, valid = choose_flow(shot, views)
        dark = None
        if shot.may_show_dark_rain:
            found, valid = seen_through(shot, views, field, valid)
            dark = F.interpolate(found, size, mode="bilinear", align_corners=False)[0, 0]
        taken = F.interpolate(shot.rain[None, None], size, mode="bilinear", align_corners=False)[0, 0].round_()
        others = seen_from(frame, [view.other.frame for view in views], field, valid, white)
        found = consensus(frame, taken, others, white, dark)
        kind = torch.uint8 if white < 256 else torch.int32
        result = downloaded(found.to(kind).permute(1, 2, 0).contiguous())
    return result if white < 256 else result.astype(np.uint16)


def choose_flow(shot: PlacedShot, views: list[PlacedView]) -> tuple[Tensor, Tensor]:
    """As :func:`derain.video.alignment.choose_flow` of each view; ``(N, 2, h, w)`` px and ``(N, h, w)`` 0 or 1."""
    others = [view.other for view in views]
    flows, cameras = composed([view.there for view in views])
    back, _ = composed([view.back for view in views])
    along = camera_flows(cameras, flows)
    smooth, plain, rain = (
        torch.stack([getattr(o, name) for o in others])[:, None] for name in ("smooth", "plain", "rain")
    )
    differences = (warped(smooth.repeat(2, 1, 1, 1), torch.cat([along, flows])).round_() - shot.smooth).abs_()
    misfits = blurred(differences, 3)[:, 0].view(2, *flows[:, 0].shape)
    astray = flows + warped(back, flows)
    own = (misfits[0] > misfits[1] + CAMERA_PREFERENCE) & (torch.hypot(*astray.unbind(1)) < FLOW_TOLERANCE)
    field = torch.where(own[:, None], flows, along)
    alike = as_here(shot, others)
    still = stays(shot, others, field, alike)
    field = field * ~still
    seen = warped(torch.cat([plain, rain], 1), field).round_()
    brighter = blurred(seen[:, :1] - shot.plain, 2)[:, 0]
    valid = brighter > -(ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * shot.rain)
    valid &= brighter < ALIGNMENT_TOLERANCE + RESIDUAL_RAIN * seen[:, 1]
    return field, surely(valid, field) * ~(still & ~alike)


def stays(shot: PlacedShot, others: list[PlacedShot], field: Tensor, alike: Tensor) -> Tensor:
    """As :func:`derain.video.alignment.stays`, given :func:`as_here`; ``(h, w)``."""
    unmoved = torch.stack([shot.smooth, *(other.smooth for other in others)])
    followed = torch.cat([shot.smooth[None], warped(unmoved[1:, None], field).round_()[:, 0]])
    steady = 2 * alike.sum(0) >= len(alike)
    steady &= scatter(followed, steady) > scatter(unmoved, steady) + SCATTER
    return F.max_pool2d(steady[None, None].float(), 3, 1, 1)[0, 0] > 0


def as_here(shot: PlacedShot, others: list[PlacedShot]) -> Tensor:
    """As :func:`derain.video.alignment.as_here` of each of N; ``(N, h, w)``."""
    return (torch.stack([other.rainy for other in others]) - shot.rainy).abs_() < STEADY


def scatter(pictures: Tensor, where: Tensor) -> Tensor:
    """As :func:`derain.video.alignment.scatter`."""
    median = ordered(list(pictures), torch.minimum, torch.maximum)[len(pictures) // 2]
    there = where.float()
    sums, counts = blurred(torch.stack([(pictures - median).abs_().mean(0) * there, there])[:, None], 3)[:, 0]
    return sums / counts.clamp(min=1e-3)


def seen_through(shot: PlacedShot, views: list[PlacedView], field: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`derain.video.fusion.seen_through`: ``(1, 1, h, w)`` from 0 to 1, and ``(N, h, w)`` 0 or 1."""
    others = [view.other for view in views]
    rainy, even = warped(torch.stack([torch.stack([o.rainy, o.even]) for o in others]), field).round_().unbind(1)
    found = shares_of_dark_rain(shot.rainy, shot.taken, rainy)
    dark = F.interpolate(found[None, None], shot.rainy.shape, mode="bilinear", align_corners=False)
    same_sky = blurred((even - shot.even)[:, None], 2)[:, 0].abs() < DARK_RAIN
    return dark, torch.maximum(valid, (dark[0] > 0.5) * surely(same_sky, field))


def surely(valid: Tensor, field: Tensor) -> Tensor:
    """1 where all around is valid, too, and within the neighbour, ``(N, h, w)``."""
    margin = F.max_pool2d((~valid).float(), ALIGNMENT_MARGIN, 1, ALIGNMENT_MARGIN // 2) > 0
    for target, length in zip((pixel_grid(field) + field).unbind(1), reversed(field.shape[2:])):
        margin |= (target <= -0.5) | (target >= length - 0.5)
    return (~margin).float()


def composed(ways: list[list[PlacedMotion]]) -> tuple[Tensor, list[Camera]]:
    """As :func:`derain.motion.composed_motion`: flows ``(N, 2, h, w)`` of N ways, and the camera's motions."""
    total, cameras = torch.stack([way[0].flow for way in ways]), [way[0].camera for way in ways]
    for step in range(1, max(map(len, ways))):
        further = [index for index, way in enumerate(ways) if len(way) > step]
        so_far = total[further]
        total[further] = so_far + warped(torch.stack([ways[index][step].flow for index in further]), so_far)
        for index in further:
            cameras[index] = ways[index][step].camera @ cameras[index]
    return total, cameras


def camera_flows(cameras: list[Camera], like: Tensor) -> Tensor:
    """``(N, 2, h, w)`` px by which the camera's motions take each place of a flow."""
    there = uploaded(np.stack(cameras)[:, :2], like.device)
    height, width = like.shape[-2:]
    moved = there @ _homogeneous(height, width, like.device)
    return moved.view(-1, 2, height, width).float() - pixel_grid(like)


@lru_cache(8)
def _homogeneous(height: int, width: int, device: torch.device) -> Tensor:
    places = motion.pixel_grid(height, width).reshape(-1, 2).T.astype(np.float64)
    return torch.from_numpy(np.vstack([places, np.ones_like(places[:1])])).to(device)


def pixel_grid(like: Tensor) -> Tensor:
    """``(1, 2, h, w)`` columns and rows of the places of ``(..., h, w)``."""
    height, width = like.shape[-2:]
    return _pixel_grid(height, width, like.device)


@lru_cache(8)
def _pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    return torch.from_numpy(motion.pixel_grid(height, width)).permute(2, 0, 1)[None].contiguous().to(device)


def seen_from(frame: Placed, others: list[Placed], field: Tensor, valid: Tensor, white: int) -> Seen:
    height, width = frame.grey.shape
    rows, columns = (nearest(small, large, valid.device) for small, large in zip(valid.shape[1:], (height, width)))
    seen = valid[:, rows][:, :, columns]
    across, down = field.unbind(1)
    field = torch.stack([across * (width / across.shape[-1]), down * (height / down.shape[-2])], 1)
    large = F.interpolate(field, (height, width), mode="bilinear", align_corners=False)
    pictures = torch.stack([torch.cat([other.rainy, other.grey[None]]) for other in others]).float()
    pictures = warped(pictures, large, "bicubic").add_(0.5).floor_().clamp_(0, white)
    rainy, background, there = pictures[:, :3], pictures[:, 3], seen > 0
    sample = grey(rainy)
    own_elsewhere = torch.where(there, sample, frame.grey), torch.where(there, background, frame.grey)
    return Seen(rainy, sample, *own_elsewhere, seen)


@lru_cache(8)
def nearest(small: int, large: int, device: torch.device) -> Tensor:
    """Which of ``small`` places OpenCV shows at each of ``large``."""
    places: NDArray[np.float32] = np.arange(small, dtype=np.float32)[None]
    found = np.asarray(cv2.resize(places, (large, 1), interpolation=cv2.INTER_NEAREST))[0]
    return torch.from_numpy(found.astype(np.int64)).to(device)


def warped(pictures: Tensor, fields: Tensor, mode: str = "bilinear") -> Tensor:
    """``(N, C, H, W)`` sampled where the fields ``(N, 2, H, W)`` say; beyond the edge are its own values."""
    places = [
        (along * STEPS).round_() * (2 / STEPS / max(size - 1, 1)) - 1
        for along, size in zip((pixel_grid(fields) + fields).unbind(1), pictures.shape[:-3:-1])
    ]
    return F.grid_sample(pictures, torch.stack(places, -1), mode=mode, padding_mode="border", align_corners=True)


def consensus(frame: Placed, rain: Tensor, others: Seen, white: int, dark: Tensor | None = None) -> Tensor:
    """As :func:`derain.video.consensus.consensus`; ``(3, H, W)`` whole numbers as float32."""
    level, single = white / 255, frame.grey
    samples = torch.cat([grey(frame.rainy)[None], others.sample])
    backgrounds = torch.cat([single[None], others.background])
    own = samples[0]
    pivot = limited(middling(list(backgrounds)), samples)
    if dark is not None:
        middle = upper_median([own, *torch.where(others.seen > 0, others.grey, own)])
        deeper = (middle > own + DEEPEST * level) & (dark > 0)
        dark = dark * ((middle / level - BRIGHT[0]) / (BRIGHT[1] - BRIGHT[0])).clamp(0, 1)
        pivot = pivot + dark * (middle - pivot).clamp(min=0)
    total = SINGLE_IMAGE_WEIGHT * (frame.background + (pivot - single))
    seen = torch.cat([others.seen.amax(0, keepdim=True), others.seen])
    heights = (samples - pivot) / level
    taken_there = (samples - backgrounds) / level
    off = torch.maximum(heights / BRIGHTER_TOLERANCE, heights / -DARKER_TOLERANCE)
    off = torch.maximum(off, torch.minimum(heights, taken_there) / RAIN_TOLERANCE)
    weights = off.square_().neg_().add_(1).clamp_(min=0).mul_(seen)
    for picture, weight in zip([frame.rainy, *others.rainy], weights):
        total.addcmul_(picture, weight)
    shown = (total / (weights.sum(0) + SINGLE_IMAGE_WEIGHT)).round_()
    red, green, blue = (frame.rainy - shown) / level
    brightest, least = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    taken, most = green.clamp(min=0), frame.rainy + NOISE_ABOVE * level
    if dark is not None:
        taken, most = torch.where(dark > 0, green.abs(), taken), most + white * dark
    unlike_rain = brightest - least > RAIN_CHROMA + CHROMA_PER_HEIGHT * taken + CHROMA_PER_RAIN * rain
    if dark is not None:
        unlike_rain |= deeper
    shown = torch.where(unlike_rain, frame.background, shown)
    return shown.clamp(min=0).minimum(most).clamp_(max=white)


def limited(network: Tensor, samples: Tensor) -> Tensor:
    """As :func:`derain.video.consensus.limited`."""
    in_order = ordered(list(samples), torch.minimum, torch.maximum)
    darkest, second, middle = in_order[0], in_order[1], in_order[len(in_order) // 2]
    off = network.clamp(darkest, second) - network
    power = off.square()
    return network + off * (power / (power + (middle - darkest).square()).clamp(min=1e-6))


def middling(pictures: list[Tensor]) -> Tensor:
    """As :func:`derain.video.consensus.middling`."""
    if len(pictures) < 5:
        return lower_median(pictures)
    first = (len(pictures) - 3) // 2
    below, middle, above = ordered(pictures, torch.minimum, torch.maximum)[first : first + 3]
    return (below + middle + above) / 3


def lower_median(pictures: list[Tensor]) -> Tensor:
    """At each pixel; of an even number the darker of the middle two."""
    return ordered(pictures, torch.minimum, torch.maximum)[(len(pictures) - 1) // 2]


def upper_median(pictures: list[Tensor]) -> Tensor:
    """At each pixel; of an even number the brighter of the middle two."""
    return ordered(pictures, torch.minimum, torch.maximum)[len(pictures) // 2]
