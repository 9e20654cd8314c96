"""The C++ program of the examples, compiled and run where a compiler and ONNX Runtime's headers are there.

Debian's libonnxruntime-dev has the headers; other places for them go into `CPATH`. The library is the wheel's.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from derain.export import export_onnx
from derain.models import build
from derain.weights import save

onnxruntime = pytest.importorskip("onnxruntime")
SOURCE = Path(__file__).parent.parent / "examples" / "cpp" / "derain.cpp"
INCLUDES = "-I/usr/include/onnxruntime", "-I/usr/local/include/onnxruntime"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not (compiler := shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler")
    has_headers = [compiler, "-std=c++17", "-fsyntax-only", *INCLUDES, "-x", "c++", "-"]
    if subprocess.run(has_headers, input=b"#include <onnxruntime_cxx_api.h>", capture_output=True).returncode:
        pytest.skip("ONNX Runtime's C++ headers are missing")
    libraries = list(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("this wheel of ONNX Runtime has no library to link to")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "libonnxruntime.so.1").symlink_to(libraries[0])
    link = [str(libraries[0]), f"-Wl,-rpath,{folder}"]
    built = subprocess.run(
        [compiler, "-std=c++17", "-O1", str(SOURCE), *INCLUDES, *link, "-o", str(folder / "derain")],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder / "derain"


@pytest.fixture(scope="module")
def network(program):
    """A small network beside the program."""
    model = build("derain", {"widths": (8, 8, 8), "blocks": (1, 1, 1)})
    torch.nn.init.normal_(model.tail.weight, std=0.2)
    save(model, program.parent / "small.safetensors")
    export_onnx(program.parent / "small.safetensors", program.parent / "small.onnx")
    return model.eval()


def run(program, folder):
    words = [program, program.parent / "small.onnx", "rainy.ppm", "dry.ppm"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_the_cpp_program_gives_the_picture_of_torch(program, network, tmp_path):
    for size in ((1, 1), (37, 53), (120, 161)):
        rainy = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(rainy).save(tmp_path / "rainy.ppm")
        done = run(program, tmp_path)
        assert done.returncode == 0, done.stderr
        with torch.inference_mode():
            background = network(torch.from_numpy(rainy).permute(2, 0, 1)[None] / 255)[0]
        dry = np.asarray(Image.open(tmp_path / "dry.ppm"), np.float32)
        assert np.abs(dry - 255 * background[0].permute(1, 2, 0).numpy()).max() <= 1
        assert np.abs(dry - rainy).max() > 1


@pytest.mark.slow
def test_the_cpp_program_says_what_is_wrong_with_a_picture(program, network, tmp_path):
    (tmp_path / "rainy.ppm").write_bytes(b"P6\n20 20\n255\nshort")
    done = run(program, tmp_path)
    assert done.returncode == 1 and "rainy.ppm: is cut short" in done.stderr
    assert not (tmp_path / "dry.ppm").exists()
