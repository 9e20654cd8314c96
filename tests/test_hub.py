"""Weights on the Hub, against a small server of our own: no test leaves this machine."""

import base64
import hashlib
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from derain.errors import WeightsError
from derain.weights import fingerprint, load, read_header
from derain.weights.hub import Reference, fetch, refuse_damaged
from tests.forks import command

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}
    lie = False  # about the digest
    refusal = 0  # status of each answer
    asked: list[tuple[str, str]] = []
    pushed: dict[str, bytes] = {}

    def do_HEAD(self):
        self.answer(head=True)

    def do_GET(self):
        self.answer(head=False)

    def answer(self, head):
        self.asked.append((self.command, self.path))
        if self.refusal:
            self.send_response(self.refusal)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if "me/gated" in self.path:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if self.path.startswith("/api/models/me/rainy"):
            siblings = [{"rfilename": name} for name in self.files]
            return self.send(json.dumps({"id": "me/rainy", "sha": COMMIT, "siblings": siblings}).encode(), {}, head)
        name = self.path.rsplit("/", 1)[-1]
        if not self.path.startswith("/me/rainy/resolve/") or name not in self.files:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        digest = hashlib.sha256(self.files[name]).hexdigest() if not self.lie else "0" * 64
        self.send(self.files[name], {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'}, head)

    def do_POST(self):
        """What uploading a small file takes: make the repository, ask how to upload, commit."""
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_mine":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        home = f"http://{self.headers['Host']}/me/tuned"
        if self.path == "/api/repos/create":
            answer = {"url": home, "id": "me/tuned"}
        elif self.path.startswith("/api/models/me/tuned/preupload/"):
            ways = {"uploadMode": "regular", "shouldIgnore": False}
            answer = {"files": [{"path": file["path"], **ways} for file in json.loads(sent)["files"]]}
        elif self.path.startswith("/api/models/me/tuned/commit/"):
            for line in map(json.loads, sent.splitlines()):
                if line["key"] == "file":
                    self.pushed[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            answer = {"success": True, "commitOid": COMMIT, "commitUrl": f"{home}/commit/{COMMIT}", "hookOutput": ""}
        else:
            answer = {"errors": [], "warnings": []}
        self.send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, head=False)

    def send(self, content, headers, head):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(small_weights, monkeypatch):
    monkeypatch.setattr(Hub, "files", {"rain.safetensors": small_weights.read_bytes(), "README.md": b"hello"})
    monkeypatch.setattr(Hub, "lie", False)
    monkeypatch.setattr(Hub, "refusal", 0)
    monkeypatch.setattr(Hub, "pushed", {})
    monkeypatch.setattr(Hub, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def hub_environment(tmp_path, endpoint):
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
    }


def models(tmp_path, endpoint, *arguments, **environment):
    return command("models", *arguments, **hub_environment(tmp_path, endpoint) | environment)


def test_the_forms_of_a_reference():
    assert Reference.parse("hf:me/rainy") == Reference("me/rainy")
    assert Reference.parse("hf:me/rainy@v1.0/sub/x.safetensors") == Reference("me/rainy", "v1.0", "sub/x.safetensors")
    assert str(Reference.parse("hf:me/rainy@main/x.pth")) == "hf:me/rainy@main/x.pth"
    with pytest.raises(WeightsError, match="OWNER/REPO"):
        Reference.parse("hf:rainy")


def test_downloaded_once_then_offline(tmp_path, hub, small_weights):
    done = models(tmp_path, hub, "download", "hf:me/rainy")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == small_weights.read_bytes()
    again = models(tmp_path, hub, "verify", "hf:me/rainy/rain.safetensors", HF_HUB_OFFLINE="1")
    assert again.returncode == 0 and "intact" in again.stdout, again.stderr
    unplugged = models(tmp_path, "http://127.0.0.1:9", "verify", "hf:me/rainy")
    assert unplugged.returncode == 0 and "intact" in unplugged.stdout, unplugged.stderr


@pytest.mark.parametrize("status", [401, 429, 503])
def test_what_was_downloaded_is_found_though_the_hub_refuses(hub, tmp_path, monkeypatch, status):
    before = "import time\ntime.sleep = lambda seconds: None"
    path = models(tmp_path, hub, "path", "hf:me/rainy").stdout
    monkeypatch.setattr(Hub, "refusal", status)
    done = command("models", "path", "hf:me/rainy", before=before, **hub_environment(tmp_path, hub))
    assert done.returncode == 0 and done.stdout == path, done.stderr
    unknown = command("models", "path", "hf:me/other", before=before, **hub_environment(tmp_path, hub))
    assert unknown.returncode == 2 and "cannot be fetched" in unknown.stderr


@pytest.mark.parametrize(
    "weights, environment, code, said",
    [
        ("hf:me/rainy/other.safetensors", {}, 2, "cannot be fetched"),
        ("hf:me/nothing", {}, 2, "cannot be fetched"),
        ("hf:me/gated/rain.safetensors", {}, 2, "gated"),
        ("hf:me/rainy", {"HF_HUB_OFFLINE": "1"}, 1, "HF_HUB_OFFLINE is set"),
        ("hf:me/rainy", {"HF_ENDPOINT": "http://127.0.0.1:9"}, 1, "check the internet connection"),
    ],
)
def test_a_failure_says_what_to_do(tmp_path, hub, weights, environment, code, said):
    done = models(tmp_path, hub, "download", weights, **environment)
    assert "by hand" in done.stderr and "`" not in done.stderr and "Errno" not in done.stderr
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://hub.invalid"])
@pytest.mark.parametrize("weights", ["hf:me/rainy", "hf:me/rainy/rain.safetensors"])
def test_a_hub_to_which_there_is_no_connection_is_not_tried_again_and_again(tmp_path, endpoint, weights):
    before = "import sys, time\ntime.sleep = lambda seconds: sys.exit(f'sleeps for {seconds} s')"
    done = command("models", "download", weights, before=before, **hub_environment(tmp_path, endpoint))
    assert "check the internet connection" in done.stderr and done.returncode == 1, done.stderr


def test_a_hub_that_answers_late_is_waited_for(monkeypatch, small_weights):
    def late(*given, **settings):
        raise TimeoutError

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", late)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *given, **settings: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *given, **settings: str(small_weights))
    assert fetch(Reference.parse("hf:me/rainy/rain.safetensors")) == small_weights


def test_the_tries_of_the_client_are_not_told_one_by_one(monkeypatch, caplog):
    def in_vain(*given, **settings):
        logging.getLogger("huggingface_hub.utils._http").warning("[Errno -3] thrown; Retrying in 1s")
        raise ConnectionError("[Errno -3]")

    for asking in ("HfApi.model_info", "hf_hub_download"):
        monkeypatch.setattr(f"huggingface_hub.{asking}", in_vain)
    with pytest.raises(WeightsError, match="cannot be reached") as failure:
        fetch(Reference.parse("hf:me/rainy/rain.safetensors"))
    assert failure.value.exit_code == 1 and not caplog.records


def asked_for_files():
    found = [(command, path) for command, path in Hub.asked if "/resolve/" in path]
    Hub.asked.clear()
    return found


def test_a_file_is_asked_for_once_and_checked_each_time(tmp_path, hub, monkeypatch):
    weights, place = "hf:me/rainy/rain.safetensors", "/me/rainy/resolve/main/rain.safetensors"
    blob = Path(models(tmp_path, hub, "download", weights).stdout.strip()).resolve()
    assert asked_for_files() == [("HEAD", place), ("GET", place)]
    monkeypatch.setattr(Hub, "lie", True)  # of the same commit: what was good stays good
    assert models(tmp_path, hub, "verify", weights).returncode == 0
    assert asked_for_files() == [("HEAD", place)]
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = models(tmp_path, hub, "path", weights, HF_HUB_OFFLINE="1")
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
    digest = hashlib.sha256(content).hexdigest()
    assert f"{weights}: damaged, SHA-256 is not the expected {digest}; delete {blob}" in done.stderr and blob.exists()
    assert not Hub.asked


def test_a_damaged_download_is_refused_and_nothing_is_deleted(tmp_path, hub, monkeypatch):
    monkeypatch.setattr(Hub, "lie", True)
    done = models(tmp_path, hub, "download", "hf:me/rainy")
    assert done.returncode == 2 and "SHA-256" in done.stderr and "Traceback" not in done.stderr
    (blob,) = (tmp_path / "cache").rglob("blobs/*")
    assert blob.name == "0" * 64 and f"delete {blob} and try again" in done.stderr


@pytest.mark.parametrize(
    "name, kind",
    [
        (hashlib.sha256(b"whole").hexdigest(), "SHA-256"),
        (hashlib.sha1(b"blob 5\0whole").hexdigest(), "SHA-1"),  # of small files, as Git has it
        (hashlib.sha1(b"whole").hexdigest(), "SHA-1"),  # and as some mirrors do
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_checked_by_the_digest_that_the_cache_calls_it_by(tmp_path, name, kind, shared):
    path, blob, store = tmp_path / "x.safetensors", tmp_path / "blobs" / name, tmp_path / "shared" / ("f" * 64)
    for folder in (blob.parent, store.parent):
        folder.mkdir()
    stored = store if shared else blob
    stored.write_bytes(b"whole")
    path.symlink_to(blob)
    if shared:  # newer caches keep one copy for all repositories, under a name of another kind
        blob.symlink_to(store)
    refuse_damaged(path, Reference("me/rainy"))
    stored.write_bytes(b"other")
    with pytest.raises(
        WeightsError, match=f"hf:me/rainy: damaged, {kind} is not the expected {name}; delete {stored} "
    ):
        refuse_damaged(path, Reference("me/rainy"))


EACH = """
import sys
from derain.cli.app import app
for command in sys.argv[1:]:
    app(["models", command], standalone_mode=False)
sys.exit()
"""


def test_bundled_weights_never_touch_the_network(tmp_path):
    env = hub_environment(tmp_path, "http://127.0.0.1:9")
    done = command("list", "path", "verify", "info", before=EACH, **env)
    assert done.returncode == 0, done.stderr
    start = done.stdout.index("{")
    listed, header = done.stdout[:start].splitlines(), json.loads(done.stdout[start:])
    assert listed[0].startswith("derain\t") and listed[-2].endswith("derain.safetensors") and "intact" in listed[-1]
    assert header["preset"] == "derain" and len(header["sha256"]) == 64 and header["training"]["steps"] > 0


PUSH = """
import sys
from pathlib import Path
from derain.errors import DerainError
from derain.weights.publish import push
try:
    print(push(sys.argv[1], Path(sys.argv[2])))
except DerainError as error:
    sys.exit(str(error))
sys.exit()
"""


def pushed(tmp_path, endpoint, repo, weights, token="hf_mine"):
    return command(repo, weights, before=PUSH, **hub_environment(tmp_path, endpoint), HF_TOKEN=token)


def test_weights_are_pushed_with_a_card(tmp_path, hub, small_weights):
    scores = {
        "repasted": 25.0,
        "matched": 26.0,
        "rain_left": 0.5,
        "cleanness": 0.5,
        "unchanged": 48.0,
        "rendered": 28.0,
    }
    found = {"photos": 40, "before": scores, "after": scores | {"repasted": 26.25}}
    training = {"start": "/home/me/start.safetensors", "steps": 700, "finetuned": found}
    said = read_header(small_weights) | {"training": training}  # older versions left paths in it, and no digest
    header = json.dumps({name: value for name, value in said.items() if name != "digest"})
    save_file(load_file(small_weights), tmp_path / "tuned.safetensors", metadata={"derain": header})
    done = pushed(tmp_path, hub, "me/tuned", tmp_path / "tuned.safetensors")
    assert done.returncode == 0 and done.stdout.strip() == f"{hub}/me/tuned", done.stderr
    (tmp_path / "pushed.safetensors").write_bytes(Hub.pushed["derain.safetensors"])
    assert fingerprint(load(tmp_path / "pushed.safetensors")) == fingerprint(load(small_weights))
    assert read_header(tmp_path / "pushed.safetensors")["training"] == training | {"start": "start.safetensors"}
    card = Hub.pushed["README.md"].decode()
    assert "| repasted | 25.00 | 26.25 |" in card and "--weights hf:me/tuned" in card and "40 rainy photos" in card
    assert "`start.safetensors`" in card and "/home" not in card
    assert hashlib.sha256(Hub.pushed["derain.safetensors"]).hexdigest() in card


@pytest.mark.parametrize(
    "repo, token, said",
    [("me/tuned", "hf_other", "401"), ("tuned", "hf_mine", "OWNER/REPO"), ("me/else", "hf_mine", "cannot be written")],
)
def test_a_failed_push_says_why_and_leaves_the_weights(tmp_path, hub, small_weights, repo, token, said):
    done = pushed(tmp_path, hub, repo, small_weights, token)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and small_weights.is_file()
