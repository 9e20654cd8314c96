"""What fusion does with whole frames, on a device such as a GPU; the same to a grey level as :mod:`consensus`."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derain.motion import Field, Small
from derain.photos import Photo
from derain.video.consensus import (
    BRIGHTER_TOLERANCE,
    CHROMA_PER_HEIGHT,
    CHROMA_PER_RAIN,
    DARKER_TOLERANCE,
    NOISE_ABOVE,
    RAIN_CHROMA,
    SINGLE_IMAGE_WEIGHT,
)

LUMA = 9798, 19235, 3735  # weights of red, green and blue in OpenCV's grey, of 32768
STEPS = 32  # places between two pixels that OpenCV tells apart as it warps


@dataclass(frozen=True)
class Placed:
    """A frame on the device; values as the frame's, from 0 to its white, uint8 or, if that is too small, float32."""

    rainy: Tensor  # (3, H, W)
    background: Tensor  # (3, H, W)
    grey: Tensor  # (H, W), of the background


@dataclass(frozen=True)
class Seen:
    """A neighbour on the device, as it looks from a frame."""

    rainy: Tensor  # (3, H, W) float32
    sample: Tensor  # (H, W) float32, its grey, and the frame's own background where it shows something else
    background: Tensor  # (H, W) float32, the same of its background
    seen: Tensor  # (H, W) float32, 1 where it shows the same things


@dataclass(frozen=True)
class PlacedLook:
    """How a frame sees a neighbour that is on the device."""

    frame: Placed
    field: Field | None  # (h, w, 2) px of the small frames; None if nothing has moved
    valid: Small  # (h, w), 1 where it shows the same things


def place_frame(rainy: Photo, background: Photo, device: torch.device) -> Placed:
    there = [uploaded(photo, device).permute(2, 0, 1).contiguous() for photo in (rainy, background)]
    kind = torch.uint8 if rainy.dtype == np.uint8 else torch.float32
    return Placed(there[0].to(kind), there[1].to(kind), grey(there[1]).to(kind))


def uploaded(photo: Photo, device: torch.device) -> Tensor:
    here = torch.from_numpy(np.ascontiguousarray(photo))
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here


def downloaded(picture: Tensor) -> Photo:
    if picture.device.type != "cuda":
        return picture.numpy()
    here = torch.empty(picture.shape, dtype=picture.dtype, pin_memory=True)
    here.copy_(picture, non_blocking=True)
    torch.cuda.current_stream(picture.device).synchronize()
    return here.numpy()


def grey(picture: Tensor) -> Tensor:
    """``(H, W)`` float32 of ``(3, H, W)``, the very values that OpenCV gives."""
    red, green, blue = (part.int() * weight for part, weight in zip(picture, LUMA))
    return ((red + green + blue + (1 << 14)) >> 15).float()


def fused_on_device(frame: Placed, rain: Small, looks: list[PlacedLook], white: int) -> Photo:
    """The background that a frame and its neighbours agree on; ``(H, W, 3)`` uint8, or uint16 if white says so.

    Args:
        rain: ``(H, W)``, grey levels that the network took around there.
    """
    with torch.inference_mode():
        frame = Placed(frame.rainy.float(), frame.background.float(), frame.grey.float())
        taken = uploaded(rain, frame.grey.device).float()
        found = consensus(frame, taken, [seen_from(frame, look, white) for look in looks], white)
        kind = torch.uint8 if white < 256 else torch.int32
        result = downloaded(found.to(kind).permute(1, 2, 0).contiguous())
    return result if white < 256 else result.astype(np.uint16)


