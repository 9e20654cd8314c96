"""`derain serve`: what it answers, what it refuses, and whom it serves first."""

import contextlib
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from http.client import HTTPConnection, HTTPResponse
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import derain
from derain import batch
from derain.cli.app import app as command_line
from derain.errors import UsageError
from derain.models import build
from derain.restoring.layers import Layers
from derain.restoring.restorer import Restorer

uvicorn, starlette, _, _ = (
    pytest.importorskip(name) for name in ("uvicorn", "starlette", "python_multipart", "prometheus_client")
)
from starlette.applications import Starlette  # noqa: E402
from starlette.routing import Mount  # noqa: E402

from derain.serve.application import application  # noqa: E402
from derain.serve.limits import Limits  # noqa: E402
from derain.serve.listening import Server, listen  # noqa: E402
from derain.serve.options import FOR_DERAIN, PARTS  # noqa: E402
from derain.serve.packing import PIECE, Unpacking  # noqa: E402
from derain.serve.protocol import Protocol  # noqa: E402
from derain.serve.service import Service  # noqa: E402
from derain.serve.turns import Turns  # noqa: E402
from tests.forks import command  # noqa: E402

SECONDS = 60  # that nothing here should take


class Gated:
    """A network that takes what the tests let it take; it says which photo it got by the photo's first value."""

    device = torch.device("cpu")

    def __init__(self, open=False):
        self.gate, self.began, self.seen = threading.Semaphore(10**6 if open else 0), threading.Semaphore(0), []

    def layers(self, pixels, watch=None):
        self.seen.append(int(pixels[0, 0, 0]))
        self.began.release()
        assert self.gate.acquire(timeout=SECONDS)
        return Layers(pixels // 2, pixels - pixels // 2)

    bright_layers = layers


class Running:
    """A server in a thread, and clients of it."""

    def __init__(self, app, turns, to_ask=SECONDS, **settings):
        self.address = listen("127.0.0.1", 0)
        self.port = self.address.socket.getsockname()[1]
        given = {"http": Protocol, "ws": "none", "lifespan": "off", "log_config": None, "proxy_headers": False}
        self.server = Server(uvicorn.Config(app, **(given | settings)), turns, to_ask)
        self.thread = threading.Thread(target=self.server.run, args=([self.address.socket],))
        self.turns = turns

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *raised):
        self.server.should_exit = True
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()

    def connect(self):
        return contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=SECONDS))

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        with self.connect() as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())

    def post(self, path, body, **headers):
        return self.ask("POST", path, body, **headers)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def running(restorer, limits=None, hosts=None, **settings):
    """A server of one network."""
    service = Service({"small": restorer}, limits or Limits())
    return Running(application(service, hosts), service.turns, **settings)


@pytest.fixture(scope="module")
def restorer():
    torch.manual_seed(0)
    model = build("derain", {"widths": (8, 8, 8), "blocks": (1, 1, 1)})
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    torch.nn.init.constant_(model.tail.bias, 0.05)
    return Restorer(model.eval(), "float32")


@pytest.fixture(scope="module")
def server(restorer):
    with running(restorer, Limits(megabytes=3, megapixels=0.5, stalled=0.2), {"localhost"}) as found:
        yield found


@pytest.fixture
def gated():
    """A server of a network that waits for the tests, which takes one photo at a time."""
    network = Gated()
    with running(network, Limits(waiting=6, waiting_per_client=4), proxy_headers=True) as found:
        yield network, found
        network.gate.release(1000)


def tiny(value=100, form="BMP"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value,) * 3).save(file, form)
    return file.getvalue()


def form_of(*files, boundary="xyz"):
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"{x}\r\n\r\n'.encode() + c for n, x, c in files]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])


def parts_of(reply):
    head = f"Content-Type: {reply.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + reply.body)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.get_payload()
    }


def photos(folder, rng):
    """A JPEG with metadata, and a PNG of 16 bits."""
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Camera"
    pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.jpg", quality=80, exif=exif.tobytes(), dpi=(72, 72))
    cv2.imwrite(str(folder / "b.png"), rng.integers(0, 65535, (48, 64, 3), dtype=np.uint16))
    return folder / "a.jpg", folder / "b.png"


