"""Weights that nobody should trust: whatever is in the file, one sentence and no harm."""

import json
import os
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from derain.errors import PhotoError, WeightsError
from derain.models import PRESETS, build
from derain.restoring.restorer import restore
from derain.weights import about, load, read_header, save, sha256, verified
from derain.weights import bundled as store
from derain.weights.bundled import PURPOSES, bundled_weights
from derain.weights.places import locate
from tests.conftest import SMALL
from tests.forks import command


def rewritten(path: Path, header: object | None = None, **tensors: torch.Tensor) -> Path:
    """The file with another header or other tensors and no digest; ``header`` may be JSON already."""
    if header is None or isinstance(header, dict):
        header = {name: value for name, value in (header or read_header(path)).items() if name != "digest"}
    text = header if isinstance(header, str) else json.dumps(header)
    changed = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(load_file(path) | changed, path, metadata={"derain": text})
    return path


def refused(path: Path) -> str:
    """What all that reads weights says of a file; it is the same."""
    said = set()
    for read in (load, verified, about):
        with pytest.raises(WeightsError) as caught:
            read(path)
        said.add(str(caught.value))
    (sentence,) = said
    assert str(path) in sentence and sentence.isprintable() and len(sentence) < len(str(path)) + 300
    return sentence


CONFIGS = {
    "a list": ([1, 2], "must name widths"),
    "a string": ("widths", "must name widths"),
    "null": (None, "does not fit its preset"),
    "empty": ({}, "does not fit its preset"),
    "unknown field": (SMALL | {"depth": 3}, "cannot build preset 'derain' with 'depth'"),
    "escape in a field": (SMALL | {"\x1b]0;title\x07": 3}, "cannot build"),
    "negative": (SMALL | {"widths": [8, -8, 8]}, "widths = (8, -8, 8) must be"),
    "zero": (SMALL | {"widths": [0, 8, 8]}, "widths = (0, 8, 8) must be"),
    "huge width": (SMALL | {"widths": [3_000_000, 8, 8]}, "widths"),
    "number beyond all": (SMALL | {"widths": [10**400, 8, 8]}, "widths"),
    "huge blocks": (SMALL | {"blocks": [1, 10**9, 1]}, "blocks = (1, 1000000000, 1) must be"),
    "many levels": ({"widths": [1] * 5000, "blocks": [0] * 5000}, "widths"),
    "all at their most": ({"widths": [512] * 6, "blocks": [32] * 6}, "100 million are the most"),
    "no levels": ({"widths": [], "blocks": []}, "widths = () must be"),
    "levels that differ": (SMALL | {"blocks": [1, 1]}, "give as many"),
    "blocks without a width": (SMALL | {"inner": [8, 8]}, "inner has 2 numbers and the levels 5 blocks; give as many"),
    "nothing within a block": (SMALL | {"inner": [8, 8, 0, 8, 8]}, "inner = (8, 8, 0, 8, 8) must be"),
    "words within blocks": (SMALL | {"inner": ["8"] * 5}, "inner = ("),
    "narrower blocks": (SMALL | {"inner": [8, 4, 8, 8, 8]}, "of another shape is"),
    "number for a list": (SMALL | {"widths": 8}, "widths = 8 must be"),
    "true for a number": (SMALL | {"blocks": [True, 1, 1]}, "blocks"),
    "number for a switch": (SMALL | {"clipping": 1}, "clipping = 1 must be true or false"),
    "fraction": (SMALL | {"widths": [8.5, 8, 8]}, "widths"),
    "nested": (SMALL | {"widths": [[8], 8, 8]}, "widths"),
    "NaN": (SMALL | {"chroma": float("nan")}, "chroma = nan must be from 0 to 1"),
    "infinite": (SMALL | {"chroma": float("inf")}, "chroma = inf must be"),
    "text for a number": (SMALL | {"chroma": "0.1"}, "chroma"),
    "other widths": ({"widths": [8, 8, 16], "blocks": [1, 1, 1]}, "of another shape is"),
    "one block more": (SMALL | {"blocks": [1, 1, 2]}, "it lacks encoder.2.1.first.weight, "),
    "one block less": (SMALL | {"blocks": [0, 1, 1]}, "its preset has no decoder.0.0.first.bias, "),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_cannot_be_is_refused_before_anything_is_built(small_weights, name):
    config, said = CONFIGS[name]
    header = {"format": "1", "preset": "derain", "training": {}, "config": config}
    assert said in refused(rewritten(small_weights, header))


def nested(levels: int) -> str:
    return '{"format": "1", "preset": "derain", "config": {}, "training": ' + "[" * levels + "]" * levels + "}"


HEADERS = {
    "a list": ("[]", "names no format"),
    "a number": ("1", "names no format"),
    "no JSON": ("{", "not a checkpoint that derain wrote; its header is no JSON; give weights of derain"),
    "deep": (nested(50_000), "its header is no JSON"),
    "deeper than it need be": (nested(400), "nested too deep"),
    "no config": ('{"format": "1", "preset": "derain", "training": {}}', "has no config"),
    "later format": ('{"format": "2"}', "format '2' is not 1; update derain"),
    "format of another kind": ('{"format": ["\\u001b[2J"]}', "update derain"),
    "unknown preset": ('{"format": "1", "preset": "restormer", "config": {}, "training": {}}', "choose one of derain"),
    "preset of another kind": ('{"format": "1", "preset": ["derain"], "config": {}, "training": {}}', "unknown preset"),
    "preset for another network": ('{"format": "1", "preset": "nlcl", "config": {}, "training": {}}', "it lacks"),
    "endless": ('{"format": "' + "9" * 2_000_000 + '"}', "its header is longer than any of derain's"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_says_something_else_is_refused(small_weights, name):
    text, said = HEADERS[name]
    assert said in refused(rewritten(small_weights, text))


def with_length(content: bytes, length: int) -> bytes:
    return length.to_bytes(8, "little") + content[8:]


def with_offset(content: bytes, change: int) -> bytes:
    """The second tensor begins elsewhere."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    second = sorted((name for name in header if name != "__metadata__"), key=lambda n: header[n]["data_offsets"])[1]
    header[second]["data_offsets"][0] += change
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


CUT = "is damaged or cut short; download or copy it again"
DAMAGES = {
    "empty": (lambda content: b"", "is empty; give weights of derain"),
    "cut in its length": (lambda content: content[:5], "not a checkpoint that derain wrote; give weights of derain"),
    "cut in its header": (lambda content: content[:100], CUT),
    "cut in its numbers": (lambda content: content[:-1], CUT),
    "more than it says": (lambda content: content + b"\0", CUT),
    "longer header than file": (lambda content: with_length(content, len(content)), CUT),
    "endless header": (lambda content: with_length(content, 2**62), CUT),
    "negative header": (lambda content: with_length(content, 2**64 - 1), CUT),
    "empty header": (lambda content: with_length(content, 0), CUT),
    "overlapping tensors": (lambda content: with_offset(content, -2), CUT),
    "a gap": (lambda content: with_offset(content, 2), CUT),
    "a picture": (lambda content: b"\x89PNG\r\n\x1a\n" + content, "derain wrote, but a photo (PNG); give weights"),
    "a page": (lambda content: b"<!DOCTYPE html>", "derain wrote, but a web page; give weights"),
    "a pointer": (lambda content: b"version https://git-lfs.github.com/spec/v1", "`git lfs pull`"),
    "a text": (lambda content: b"Entry not found", "not a checkpoint that derain wrote; give weights of derain"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_in_words_that_say_what_it_is(small_weights, name):
    damaged, said = DAMAGES[name]
    small_weights.write_bytes(damaged(small_weights.read_bytes()))
    assert said in refused(small_weights) and "(" not in refused(small_weights).replace("(PNG)", "")


def with_one_bit_changed(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_single_wrong_number_is_found_by_the_digest_in_the_file(small_weights):
    whole, before = small_weights.read_bytes(), load(small_weights).state_dict()
    for place in (len(whole) - 1, len(whole) // 2, whole.index(b"clipping") - 10):
        small_weights.write_bytes(whole)
        assert verified(small_weights).compared
        with_one_bit_changed(small_weights, place)
        for read in (load, verified):
            with pytest.raises(WeightsError, match="small.safetensors: "):
                read(small_weights)
    small_weights.write_bytes(whole)
    save(
        load(small_weights), small_weights, {"steps": 3, "rate": 0.1, "seen": (1, None), "loss": float("nan"), "ä": "ö"}
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in load(small_weights).state_dict().items())


def test_weights_without_a_digest_are_not_called_intact(small_weights):
    said = command("models", "verify", small_weights).stdout
    assert said.endswith("small.safetensors: intact\n")
    rewritten(small_weights)
    done = command("models", "verify", small_weights)
    assert done.stdout.endswith("can be read, but there is no digest to compare it with\n") and done.returncode == 0
    sums = small_weights.parent / "SHA256SUMS"
    sums.write_text(f"{sha256(small_weights)}  small.safetensors\n")
    assert command("models", "verify", small_weights).stdout.endswith("small.safetensors: intact\n")
    with_one_bit_changed(small_weights, -1)
    done = command("models", "verify", small_weights)
    assert done.returncode == 2 and "is not the file that SHA256SUMS beside it names" in done.stderr


FORMS = [
    *("{0}  {1}", "{0} *{1}", "{0}  ./{1}", "\n{0} *my {1}\n{0} *{1}\n", "{0}  my {1}\0{0}  {1}\0"),
    *("SHA256 ({1}) = {0}\n", "\\{0}  my\\\\{1}\n{0}  {1}\n", "\\SHA256 (my\\n{1}) = {0}\n{0}  {1}\n"),
    *("{0}  {2}/{1}", "{0}  ../{2}/{1}", "{0}  {3}/{1}", "SHA256 ({3}/{1}) = {0}"),  # as seen from elsewhere
]


@pytest.mark.parametrize("form", FORMS)
def test_a_list_of_digests_is_read_as_sha256sum_writes_it(small_weights, form):
    folder, name, right = small_weights.parent, small_weights.name, sha256(small_weights)
    sums = folder / "SHA256SUMS"
    sums.write_text(form.format(right.upper(), name, folder.name, folder))
    assert verified(small_weights).compared
    sums.write_text(form.format("0" * 64, name, folder.name, folder))
    with pytest.raises(WeightsError, match="is not the file that SHA256SUMS beside it names"):
        verified(small_weights)


def test_a_list_of_digests_tells_files_apart(tmp_path):
    (tmp_path / "w" / "w").mkdir(parents=True)
    (tmp_path / "w" / "w" / "a").touch()
    names = r"a\b", "c\nd", "w/a", "other/b"
    sums = (r"a\\b", r"c\nd", "w/a", "other/b")
    (tmp_path / "w" / "SHA256SUMS").write_text("".join(rf"\{'0' * 64}  {name}" + "\n" for name in sums))
    assert list(store.digests(tmp_path / "w")) == list(names)
    (tmp_path / "w" / "SHA256SUMS").write_text("MD5 (a) = 0\n")
    with pytest.raises(WeightsError, match="is not understood.*; make it again with sha256sum, or remove it"):
        store.digests(tmp_path / "w")


def test_weights_of_others_are_told_as_such(tmp_path, small_weights):
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert "derain wrote; its header says nothing of derain; give" in refused(tmp_path / "other.safetensors")
    torch.save({"w": torch.zeros(1)}, tmp_path / "torch.safetensors")
    assert "derain wrote, but a PyTorch or zip file; give" in refused(tmp_path / "torch.safetensors")
    (tmp_path / "mine.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    assert "derain wrote, but an ONNX network for other software; give" in refused(tmp_path / "mine.onnx")
    small_weights.rename(tmp_path / "mine.pth")
    assert "NLCL weights, but a .safetensors file under another name; give" in refused(tmp_path / "mine.pth")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_weights_that_are_not_finite_or_absurd_are_refused_by_name(small_weights, number):
    tail = load_file(small_weights)["tail.weight"].float()
    tail[3, 2, 1, 1] = number
    rewritten(small_weights, **{"tail.weight": tail})
    for read in (load, verified):
        with pytest.raises(WeightsError, match="small.safetensors: .*not finite or too large, in tail.weight"):
            read(small_weights)


@pytest.mark.parametrize("kind", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_numbers_of_another_kind_are_refused(small_weights, kind):
    tail = load_file(small_weights)["tail.weight"].float()
    assert "of another kind of number is tail.weight" in refused(
        rewritten(small_weights, **{"tail.weight": tail.to(kind)})
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_of_any_width_are_taken(small_weights, kind):
    before = load(small_weights).state_dict()
    rewritten(small_weights, **{name: tensor.to(kind) for name, tensor in before.items()})
    for name, tensor in load(small_weights).state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=1e-2, atol=1e-3)


def test_every_field_of_every_architecture_has_bounds():
    for config in (preset.config for preset in PRESETS.values()):
        for field in fields(config):
            assert type(field.default) is bool or "bounds" in field.metadata, field.name


def overflowing(path: Path, number: float = 6e4) -> Path:
    """Weights that are as large as can be, so that no photo comes through."""
    model = build("derain", SMALL)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, number)
    save(model, path)
    return path


def test_a_result_that_is_not_finite_is_refused_and_named(tmp_path, rng):
    weights = overflowing(tmp_path / "large.safetensors")
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(128, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    done = command("run", tmp_path / "a.png", tmp_path / "b.png", "--weights", weights, "--rain", "--json", "-q")
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2 and all(str(weights) in line and "not finite" in line for line in lines), done.stderr
    assert [str(tmp_path / name) in line for name, line in zip(("a.png", "b.png"), lines)] == [True, True]
    assert [json.loads(line)["output"] for line in done.stdout.splitlines()] == [None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "large.safetensors"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", [0, 64])
@pytest.mark.parametrize("number", [0.2, 6e4])  # rain of a million times white, and of more than float32 holds
def test_no_overflow_looks_like_a_picture(tmp_path, rng, precision, tile, number):
    model = load(overflowing(tmp_path / "large.safetensors", number))
    with pytest.raises(PhotoError, match="network of .*large.safetensors produces values that are not finite"):
        restore(model, rng.integers(128, 256, (150, 160, 3), dtype=np.uint8), tile, precision)


@pytest.mark.parametrize("keep_colours", [True, False])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_layer_of_the_reference_hides_what_is_not_finite(rng, keep_colours, number):
    model = build("nlcl", {"width": 4, "blocks": 1, "keep_colours": keep_colours}).eval()
    model.background_generator.forward = lambda x: torch.full_like(x, number)  # type: ignore[method-assign]
    with pytest.raises(PhotoError, match="not finite"):
        restore(model, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    model = build("derain", SMALL)
    torch.nn.init.constant_(model.tail.bias, float("nan"))
    with pytest.raises(WeightsError, match="new.safetensors: .*not finite or too large, in tail.bias"):
        save(model, tmp_path / "new.safetensors")
    assert not list(tmp_path.iterdir())


def test_an_empty_name_and_a_folder_are_no_weights_and_said_so(tmp_path):
    with pytest.raises(WeightsError, match="the name of the weights is empty"):
        locate("")
    with pytest.raises(WeightsError, match="is a folder; give the weights file in it"):
        locate(tmp_path)


def test_weights_that_find_no_place_are_no_wrong_usage(tmp_path):
    with pytest.raises(PhotoError, match="new.safetensors: cannot be written") as failed:
        save(build("derain", SMALL), tmp_path / "missing" / "new.safetensors")
    assert failed.value.exit_code == 1


def test_weights_hold_no_local_paths(tmp_path):
    training = {
        "preset": "derain",
        "start": "/home/me/clients/start.safetensors",
        "teacher": "hf:me/rainy@main/x.safetensors",
        "pasted": ({"folder": "../clients/drive home/", "teacher": "C:\\Users\\me\\teacher.safetensors", "bank": 3},),
        "finetuned": {"photos": 4, "before": {"repasted": None}},
        "note": tmp_path / "note.txt",
    }
    save(build("derain", SMALL), tmp_path / "new.safetensors", training)
    assert read_header(tmp_path / "new.safetensors")["training"] == {
        "preset": "derain",
        "start": "start.safetensors",
        "teacher": "hf:me/rainy@main/x.safetensors",
        "pasted": [{"folder": "drive home", "teacher": "teacher.safetensors", "bank": 3}],
        "finetuned": {"photos": 4, "before": {"repasted": None}},
        "note": "note.txt",
    }


def public_weights(path: Path) -> Path:
    """A file as the public implementation writes it."""
    generator = build("nlcl").background_generator
    tensors = {}
    for name, tensor in generator.state_dict().items():
        _, level, *rest = name.split(".")
        block, tail = {"first": "model.0.conv", "second": "model.1.conv"}, {"first": "conv.0", "second": "conv.3"}
        renamed = [(tail if level == "17" else block).get(part, part) for part in rest]
        tensors[".".join(["gen", level, *renamed])] = tensor.clone()
    torch.save(tensors, path)
    return path


def test_public_weights_are_read_and_described(tmp_path):
    path = public_weights(tmp_path / "public.PTH")
    assert about(path)["preset"] == "nlcl" and about(path)["sha256"] == verified(path).sha256
    model = load(path)
    assert model.name == f"the network of {path}" and not model.config.keep_colours


class Harm:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_public_weights_that_are_none_are_refused(tmp_path):
    path = public_weights(tmp_path / "public.pth")
    whole, tensors = path.read_bytes(), torch.load(path)
    path.write_bytes(b"")
    assert "is empty" in refused(path)
    for content in (whole[:100], whole[:-100], whole[: len(whole) // 2], b"\x80\x02." + whole):
        path.write_bytes(content)
        assert "not the public NLCL weights" in refused(path)
    for other in ([1], torch.zeros(3), {"gen.0.weight": 3}, {3: torch.zeros(3)}, Harm(tmp_path / "harm")):
        torch.save(other, path)
        assert "not the public NLCL weights" in refused(path)
    assert not (tmp_path / "harm").exists()
    lacking = {name: tensor for name, tensor in tensors.items() if name != "gen.0.bias"}
    endless = torch.zeros(1).expand(10**6, 10**6)
    for other, said in (
        (lacking, "it lacks background_generator.levels.0.bias, rain_generator.levels.0.bias"),
        (tensors | {"other": torch.zeros(1)}, "its preset has no background_generator.other"),
        (tensors | {"gen.0.bias": endless}, "of another shape is background_generator.levels.0.bias"),
        (tensors | {"gen.0.bias": torch.zeros(32).to_sparse()}, "of another kind of number"),
        (tensors | {"gen.0.bias": torch.zeros(32, device="meta")}, "of another kind of number"),
        (tensors | {"gen.0.bias": torch.full((32,), torch.nan)}, "not finite or too large, in background_generator"),
    ):
        torch.save(other, path)
        assert said in refused(path)


def test_public_weights_that_unpack_to_more_are_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", bytes(2**24))
    assert "not the public NLCL weights" in refused(path)


@pytest.fixture
def shipped(tmp_path, small_weights, monkeypatch) -> Path:
    """A folder of bundled weights that may be damaged."""
    small_weights.rename(tmp_path / "derain.safetensors")
    (tmp_path / "SHA256SUMS").write_text(f"{sha256(tmp_path / 'derain.safetensors')}  derain.safetensors\n")
    monkeypatch.setattr(store, "bundled_folder", lambda: tmp_path)
    return tmp_path


def test_damaged_bundled_weights_are_a_sentence(shipped):
    assert verified("derain").sha256 in (shipped / "SHA256SUMS").read_text()
    weights, sums = shipped / "derain.safetensors", shipped / "SHA256SUMS"
    whole = weights.read_bytes()
    for damage in (lambda: weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])), lambda: weights.write_bytes(b"")):
        damage()
        for read in (load, verified, about):
            with pytest.raises(WeightsError, match="derain.safetensors: its SHA-256 is not .*reinstall derain"):
                read("derain")
    for damage in (lambda: sums.write_bytes(b"\xff\n\xfe x\n"), sums.unlink):
        damage()
        with pytest.raises(WeightsError, match="SHA256SUMS: cannot be read .*reinstall derain"):
            load("derain")


def test_a_name_that_is_too_long_is_a_sentence():
    with pytest.raises(WeightsError, match="no bundled weights of that name"):
        load("x" * 5000)


def test_a_file_of_any_name_is_told_for_what_it_is(tmp_path, monkeypatch, small_weights):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 no weights")
    (tmp_path / "mine").write_bytes(small_weights.read_bytes())
    (tmp_path / "derain").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="photo.jpg: not a checkpoint that derain wrote"):
        load("photo.jpg")
    assert load("mine").halo and locate("derain").name == "derain.safetensors"


def test_what_weights_say_of_themselves_is_plain_json(small_weights):
    odd = {"escape": "\x9b2J\x1b", "no letter": "\ud800", "psnr": float("nan"), "lr": float("inf")}
    rewritten(small_weights, read_header(small_weights) | {"training": odd})
    done = command("models", "info", small_weights)
    assert done.returncode == 0 and done.stdout.isascii() and "\x1b" not in done.stdout, done.stderr
    said = json.loads(done.stdout, parse_constant=pytest.fail)["training"]
    assert said == odd | {"psnr": None, "lr": None}


def test_the_command_says_it_in_one_line(tmp_path, small_weights, rng):
    photo = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(photo)
    header = {"format": "1", "preset": "derain", "training": {}, "config": SMALL | {"blocks": [10**9] * 3}}
    done = command("run", photo, "-q", "--weights", rewritten(small_weights, header))
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.strip().endswith("must be 1 to 6 whole numbers from 0 to 32")
    assert not (tmp_path / "photo.derained.png").exists()


def test_all_bundled_weights_say_what_they_are_for():
    assert set(PURPOSES) == set(bundled_weights())
