"""GIFs: every picture at its time, with transparency and all that the file says beside the pictures."""

import io
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from derain.arrays import Pixels, Plane
from derain.errors import PhotoError
from derain.files.writing import permissions_of, write_bytes
from derain.video.colour import PICTURE
from derain.video.naming import refuse_existing
from derain.video.reading import Frame
from derain.video.treatment import Done, Network, Run, alpha_shown, derained, stretch

HEADER_BYTES = 13  # bytes before the global palette
EXTENSION, IMAGE, CONTROL = 0x21, 0x2C, 0xF9
TRANSPARENT_INDEX = 255  # colour of the palette, the transparent one
DRAWN_OVER, CLEARED = 1, 2  # what becomes of a picture when its time is over
USER_INPUT = 2  # flag: it waits for a key
LEAST_DELAY = 10  # hundredths of a second that players show a picture which is to go at once


@dataclass(frozen=True)
class Page:
    """What a GIF says of one of its pictures."""

    delay: int  # hundredths of a second
    user_input: int  # the flag, or 0
    before: bytes  # comments, loops and what else stands before it


@dataclass
class Written:
    """A GIF as it is put together."""

    content: bytearray
    transparent: bool
    canvas: Pixels | None = None

    def add(self, page: Page, picture: Pixels, alpha: Plane | None) -> None:
        """Append a picture: only the part that changes, or of a transparent GIF the part that is there."""
        there = np.ones(picture.shape[:2], bool)
        if self.transparent and alpha is not None:
            there = alpha > 0
        elif not self.transparent and self.canvas is not None:
            there = (picture != self.canvas).any(axis=2)
        self.canvas = picture
        (top, bottom), (left, right) = (_extent(np.flatnonzero(there.any(axis=axis))) for axis in (1, 0))
        part = np.s_[top:bottom, left:right]
        hidden = ~there[part] if self.transparent and not there[part].all() else None
        how = (CLEARED if self.transparent else DRAWN_OVER) << 2 | page.user_input | (hidden is not None)
        self.content += page.before + struct.pack(
            "<BBBBHBB", EXTENSION, CONTROL, 4, how, page.delay, TRANSPARENT_INDEX, 0
        )
        self.content += _image(picture[part], hidden, left, top)


def process_gif(run: Run) -> Done:
    """A GIF to a GIF, which is written at once.

    Raises:
        PhotoError: it cannot be read or written.
        UsageError: the result exists or is the source.
    """
    source, out, settings = run.source, run.out, run.settings
    refuse_existing(source, out, run.overwrite)
    began = time.monotonic()
    network, preview = Network(run.model, settings, run.say), run.preview()
    pictures, alphas, kept = list[Pixels](), list[Plane | None](), list[int]()
    try:
        head, pages, after = read_pages(source.read_bytes())
        until = [0, *accumulate((page.delay or LEAST_DELAY) / 100 for page in pages)]  # seconds, the end's too
        with Image.open(source, formats=["GIF"]) as gif:
            all_shown = _frames(gif, until)
            for frame, picture in derained(stretch(all_shown, settings), network, settings):
                pictures.append(picture)
                alphas.append(alpha_shown(frame, settings))
                kept.append(frame.pts)
                preview.show(frame, picture, run.source)
                run.report(len(pictures), len(pages), time.monotonic() - began)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, IndexError, struct.error) as error:
        raise PhotoError(f"{source}: cannot be read as a GIF ({error})") from None
    if not pictures:
        raise PhotoError(f"{source}: holds no frame between `start` and `end`")
    height, width = pictures[0].shape[:2]
    gif_file = Written(bytearray(_head(head, width, height)), any(alpha is not None for alpha in alphas))
    ends = [until[index] for index in kept[1:]] + [until[kept[-1] + 1]]
    said = 0
    for index, end, picture, alpha in zip(kept, ends, pictures, alphas):
        page, before = pages[index], b"".join(page.before for page in pages[said : index + 1])
        if end != until[index + 1]:  # it stands for pictures that were left out
            page = Page(round(100 * (end - until[index])), 0, b"")
        gif_file.add(replace(page, before=before), picture, alpha)
        said = index + 1
    content = bytes(gif_file.content) + b"".join(page.before for page in pages[said:]) + after + b";"
    write_bytes(out, content, permissions_of(source))
    return Done(out, len(pictures), time.monotonic() - began, network.failed)


def read_pages(content: bytes) -> tuple[bytes, list[Page], bytes]:
    """The head, what is said of each picture, and extensions after the last.

    Raises:
        IndexError: the file ends too early.
    """
    at = HEADER_BYTES + _palette_size(content[10])
    pages, delay, flag, before = list[Page](), 0, 0, b""
    while at < len(content) and content[at] in (EXTENSION, IMAGE):
        start = at
        if content[at] == EXTENSION:
            kind, at = content[at + 1], _end_of_blocks(content, at + 2)
            if kind == CONTROL:
                flag, delay = content[start + 3] & USER_INPUT, int.from_bytes(content[start + 4 : start + 6], "little")
            else:
                before += content[start:at]
        else:
            at = _end_of_blocks(content, at + 11 + _palette_size(content[at + 9]))
            pages.append(Page(delay, flag, before))
            delay, flag, before = 0, 0, b""
    return content[:HEADER_BYTES], pages, before


def _palette_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_blocks(content: bytes, at: int) -> int:
    while content[at]:
        at += content[at] + 1
    return at + 1


def _frames(gif: Image.Image, until: list[float]) -> Iterator[Frame]:
    for index, page in enumerate(ImageSequence.Iterator(gif)):
        rgba = np.asarray(page.convert("RGBA"))
        alpha = None if rgba[..., 3].all() else rgba[..., 3]
        yield Frame(np.ascontiguousarray(rgba[..., :3]), index, until[index], PICTURE, 0, b"", alpha)


def _head(head: bytes, width: int, height: int) -> bytes:
    """Without a palette for all pictures: each has its own. Comments and the like need GIF89a."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, head[10] & 0x70, 0, head[12])


def _extent(places: Plane) -> tuple[int, int]:
    """First place and end of all; one pixel of nothing."""
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, 1)


def _image(picture: Pixels, hidden: Plane | None, left: int, top: int) -> bytes:
    """A picture with its own palette, of which the last colour stands for what is hidden."""
    height, width = picture.shape[:2]
    coloured = Image.fromarray(np.ascontiguousarray(picture)).quantize(
        256 if hidden is None else 255, dither=Image.Dither.NONE
    )
    palette = bytes(coloured.getpalette("RGB") or b"")[: 3 * 256].ljust(3 * 256, b"\0")
    indices = np.array(coloured)
    if hidden is not None:
        indices[hidden] = TRANSPARENT_INDEX
    alone = Image.fromarray(indices, "L")
    file = io.BytesIO()
    alone.save(file, format="GIF", optimize=False, interlace=0)
    content = file.getvalue()
    at = HEADER_BYTES + _palette_size(content[10])
    while content[at] != IMAGE:
        at = _end_of_blocks(content, at + 2)
    packed = at + 10 + _palette_size(content[at + 9])
    described = struct.pack("<BHHHHB", IMAGE, left, top, width, height, 0x87)
    return described + palette + content[packed : _end_of_blocks(content, packed + 1)]
