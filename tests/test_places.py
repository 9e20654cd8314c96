"""Photos that are elsewhere: in a bucket, on the web, in whatever fsspec opens."""

import io
import os
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from derain import batch
from derain.batch import planning
from derain.cli.app import app
from derain.errors import PhotoError, UsageError
from derain.files.places import place
from tests.forks import command
from tests.test_run import rainy_model

fsspec = pytest.importorskip("fsspec", reason="needs derain[cloud]")


def png(rng) -> bytes:
    content = io.BytesIO()
    Image.fromarray(rng.integers(60, 256, (20, 30, 3), dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def elsewhere():
    pytest.importorskip("upath")
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def done(inputs, output, **how):
    torch.manual_seed(0)
    jobs = batch.pending(batch.plan(inputs, batch.Target(output and place(output)), **how))
    return [outcome.error for outcome in batch.run(jobs, rainy_model())]


def test_a_tree_elsewhere_is_mirrored_and_what_exists_is_skipped(elsewhere, tmp_path, rng):
    photo = png(rng)
    for name in ("trip/a.png", "trip/day 1/b.png", "trip/day 1/b.derained.png", "trip/.hidden.png", "trip/c.txt"):
        elsewhere.pipe_file(f"/{name}", photo)
    assert done(["memory://trip"], "memory://dry", recursive=True) == [None, None]
    assert sorted(elsewhere.find("/dry")) == ["/dry/a.png", "/dry/day 1/b.png"]  # and no temporary file
    assert done(["memory://trip"], "memory://dry", recursive=True) == []
    (tmp_path / "a.png").write_bytes(photo)
    assert done([tmp_path / "a.png"], str(tmp_path / "here")) == [None]
    assert (tmp_path / "here" / "a.png").read_bytes() == elsewhere.cat_file("/dry/a.png")
    assert done(["memory://trip/*.png"], None) == [None]  # beside the photo
    assert elsewhere.exists("/trip/a.derained.png")


def test_what_cannot_be_written_elsewhere_leaves_nothing(elsewhere, rng, monkeypatch):
    elsewhere.pipe_file("/trip/a.png", png(rng))

    def fail(*_, **__):
        raise RuntimeError("the line is cut")

    monkeypatch.setattr(type(elsewhere), "mv", fail)
    (error,) = done(["memory://trip/a.png"], "memory://dry/x.png")
    assert isinstance(error, PhotoError) and "dry/x.png: cannot be written (the line is cut)" in str(error)
    assert elsewhere.find("/dry") == []
    (missing,) = done(["memory://trip/none.png"], "memory://dry")
    assert "none.png: no such file" in str(missing)
    with pytest.raises(UsageError, match="`in_place` works only on local files"):
        batch.plan(["memory://trip"], batch.Target(in_place=True))
    with pytest.raises(UsageError, match="`in_place` works only on local files"):  # also of more than one waits for
        next(batch.plan_as_found(["memory://trip"], batch.Target(in_place=True)))


def test_photos_are_read_from_the_web(tmp_path, rng, small_weights):
    pytest.importorskip("aiohttp", reason="needs derain[cloud]")
    (tmp_path / "a.png").write_bytes(png(rng))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        words = [f"{address}/a.png", f"{address}/b.png", "-o", f"{tmp_path}/out", "--weights", str(small_weights)]
        ran = CliRunner().invoke(app, ["run", *words])
        server.shutdown()
    assert ran.exit_code == 1 and f"{address}/b.png: no such file" in ran.stderr
    assert os.listdir(tmp_path / "out") == ["a.png"] and ran.stdout == f"{tmp_path}/out/a.png\n"


def test_what_opens_an_address_is_named_where_the_extra_does_not_bring_it(monkeypatch):
    for extra in ("s3fs", "gcsfs", "aiohttp"):
        pytest.importorskip(extra, reason="needs derain[cloud]")
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(UsageError, match=r"az://trip/a.png: cannot be opened \(.*adlfs"):
        place("az://trip/a.png")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UsageError, match=r"az://trip/a.png: needs an extra; .*pip install 'derain\[cloud\]'"):
        place("az://trip/a.png")


@pytest.mark.parametrize("many", [planning.MANY, 1])
@pytest.mark.parametrize("output", ["memory://dry", "{}"])
def test_results_of_photos_elsewhere_are_overwritten_if_that_is_asked_for(
    elsewhere, tmp_path, rng, small_weights, monkeypatch, many, output
):
    monkeypatch.setattr(planning, "MANY", many)
    elsewhere.pipe_file("/trip/a.png", png(rng))
    words = ["run", "memory://trip", "-o", output.format(tmp_path / "dry"), "--weights", str(small_weights)]
    for further, results in (([], 1), ([], 0), (["--overwrite"], 1)):
        ran = CliRunner().invoke(app, [*words, *further])
        assert ran.exit_code == 0 and len(ran.stdout.splitlines()) == results, ran.stderr


def test_photos_elsewhere_are_scored_and_clips_there_are_refused(elsewhere, rng, small_weights):
    for name in ("a.png", "b.png", "c.mp4"):
        elsewhere.pipe_file(f"/trip/{name}", png(rng))
    words = ["score", "--weights", str(small_weights), "--json", "-q"]
    for given in (["memory://trip/a.png", "memory://trip/b.png"], ["memory://trip"], ["memory://trip/*.png"]):
        ran = CliRunner().invoke(app, [*words, *given])
        assert ran.exit_code == 0 and len(ran.stdout.splitlines()) == 2, ran.stderr
    ran = CliRunner().invoke(app, [*words, "memory://trip/c.mp4"])
    assert ran.exit_code == 1 and "memory://trip/c.mp4: only clips on this machine can be looked at" in ran.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        (
            "eval --rainy s3://arch/a",
            "s3://arch/a: only files and folders on this machine are read; copy it here first",
        ),
        ("eval --rainy {} --clean s3://arch/a", "s3://arch/a: only files and folders on this machine"),
        ("eval --rainy {} --restored s3://arch/a", "s3://arch/a: only files and folders on this machine"),
        ("finetune s3://arch/a", "s3://arch/a: only files and folders on this machine"),
        ("train --rainy s3://arch/a --clean {} --out x", "s3://arch/a: only files and folders on this machine"),
        ("train --rainy {} --clean {} --out s3://arch/a", "s3://arch/a: is written only on this machine"),
        ("export onnx -o s3://arch/a.onnx", "s3://arch/a.onnx: is written only on this machine"),
    ],
)
def test_commands_for_files_on_this_machine_say_so_of_addresses(tmp_path, words, said):
    ran = command(*words.format(tmp_path, tmp_path).split(), cwd=tmp_path)
    assert ran.returncode == 2 and said in ran.stderr, ran.stderr
    assert not list(tmp_path.iterdir())


def test_an_address_that_nothing_opens_is_a_sentence():
    with pytest.raises(UsageError, match="nowhere://x.png: cannot be opened"):
        batch.plan(["nowhere://x.png"])


def test_from_bucket_to_bucket(rng, monkeypatch):
    pytest.importorskip("s3fs", reason="needs derain[cloud]")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        variables = {"ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()), "DEFAULT_REGION": "us-east-1"}
        for name, value in {**variables, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        bucket.mkdir("bucket")
        for name in ("a.png", "b/c.png"):
            bucket.pipe_file(f"bucket/trip/{name}", png(rng))
        assert done(["s3://bucket/trip"], "s3://bucket/trip/dry", recursive=True) == [None, None]
        bucket.invalidate_cache()
        assert sorted(bucket.find("bucket/trip/dry")) == ["bucket/trip/dry/a.png", "bucket/trip/dry/b/c.png"]
        assert done(["s3://bucket/trip"], "s3://bucket/trip/dry", recursive=True) == []  # results are not inputs
    finally:
        server.stop()
