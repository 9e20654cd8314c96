"""The coded pictures of HEIC and AVIF at their depth, which Pillow would cut to 8 bits."""

import io
import struct
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from PIL import Image

from derain.arrays import Pixels
from derain.errors import PhotoError, reason
from derain.extras import missing
from derain.photos.items import CODES, COLOURS, GRID, TILES, Item, ItemFile
from derain.photos.original import WHITE

SUBSAMPLINGS = {"420": "4:2:0", "422": "4:2:2", "444": "4:4:4", "400": "4:0:0"}
DEPTHS = {8, 10, 12}
AV1 = b"av01"
YCGCO_RE = 16  # H.273's matrix that takes two more bits than the picture has


def heif_library() -> ModuleType:
    """pillow-heif, which an extra brings.

    Raises:
        PhotoError: it is not there, or cannot be loaded.
    """
    try:
        import pillow_heif

        pillow_heif.libheif_version()  # a broken one is told only as it is used
    except ImportError as error:
        broken = f"cannot be used, as pillow-heif cannot be loaded ({reason(error)}); reinstall it"
        raise PhotoError(f"HEIC {missing('heic') or broken}") from None
    return pillow_heif


@dataclass(frozen=True)
class Coding:
    """How a picture is coded."""

    bits: int = 8
    chroma: str = "420"  # or 422, 444, 400
    matrix: int = 6  # H.273
    full: bool = True  # range of the values


def has_known_matrix(coding: Coding) -> bool:
    """Whether :func:`read_av1` knows how the colours are coded; Pillow knows further ways, at 8 bits."""
    from derain.photos import av1  # PyAV only where Pillow will not do

    return av1.knows(coding.matrix)


def coding_of(file: ItemFile, number: int) -> Coding:
    """How an item, or the first tile of one, is coded.

    Raises:
        KeyError: it is coded in another way than HEVC and AV1.
    """
    item = file.items[number]
    first = file.items[file.of(TILES, number)[0]] if item.kind == GRID else item
    matrix, full = _codes(item) or _codes(first) or (6, True)
    if (av1 := first.holds(b"av1C")) is not None:
        bits = 8 if not av1[2] & 0x40 else 12 if av1[2] & 0x20 else 10
        chroma = "400" if av1[2] & 0x10 else {3: "420", 2: "422", 0: "444"}[av1[2] >> 2 & 3]
        return _checked(Coding(bits, chroma, matrix, full))
    if (hevc := first.holds(b"hvcC")) is not None:
        return _checked(Coding(8 + (hevc[17] & 7), ("400", "420", "422", "444")[hevc[16] & 3], matrix, full))
    raise KeyError(first.kind)


def _checked(coding: Coding) -> Coding:
    """
    Raises:
        KeyError: there are no pictures of so many bits.
    """
    if coding.bits not in DEPTHS:
        raise KeyError(coding.bits)
    return coding


def _codes(item: Item) -> tuple[int, bool] | None:
    inner = next((entry[8:] for entry, _ in item.properties if entry[4:12] == COLOURS + CODES), None)
    return None if inner is None else (struct.unpack_from(">H", inner, 8)[0], bool(inner[10] & 0x80))


def read_hevc(content: bytes, bits: int) -> Pixels:
    """Upright ``(H, W)`` or ``(H, W, C)`` of a HEIC with more than 8 bits, scaled to 16."""
    file = heif_library().open_heif(content, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    return _scaled(np.asarray(file), (1 << bits) - 1, WHITE)


def read_av1(file: ItemFile) -> Pixels:
    """``(H, W, 3)`` of the primary picture of an AVIF as stored, scaled to 16 bits.

    Raises:
        FFmpegError: it is damaged.
    """
    from derain.photos import av1  # PyAV only where Pillow will not do

    item, coding = file.items[file.primary], coding_of(file, file.primary)
    if item.kind != GRID:
        return av1.decode(item.data, coding.matrix, coding.full)
    rows, columns = item.data[2] + 1, item.data[3] + 1
    tiles = [av1.decode(file.items[tile].data, coding.matrix, coding.full) for tile in file.of(TILES, file.primary)]
    whole = np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
    width, height = item.size
    return whole[:height, :width]


def encode(picture: Pixels, kind: bytes, coding: Coding, quality: int) -> bytes:
    """A file of one picture, ``(H, W, 3)`` as stored, uint8 or uint16, coded in the way of another."""
    if coding.bits > 8 and picture.dtype == np.uint8:
        picture = picture.astype(np.uint16) * 257
    elif coding.bits == 8 and picture.dtype == np.uint16:
        picture = _scaled(picture, WHITE, 255).astype(np.uint8)
    picture = np.ascontiguousarray(picture)
    if kind != AV1:
        return _encoded_hevc(picture, coding, quality)
    if coding.bits == 8:
        return _encoded_av1(picture, coding, quality)
    from derain.photos import av1

    return av1.encode(picture, coding.matrix, quality)


def _encoded_hevc(picture: Pixels, coding: Coding, quality: int) -> bytes:
    mode = "L" if coding.chroma == "400" else "RGB"
    if mode == "L":
        picture = np.ascontiguousarray(picture.mean(axis=2) + 0.5).astype(picture.dtype)
    chroma = {} if mode == "L" else {"chroma": coding.chroma}
    if coding.bits > 8:
        mode, picture = f"{mode};{coding.bits}", _scaled(picture, WHITE, (1 << coding.bits) - 1)
    file, size = io.BytesIO(), (picture.shape[1], picture.shape[0])
    image = heif_library().from_bytes(mode=mode, size=size, data=picture.tobytes())
    image.save(file, quality=quality, bit_depth=coding.bits, tile_size=0, **chroma)
    return file.getvalue()


def _encoded_av1(picture: Pixels, coding: Coding, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="AVIF", quality=quality, subsampling=SUBSAMPLINGS[coding.chroma])
    return file.getvalue()


def _scaled(values: Pixels, white: int, to: int) -> Pixels:
    return ((values.astype(np.uint32) * to + white // 2) // white).astype(np.uint16)