def seen_from(frame: Placed, look: PlacedLook, white: int) -> Seen:
    height, width = frame.grey.shape
    rows, columns = (nearest(small, large) for small, large in zip(look.valid.shape, (height, width)))
    device = frame.grey.device
    seen = torch.from_numpy(look.valid).to(device)[torch.from_numpy(rows).to(device)]
    seen = seen[:, torch.from_numpy(columns).to(device)]
    rainy, background = look.frame.rainy.float(), look.frame.grey.float()
    if look.field is not None:
        scale = np.array([width / look.field.shape[1], height / look.field.shape[0]], np.float32)
        small = torch.from_numpy(look.field * scale).to(device).permute(2, 0, 1)
        field = F.interpolate(small[None], (height, width), mode="bilinear", align_corners=False)[0]
        *colours, background = warped(torch.cat([rainy, background[None]]), field, white)
        rainy = torch.stack(colours)
    there = seen > 0
    return Seen(
        rainy, torch.where(there, grey(rainy), frame.grey), torch.where(there, background, frame.grey), seen.float()
    )


def nearest(small: int, large: int) -> NDArray[np.int64]:
    """Which of ``small`` places OpenCV shows at each of ``large``."""
    places = np.arange(small, dtype=np.float32)[None]
    return np.asarray(cv2.resize(places, (large, 1), interpolation=cv2.INTER_NEAREST))[0].astype(np.int64)


def warped(picture: Tensor, field: Tensor, white: int) -> Tensor:
    """``(C, H, W)`` sampled where the field ``(2, H, W)`` says, cubic, rounded; beyond the edge are its own values."""
    height, width = picture.shape[1:]
    columns = torch.arange(width, device=picture.device, dtype=torch.float32) + field[0]
    rows = torch.arange(height, device=picture.device, dtype=torch.float32)[:, None] + field[1]
    places = [
        (places * STEPS).round() * (2 / STEPS / max(size - 1, 1)) - 1
        for places, size in ((columns, width), (rows, height))
    ]
    grid = torch.stack(places, dim=-1)[None]
    sampled = F.grid_sample(picture[None], grid, mode="bicubic", padding_mode="border", align_corners=True)[0]
    return (sampled + 0.5).floor_().clamp_(0, white)


def consensus(frame: Placed, rain: Tensor, neighbours: list[Seen], white: int) -> Tensor:
    """As :func:`derain.video.consensus.consensus`; ``(3, H, W)`` whole numbers as float32."""
    level, single = white / 255, frame.grey
    samples = [grey(frame.rainy), *(n.sample for n in neighbours)]
    darkest, second = samples[0], torch.full_like(single, white)
    for sample in samples[1:]:
        second = torch.minimum(second, torch.maximum(darkest, sample))
        darkest = torch.minimum(darkest, sample)
    network = lower_median([single, *(n.background for n in neighbours)])
    pivot = network.clamp(darkest, second)
    total = SINGLE_IMAGE_WEIGHT * (frame.background + (pivot - single))
    weights = torch.full_like(single, SINGLE_IMAGE_WEIGHT)
    seen_by = [n.seen for n in neighbours]
    witnessed = torch.stack(seen_by).amax(0)
    pictures = [frame.rainy, *(n.rainy for n in neighbours)]
    for picture, sample, seen in zip(pictures, samples, [witnessed, *seen_by], strict=True):
        height = (sample - pivot) / level
        off = torch.maximum(height / BRIGHTER_TOLERANCE, -height / DARKER_TOLERANCE)
        weight = (1 - off.square()).clamp_(min=0) * seen
        total.addcmul_(picture, weight)
        weights += weight
    shown = (total / weights).round_()
    red, green, blue = (frame.rainy - shown) / level
    brightest, least = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    coloured = brightest - least > RAIN_CHROMA + CHROMA_PER_HEIGHT * green.clamp(min=0) + CHROMA_PER_RAIN * rain
    shown = torch.where(coloured, frame.background, shown)
    return shown.clamp(min=0).minimum(frame.rainy + NOISE_ABOVE * level).clamp_(max=white)


def lower_median(pictures: list[Tensor]) -> Tensor:
    """At each pixel; of an even number the darker of the middle two."""
    ordered = list(pictures)
    for turn in range(len(ordered)):
        for i in range(turn % 2, len(ordered) - 1, 2):
            ordered[i], ordered[i + 1] = (
                torch.minimum(ordered[i], ordered[i + 1]),
                torch.maximum(ordered[i], ordered[i + 1]),
            )
    return ordered[(len(ordered) - 1) // 2]