def test_a_packed_body_is_unpacked_within_the_limits(server, rng, tmp_path):
    photo, _ = photos(tmp_path, rng)
    content, score = photo.read_bytes(), server.post("/v1/score", photo.read_bytes()).json
    half = len(content) // 2
    packed = gzip.compress(content)
    members = gzip.compress(content[:half]) + gzip.compress(content[half:])
    for body, name in [(packed, "gzip"), (members, "x-gzip"), (zlib.compress(content), "deflate")]:
        assert server.post("/v1/score", body, content_encoding=name).json == score
    form = gzip.compress(form_of(("photo", '; filename="a.jpg"', content)))
    kind = "multipart/form-data; boundary=xyz"
    assert server.post("/v1/score", form, content_type=kind, content_encoding="gzip").json == score | {"input": "a.jpg"}
    bomb = gzip.compress(bytes(8_000_000))
    for body, name, status, said in [
        (bomb, "gzip", 413, "more than the 3 MB"),
        (content, "gzip", 400, "is not packed with gzip"),
        (packed[:-20], "gzip", 400, "ends too early"),
        (gzip.compress(b""), "gzip", 400, "is empty"),
        (content, "br", 415, "content-encoding br: send the photo as it is, or packed with gzip"),
    ]:
        reply = server.post("/v1/derain", body, content_encoding=name)
        assert reply.status == status and said in reply.json["error"]
    assert server.turns._bytes == 0


def test_a_bomb_is_unpacked_no_further_than_is_accepted():
    pieces = Unpacking("gzip").pieces(gzip.compress(bytes(30_000_000), 1))
    tracemalloc.start()
    assert sum(len(piece) for piece in islice(pieces, 5)) == 5 * PIECE
    assert tracemalloc.get_traced_memory()[1] < 10 * PIECE
    tracemalloc.stop()


@pytest.mark.parametrize(
    "query, target, treatment",
    [
        ("", {}, {}),
        ("?strength=0.4", {}, {"strength": 0.4}),
        ("?format=webp&quality=60", {"format": "webp"}, {"quality": 60}),
        ("?rainy_from=1&weights=small", {}, {"rainy_from": 1.0}),
        ("?rainy_from=1&quality=60", {}, {"rainy_from": 1.0, "quality": 60}),
    ],
)
def test_a_picture_comes_back_as_derain_run_writes_it(server, restorer, tmp_path, rng, query, target, treatment):
    jobs = batch.plan([*photos(tmp_path, rng)], batch.Target(tmp_path / "out", **target))
    for outcome in batch.run(jobs, restorer.model, batch.Treatment(precision="float32", **treatment)):
        assert outcome.error is None
        reply = server.post(f"/v1/derain{query}", outcome.job.source.read_bytes())
        assert reply.status == 200 and reply.body == outcome.job.background.read_bytes()
        assert reply.headers["derain-untouched"] == ("true" if outcome.untouched else "false")
        assert float(reply.headers["derain-rain-coverage"]) == pytest.approx(outcome.rain_coverage, abs=1e-4)


def test_a_form_does_the_same_and_names_the_result(server, tmp_path, rng):
    content = photos(tmp_path, rng)[0].read_bytes()
    name = "nass ü.JPG".encode()
    form = form_of(("photo", b'; filename="'.decode() + name.decode("utf-8") + '"', content))
    reply = server.post("/v1/derain", form, content_type="multipart/form-data; boundary=xyz")
    assert reply.status == 200 and reply.body == server.post("/v1/derain", content).body
    assert reply.headers["content-disposition"].endswith("filename*=UTF-8''nass%20%C3%BC.derained.JPG")


def test_a_name_that_browsers_escape_in_a_form_comes_back_as_it_was(server):
    form = form_of(("photo", '; filename="5%22 %0Dü%41.bmp"', tiny()))
    kind = "multipart/form-data; boundary=xyz"
    told = server.post("/v1/derain", form, content_type=kind).headers["content-disposition"]
    assert told == "inline; filename=\"5_ _r_%41.derained.bmp\"; filename*=UTF-8''5%22%20%0D%C3%BC%2541.derained.bmp"
    assert server.post("/v1/score", form, content_type=kind).json["input"] == '5" \\rü%41.bmp'
    parts = server.post("/v1/derain?parts=result", form, content_type=kind).body
    assert 'filename="5%22 %0Dü%41.derained.bmp"'.encode() in parts


