"""16-bit colours of TIFF, which Pillow would cut to 8, by libtiff, which only has to pack and unpack bytes."""

import struct
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import COMPRESSION_INFO, TiffImageFile

from derain.arrays import Pixels
from derain.errors import PhotoError
from derain.photos.codec import SIMPLER, opened
from derain.photos.directories import order_of

WIDTH, HEIGHT, BITS, COMPRESSION, LIGHT, FILL_ORDER, CHANNELS_A_PIXEL = 256, 257, 258, 259, 262, 266, 277
EXTRA = 338
OFFSETS, ROWS, COUNTS, PLANES, PREDICTOR = 273, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
SAMPLE_FORMAT, WHOLE = 339, 1
VALUES = {2: "signed numbers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
COLOURS = {
    9: "ICC Lab colours",
    10: "ITU Lab colours",
    32803: "the raw mosaic of a camera",
    32844: "LogL brightness",
    32845: "LogLuv colours",
}
# that few programs read; those of the first four Pillow may know
COMPRESSIONS = {
    6: "old-style JPEG",
    32809: "ThunderScan",
    34676: "SGILOG",
    34677: "SGILOG",
    50001: "WebP",
    22610: "JPEG XR",
    32766: "NeXT",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy DNG",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
PACKED = {1, 5, 8, 32773, 32946, 34925, 50000}  # compressions of bytes: none, LZW, Deflate, PackBits, LZMA, Zstandard
DIFFERENCES, GREY, RGB, MASK, UNASSOCIATED = 2, 1, 2, 4, 2
DEEP_WITH_ALPHA = (16, 16)


class TiffPicture(TiffImageFile):
    """Without the limit of the whole process, as derain has its own; opens masks, and grey and alpha of 16 bits, too.

    The latter are decoded by :func:`read_strips`.
    """

    def _setup(self) -> None:
        tags, known = self.tag_v2, {}
        if tags.get(BITS) == DEEP_WITH_ALPHA and tags.get(LIGHT) in (0, GREY):
            known = {BITS: (8, 8), LIGHT: GREY, EXTRA: (UNASSOCIATED,)}
        elif tags.get(LIGHT) == MASK:
            known = {LIGHT: GREY}
        if known:
            self.tag_v2 = copy(tags)
            self.tag_v2._tags_v2 = dict(tags) | known
            self.tag_v2._tagdata = {}
        if (compression := tags.get(COMPRESSION, 1)) not in COMPRESSION_INFO:
            raise PhotoError(unread_compression(compression))
        try:
            super()._setup()
        except SyntaxError:
            if values := rare_values(tags):
                raise PhotoError(f"holds {values}, which derain does not read; {SIMPLER}") from None
            raise
        self.tag_v2 = tags

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        ImageFile.load_prepare(self)


def unread_compression(number: int) -> str:
    """What to say of a TIFF with a compression of this number."""
    named = f"{COMPRESSIONS[number]} compression" if number in COMPRESSIONS else f"compression number {number}"
    return f"is a TIFF with {named}, which derain does not read; save it with LZW or Deflate"


def is_cut(content: bytes, tags: Any) -> bool:
    """Whether strips or tiles of the picture with these tags reach beyond the end of the file."""
    offsets, counts = (TILE_OFFSETS, TILE_COUNTS) if TILE_OFFSETS in tags else (OFFSETS, COUNTS)
    return any(place + size > len(content) for place, size in zip(tags.get(offsets, ()), tags.get(counts, ())))


def rare_values(tags: Any) -> str:
    """What a TIFF of a kind that few programs read holds; empty if its tags tell nothing like that."""
    bits, kind = max(tags.get(BITS, (1,))), max(tags.get(SAMPLE_FORMAT, (WHOLE,)))
    if kind in VALUES:
        return f"{bits}-bit {VALUES[kind]}"
    if bits not in (1, 8):
        return f"values of {bits} bits"
    return COLOURS.get(tags.get(LIGHT), "")


def read_strips(content: bytes, tags: Any) -> NDArray[np.uint16]:
    """``(H, W, C)`` of the picture with these tags in a TIFF of 16 bits, as it is stored.

    Raises:
        PhotoError: its compression is one that derain does not know.
        OSError: it is damaged.
    """
    if tags.get(COMPRESSION, 1) not in PACKED:
        raise PhotoError("the compression of its 16-bit colours is not supported; save it with LZW or Deflate")
    channels = tags.get(CHANNELS_A_PIXEL, 1)
    planes = channels if tags.get(PLANES) == 2 else 1
    width, height, each = tags[WIDTH], tags[HEIGHT], channels // planes
    tiled = TILE_OFFSETS in tags
    column, row = (tags[TILE_WIDTH], tags[TILE_HEIGHT]) if tiled else (width, tags.get(ROWS, height))
    pieces = -(-width // column) * -(-height // min(row, height))
    order = order_of(content)
    picture = np.empty((height, width, channels), np.uint16)
    for plane in range(planes):
        unpacked = _unpacked(content, tags, slice(plane * pieces, (plane + 1) * pieces), each)
        values = unpacked.view(f"{order}u2").astype(np.uint16).reshape(height, width, each)
        if tags.get(PREDICTOR) == DIFFERENCES:
            for left in range(0, width, column):
                part = values[:, left : left + column]
                np.cumsum(part, axis=1, dtype=np.uint16, out=part)
        picture[..., plane * each : (plane + 1) * each] = values
    return picture


def packed(channels: Pixels, predicted: bool) -> NDArray[np.uint8]:
    """``(H, W)`` or ``(H, W, C)`` of 16 bits as a picture of grey bytes, which libtiff packs; tags then say the truth.

    Args:
        predicted: whether to store differences to the pixel before.
    """
    values = np.diff(channels, axis=1, prepend=np.zeros_like(channels[:, :1])) if predicted else channels
    return values.astype("<u2").view(np.uint8).reshape(len(channels), -1)


def tags_of_packed(channels: Pixels, predicted: bool) -> dict[int, tuple[int, ...]]:
    """Tags that differ from those of the picture of grey bytes."""
    _, width, count = np.atleast_3d(channels).shape
    tags = {WIDTH: (width,), BITS: (16,) * count, CHANNELS_A_PIXEL: (count,), LIGHT: (RGB if count > 2 else GREY,)}
    extra = {EXTRA: (UNASSOCIATED,)} if count in (2, 4) else {}
    return tags | extra | ({PREDICTOR: (DIFFERENCES,)} if predicted else {})


def _unpacked(content: bytes, tags: Any, pieces: slice, channels: int) -> NDArray[np.uint8]:
    """The bytes of the strips or tiles, ``(H, bytes of a row)``: libtiff takes them for a picture of grey bytes."""
    wide = 2 * channels
    directory = {
        WIDTH: tags[WIDTH] * wide,
        HEIGHT: tags[HEIGHT],
        BITS: 8,
        COMPRESSION: tags.get(COMPRESSION, 1),
        LIGHT: GREY,
        FILL_ORDER: tags.get(FILL_ORDER, 1),
        CHANNELS_A_PIXEL: 1,
    }
    if TILE_OFFSETS in tags:
        directory |= {TILE_WIDTH: tags[TILE_WIDTH] * wide, TILE_HEIGHT: tags[TILE_HEIGHT]}
        directory |= {TILE_OFFSETS: tags[TILE_OFFSETS][pieces], TILE_COUNTS: tags[TILE_COUNTS][pieces]}
    else:
        directory |= {ROWS: tags.get(ROWS, tags[HEIGHT])}
        directory |= {OFFSETS: tags[OFFSETS][pieces], COUNTS: tags[COUNTS][pieces]}
    with opened(TiffPicture, _with_directory(content, directory)) as image:
        return np.asarray(image)


def _with_directory(content: bytes, directory: dict[int, Any]) -> bytes:
    """The TIFF with this directory as its only one, appended to it."""
    large = content[:4] in (b"II+\0", b"MM\0+")
    order = order_of(content)
    word, pointer = ("Q", "Q") if large else ("H", "L")
    kind, room = (16, 8) if large else (4, 4)
    file = bytearray(content) + bytes(len(content) % 2)
    rows = []
    for tag, value in sorted(directory.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"{order}{len(values)}{pointer}", *values)
        if len(packed) > room:
            place, file = len(file), file + packed
            packed = struct.pack(order + pointer, place)
        rows.append(struct.pack(f"{order}HH{pointer}", tag, kind, len(values)) + packed)
    struct.pack_into(order + pointer, file, 8 if large else 4, len(file))
    return bytes(file + struct.pack(order + word, len(rows)) + b"".join(rows) + bytes(room))
