"""A new format of photos takes one row of the table and one codec."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from typer.main import get_command

import derain
from derain.cli.app import app
from derain.photos.formats import TABLE

PACKAGE = Path(derain.__file__).parent
CODEC = """
from PIL.PpmImagePlugin import PpmImageFile

from derain.photos.codec import Codec


class Ppm(Codec):
    opener = PpmImageFile
"""
ROW = """TABLE = (
    Format("PPM", (".ppm",), lambda content: content.startswith(b"P6"), Ppm(), choices=("ppm",), holds=()),"""


def test_a_format_is_one_row_and_its_codec(small_weights, tmp_path):
    """A copy of the package gets both, and batches restore a photo of the format into PNG and into it, asked or not."""
    shutil.copytree(PACKAGE, tmp_path / "derain", ignore=shutil.ignore_patterns("__pycache__"))
    photos = tmp_path / "derain" / "photos"
    (photos / "ppm.py").write_text(CODEC)
    table = (photos / "formats.py").read_text()
    (photos / "formats.py").write_text(
        table.replace("TABLE = (", ROW, 1).replace("\n\nTABLE", "\nfrom derain.photos.ppm import Ppm\n\nTABLE", 1)
    )
    rainy = tmp_path / "rainy.ppm"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(rainy)
    code = (
        "import sys; from derain.cli.app import app\n"
        "for to in ('', '--format png', '--format ppm -o asked'):\n"
        "    app(['run', *sys.argv[1:], *to.split()], standalone_mode=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(rainy), "--weights", str(small_weights)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = {path.suffix: Image.open(path) for path in tmp_path.glob("rainy.derained.*")}
    assert {suffix: result.format for suffix, result in results.items()} == {".ppm": "PPM", ".png": "PNG"}
    assert Image.open(tmp_path / "asked" / "rainy.ppm").format == "PPM"
    assert np.array_equal(*(np.asarray(result) for result in results.values()))


def test_help_names_every_format_that_may_be_asked_for():
    said = next(option.help for option in get_command(app).commands["run"].params if option.name == "format")
    assert {row.choices[0] for row in TABLE if row.choices} <= set(re.findall(r"\w+", said))
