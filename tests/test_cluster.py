"""Photos on a cluster: three nodes of one machine, which all tests of clusters share."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from derain.cli.options import with_address
from tests.test_run import command

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


def photos(folder, rng, count, size=(30, 40)):
    folder.mkdir()
    for index in range(count):
        picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{index:03}.{('png', 'jpg')[index % 2]}")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_cluster_makes_the_files_of_one_process(cluster, tmp_path, rng, small_weights):
    source = photos(tmp_path / "in", rng, 60)
    (source / "bad.jpg").write_bytes(b"\xff\xd8\xff none")
    how = ("--weights", small_weights, "--device", "cpu", "--json", "--rain")
    alone = command("run", source, "-o", tmp_path / "alone", *how)
    spread = command("run", "in", "--ray", cluster.address, "-o", "spread", *how, cwd=tmp_path)
    assert (alone.returncode, spread.returncode) == (1, 1), spread.stderr
    assert contents(tmp_path / "alone") == contents(tmp_path / "spread") and len(contents(tmp_path / "alone")) == 120
    told = [json.loads(line) for line in spread.stdout.splitlines()]
    assert len({each["input"] for each in told}) == len(told) == 61
    assert {each["node"] for each in told} <= {"one", "two", "three"}
    assert "bad.jpg" in spread.stderr and "1 of 61 photos failed" in spread.stderr
    assert not [line for line in spread.stderr.splitlines() if "ray" in line.lower() and "weights" not in line]


def test_what_follows_ray_is_an_address_only_if_it_looks_like_one():
    assert with_address(["--ray", "a.jpg"]) == ["--ray=", "a.jpg"]
    assert with_address(["a.jpg", "--ray"]) == ["a.jpg", "--ray="]
    assert with_address(["--ray", "head:6379", "a.jpg"]) == ["--ray=head:6379", "a.jpg"]
    assert with_address(["--ray", "auto", "--", "--ray"]) == ["--ray=auto", "--", "--ray"]


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    from derain.cluster import connected
    from derain.errors import UsageError

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'derain\[ray\]'"), connected():
        pass


def test_an_address_where_nobody_answers_is_a_sentence(tmp_path, rng, small_weights):
    pytest.importorskip("ray", reason="needs derain[ray]")
    source = photos(tmp_path / "in", rng, 1)
    done = command("run", source, "--ray", "127.0.0.1:1", "--weights", small_weights)
    assert done.returncode == 2 and "--ray 127.0.0.1:1: no cluster answers (Connection refused)" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
