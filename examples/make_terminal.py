"""Makes terminal.svg, a picture of real runs: `python examples/make_terminal.py`"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent.resolve()
RUNS = (("score", "rainy.jpg"), ("run", "rainy.jpg", "--rain", "--compare"))


def in_a_terminal(words: tuple[str, ...], folder: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    here, there = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm-256color"}
    running = subprocess.Popen(
        [sys.executable, "-m", "derain", *words], cwd=folder, stdin=there, stdout=there, stderr=there, env=environment
    )
    os.close(there)
    written = b""
    try:
        while part := os.read(here, 65536):
            written += part
    except OSError:  # Linux's end of a terminal
        pass
    running.wait()
    return written.decode(errors="replace")


def lines_left(written: str) -> list[str]:
    """The lines that stay on the screen, without those that a bar wrote over."""
    lines: list[str] = []
    for line in written.replace("\r\n", "\n").split("\n"):
        if "\x1b[1A" in line or "\x1b[2K" in line:
            line = line.rsplit("\x1b[2K", 1)[-1]
            if lines and "━" in lines[-1]:
                lines.pop()
        line = line.replace("\x1b[?25l", "").replace("\x1b[?25h", "").rsplit("\r", 1)[-1]
        if line.strip():
            lines.append(line)
    return lines


if __name__ == "__main__":
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rainy.jpg").write_bytes((FOLDER / "rainy.jpg").read_bytes())
        for words in RUNS:
            console.print(Text(f"$ derain {' '.join(words)}", style="bold"))
            for line in lines_left(in_a_terminal(words, folder)):
                console.print(Text.from_ansi(line))
    drawn = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="derain"), flags=re.S)  # nothing from elsewhere
    (FOLDER / "terminal.svg").write_text(drawn.replace("Fira Code", "DejaVu Sans Mono"), encoding="utf-8")
