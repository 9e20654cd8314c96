"""Times a 1-megapixel photo through both presets in turn, and the peak memory of a 24-megapixel one in the rain.

`python tests/benchmark_speed.py`: the paper's background generator runs whole in float32, as published.
"""

import resource
import statistics
import time

import cv2
import numpy as np
import torch

import derain
from derain.evaluation.benchmark import large_photos
from derain.models import build


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    ours = derain.load()
    large = np.asarray(cv2.resize(large_photos()[0], (6000, 4000), interpolation=cv2.INTER_CUBIC))
    derain.restore(ours, large)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"24 megapixels: peak memory {peak:.2f} GB")

    paper = build("nlcl").eval().background_generator
    photo = rng.integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    ratios = []
    with torch.inference_mode():
        for _ in range(4):
            slow = seconds(lambda: paper(image))
            quick = seconds(lambda: derain.restore(ours, photo))
            ratios.append(slow / quick)
            print(f"1 megapixel: paper {slow:.2f} s, derain {quick:.2f} s")
    print(f"derain is {statistics.median(ratios[1:]):.1f} times faster (median of {len(ratios) - 1} alternating runs)")
