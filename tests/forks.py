"""`derain` in processes of its own, forked from one that has torch already: a start takes no second and a half."""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from itertools import count
from pathlib import Path

from tests.terminals import REPOSITORY, Case, Ended, run_in_terminal, start

STREAMS = ("stdin", "stdout", "stderr")
PRELOADED = (
    *("torch", "derain.batch.running", "derain.rain.remaining", "derain.doctor", "derain.video"),
    *("derain.evaluation.evaluate", "derain.training.loop", "derain.weights"),
    *("derain.evaluation.report", "derain.video.pipeline", "numpy.ma"),
    *("rich.markup", "rich.padding", "rich.progress", "rich.table", "typer", "typer.rich_utils"),
    "pydantic.type_adapter",  # which Typer loads for options with bounds
)


@dataclass(frozen=True)
class Plain:
    """A command whose streams are files in ``folder``."""

    arguments: list[str]
    cwd: str
    folder: str
    before: str = ""  # Python that is run first
    environment: dict[str, str] = field(default_factory=dict)


def command(
    *arguments: object, cwd: Path | None = None, before: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `derain` with these arguments, after what ``before`` says in Python."""
    done = piped(b"", *arguments, cwd=cwd, before=before, **environment)
    said = (stream.decode("utf-8", "surrogateescape") for stream in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, *said)


def piped(
    given: bytes, *arguments: object, cwd: Path | None = None, before: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The same with something on stdin."""
    words, cwd = [os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments], cwd or Path.cwd()
    if not hasattr(os, "fork"):
        call = [sys.executable, "-c", f"{before}\nfrom derain.__main__ import main\nmain()", *words]
        return subprocess.run(call, input=given, capture_output=True, cwd=cwd, env=os.environ | environment)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "stdin").write_bytes(given)
        code = asked("plain", asdict(Plain(words, str(cwd), folder, before, environment)))
        said = ((Path(folder) / name).read_bytes() for name in STREAMS[1:])
        return subprocess.CompletedProcess(words, code, *said)


def in_terminals(cases: list[Case]) -> list[Ended]:
    """What came of commands with a terminal on stderr."""
    return [Ended(**asked("terminal", asdict(case))) for case in cases]


def preload(*modules: str) -> None:
    """Let all later commands find these modules imported."""
    asked("preload", list(modules))


def killed_after(moment: str) -> Callable[..., None]:
    """A report that kills the process: after ``REPORTS/SECONDS`` of the last of them, or ``never``."""
    reports, _, seconds = moment.partition("/")

    def kill() -> None:
        threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()

    if reports == "0":
        kill()
    seen = count(1)
    return lambda *_: kill() if str(next(seen)) == reports else None


def asked(kind: str, what: object) -> object:
    parent = forking()
    print(json.dumps([kind, what]), file=parent.stdin, flush=True)
    return json.loads(parent.stdout.readline())


@cache
def forking() -> subprocess.Popen[str]:
    """The process that forks; it ends with this one, which closes its stdin."""
    words = [sys.executable, "-m", "tests.forks"]
    parent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    atexit.register(parent.communicate)
    return parent


def run_plain(plain: Plain) -> int:
    process = os.fork()
    if not process:
        os.chdir(plain.cwd)
        os.environ.update(plain.environment)
        for number, name in enumerate(STREAMS):
            os.dup2(os.open(Path(plain.folder) / name, os.O_RDWR | os.O_CREAT, 0o600), number)
        start(plain.arguments, plain.before)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    answers = {
        "plain": lambda what: run_plain(Plain(**what)),
        "terminal": lambda what: asdict(run_in_terminal(Case(**what))),
        "preload": lambda what: [import_module(name) for name in what] and None,
    }
    answers["preload"](PRELOADED)
    import torch

    from derain.restoring.devices import half_precision

    torch.set_num_threads(1)
    half_precision("auto", torch.device("cpu"))  # measured here once, which each command would do again
    gc.freeze()  # there is no garbage in all that
    for line in sys.stdin:
        wanted, given = json.loads(line)
        print(json.dumps(answers[wanted](given)), flush=True)
