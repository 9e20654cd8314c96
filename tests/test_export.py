"""`derain export`: the file that other software gets, run by three engines that are not torch."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

import derain
from derain.errors import PhotoError, UsageError
from derain.export import export_onnx
from derain.files.writing import write_new
from derain.models import build
from derain.onnx_file import check_onnx_file
from derain.weights import save, sha256

onnx, onnxruntime, openvino = (pytest.importorskip(name) for name in ("onnx", "onnxruntime", "openvino"))
SIZES = (
    *((1, 1), (1, 2), (2, 1), (3, 5), (8, 8), (15, 16), (16, 17), (17, 31), (32, 32), (33, 64)),
    *((48, 1), (1, 90), (64, 65), (91, 37), (100, 150), (127, 129), (160, 120), (240, 426), (333, 500), (2000, 1333)),
)


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    model = build("derain", {"widths": (8, 8, 8), "blocks": (1, 1, 1), "clipping": True, "fading": True})
    for layer in (model.tail, model.fade):
        torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.constant_(layer.bias, 0.1)
    weights = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save(model, weights)
    return weights


@pytest.fixture(scope="module")
def exported(small_weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "new folder" / "nass und trüb.onnx"
    assert export_onnx(small_weights, out, with_rain=True) < 1
    return out


def by_onnxruntime(file):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda rainy: session.run(None, {"rainy": rainy})


def by_openvino(file):
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda rainy: list(compiled([rainy]).values())


def by_opencv(file):
    if int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("OpenCV 4 takes no sides that are not known yet")
    network = cv2.dnn.readNetFromONNX(str(file))

    def run(rainy):
        network.setInput(rainy)
        return network.forward(["background", "rain"])

    return run


@pytest.mark.slow
@pytest.mark.parametrize("engine", [by_onnxruntime, by_openvino, by_opencv])
def test_every_engine_gives_the_layers_of_torch_at_every_size(exported, small_weights, engine):
    run, model = engine(exported), derain.load(small_weights)
    for number, size in enumerate(SIZES):
        rainy = np.random.default_rng(number).random((1, 3, *size), np.float32)
        with torch.inference_mode():
            wanted = model(torch.from_numpy(rainy))
        found = run(rainy)
        assert len(found) == 2
        for layer, truth in zip(found, wanted):
            assert layer.shape == rainy.shape, size
            assert np.abs(layer - truth.numpy()).max() <= 1 / 255, size


def test_a_batch_goes_through_at_once(exported, small_weights):
    rainy = np.random.default_rng(0).random((3, 3, 20, 30), np.float32)
    with torch.inference_mode():
        wanted = derain.load(small_weights)(torch.from_numpy(rainy))
    for layer, truth in zip(by_onnxruntime(exported)(rainy), wanted):
        np.testing.assert_allclose(layer, truth, atol=1 / 255)


def test_the_file_says_what_it_is_and_nothing_of_the_machine(exported, small_weights):
    file = onnx.load(exported)
    onnx.checker.check_model(file)
    said = {entry.key: entry.value for entry in file.metadata_props}
    assert said["sha256"] == sha256(small_weights)
    assert said["licence"] == "MIT" and "RGB" in said["layout"] and derain.__version__ in said["weights"]
    sides = [dim.dim_param or dim.dim_value for dim in file.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"]
    assert [output.name for output in file.graph.output] == ["background", "rain"]
    assert str(derain.__path__[0]).encode() not in exported.read_bytes()


def test_a_callers_autocast_plays_no_part(exported, small_weights, tmp_path):
    with torch.autocast("cpu", torch.float16):
        export_onnx(small_weights, tmp_path / "within.onnx", with_rain=True)
    assert (tmp_path / "within.onnx").read_bytes() == exported.read_bytes()


def test_half_is_half_as_large_and_nearly_the_same(exported, small_weights, tmp_path):
    half = tmp_path / "half.onnx"
    assert export_onnx(small_weights, half, half=True, with_rain=True) < 4
    assert half.stat().st_size < 0.75 * exported.stat().st_size
    rainy = np.random.default_rng(0).random((1, 3, 40, 50), np.float32)
    for layer, truth in zip(by_onnxruntime(half)(rainy), by_onnxruntime(exported)(rainy)):
        assert layer.dtype == np.float32 and layer.min() >= 0 and layer.max() <= 1
        np.testing.assert_allclose(layer, truth, atol=4 / 255)


def test_onnx_runtime_reports_to_nobody(exported, small_weights, tmp_path):
    code = (
        "import pathlib, sys, derain.export as module\n"
        "module._difference(module.load(sys.argv[1]), pathlib.Path(sys.argv[2]).read_bytes())\n"
    )
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(tmp_path))
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | places
    subprocess.run([sys.executable, "-c", code, str(small_weights), str(exported)], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.name in (".ses", "deviceid", "onnxruntime.db")]


def test_what_exists_stays(tmp_path):
    (tmp_path / "there.onnx").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        export_onnx("derain", tmp_path / "there.onnx")
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"
    (tmp_path / "link.onnx").symlink_to("nowhere")
    with pytest.raises(UsageError, match="link.onnx: exists; give `overwrite`"):
        check_onnx_file(tmp_path / "link.onnx", False, "derain")
    with pytest.raises(
        PhotoError, match="holds something else; give another `out`; `overwrite` would replace what is there"
    ):
        write_new(tmp_path / "there.onnx", b"other", argument="out")
    with pytest.raises(UsageError, match="would replace what is read as `weights`"):
        export_onnx(tmp_path / "there.onnx", tmp_path / "there.onnx", overwrite=True)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UsageError, match="is a folder; give the name of a file"):
        export_onnx("derain", tmp_path / "folder.onnx")


def test_a_missing_library_is_named_with_the_line_that_installs_it(tmp_path):
    code = "import sys; sys.modules['onnxscript'] = None; from derain.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "export", "onnx", "-o", str(tmp_path / "a.onnx")], capture_output=True, text=True
    )
    assert done.returncode == 2 and "pip install 'derain[onnx]'" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
