"""A headless Chromium, spoken to through its own protocol over a pipe."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
KEYS = {
    "Tab": 9,
    "Enter": 13,
    " ": 32,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


class Page:
    """One tab."""

    def __init__(self, source: int, sink: int) -> None:
        self._from, self._to = os.fdopen(source, "rb", 0), os.fdopen(sink, "wb", 0)
        self._number, self._rest, self.session = 0, b"", None
        self.complaints: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **given: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        self._to.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (said := self._read()).get("id") != self._number:
            if said["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(said["params"]))
        assert "error" not in said, said
        return said["result"]

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            got = self._from.read(2**16)
            assert got, "the browser ended"
            self._rest += got
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def size(self, width: int, height: int, scheme: str = "light") -> None:
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        self.tell("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        found = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 20) -> None:
        """Until it holds, at which the page looks again and again."""
        waiting = f"""new Promise((resolve) => {{
            const end = performance.now() + {1000 * seconds};
            const look = () => {{
                if ({condition}) resolve(true);
                else if (performance.now() > end) resolve(false);
                else setTimeout(look, 10);
            }};
            look();
        }})"""
        assert self.value(waiting), condition

    def press(self, *keys: str) -> None:
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "")
            given = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
            self.tell("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
            self.tell("Input.dispatchKeyEvent", type="keyUp", **given)

    def tab_to(self, selector: str) -> None:
        for _ in range(60):
            if self.value(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            self.press("Tab")
        raise AssertionError(f"the keyboard does not get to {selector}")

    def choose(self, *files: Path) -> None:
        root = self.tell("DOM.getDocument")["root"]["nodeId"]
        node = self.tell("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
        self.tell("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def drop(self, *files: Path) -> None:
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.tell("Input.dispatchDragEvent", type=kind, x=100, y=100, data=data)


@contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """A page whose downloads go to ``folder / "downloads"``."""
    (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
    words = ["--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"]
    words += [f"--user-data-dir={folder / 'profile'}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'  # the numbers that Chromium looks for
    process = subprocess.Popen(
        ["bash", "-c", command, "browser", str(CHROMIUM), *words],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        page = Page(ours_in, ours_out)
        (folder / "downloads").mkdir()
        page.tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder / "downloads"))
        yield page
    finally:
        process.kill()
        process.wait()
