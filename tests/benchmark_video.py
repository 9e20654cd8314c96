"""`python -m tests.benchmark_video`: how much of the network's own frame rate a 720p clip keeps; memory of ten minutes.

First, with a network that costs nothing, the CPU time of a 1080p and a small clip against PyAV's alone. Then the
network alone on frames that are in memory, and the whole way from file to file with fusion off, in turn; then the whole
way with fusion. Memory is that of a network which finds nothing, on small frames, after one minute and after ten.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

import derain
from derain.evaluation.self_test import draw_scene
from derain.rain.render import streaks
from derain.restoring.frames import FrameRestorer
from derain.restoring.restorer import Restorer
from derain.video import VideoSettings, frames, process
from derain.video.encoding import encoder_options
from tests.test_video import Identity, make_clip

FRAMES = 60


def pan(index: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(index)
    rain = 0.4 * streaks(rng, 640, 25, 8, 0.8)
    cover = np.tile(rain, (2, 4))[: size[0], : size[1], None]
    return ((SCENE[: size[0], index % 40 : index % 40 + size[1]] + cover).clip(0, 1) * 255).astype(np.uint8)


SCENE = draw_scene(np.random.default_rng(0), 2000)


def memory(minutes: float) -> int:
    """Peak memory in MB of a clip of so many minutes."""
    call = [sys.executable, "-m", "tests.benchmark_video", str(minutes)]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


class Finding(Identity):
    """Costs nothing, and sees the same in a tile as in the whole."""

    halo = 0


def by_pyav_alone(source: Path, target: Path) -> None:
    """Decode and encode, as derain does, and nothing between."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        stream.thread_type = "SLICE"
        video = made.add_stream("libx264", rate=stream.average_rate, options=encoder_options("libx264", None, None, {}))
        video.width, video.height, video.pix_fmt = stream.width, stream.height, "yuv420p"
        for frame in given.decode(stream):
            frame.pict_type = 0
            made.mux(video.encode(frame))
        made.mux(video.encode())


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of CPU, and of the clock."""
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - began


def host(size: tuple[int, int] = (1080, 1920), count: int = FRAMES) -> None:
    """What derain costs beside the network: CPU time of a clip against that of decoding and encoding it."""
    with tempfile.TemporaryDirectory() as name:
        clip, out = make_clip(Path(name) / "a.mp4", count, size=size, draw=pan), Path(name) / "b.mp4"
        ways = {
            "PyAV alone": lambda: by_pyav_alone(clip, Path(name) / "alone.mp4"),
            "without fusion": lambda: process(clip, out, Finding(), VideoSettings(temporal="off"), overwrite=True),
            "with fusion": lambda: process(clip, out, Finding(), overwrite=True),
        }
        costs = {way: min(cost(work) for _ in range(2)) for way, work in ways.items()}
        for way, (cpu, clock) in costs.items():
            times = cpu / costs["PyAV alone"][0]
            print(f"{size[1]}x{size[0]}, {way}: {1000 * cpu / count:.1f} ms of CPU a frame ({times:.2f} times", end=" ")
            print(f"PyAV alone), {count / clock:.1f} frames/s, {cpu / clock:.1f} cores busy")


def main() -> None:
    host()
    host((240, 426))
    model = derain.load()
    with tempfile.TemporaryDirectory() as name:
        clip = make_clip(Path(name) / "a.mp4", FRAMES, size=(720, 1280), draw=pan)
        pictures = [frame.pixels for frame in frames(clip)]
        network, shares = FrameRestorer(Restorer(model)), []
        for turn in range(3):
            began = time.perf_counter()
            for picture in pictures:
                network.background(picture)
            alone = time.perf_counter() - began
            took = process(clip, Path(name) / f"{turn}.mp4", model, VideoSettings(temporal="off")).seconds
            shares.append(alone / took)
            print(f"network {FRAMES / alone:.2f} frames/s, clip {FRAMES / took:.2f}: {alone / took:.0%}")
        took = process(clip, Path(name) / "fused.mp4", model).seconds
        print(f"the clip keeps {statistics.median(shares):.0%} of the network's rate (median)")
        print(f"with fusion {FRAMES / took:.2f} frames/s")
    print(f"peak memory: {memory(1)} MB of one minute, {memory(10)} MB of ten")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as name:
            long = make_clip(Path(name) / "a.mp4", int(float(sys.argv[1]) * 60 * 25), size=(90, 160))
            process(long, Path(name) / "b.mp4", Identity())
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    else:
        main()
