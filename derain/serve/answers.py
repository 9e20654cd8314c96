"""Answers: a picture, or a form of several parts."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

import cv2
import numpy as np

from derain.arrays import Pixels
from derain.batch.running import Result, Separated
from derain.errors import PhotoError
from derain.files.marks import DERAINED, RAIN
from derain.photos import Original, encode, to_8_bit
from derain.photos.formats import BY_NAME, CHOICES, FORMATS
from derain.serve.forms import escaped
from derain.serve.options import Wanted
from derain.text import as_json, printable

SCREEN = 2048  # px of the longer side of a picture for screens
SCREEN_QUALITY = 90


@dataclass(frozen=True)
class Part:
    """A file with its type and name."""

    content: bytes
    media_type: str
    name: str


@dataclass(frozen=True)
class Answer:
    """The body of an answer, and what its headers say."""

    content: bytes
    media_type: str
    headers: dict[str, str]


def answer(original: Original, layers: Separated, wanted: Wanted, name: str) -> Answer:
    """What is asked for of a photo that has been taken apart.

    Args:
        name: of the photo's file, may be empty.

    Raises:
        PhotoError: the format cannot hold the photo.
    """
    try:
        maker = _Parts(original, layers, wanted, name)
        parts, notes = maker.made()
    except PhotoError as error:
        raise PhotoError(f"{printable(name) or 'the photo'}: {error}") from None
    headers = {
        "derain-rain-coverage": f"{layers.coverage:.4f}",
        "derain-untouched": "true" if maker.result.untouched else "false",
        "derain-seconds": f"{layers.seconds:.3f}",
        "cache-control": "no-store",
    }
    if notes:
        headers["derain-notes"] = quote("; ".join(notes), safe=" ;,.:()'")
    if wanted.parts:
        return _form(parts, headers)
    (part,) = parts.values()
    headers["content-disposition"] = f"inline; {_filename(part.name)}"
    return Answer(part.content, part.media_type, headers)


class _Parts:
    def __init__(self, original: Original, layers: Separated, wanted: Wanted, name: str) -> None:
        self.original, self.layers, self.wanted = original, layers, wanted
        self.given = PurePosixPath(name.replace("\\", "/")).name
        self.stem = PurePosixPath(self.given).stem or "photo"
        to = CHOICES[wanted.format].name if wanted.format else original.format
        self.result = Result(original, layers, to, wanted.quality)
        self.notes: tuple[str, ...] = ()

    def made(self) -> tuple[dict[str, Part], tuple[str, ...]]:
        """The parts that are asked for by name, and what is to be known of the result."""
        makers: dict[str, Callable[[], Part]] = {
            "result": self._result,
            "rain": self._rain,
            "before": lambda: self._for_screens(self.original.pixels, "before"),
            "after": lambda: self._for_screens(self.layers.background, "after"),
            "report": self._report,
        }
        names = self.wanted.parts or (("rain",) if self.wanted.rain else ("result",))
        in_order = sorted(names, key=list(makers).index)  # the report tells of the result
        return {name: makers[name]() for name in in_order}, self.notes

    def _result(self) -> Part:
        to, finished = self.result.to, self.result.file()
        self.notes = finished.notes
        own = PurePosixPath(self.given).suffix
        suffix = own if FORMATS.get(own.lower()) == to else BY_NAME[to].suffix
        return Part(finished.content, f"image/{to.lower()}", f"{self.stem}{DERAINED}{suffix}")

    def _rain(self) -> Part:
        rain = self.layers.rain
        return Part(encode(Original(rain, ""), rain, "PNG"), "image/png", f"{self.stem}{RAIN}.png")

    def _for_screens(self, pixels: Pixels, role: str) -> Part:
        """A picture that any browser shows, with the colours and the transparency of the photo."""
        original = self.original
        shown = _reduced(to_8_bit(pixels))
        alpha = None if original.alpha is None else _reduced(to_8_bit(original.alpha))
        options = {n: v for n, v in original.options.items() if n == "icc_profile" and original.inks is None}
        grey = original.grey and alpha is None
        photo = Original(shown, "", alpha, grey, options=options)
        to = "JPEG" if alpha is None else "WEBP"
        content = encode(photo, shown, to, SCREEN_QUALITY)
        return Part(content, f"image/{to.lower()}", f"{self.stem}.{role}{BY_NAME[to].suffix}")

    def _report(self) -> Part:
        height, width = self.original.pixels.shape[:2]
        said = {
            "width": width,
            "height": height,
            "seconds": round(self.layers.seconds, 4),
            "rain_coverage": round(self.layers.coverage, 4),
            "untouched": self.result.untouched,
            "notes": self.notes,
        }
        return Part(as_json(said).encode(), "application/json", "report.json")


def _reduced(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    share = SCREEN / max(height, width)
    if share >= 1:
        return np.ascontiguousarray(pixels)
    size = max(round(width * share), 1), max(round(height * share), 1)
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA))


def _filename(name: str) -> str:
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    plain = printable(plain).replace("\\", "_").replace('"', "_")
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _form(parts: dict[str, Part], headers: dict[str, str]) -> Answer:
    """A form as browsers send them, and read them by ``Response.formData()``."""
    boundary = f"derain-{secrets.token_hex(16)}"
    body = bytearray()
    for field, part in parts.items():
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="'.encode()
        body += escaped(part.name) + f'"\r\nContent-Type: {part.media_type}\r\n\r\n'.encode() + part.content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return Answer(bytes(body), f"multipart/form-data; boundary={boundary}", headers)
