"""Photos on a cluster: three nodes of one machine, which all tests here share."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from derain import batch
from derain.cli.options import with_address
from derain.cluster import connecting, crew, run
from derain.cluster.crew import Batch, Hand, Suspect
from derain.cluster.seats import Share, share_of
from derain.cluster.shared import Glance, versions
from derain.cluster.worker import Seat
from derain.errors import UsageError
from derain.models.contract import Derainer
from tests.test_run import command

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

PROGRAM = [sys.executable, "-m", "derain"]  # with all of its own that keeps libraries silent


@pytest.fixture(autouse=True)
def known_to_nodes():
    """What is defined here is sent to the workers, which have no tests."""
    cloudpickle = pytest.importorskip("ray.cloudpickle", reason="needs derain[ray]")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def photos(folder, rng, count, size=(30, 40)):
    folder.mkdir()
    for index in range(count):
        picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{index:03}.{('png', 'jpg')[index % 2]}")
    return folder


class Slow(Derainer):
    """Takes a quarter of the light for rain, and its time; of a black photo its process dies."""

    halo = 0

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.share = seconds, torch.nn.Parameter(torch.tensor(0.25), requires_grad=False)

    def layers(self, rainy):
        time.sleep(self.seconds)
        if rainy.max() == 0:
            os._exit(1)
        return rainy * (1 - self.share), rainy * self.share


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_cluster_makes_the_files_of_one_process(cluster, tmp_path, rng, small_weights):
    source = photos(tmp_path / "in", rng, 60)
    (source / "bad.jpg").write_bytes(b"\xff\xd8\xff none")
    how = ("--weights", small_weights, "--device", "cpu", "--json", "--rain")
    alone = command("run", source, "-o", tmp_path / "alone", *how)
    words = [*PROGRAM, "run", "in", "--ray", cluster.address, "-o", "spread", *map(str, how)]
    spread = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (alone.returncode, spread.returncode) == (1, 1), spread.stderr
    assert contents(tmp_path / "alone") == contents(tmp_path / "spread") and len(contents(tmp_path / "alone")) == 120
    told = [json.loads(line) for line in spread.stdout.splitlines()]
    assert len({each["input"] for each in told}) == len(told) == 61
    assert {each["node"] for each in told} <= {"one", "two", "three"}
    assert "bad.jpg" in spread.stderr and "; 1 failed" in spread.stderr
    of_ray = [line for line in spread.stderr.splitlines() if "ray" in line.lower() and "weights" not in line]
    assert of_ray == [f"Ray: joined the cluster at {cluster.address} with 3 nodes, 3 CPUs and 0 GPUs"]


def test_what_follows_ray_is_an_address_only_if_it_looks_like_one():
    assert with_address(["--ray", "a.jpg"]) == ["--ray=", "a.jpg"]
    assert with_address(["a.jpg", "--ray"]) == ["a.jpg", "--ray="]
    assert with_address(["--ray", "head:6379", "a.jpg"]) == ["--ray=head:6379", "a.jpg"]
    assert with_address(["--ray", "auto", "--", "--ray"]) == ["--ray=auto", "--", "--ray"]


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    from derain.cluster import connected

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'derain\[ray\]'"), connected():
        pass


def test_where_nothing_is_to_be_done_no_cluster_is_asked():
    assert list(run([], Slow(0), address="127.0.0.1:1")) == []


def test_an_address_where_nobody_answers_is_a_sentence(tmp_path, rng, small_weights):
    pytest.importorskip("ray", reason="needs derain[ray]")
    source = photos(tmp_path / "in", rng, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command("run", source, "--ray", address, "--weights", small_weights)
    assert done.returncode == 2 and f"--ray {address}: no cluster answers (Connection refused)" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
def test_an_address_where_something_else_listens_is_a_sentence(answer, monkeypatch):
    pytest.importorskip("ray", reason="needs derain[ray]")
    monkeypatch.setattr(connecting, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"

        def reply():
            there, _ = other.accept()
            with there:
                there.sendall(answer)

        if answer is not None:
            threading.Thread(target=reply, daemon=True).start()
        said = f"{address}: no cluster answers .what listens there is not Ray"
        with pytest.raises(UsageError, match=said), connecting.connected(address):
            pass


def test_neither_a_node_that_dies_nor_a_photo_that_kills_takes_others_along(cluster, tmp_path, rng):
    source = photos(tmp_path / "in", rng, 60)
    Image.new("RGB", (40, 30)).save(source / "black.png")
    jobs = batch.plan([source], batch.Target(tmp_path / "out"))
    dying = cluster.add_node(node_name="dying", num_cpus=1, object_store_memory=80 * 2**20)
    told = Counter()
    for outcome in run(jobs, Slow(0.1), batch.Treatment(precision="float32"), cluster.address):
        told[outcome.job.source.name] += 1
        assert (outcome.error is None) == (outcome.job.source.name != "black.png"), outcome.error
        assert outcome.error is None or "crashes the process that works on it" in str(outcome.error)
        if sum(told.values()) == 10:
            cluster.remove_node(dying, allow_graceful=False)
    assert len(told) == 61 and set(told.values()) == {1}
    alone = batch.plan(
        [path for path in source.iterdir() if path.name != "black.png"], batch.Target(tmp_path / "alone")
    )
    assert not any(outcome.error for outcome in batch.run(alone, Slow(0), batch.Treatment(precision="float32")))
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


@pytest.mark.parametrize("seats, is_known", [(1, True), (2, False)])
def test_a_photo_is_to_blame_too_if_another_worker_has_taken_the_seat_of_the_one_that_it_killed(
    seats, is_known, tmp_path
):
    nodes = [{"NodeID": "n", "Alive": True, "Resources": {"CPU": seats}}]
    seat = Seat("one", "n", "machine", 1, "cpu")
    job = batch.Job(tmp_path / "black.png", tmp_path / "out.png")
    killed, other = Hand(None), Hand(None, seat)
    found = crew.Crew(SimpleNamespace(nodes=lambda: nodes), Share("cpu", 1, 0), None, batch.Treatment())
    found.hands, found.suspects = [killed, other], [Suspect(Batch([job], alone=True), killed, seat)]
    assert [outcome.job for outcome in found._judge()] == [job] * is_known


def test_after_a_kill_the_same_command_goes_on(cluster, tmp_path, rng, small_weights):
    source = photos(tmp_path / "in", rng, 150)
    words = ["run", source, "-o", tmp_path / "out", "--weights", small_weights, "--ray", cluster.address]
    words = [*PROGRAM, *map(str, words)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as killed:
        assert killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    before = {name: each for name, each in contents(tmp_path / "out").items() if not name.startswith(".")}
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = contents(tmp_path / "out")
    assert len(after) == 150 and before.items() <= after.items()


def test_what_a_node_lacks_is_said_before_any_work(cluster, tmp_path, rng, monkeypatch):
    assert Glance("derain 0.0.1 with torch 1").trouble().startswith(f"has {versions()}, not derain 0.0.1 with torch 1")
    assert "cannot see what is written" in Glance(versions(), folder=tmp_path, token=tmp_path / "none").trouble()
    assert not Glance(versions(), folder=tmp_path).trouble() and not list(tmp_path.iterdir())

    @contextmanager
    def elsewhere(job):
        yield Glance(versions(), photo=tmp_path / "none.png")

    monkeypatch.setattr(crew, "glance_at", elsewhere)
    jobs = batch.plan([photos(tmp_path / "in", rng, 2)], batch.Target(tmp_path / "out"))
    with pytest.raises(UsageError, match=r"node (one|two|three) cannot see .*none.png; use storage that all nodes"):
        list(run(jobs, Slow(0), address=cluster.address))
    assert not (tmp_path / "out").exists()


def test_ray_that_ends_the_process_while_it_starts_is_an_interruption(monkeypatch):
    def init(*given, **settings):
        raise SystemExit(15)  # what Ray does at SIGTERM

    monkeypatch.setattr(connecting, "load_ray", lambda: SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(KeyboardInterrupt), connecting.connected():
        pass


def test_ray_leaves_sigterm_to_the_caller(monkeypatch):
    def init(*given, **settings):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    monkeypatch.setattr(connecting, "load_ray", lambda: ray)
    monkeypatch.setattr(connecting, "_sentence", lambda *_: "")
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with connecting.connected():
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_threads_that_count_for_nothing_beside_gpus_are_told():
    nodes, said = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}], list[str]()
    assert share_of(nodes, "auto", 2, said.append) == Share("cuda", 0, 1) and "`threads` counts for nothing" in said[0]
    assert share_of(nodes, "cpu", 2, said.append) == Share("cpu", 2, 0) and len(said) == 1
