"""`python -m tests.benchmark_host [PHOTOS]`: what derain costs beside its network, in CPU time, on any machine.

JPEGs of 12 megapixels (60; fewer are quicker) go through `run` with a network that does next to nothing, and through
Pillow alone, which decodes and encodes them at the same quality, in turn.
"""

import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from derain.allocation import keep_freed_memory
from derain.batch import Target, Treatment, plan, run
from derain.models.contract import Derainer

WIDTH, HEIGHT, TURNS = 4000, 3000, 3
TILE = 512  # px: what the network takes stays near the processor
WANTED = 1.3  # times the CPU time of Pillow alone, at the most


class NextToNothing(Derainer):
    """A sixteenth of the light everywhere is rain, so that every photo is encoded anew."""

    halo = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def layers(self, rainy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        background = rainy * (15 / 16)
        return background, background  # the restorer computes the rain from the photo's own numbers


def draw(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 230, (HEIGHT // 90, WIDTH // 90, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1) * 18
    cv2.imwrite(str(path), np.clip(scene + noise[..., None], 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])


def with_pillow(paths: list[Path]) -> None:
    for path in paths:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            tables = image.quantization  # type: ignore[attr-defined]
            pixels = image.convert("RGB")
        pixels.save(path.with_suffix(".out"), "JPEG", qtables=tables, subsampling=2)


def with_derain(paths: list[Path], out: Path) -> None:
    jobs = plan([str(path) for path in paths], Target(out))
    treatment = Treatment(overwrite=True, tile=TILE)
    assert not any(each.error or each.untouched for each in run(jobs, NextToNothing(), treatment))


def spent(work, *arguments) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    cpu, wall = time.process_time(), time.perf_counter()
    work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{index}.jpg" for index in range(count)]
        for index, path in enumerate(paths):
            if index < 3:
                draw(path, index)
            else:
                path.write_bytes(paths[index % 3].read_bytes())
        ratios = []
        for _ in range(TURNS):
            pillow, derain = spent(with_pillow, paths), spent(with_derain, paths, folder / "out")
            ratios.append(derain[0] / pillow[0])
            print(f"{count} photos: Pillow {pillow[0]:.2f} s of CPU, derain {derain[0]:.2f} s in {derain[1]:.2f} s")
            print(f"  {derain[0] / derain[1]:.1f} of {os.cpu_count()} cores busy")
        found = statistics.median(ratios)
        print(f"derain costs {found:.2f} times what Pillow alone does (median); {WANTED} at the most is wanted")


if __name__ == "__main__":
    keep_freed_memory()  # as the command does
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
