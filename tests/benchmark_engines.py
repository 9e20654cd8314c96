"""The exported network beside torch, by turns in one run: `python -m tests.benchmark_engines [WEIGHTS] [THREADS]`

CPU seconds for a picture of 0.3 megapixels, in float32 and with as many threads for each engine: the least of five
turns after one that is not counted.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZE = 480, 640  # px, height and width
TURNS = 5


def engines(weights: str, threads: int) -> dict[str, Callable]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import cv2
    import onnxruntime
    import openvino
    import torch

    import derain
    from derain.export import export_onnx

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    model = derain.load(weights)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        export_onnx(weights, file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
        hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(str(file), "CPU", hints)
        network = cv2.dnn.readNetFromONNX(str(file))

    def by_opencv(rainy: np.ndarray) -> None:
        network.setInput(rainy)
        network.forward()

    def by_torch(rainy: np.ndarray) -> None:
        with torch.inference_mode():
            model(torch.from_numpy(rainy))

    return {
        "torch": by_torch,
        "ONNX Runtime": lambda rainy: session.run(None, {"rainy": rainy}),
        "OpenVINO": lambda rainy: compiled([rainy]),
        "OpenCV": by_opencv,
    }


if __name__ == "__main__":
    weights, threads = (*sys.argv[1:], *("derain", "1")[len(sys.argv) - 1 :])
    os.environ["OMP_NUM_THREADS"] = threads
    rainy = np.random.default_rng(0).random((1, 3, *SIZE), np.float32)
    runs = engines(weights, int(threads))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + TURNS):
        for name, run in runs.items():
            began = time.process_time()
            run(rainy)
            taken[name].append(time.process_time() - began)
    least = {name: min(seconds[1:]) for name, seconds in taken.items()}
    for name, seconds in least.items():
        print(f"{name:<13} {seconds:.3f} CPU s, {least['torch'] / seconds:.2f} times torch's speed")
