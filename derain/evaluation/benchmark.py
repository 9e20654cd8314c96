"""How fast a network is and how much memory it takes, by device and precision."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from derain.arrays import Pixels, to_bytes
from derain.evaluation.self_test import draw_scene
from derain.rain.compose import compose
from derain.rain.render import streaks
from derain.restoring.devices import name_of, process_peak
from derain.restoring.restorer import Restorer, precisions_of
from derain.weights import load

FRAMES_A_MINUTE = 30 * 60
FRAME = 1080, 1920, 3
PICTURE_SIDE = 1024  # px, of the random square that is restored


@dataclass(frozen=True)
class Speed:
    """Median of alternating runs on one picture of about a megapixel."""

    weights: str
    device: str
    precision: str
    seconds_per_megapixel: float
    megapixels_per_second: float
    peak_memory_mb: float  # of the whole process on a CPU, of tensors on a GPU
    runs: int
    machine: str  # the processor's instructions and threads, or the GPU
    photo_megapixels_per_second: float  # of a large photo in the rain from pixels to layers, looked at reduced, too
    dry_photo_megapixels_per_second: float  # of one without rain
    seconds_a_minute_of_1080p: float  # of video of 30 frames a second without fusion, by a few frames

    @property
    def seconds_a_12_megapixel_photo(self) -> tuple[float, float]:
        """In the rain and without, from pixels to layers, by smaller photos."""
        return 12 / self.photo_megapixels_per_second, 12 / self.dry_photo_megapixels_per_second


def benchmark(
    weights: list[str], device: torch.device, runs: int = 5, say: Callable[[str], None] | None = None
) -> list[Speed]:
    """Time each of ``weights`` in every precision, one after the other and again, ``runs`` times.

    Raises:
        WeightsError: weights that cannot be loaded.
    """
    models = {name: load(name, device) for name in weights}
    cases = [(name, precision) for name, model in models.items() for precision in precisions_of(model)]
    seconds: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for index in range(runs + 1):  # the first warms up
        for name, precision in cases:
            if say:
                say(f"run {index} of {runs}: {name}, {precision}")
            spent = seconds_for(Restorer(models[name], precision))
            if index:
                seconds[name, precision].append(spent)
    return [_speed(name, Restorer(models[name], precision), seconds[name, precision]) for name, precision in cases]


def _speed(name: str, restorer: Restorer, seconds: list[float]) -> Speed:
    device, precision = restorer.device, restorer.precision
    each = statistics.median(seconds) / (PICTURE_SIDE * PICTURE_SIDE / 1e6)
    peak = peak_memory(name, device, precision)
    machine = name_of(device)
    rainy, dry = (megapixels_per_second(restorer, photo) for photo in large_photos())
    minute = FRAMES_A_MINUTE * seconds_a_frame(restorer)
    return Speed(name, str(device), precision, each, 1 / each, peak, len(seconds), machine, rainy, dry, minute)


def seconds_a_frame(restorer: Restorer) -> float:
    """Of 1080p, from pixels to layers: the least of three."""
    frame = np.random.default_rng(0).integers(0, 256, FRAME, dtype=np.uint8)
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        restorer.bright_layers(frame)
        spent.append(time.perf_counter() - started)
    return min(spent)


def as_markdown(speeds: list[Speed]) -> str:
    """A table for a README: what one waits for."""
    rows = [
        "| device | weights | precision | network, MP/s | photo of 12 MP, s | the same without rain, s "
        "| minute of 1080p video, s | memory, MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for speed in speeds:
        rainy, dry = speed.seconds_a_12_megapixel_photo
        waits = f"{rainy:.2g} | {dry:.2g} | {speed.seconds_a_minute_of_1080p:.0f}"
        numbers = f"{speed.megapixels_per_second:.3g} | {waits} | {speed.peak_memory_mb:.0f}"
        rows.append(f"| {speed.machine} | {speed.weights} | {speed.precision} | {numbers} |")
    return "\n".join(rows)


def large_photos() -> tuple[Pixels, Pixels]:
    """A photo of ``2 PICTURE_SIDE`` px in the rain, which shows at half the size, too, and the same without rain."""
    rng = np.random.default_rng(0)
    dry = draw_scene(rng, PICTURE_SIDE)
    rain = streaks(rng, PICTURE_SIDE, length=40, degrees=8, width=1, cover=(0.04, 0.04))
    rainy = compose(rng, dry, (0.5 * rain).clip(0, 1))
    enlarged = (np.asarray(cv2.resize(picture, None, fx=2, fy=2)) for picture in (rainy, dry))
    in_bytes = [to_bytes(picture) for picture in enlarged]
    return in_bytes[0], in_bytes[1]


def megapixels_per_second(restorer: Restorer, photo: Pixels) -> float:
    """From pixels to layers; a part of it warms up."""
    spent = []
    for part in (photo[:PICTURE_SIDE, :PICTURE_SIDE], photo):
        started = time.perf_counter()
        restorer.layers(part)
        spent.append(time.perf_counter() - started)
    return photo.shape[0] * photo.shape[1] / 1e6 / spent[-1]


def seconds_for(restorer: Restorer) -> float:
    """Seconds that one picture of ``PICTURE_SIDE`` px takes, once."""
    device = restorer.device
    image = torch.rand(1, 3, PICTURE_SIDE, PICTURE_SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    with restorer.computing():
        _wait(device)
        started = time.perf_counter()
        (restorer.quick or restorer.model)(image)
        _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(weights: str, device: torch.device, precision: str) -> float:
    """Megabytes at the highest, measured in a process of its own so that no other run shows in it."""
    alone = [sys.executable, "-m", "derain.evaluation.benchmark", weights, str(device), precision]
    return float(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)


def _peak(weights: str, device_name: str, precision: str) -> float:
    device = torch.device(device_name)
    seconds_for(Restorer(load(weights, device), precision))
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return process_peak() / 1e6


if __name__ == "__main__":
    print(_peak(*sys.argv[1:]))