@pytest.mark.parametrize(
    "given, said",
    [
        (["--host", ""], "--host is empty"),
        (["--allow-host", "a b"], "--allow-host 'a b': not a host name"),
        (["--allow-host", "https://example.org"], "not a host name"),
        (["--allow-host", "example.org:80"], "not a host name"),
        (["--allow-host", ""], "--allow-host '': not a host name"),
        (["--proxy", "localhost"], "--proxy 'localhost': not an IP address"),
        (["--proxy", ""], "--proxy '': not an IP address"),
    ],
)
def test_names_that_nobody_could_ask_for_are_told_at_once(given, said, monkeypatch):
    monkeypatch.setattr("derain.serve.app", None)
    done = command("serve", *given)
    assert done.returncode == 2 and said in done.stderr


def test_limits_may_be_without_end(restorer):
    with running(restorer, Limits(megabytes=float("inf"), waiting_megabytes=float("inf"))) as server:
        assert server.post("/v1/derain", tiny()).status == 200
        assert server.ask("GET", "/healthz").json["limits"]["megabytes"] is None


def test_the_rain_layer_is_that_of_derain_run(server, restorer, tmp_path, rng):
    jobs = batch.plan([*photos(tmp_path, rng)], batch.Target(tmp_path / "out", rain=True))
    for outcome in batch.run(jobs, restorer.model, batch.Treatment(precision="float32")):
        reply = server.post("/v1/derain?rain=layer", outcome.job.source.read_bytes())
        assert reply.body == outcome.job.rain.read_bytes() and reply.headers["content-type"] == "image/png"


def test_one_answer_has_all_that_a_page_shows(server, tmp_path, rng):
    content = photos(tmp_path, rng)[1].read_bytes()
    parts = parts_of(server.post(f"/v1/derain?parts={','.join(PARTS)}", content))
    assert set(parts) == set(PARTS) and json.loads(parts["report"])["width"] == 64
    assert parts["result"] == server.post("/v1/derain", content).body
    assert parts["rain"] == server.post("/v1/derain?rain=layer", content).body
    assert {Image.open(io.BytesIO(parts[n])).size for n in ("before", "after", "rain")} == {(64, 48)}


