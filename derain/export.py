"""The network as a file that other software runs, without derain and without torch."""

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import derain
from derain.errors import DerainError
from derain.extras import check_extra
from derain.files.writing import make_folder, write_bytes, write_new
from derain.given import check_path, to_path
from derain.models.contract import Derainer
from derain.onnx_file import check_onnx_file
from derain.restoring.devices import CPU, without_autocast
from derain.weights import about, load

OPSET = 18  # what ONNX Runtime, OpenVINO, TensorRT and OpenCV 5 all read
CHECKED_SIZES = (1, 1), (37, 53), (64, 91)  # px, height and width
LARGEST_DIFFERENCE = 1 / 255  # from torch's result
LARGEST_DIFFERENCE_HALF = 4 / 255


class Padded(nn.Module):
    """A network with its padding written in operators that every engine has, for sides that are not known yet.

    It does what :meth:`Derainer.forward` does: ``(N, 3, H, W)`` in [0, 1], any H, W >= 1.
    """

    def __init__(self, model: Derainer, half: bool, with_rain: bool) -> None:
        super().__init__()
        self.model, self.half_precision, self.with_rain = model, half, with_rain

    def forward(self, rainy: Tensor) -> tuple[Tensor, ...]:
        sides, multiple = rainy.shape[-2:], self.model.multiple
        padded = [(side + multiple - 1) // multiple * multiple for side in sides]
        reflects = torch.ones(1, dtype=torch.bool)
        for side, whole in zip(sides, padded):
            reflects = reflects & (torch.full((1,), whole - side) < torch.full((1,), side))
        image = rainy
        for axis, (side, whole) in enumerate(zip(sides, padded), start=2):
            place = torch.arange(whole)
            beyond = torch.where(reflects, 2 * (side - 1) - place, torch.full_like(place, side - 1))
            image = image.index_select(axis, torch.where(place < side, place, beyond))
        layers = self.model.layers(image.half() if self.half_precision else image)
        background, rain = (layer[..., : sides[0], : sides[1]].float() for layer in layers)
        if self.half_precision:  # engines round on the way, so that what is 0 may end a little below
            background, rain = background.clamp(0, 1), rain.clamp(0, 1)
        return (background, rain) if self.with_rain else (background,)


@without_autocast(CPU)
def export_onnx(
    weights: str | Path = "derain",
    out: str | Path = "derain.onnx",
    *,
    half: bool = False,
    with_rain: bool = False,
    overwrite: bool = False,
) -> float:
    """Write a network as one ONNX file, and compare ONNX Runtime's results with torch's.

    Input ``rainy`` is float32 ``(batch, 3, height, width)`` RGB in [0, 1] with any sides; output ``background``, and
    ``rain`` if it is wanted, are alike. Tiles, looks at reduced copies, giving back what
    is no rain, and fusion over time stay derain's.

    Args:
        weights: as in :func:`derain.load`.
        half: compute, and store the weights, in float16.

    Returns:
        the largest difference from torch on a few odd sizes, in grey levels of 255.

    Raises:
        DerainError: the exported network gives different results.
        PhotoError: ``out`` cannot be written, or was created in the meantime and holds something else.
        UsageError: ``out`` exists, is no ``.onnx`` file, or a library is missing.
        WeightsError: the weights cannot be loaded.
    """
    check_path("weights", weights)
    out = to_path("out", out)
    check_onnx_file(out, overwrite, weights)
    check_extra("onnx", "export")
    model, said = load(weights), about(weights)
    content = _as_onnx(model, half, with_rain, _metadata(said, half))
    difference = _difference(load(weights) if half else model, content)
    if not difference <= (LARGEST_DIFFERENCE_HALF if half else LARGEST_DIFFERENCE):
        advice = "; export it without `half`" if half else ""
        raise DerainError(
            f"{weights}: ONNX Runtime's result differs from torch's by {255 * difference:.1f} grey levels{advice}"
        )
    make_folder(out.parent)
    if overwrite:
        write_bytes(out, content)
    else:
        write_new(out, content, argument="out")
    return 255 * difference


def _metadata(said: dict[str, Any], half: bool) -> dict[str, str]:
    return {
        "description": "Removes rain from photos: rainy = background + rain",
        "weights": f"derain {derain.__version__}, preset {said['preset']}",
        "sha256": said["sha256"],
        "config": json.dumps(said["config"]),
        "precision": "float16" if half else "float32",
        "layout": "NCHW, RGB, float32 in [0, 1], any height and width",
        "licence": "MIT",
    }


def _as_onnx(model: Derainer, half: bool, with_rain: bool, metadata: dict[str, str]) -> bytes:
    import onnx

    network = Padded(model.half() if half else model, half, with_rain).eval()
    free = torch.export.Dim.DYNAMIC
    example = torch.rand(2, 3, 61, 94)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: free, 2: free, 3: free},),
            input_names=["rainy"],
            output_names=["background", "rain"][: 1 + with_rain],
            opset_version=OPSET,
        )
    if program is None:
        raise DerainError("torch gave no ONNX program")
    file = program.model_proto
    _name_sides(file)
    file.producer_name, file.producer_version = "derain", derain.__version__
    onnx.helper.set_model_props(file, metadata)
    return bytes(file.SerializeToString())


def _name_sides(file: Any) -> None:
    """Sides by their names, and nothing of the machine that the file was made on."""
    for value in [*file.graph.input, *file.graph.output]:
        for dim, name in zip(value.type.tensor_type.shape.dim, ("batch", "", "height", "width")):
            if name:
                dim.Clear()
                dim.dim_param = name
        del value.metadata_props[:]
    del file.graph.value_info[:], file.graph.metadata_props[:]
    for node in file.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


def _difference(model: Derainer, content: bytes) -> float:
    """The largest difference of ONNX Runtime's layers from torch's, NaN if there is one."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it reports to Microsoft
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    largest = 0.0
    for number, size in enumerate(CHECKED_SIZES):
        rainy = np.random.default_rng(number).random((1 + number % 2, 3, *size), np.float32)
        with torch.inference_mode():
            layers = model(torch.from_numpy(rainy))
        for found, wanted in zip(session.run(None, {"rainy": rainy}), layers):
            largest = float(np.maximum(largest, np.abs(found - wanted.numpy()).max()))
    return largest
