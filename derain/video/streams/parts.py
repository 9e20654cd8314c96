"""The many small files that a container such as HLS is written to: FFmpeg goes on when one of them cannot be."""

import io
from typing import Any

FORMS = ("hls", "dash", "segment")  # FFmpeg's names of such containers
ENCRYPTED = ("hls_enc", "hls_key_info_file")  # options with which FFmpeg writes through a protocol of its own
WRITING = 2  # FFmpeg's AVIO_FLAG_WRITE


class Parts:
    """Opens the files, and remembers the first that cannot be written: raising would make PyAV print a traceback."""

    def __init__(self) -> None:
        self.trouble: OSError | None = None

    def open(self, url: str, flags: int, options: dict[str, str]) -> "Part":
        return Part(self, url.removeprefix("file:"), "w+" if flags & WRITING else "r")


class Part(io.FileIO):
    """One of the files."""

    def __init__(self, parts: Parts, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self.parts = parts

    def write(self, content: Any) -> int:
        rest = memoryview(content)
        try:
            while rest and not self.parts.trouble:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.parts.trouble = error
        return len(content)
