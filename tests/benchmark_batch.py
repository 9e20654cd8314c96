"""`python tests/benchmark_batch.py`: how much of the network's own speed a batch of photos keeps; memory of a giant.

The network alone on arrays that are in memory, and the whole batch from files to files, in turn.
"""

import resource
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import derain
from derain.batch import Target, Treatment, plan, run, separate
from derain.evaluation.self_test import draw_scene
from derain.photos import read_original
from derain.restoring.restorer import Restorer

PHOTOS, SIDE = 12, 1400


def timed(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    model, rng = derain.load(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(PHOTOS):
            rain = rng.random((SIDE, SIDE, 1)) < 0.02
            scene = np.clip(draw_scene(rng, SIDE) + 0.3 * rain, 0, 1)
            cv2.imwrite(str(folder / f"{index}.jpg"), (scene * 255).astype(np.uint8))
        jobs = plan([folder], Target(folder / "out"))
        originals = [read_original(job.source) for job in jobs]
        shares = []
        for _ in range(4):
            alone = timed(lambda: [separate(original, Restorer(model)) for original in originals])
            whole = timed(lambda: list(run(jobs, model, Treatment(overwrite=True))))
            shares.append(alone / whole)
            print(f"{PHOTOS} photos: network alone {alone:.1f} s, files to files {whole:.1f} s")
        print(f"the batch runs at {statistics.median(shares[1:]):.0%} of the network's speed")
        giant = folder / "giant.jpg"
        cv2.imwrite(str(giant), np.tile(cv2.resize(cv2.imread(str(jobs[0].source)), (1000, 1000)), (10, 10, 1)))
        del originals
        (outcome,) = run(plan([giant], Target(folder / "out")), model)
        assert outcome.error is None
        print(f"100 megapixels: peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
