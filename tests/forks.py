"""`derain` in processes of its own, forked from one that has torch already: a start takes no second and a half."""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.terminals import REPOSITORY, Case, start

STREAMS = ("stdin", "stdout", "stderr")


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `derain` with these arguments."""
    done = piped(b"", *arguments, cwd=cwd)
    said = (stream.decode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, *said)


def piped(given: bytes, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """The same with something on stdin."""
    words = [str(argument) for argument in arguments]
    if not hasattr(os, "fork"):
        return subprocess.run([sys.executable, "-m", "derain", *words], input=given, capture_output=True, cwd=cwd)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stdin").write_bytes(given)
        parent = forking()
        print(json.dumps([words, str(cwd or Path.cwd()), folder]), file=parent.stdin, flush=True)
        code = int(parent.stdout.readline())
        said = ((Path(folder) / name).read_bytes() for name in STREAMS[1:])
        return subprocess.CompletedProcess(words, code, *said)


@cache
def forking() -> subprocess.Popen[str]:
    """The process that forks; it ends with this one, which closes its stdin."""
    words = [sys.executable, "-m", "tests.forks"]
    parent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    atexit.register(parent.stdin.close)
    return parent


def run_one(words: list[str], cwd: str, folder: str) -> int:
    process = os.fork()
    if not process:
        os.chdir(cwd)
        for number, name in enumerate(STREAMS):
            os.dup2(os.open(Path(folder) / name, os.O_RDWR | os.O_CREAT, 0o600), number)
        start(Case(words))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    import torch

    import derain.batch
    import derain.weights  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(run_one(*json.loads(line)), flush=True)
