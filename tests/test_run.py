"""`derain run` as a user meets it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import derain
from derain import batch
from derain.cli import app
from derain.errors import PhotoError, UsageError, WeightsError
from derain.photos import atomic, read_photo, write_photo
from derain.weights import bundled_folder, load, locate

REPOSITORY = Path(__file__).parents[1]


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "import torch; torch.set_num_threads(1)\nfrom derain.cli import main\nmain()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def photo(tmp_path, rng) -> Path:
    path = tmp_path / "été with spaces 雨.jpg"
    Image.fromarray(rng.integers(60, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    return path


def test_one_photo_becomes_one_beside_it(photo, small_weights):
    before = photo.read_bytes()
    done = command("run", photo, "--weights", small_weights, "--device", "cpu")
    result = photo.with_name("été with spaces 雨.derained.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(result)
    assert read_photo(result).shape == (50, 70, 3)
    assert photo.read_bytes() == before


def test_layers_and_comparison(photo, small_weights, tmp_path):
    out = tmp_path / "new" / "result.png"
    done = command("run", photo, "-o", out, "--rain", "--compare", "--weights", small_weights, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    source, background, rain = (read_photo(p).astype(int) for p in (photo, out, out.with_name("result.rain.png")))
    assert np.array_equal(background + rain, source)
    assert rain.max() > 0
    assert read_photo(out.with_name("result.compare.png")).shape == (50, 144, 3)


def test_one_bad_file_does_not_stop_the_others(photo, small_weights, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(photo.read_bytes()[:300])
    done = command("run", tmp_path, tmp_path / "missing.png", "-o", tmp_path / "out", "--weights", small_weights)
    assert done.returncode == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == [photo.name]
    assert "bad.jpg" in done.stderr and "missing.png: no such file" in done.stderr
    assert "2 of 3 photos failed" in done.stderr and "Traceback" not in done.stderr


def test_existing_results_are_skipped_unless_overwritten(photo, small_weights):
    result = photo.with_name(f"{photo.stem}.derained.jpg")
    result.write_bytes(b"mine")
    skipped = command("run", photo, "--weights", small_weights)
    assert skipped.returncode == 0 and "--overwrite" in skipped.stderr and result.read_bytes() == b"mine"
    replaced = command("run", photo, "--weights", small_weights, "--overwrite")
    assert replaced.returncode == 0 and result.read_bytes() != b"mine"


def test_results_of_an_earlier_run_are_not_inputs(photo, small_weights, tmp_path):
    for _ in range(2):
        assert command("run", tmp_path, "--compare", "--weights", small_weights).returncode == 0
    assert len(list(tmp_path.glob("*.jpg"))) == 2


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--weights", "nonsense"], "no bundled weights of that name"),
        (["--weights", "gone.safetensors"], "no such weights file"),
        (["--weights", "{photo}.safetensors"], "not a checkpoint that derain wrote"),
        (["--weights", "{photo}.pth"], "not the public NLCL weights"),
        (["--device", "cuda:99"], "--device cuda:99: not available"),
        (["-o", "{photo}"], "would be written for"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(photo, arguments, sentence):
    for suffix in (".safetensors", ".pth"):
        Path(f"{photo}{suffix}").write_bytes(b"no weights")
    done = command("run", photo, *(a.format(photo=photo) for a in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert len(list(photo.parent.glob("*.derained.*"))) == 0


def test_two_results_in_one_place_are_refused_before_any_work(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "x.png")
    with pytest.raises(UsageError, match="x.png"):
        batch.plan([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    with pytest.raises(UsageError, match="one file for 2 photos"):
        batch.plan([tmp_path / "a", tmp_path / "b"], tmp_path / "out.png")
    with pytest.raises(UsageError, match="no photos"):
        batch.plan([])


def test_orientation_profile_and_exif_survive(tmp_path, rng):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    picture.save(tmp_path / "turned.jpg", exif=exif, icc_profile=b"profile", quality=95)
    result = tmp_path / "result.jpg"
    batch.do(batch.Job(tmp_path / "turned.jpg", result), derain.models.build("derain").eval())
    with Image.open(result) as image:
        assert image.size == (60, 40)  # as it was stored
        assert image.getexif()[0x0112] == 6 and image.getexif()[0x010F] == "A camera"
        assert image.info["icc_profile"] == b"profile"


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "kept.png").write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(tmp_path / "kept.png") as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["kept.png"] and (tmp_path / "kept.png").read_bytes() == b"old"
    with pytest.raises(PhotoError, match="cannot be written"):
        write_photo(tmp_path / "nowhere" / "x.png", np.zeros((2, 2, 3), np.uint8))


def test_animated_pictures_are_refused(tmp_path):
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(PhotoError, match="animated"):
        read_photo(tmp_path / "moving.webp")


@pytest.mark.parametrize("name", ["derain"])
def test_bundled_weights_load_and_are_checked(name, tmp_path, monkeypatch):
    assert load(name).halo >= 100
    (tmp_path / f"{name}.safetensors").write_bytes(locate(name).read_bytes() + b"x")
    (tmp_path / "SHA256SUMS").write_text((bundled_folder() / "SHA256SUMS").read_text())
    monkeypatch.setattr("derain.weights.bundled_folder", lambda: tmp_path)
    with pytest.raises(WeightsError, match="SHA-256"):
        load(name)


def test_default_weights_remove_rain_from_the_example(tmp_path):
    """The example was rendered over a clean picture that is beside it."""
    rainy, clean = (read_photo(REPOSITORY / "examples" / f"{name}.jpg").astype(float) for name in ("rainy", "clean"))
    background = derain.restore(derain.load(), rainy.astype(np.uint8))[0]
    error_input, error_output = (float(np.mean((x - clean) ** 2)) for x in (rainy, background))
    assert error_output < 0.5 * error_input


def test_default_weights_leave_no_seams():
    photo = read_photo(REPOSITORY / "examples" / "rainy.jpg")
    model = derain.load()
    whole, tiled = (derain.restore(model, photo, tile)[0].astype(int) for tile in (None, 160))
    assert np.abs(whole - tiled).max() <= 1


def test_python_in_three_lines():
    import torch

    model = derain.load()
    image = torch.rand(1, 3, 40, 50)
    background, rain = model(image)
    torch.testing.assert_close(background + rain, image)


def test_help_and_import_leave_torch_alone():
    code = "import sys, derain, derain.cli; assert 'torch' not in sys.modules, 'torch'; derain.cli.main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout and "train" in done.stdout


def test_every_option_has_a_help_text():
    runner = CliRunner()
    for name in ("run", "train"):
        result = runner.invoke(app, [name, "--help"])
        assert result.exit_code == 0 and "--device" in result.output
