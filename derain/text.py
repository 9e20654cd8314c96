"""Names of files as messages, tables and JSON show them: whatever they hold, it is text and does nothing else."""

import math
import re
from collections.abc import Iterable
from typing import Any

# what moves a terminal's cursor, ends a line or turns the direction of writing, and bytes of names that are no UTF-8
UNSAFE_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
MOST_CHARACTERS = 60  # of a value that a message repeats
# how a cell begins that a spreadsheet computes
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def printable(text: str, kept: str = "") -> str:
    """One line without control characters: they stand as ``\\x1b``, and bytes that are no UTF-8 as ``\\xe9``.

    Args:
        kept: characters that stay, such as ends of lines.
    """
    return UNSAFE_CHARACTERS.sub(lambda found: found[0] if found[0] in kept else _escaped(found[0]), decoded(text))


def decoded(text: str) -> str:
    """The text with bytes of a name taken for UTF-8 where they are, whatever the locale."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which is no byte of a name
        return text


def encoded(text: str) -> bytes:
    """A text of many lines as valid UTF-8, in which other control characters and bytes stand as in one line."""
    return printable(text, kept="\n\r\t").encode()


def as_json(content: Any, indent: int | None = None) -> str:
    """JSON that is valid UTF-8; bytes of names that are none stand as the surrogates that ``os.fsencode`` takes back.

    Numbers that are not finite become null.
    """
    import json  # which help needs not

    dumped = json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)
    return UNSAFE_CHARACTERS.sub(
        lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", decoded(dumped)
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def listed(names: Iterable[str], most: int = 3, more: str = "more") -> str:
    """The first of the names, and how many there are besides.

    Args:
        more: what those are called.
    """
    found = [name if name.isprintable() and len(name) < 80 else shown(name) for name in names]
    return ", ".join(found[:most]) + (f" and {len(found) - most} {more}" if len(found) > most else "")


def shown(value: Any, quoted: bool = True) -> str:
    """A value for a message, which a long one would drown.

    Args:
        quoted: whether a text that is a name stands in quotes, as other texts do.
    """
    if not quoted and isinstance(value, str) and value.isidentifier():
        return cut(value)
    try:
        return cut(" ".join(repr(value).splitlines()))
    except ValueError:  # thousands of digits
        return "a number of thousands of digits"


def cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def counted(number: int, thing: str) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def cell(text: str) -> str:
    """For a table that spreadsheets open: never a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name
        code -= 0xDC00
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