def test_pictures_for_screens_stand_upright_and_keep_profile_and_transparency(server, rng):
    file = io.BytesIO()
    profile = b"\0" * 128
    exif = Image.Exif()
    exif[274] = 6
    pixels = rng.integers(0, 255, (6, 2100, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG", exif=exif.tobytes(), icc_profile=profile)
    parts = parts_of(server.post("/v1/derain?parts=after", file.getvalue()))
    after = Image.open(io.BytesIO(parts["after"]))
    assert after.size == (6, 2048) and after.mode == "RGBA" and after.info["icc_profile"] == profile


def test_the_score_is_that_of_derain_score(server, restorer, tmp_path, rng, monkeypatch):
    photo = photos(tmp_path, rng)[0]
    monkeypatch.setattr("derain.weights.load", lambda *given: restorer.model)
    said = json.loads(
        CliRunner().invoke(command_line, ["score", str(photo), "--json", "--precision", "float32"]).stdout
    )
    assert server.post("/v1/score", photo.read_bytes()).json == said | {"input": "the photo"}


def cut_jpeg(rng):
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()[:900]


@pytest.mark.parametrize(
    "status, path, body, headers, said",
    [
        (415, "/v1/derain", b"no photo", {}, "not a photo that derain can read"),
        (415, "/v1/score", b"GIF89a", {}, "derain video` for GIFs"),
        (422, "/v1/derain", cut_jpeg, {}, "the photo: "),
        (413, "/v1/derain", bytes(3_100_000), {}, "more than the 3 MB"),
        (413, "/v1/derain", lambda rng: iter([bytes(10**6)] * 4), {}, "more than the 3 MB"),
        (400, "/v1/derain", b"", {}, "is empty"),
        (400, "/v1/derain?strength=2", tiny(), {}, "`strength` 2: give a number from 0 to 1"),
        (400, "/v1/derain?strength=nan", tiny(), {}, "`strength` nan: give a number from 0 to 1"),
        (400, "/v1/derain?quality=101", tiny(), {}, "`quality` 101: give a whole number"),
        (400, "/v1/derain?format=gif", tiny(), {}, "`format` gif: choose one of jpg"),
        (400, "/v1/derain?weights=/etc/passwd", tiny(), {}, "`weights` /etc/passwd: choose small"),
        (400, "/v1/derain?weight=small", tiny(), {}, "`weight`: no such option; choose from weights, strength"),
        (400, "/v1/derain?strength=1&strength=0", tiny(), {}, "2 times"),
        (400, "/v1/derain?rain=layer&format=jpg", tiny(), {}, "`rain`: cannot be combined"),
        (400, "/v1/derain?only_if_rainy=false&rainy_from=0.9", tiny(), {}, "`only_if_rainy` false: contradicts"),
        (404, "/v1/derain/?strength=0.8", tiny(), {}, "/v1/derain/: no such page; openapi.json says what there is"),
        (400, "/v1/derain?parts=result,zip", tiny(), {}, "choose some of"),
        (400, "/v1/score?strength=1", tiny(), {}, "no such option"),
        (
            400,
            "/v1/derain",
            b"--xyz\r\n\0",
            {"content_type": "multipart/form-data; boundary=xyz"},
            "form with one photo",
        ),
        (400, "/v1/derain", form_of(), {"content_type": "multipart/form-data; boundary=xyz"}, "form has no photo"),
        (
            400,
            "/v1/derain",
            form_of(*[("a", '; filename="a"', b"a")] * 2),
            {"content_type": "multipart/form-data; boundary=xyz"},
            "form with one photo",
        ),
        (421, "/v1/derain", tiny(), {"host": "rebound.example"}, "rebound.example: not a name of this server"),
        (403, "/v1/derain", tiny(), {"origin": "http://[::1"}, "pages of other sites"),
        (403, "/v1/derain", tiny(), {"origin": "http://other.example"}, "pages of other sites"),
        (403, "/v1/derain", tiny(), {"origin": "null"}, "pages of other sites"),
        (403, "/v1/derain", tiny(), {"sec_fetch_site": "cross-site"}, "pages of other sites"),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(server, rng, status, path, body, headers, said):
    reply = server.post(path, body(rng) if callable(body) else body, **headers)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json"), reply.body
    assert reply.json["status"] == status and said in reply.json["error"] and "\n" not in reply.json["error"]
    assert "access-control-allow-origin" not in reply.headers


def test_a_page_behind_a_proxy_that_changes_the_host_is_no_other_site(server):
    reply = server.post("/v1/derain", tiny(), origin="https://photos.example", sec_fetch_site="same-origin")
    assert reply.status == 200


def test_a_megapixel_too_many_is_told_before_anything_is_decoded(server, monkeypatch):
    def fail(*given):
        raise AssertionError("decoded")

    file = io.BytesIO()
    Image.new("L", (1000, 600)).save(file, "PNG")
    monkeypatch.setattr("derain.serve.service.decode", fail)
    reply = server.post("/v1/derain", file.getvalue())
    assert reply.status == 413 and "0.6 megapixels; at most 0.5" in reply.json["error"]


@pytest.mark.parametrize(
    "method, path, status", [("GET", "/v1/derain", 405), ("PUT", "/healthz", 405), ("GET", "/v1", 404)]
)
def test_other_paths_and_methods_are_refused_alike(server, method, path, status):
    reply = server.ask(method, path)
    assert reply.status == status and "openapi.json says" in reply.json["error"]


@pytest.mark.parametrize(
    "method, path, sent, status, name, value",
    [
        ("POST", "/v1/derain", {"content_encoding": "br"}, 415, "accept-encoding", "gzip, x-gzip, deflate"),
        ("POST", "/v1/score", {}, 415, "accept", "image/jpeg, image/png, "),
        ("GET", "/v1/derain", {}, 405, "allow", "POST"),
        ("DELETE", "/", {}, 405, "allow", "GET"),
        ("PUT", "/page/server.js", {}, 405, "allow", "GET"),
        ("GET", "/page/server.js", {"range": "bytes=999999-"}, 416, "content-range", "*/"),
    ],
)
def test_a_refusal_tells_programs_what_would_be_accepted(server, method, path, sent, status, name, value):
    reply = server.ask(method, path, b"no photo" if method == "POST" else None, **sent)
    assert reply.status == status and value in reply.headers.get(name, "")


def test_an_upload_that_stalls_is_refused_and_hinders_nobody(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as slow:
        slow.sendall(b"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nBM")
        assert server.post("/v1/derain", tiny()).status == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_connection_cut_during_the_upload_leaves_nothing_behind(server):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as cut:
            cut.sendall(b"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nBM")
            wait_until(lambda: server.turns.present == 1)
        wait_until(lambda: server.turns.present == 0 and server.turns._bytes == 0)
    assert b'derain_refusals_total{status="499"} 20.0' in server.ask("GET", "/metrics").body
    assert server.post("/v1/derain", tiny()).status == 200


def test_an_answer_that_nobody_takes_is_dropped():
    head = b"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    file = io.BytesIO()
    Image.new("RGB", (3000, 2000)).save(file, "BMP")
    with running(Gated(open=True), Limits(stalled=0.5)) as server, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(SECONDS)
        lazy.connect(("127.0.0.1", server.port))
        lazy.sendall(head % len(file.getvalue()) + file.getvalue())
        wait_until(lambda: server.turns.present == 1 and not server.turns.busy and lazy.recv(1, socket.MSG_PEEK))
        assert server.post("/v1/score", tiny()).status == 200
        wait_until(lambda: server.turns.present == 0)
        taken = sum(map(len, iter(lambda: lazy.recv(2**20), b"")))
        assert 0 < taken < len(file.getvalue())


def test_connections_that_never_ask_are_closed():
    with running(Gated(), to_ask=0.1) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as silent:
            assert silent.recv(1) == b""
        assert server.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "sent, status",
    [
        (b"\x16\x03\x01 hello\r\n\r\n", 400),
        (b"GET  /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),  # without a host
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000, 431),
        (b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_what_is_no_http_gets_an_answer_in_json_and_hinders_nobody(server, sent, status):
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as other:
        other.sendall(sent)
        reply = HTTPResponse(other)
        reply.begin()
        said = json.loads(reply.read())
    assert reply.status == said["status"] == status and said["error"] and said["reason"] == reply.reason
    assert reply.headers["content-type"] == "application/json"
    assert server.post("/v1/derain", tiny()).status == 200


def test_what_is_no_http_after_an_answer_ends_the_connection(server, caplog):
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as other:
        head = b"POST /v1/derain HTTP/1.1\r\nHost: evil.example\r\nExpect: 100-continue\r\n"
        other.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        reply = HTTPResponse(other)
        reply.begin()
        assert reply.status == 421 and reply.read()  # all of it, which may come in two parts
        other.sendall(b"no chunk\r\n")
        assert not other.recv(1000)
    assert not [record for record in caplog.records if record.name == "asyncio"]  # whose tracebacks go to stderr


@pytest.mark.parametrize("asked, status", [("bytes=99999999-", 416), ("lines=1-2", 400), ("bytes=5-2", 400)])
@pytest.mark.parametrize("path", ["/", "/page/main.js"])
def test_a_part_of_the_page_that_is_not_there_is_refused_in_json(server, path, asked, status):
    reply = server.ask("GET", path, range=asked)
    assert (
        reply.status == reply.json["status"] == status and f"{path}: cannot be sent in this part" in reply.json["error"]
    )
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert server.ask("GET", path, range="bytes=0-3").status == 206


def test_more_connections_than_are_allowed_are_told_in_json(restorer):
    with running(restorer, Limits(connections=2)) as server, contextlib.ExitStack() as open_ones:
        for _ in range(2):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        wait_until(lambda: len(server.turns.connections) == 2)
        reply = server.ask("GET", "/healthz")
        assert reply.status == 503 and "3 connections are open" in reply.json["error"]
        assert reply.headers["retry-after"]


def test_what_goes_wrong_in_the_application_itself_is_told_in_json(restorer, monkeypatch):
    with running(restorer) as server:
        monkeypatch.setattr("derain.serve.metrics.choose_encoder", None)
        reply = server.ask("GET", "/metrics")
        assert reply.status == 500 and reply.json["error"].startswith("/metrics: failed")


def test_forms_stay_in_memory(server, monkeypatch):
    def fail(self):
        raise AssertionError("a file on disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", fail)
    file = io.BytesIO()
    Image.new("RGB", (700, 700)).save(file, "BMP")
    form = form_of(("photo", '; filename="a.bmp"', file.getvalue()))
    assert len(form) > 2**20
    assert server.post("/v1/derain", form, content_type="multipart/form-data; boundary=xyz").status == 200


def wait_until(holds):
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never held")


def test_clients_take_turns_however_many_photos_one_of_them_has(gated):
    network, server = gated
    with ThreadPoolExecutor(6) as pool:

        def send(client, value):
            before = server.turns.present
            reply = pool.submit(server.post, "/v1/derain", tiny(value), x_forwarded_for=client)
            wait_until(lambda: server.turns.present == before + 1)
            return reply

        server.turns._free = server.turns._at_once = 1
        first = send("10.0.0.1", 1)
        network.began.acquire(timeout=SECONDS)
        others = []
        for number, (client, value) in enumerate([("1", 2), ("1", 3), ("1", 4), ("2", 5), ("3", 6)], start=1):
            others.append(send(f"10.0.0.{client}", value))
            wait_until(lambda: server.turns.waiting == number)  # noqa: B023
        network.gate.release(6)
        assert all(reply.result(SECONDS).status == 200 for reply in [first, *others])
    assert network.seen == [1, 2, 5, 6, 3, 4]


def test_a_client_with_too_many_photos_gets_429_and_all_together_503(gated):
    network, server = gated
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(server.post, "/v1/derain", tiny(), x_forwarded_for="10.0.0.1") for _ in range(4)]
        wait_until(lambda: server.turns.present == 4)
        reply = server.post("/v1/derain", tiny(), x_forwarded_for="10.0.0.1")
        assert reply.status == 429 and "retry-after" in reply.headers and "4 photos of yours" in reply.json["error"]
        waiting += [pool.submit(server.post, "/v1/score", tiny(), x_forwarded_for="2001:db8::1") for _ in range(2)]
        wait_until(lambda: server.turns.present == 6)
        reply = server.post("/v1/derain", tiny(), x_forwarded_for="10.0.0.3")
        assert reply.status == 503 and "6 photos already waiting" in reply.json["error"]
        assert server.ask("GET", "/healthz").json["status"] == "ok"
        network.gate.release(6)
        assert all(reply.result(SECONDS).status == 200 for reply in waiting)


def test_a_photo_whose_client_left_is_dropped(gated):
    network, server = gated
    server.turns._free = server.turns._at_once = 1
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.post, "/v1/derain", tiny(1))
        network.began.acquire(timeout=SECONDS)
        head = f"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(tiny())}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port)) as cut:
            cut.sendall(head + tiny(2))
            wait_until(lambda: server.turns.waiting == 1)
        wait_until(lambda: server.turns.waiting == 0 and server.turns.present == 1)
        last = pool.submit(server.post, "/v1/derain", tiny(3))
        network.gate.release(2)
        assert first.result(SECONDS).status == last.result(SECONDS).status == 200
    assert network.seen == [1, 3]


def test_the_turn_of_a_client_who_leaves_while_its_photo_is_in_the_network_lasts_until_it_is_out(gated):
    network, server = gated
    server.turns._free = server.turns._at_once = 1
    head = f"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(tiny())}\r\n\r\n".encode()
    with ThreadPoolExecutor(1) as pool:
        with socket.create_connection(("127.0.0.1", server.port)) as cut:
            cut.sendall(head + tiny(1))
            network.began.acquire(timeout=SECONDS)
        last = pool.submit(server.post, "/v1/derain", tiny(2))
        wait_until(lambda: server.turns.waiting == 1)
        assert network.seen == [1] and server.turns.busy
        network.gate.release(2)
        assert last.result(SECONDS).status == 200
    wait_until(lambda: not server.turns.busy)


def test_a_server_that_ends_finishes_what_has_begun_and_refuses_what_waits():
    network = Gated()
    with ThreadPoolExecutor(4) as pool, running(network) as server:
        server.turns._free = server.turns._at_once = 2
        first = pool.submit(server.post, "/v1/derain", tiny(1))
        network.began.acquire(timeout=SECONDS)
        read = pool.submit(server.post, "/v1/derain", tiny(3))
        wait_until(lambda: server.turns._free == 0)
        second = pool.submit(server.post, "/v1/derain", tiny(2))
        wait_until(lambda: server.turns.waiting == 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as slow:
            slow.sendall(b"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nBM")
            wait_until(lambda: server.turns.present == 4)
            server.server.should_exit = True
            assert second.result(SECONDS).status == 503
        network.gate.release()
        assert first.result(SECONDS).status == 200
        assert read.result(SECONDS).status == 503
    assert network.seen == [1]


def test_a_second_ctrl_c_waits_for_no_photo(monkeypatch):
    ended = []
    monkeypatch.setattr("derain.serve.listening.os._exit", ended.append)
    server = Server(uvicorn.Config(None), Turns(Limits()))
    for number, codes in [(signal.SIGTERM, []), (signal.SIGINT, []), (signal.SIGINT, [130])]:
        server.handle_exit(number, None)
        assert ended == codes and server.should_exit


def test_what_fails_in_the_network_is_told_and_the_next_photo_goes_on():
    class Failing(Gated):
        def layers(self, pixels, watch=None):
            if pixels[0, 0, 0] == 1:
                raise ZeroDivisionError("odd")
            return super().layers(pixels, watch)

    with running(Failing(open=True)) as server:
        reply = server.post("/v1/derain", tiny(1))
        assert reply.status == 500 and reply.json["error"] == "the photo: cannot be derained (odd)"
        assert server.post("/v1/derain", tiny(2)).status == 200


def test_the_description_names_every_route_and_option(server):
    said = server.ask("GET", "/openapi.json").json
    app = server.server.config.app
    routes = {
        (route.path, method.lower())
        for route in app.routes
        if hasattr(route, "methods")
        for method in route.methods - {"HEAD"}
    }
    assert {(path, method) for path, methods in said["paths"].items() for method in methods} == routes
    named = [parameter["name"] for parameter in said["paths"]["/v1/derain"]["post"]["parameters"]]
    assert named == ["weights", *(option.name for option in FOR_DERAIN)]
    content = said["paths"]["/v1/score"]["post"]["responses"]["200"]["content"]["application/json"]
    assert content["schema"]["properties"].keys() == server.post("/v1/score", tiny()).json.keys()
    assert said["openapi"].startswith("3.1") and said["info"]["version"] == derain.__version__


def test_metrics_count_requests_refusals_seconds_and_megapixels():
    with running(Gated(open=True)) as server:
        server.post("/v1/derain", tiny())
        server.post("/v1/score", tiny())
        server.post("/v1/derain", b"no photo")
        told = server.ask("GET", "/metrics")
    lines = dict(line.rsplit(" ", 1) for line in told.body.decode().splitlines() if line[0] != "#")
    assert told.headers["content-type"].startswith("text/plain")
    assert float(lines['derain_requests_total{path="/v1/derain",status="200"}']) == 1
    assert float(lines['derain_refusals_total{status="415"}']) == 1
    assert float(lines["derain_megapixels_total"]) == pytest.approx(2 * 64 / 1e6)
    assert float(lines["derain_waiting"]) == 0 and float(lines["derain_network_seconds_total"]) > 0
    assert float(lines['derain_request_seconds_count{path="/v1/derain"}']) == 2


def test_it_can_be_mounted_in_another_application():
    service = Service({"small": Gated(open=True)})
    outer = Starlette(routes=[Mount("/rain", application(service))])
    with Running(outer, service.turns) as server:
        assert server.post("/rain/v1/derain", tiny()).status == 200
        assert server.ask("GET", "/rain").headers["location"].endswith("/rain/")
        page = server.ask("GET", "/rain/").body.decode()
        for path in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert server.ask("GET", f"/rain/{path}").status == 200, path
        assert server.ask("GET", "/rain/openapi.json").json["servers"] == [{"url": "/rain"}]


def test_requests_choose_among_the_weights_that_the_server_was_started_with(small_weights, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(small_weights.read_bytes())
    app = derain.serve.app([small_weights, other], device="cpu")
    assert list(app.state.service.restorers) == ["small", "other"]
    with pytest.raises(UsageError, match="small.safetensors: was given twice; give it once"):
        derain.serve.app([small_weights, small_weights], device="cpu")
    with pytest.raises(UsageError, match="hf:them/small: requests would call it small, as they call .*; give a copy"):
        derain.serve.app([small_weights, "hf:them/small"], device="cpu")


@pytest.mark.parametrize("host, name", [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")])
def test_a_port_that_is_taken_is_told_in_a_sentence(host, name):
    taken = listen(host, 0)
    with taken.socket, pytest.raises(UsageError, match=f"^`port` .* is in use on {name}; give another"):
        listen(host, taken.socket.getsockname()[1])


def test_a_host_that_is_no_address_of_this_machine_is_told_in_a_sentence():
    for host, said in (("no.such.host.invalid", "no such name"), ("192.0.2.1", "not an address of this machine")):
        with pytest.raises(UsageError, match=f"^`host` {host}: {said}"):
            listen(host, 0)


def test_only_a_host_that_others_reach_is_no_loopback():
    for host, loopback in (("127.0.0.1", True), ("0.0.0.0", False)):
        with (address := listen(host, 0)).socket:
            assert address.loopback is loopback and address.url.startswith("http://127.0.0.1:")
            assert (socket.gethostname() in address.names) is not loopback


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
def test_the_command_serves_until_a_signal(small_weights):
    code = "from derain.__main__ import main; main()"
    words = ["serve", "--port", "0", "--weights", str(small_weights), "--device", "cpu", "--threads", "1"]
    ends = {signal.SIGTERM: (0, []), signal.SIGHUP: (130, []), signal.SIGINT: (130, ["--host", "0.0.0.0"])}
    started = {
        number: subprocess.Popen(
            [sys.executable, "-c", code, *words, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, (_, more) in ends.items()
    }
    for number, process in started.items():
        port = int(re.fullmatch(r"http://127.0.0.1:(\d+)/\n", process.stdout.readline())[1])
        with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
            connection.request("POST", "/v1/derain", tiny())
            assert connection.getresponse().status == 200
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == ends[number][0] and "Traceback" not in err, err
        assert ("anyone who can reach this machine can use it" in err) is bool(ends[number][1])


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize("by, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=str)
def test_sigterm_is_no_failure_while_the_network_is_loaded_either(small_weights, by, code):
    load = f"import os, derain.serve.listening as it\nit.listen = lambda *_: os.kill(os.getpid(), {int(by)})"
    done = command("serve", "--port", "0", "--weights", small_weights, before=load)
    assert done.returncode == code and "Traceback" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_an_address_that_stdout_does_not_take_is_told_on_stderr(small_weights):
    code = "from derain.__main__ import main; main()"
    words = ["serve", "--port", "0", "--weights", str(small_weights), "--device", "cpu", "--quiet"]
    with open("/dev/full", "w") as full:
        process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert "stdout cannot be written (No space left on device)" in process.stderr.readline()
    port = int(re.fullmatch(r"listening on http://127.0.0.1:(\d+)/\n", process.stderr.readline())[1])
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=SECONDS)[1] == "" and process.returncode == 1


def test_a_missing_library_is_named_with_the_line_that_installs_it():
    code = "import sys; sys.modules['uvicorn'] = None; from derain.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install 'derain[serve]'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_fifty_clients_at_once_all_get_their_own_photo(restorer):
    seen = np.random.default_rng(0)
    with running(restorer, Limits(waiting=100), proxy_headers=True) as server, ThreadPoolExecutor(50) as pool:
        sent = [seen.integers(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(50)]

        def send(number):
            content = cv2.imencode(".png", sent[number][..., ::-1])[1].tobytes()
            replies = [server.post("/v1/derain", content, x_forwarded_for=f"10.0.0.{number}") for _ in range(3)]
            assert all(reply.status == 200 for reply in replies), [reply.body for reply in replies]
            return [np.asarray(Image.open(io.BytesIO(reply.body))) for reply in replies]

        for number, found in enumerate(pool.map(send, range(50))):
            wanted = restorer.layers(sent[number]).background
            assert all(np.array_equal(picture, wanted) for picture in found)
        wait_until(lambda: server.turns.present == 0)
