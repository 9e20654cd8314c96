"""Photos that are named in a text file, a million of them too."""

import codecs
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from derain.errors import UsageError, unreadable
from derain.files.writing import read_option
from derain.given import to_path

CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f]")  # rare in names; a tenth of a photo or other file given by mistake
LOOKED_AT = 1 << 20  # bytes that tell a list from such a file


class Lines(Sequence[str]):
    """The lines of a text that are not empty. Each is made when it is asked for: that takes a third of the memory."""

    def __init__(self, text: str, end: str) -> None:
        self._text, self._end = text, end
        self._count = sum(1 for _ in self)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        at = 0
        while at < len(self._text):
            stop = self._text.find(self._end, at)
            stop = len(self._text) if stop < 0 else stop
            if (line := self._text[at:stop]) and not line.isspace():
                yield line
            at = stop + 1

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return list(self)[index]


def read_list(path: str | Path) -> Sequence[str]:
    """Paths from a text file, one per line or separated by zeros as by ``find -print0``; ``-`` is stdin.

    Names need not be valid UTF-8.

    Raises:
        UsageError: the file cannot be read, or is no text.
    """
    if str(path) == "-" and sys.stdin is None:
        raise UsageError("-: there is no stdin to read a list from")
    try:
        text = _decoded(sys.stdin.buffer.read() if str(path) == "-" else read_option(to_path("path", path)))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {unreadable(error, ' as a list of photos')}") from None
    return Lines(text, "\0") if "\0" in text else Lines(text.replace("\r\n", "\n"), "\n")


def _decoded(content: bytes) -> str:
    """
    Raises:
        UnicodeDecodeError: it is no text.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # of PowerShell
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if not _may_be_names(content[:LOOKED_AT]):
            raise
        return content.decode("utf-8-sig", "surrogateescape")


def _may_be_names(content: bytes) -> bool:
    """Whether text that is not UTF-8 may be names, which may hold a control character or two."""
    names = re.findall(rb"[^\0]+" if b"\0" in content else rb"[^\r\n]+", content)
    return len(CONTROL.findall(content)) <= 2 * len(names)
