"""`python -m tests.benchmark_host [PHOTOS [FRAMES]]`: what derain costs beside its network, in CPU time, anywhere.

JPEGs of 12 megapixels (60; fewer are quicker) go through `run` with a network that does next to nothing, and through
Pillow alone, which decodes and encodes them at the same quality, in turn. That network finds rain all over a photo,
which derain compares with itself: the ratio is told with that and without it. The network still goes over all numbers
of a photo, which is told by itself. Then a clip of 1080 lines (150 frames, with 0 none) goes through `video` with a
network that finds nothing, with one that finds a little everywhere, and through PyAV alone.
"""

import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import av
import cv2
import numpy as np
import torch
from PIL import Image

from derain.allocation import keep_freed_memory
from derain.batch import Target, Treatment, plan, run
from derain.cli.quiet import bound_spinning
from derain.models.contract import Derainer
from derain.video import VideoSettings, process
from derain.video.encoding import encoder_options

WIDTH, HEIGHT, TURNS = 4000, 3000, 3
WANTED = 1.3  # times the CPU time of Pillow alone, at the most
WANTED_OF_CLIP = 1.25  # times that of PyAV alone, with a network that finds nothing


class NextToNothing(Derainer):
    """A sixteenth of the light everywhere is rain, so that every photo is encoded anew."""

    halo = 0

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def layers(self, rainy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        background = rainy.mul_(15 / 16)  # in place, which takes next to nothing
        return background, background  # the restorer computes the rain from the photo's own numbers


class Nothing(NextToNothing):
    def layers(self, rainy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rainy, torch.zeros_like(rainy[:1, :1, :1, :1]).expand_as(rainy)


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
    assert not any(each.error or each.untouched for each in run(jobs, NextToNothing(), Treatment(overwrite=True)))


def network_alone() -> float:
    """CPU seconds that the network takes for a photo."""
    network, photo = NextToNothing(), torch.rand(1, 3, HEIGHT, WIDTH)
    return min(spent(network.layers, photo)[0] for _ in range(9))


def without_comparing(paths: list[Path], out: Path) -> None:
    with patch("derain.restoring.restorer.keep_rain", lambda photo, layers: None):
        with_derain(paths, out)


def spent(work, *arguments) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    cpu, wall = time.process_time(), time.perf_counter()
    work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall


def film(path: Path, count: int) -> None:
    """A scene that moves, with a camera's noise."""
    rng, scene = np.random.default_rng(0), path.with_suffix(".jpg")
    draw(scene, 0)
    picture = cv2.cvtColor(cv2.imread(str(scene)), cv2.COLOR_BGR2RGB)
    with av.open(str(path), "w") as clip:
        video = clip.add_stream("libx264", rate=30, options={"crf": "20", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 1920, 1080, "yuv420p"
        for index in range(count):
            top, left = 100 + index, 100 + 3 * index
            frame = picture[top : top + 1080, left : left + 1920] + rng.normal(0, 1, (1080, 1920, 1))
            clip.mux(video.encode(av.VideoFrame.from_ndarray(frame.clip(0, 255).astype(np.uint8), "rgb24")))
        clip.mux(video.encode())


def with_pyav(path: Path) -> None:
    with av.open(str(path)) as clip, av.open(str(path.with_suffix(".out.mp4")), "w") as out:
        video = out.add_stream("libx264", rate=30, options=encoder_options("libx264", None, None, {}))
        video.width, video.height, video.pix_fmt = 1920, 1080, "yuv420p"
        for frame in clip.decode(video=0):
            frame.pict_type = 0  # type: ignore[assignment]
            out.mux(video.encode(frame))
        out.mux(video.encode())


def of_clip(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        clip, out = Path(name) / "clip.mp4", Path(name) / "out.mp4"
        film(clip, count)
        one_by_one = VideoSettings(temporal="off")
        works: dict[str, Callable[[], object]] = {
            "PyAV alone": lambda: with_pyav(clip),
            "derain, nothing found": lambda: process(clip, out, Nothing(), overwrite=True),
            "the same without fusion": lambda: process(clip, out, Nothing(), one_by_one, overwrite=True),
            "derain, a little everywhere, without fusion": lambda: process(
                clip, out, NextToNothing(), one_by_one, overwrite=True
            ),
        }
        least = dict.fromkeys(works, float("inf"))
        for _ in range(TURNS):
            for what, work in works.items():
                least[what] = min(least[what], spent(work)[0] / count)
        for what, seconds in least.items():
            print(f"{what}: {1000 * seconds:.1f} ms a frame, {seconds / least['PyAV alone']:.2f} times")
        print(f"{WANTED_OF_CLIP} at the most is wanted where nothing is found")


def of_photos(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{index}.jpg" for index in range(count)]
        for index, path in enumerate(paths):
            if index < 3:
                draw(path, index)
            else:
                path.write_bytes(paths[index % 3].read_bytes())
        network, works = network_alone(), {"all": with_derain, "without comparing": without_comparing}
        ratios: dict[str, list[float]] = {what: [] for what in works}
        for _ in range(TURNS):
            pillow = spent(with_pillow, paths)[0]
            print(f"{count} photos: Pillow {pillow:.2f} s of CPU, the network {count * network:.2f} s")
            for what, work in works.items():
                cpu, wall = spent(work, paths, folder / "out")
                ratios[what].append(cpu / pillow)
                print(f"  derain, {what}: {cpu:.2f} s in {wall:.2f} s, {cpu / wall:.1f} of {os.cpu_count()} cores busy")
        for what, found in ratios.items():
            print(f"derain costs {statistics.median(found):.2f} times what Pillow alone does (median), {what}")
        print(f"{WANTED} at the most is wanted")


if __name__ == "__main__":
    said = dict(os.environ)
    bound_spinning()
    if said != dict(os.environ):  # torch has not seen it
        os.execv(sys.executable, [sys.executable, "-m", "tests.benchmark_host", *sys.argv[1:]])
    keep_freed_memory()  # as the command does
    if photos := int(sys.argv[1]) if len(sys.argv) > 1 else 60:
        of_photos(photos)
    if frames := int(sys.argv[2]) if len(sys.argv) > 2 else 150:
        of_clip(frames)
