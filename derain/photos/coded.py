"""The coded pictures of HEIC and AVIF at their depth, which Pillow would cut to 8 bits."""

import io
import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray
from PIL import Image

from derain.photos.items import CODES, COLOURS, GRID, TILES, Item, ItemFile
from derain.photos.opening import heif_library

Pixels = NDArray[Any]
WHITE = 65535
MATRICES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.BT2020}  # by H.273's codes
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
SUBSAMPLINGS = {"420": "4:2:0", "422": "4:2:2", "444": "4:4:4", "400": "4:0:0"}
DEPTHS = {8, 10, 12}
AV1 = b"av01"


@dataclass(frozen=True)
class Coding:
    """How a picture is coded."""

    bits: int = 8
    chroma: str = "420"  # or 422, 444, 400
    matrix: int = 6  # H.273
    full: bool = True  # range of the values


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
    item, coding = file.items[file.primary], coding_of(file, file.primary)
    if item.kind != GRID:
        return _decoded(item.data, coding)
    rows, columns = item.data[2] + 1, item.data[3] + 1
    tiles = [_decoded(file.items[tile].data, coding) for tile in file.of(TILES, file.primary)]
    whole = np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
    width, height = item.size
    return whole[:height, :width]


def _decoded(data: bytes, coding: Coding) -> Pixels:
    decoder = av.CodecContext.create("libdav1d", "r")
    frame = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][0]  # type: ignore[attr-defined]
    rgb = frame.reformat(
        format="rgb48le",
        src_colorspace=MATRICES.get(coding.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if coding.full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
    )
    return np.asarray(rgb.to_ndarray())


def encode(picture: Pixels, kind: bytes, coding: Coding, quality: int) -> bytes:
    """A file of one picture, ``(H, W, 3)`` as stored, uint8 or uint16, coded in the way of another."""
    if coding.bits > 8 and picture.dtype == np.uint8:
        picture = picture.astype(np.uint16) * 257
    elif coding.bits == 8 and picture.dtype == np.uint16:
        picture = _scaled(picture, WHITE, 255).astype(np.uint8)
    picture = np.ascontiguousarray(picture)
    if kind != AV1:
        return _encoded_hevc(picture, coding, quality)
    return _encoded_deep_av1(picture, coding, quality) if coding.bits > 8 else _encoded_av1(picture, coding, quality)


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


def _encoded_deep_av1(picture: Pixels, coding: Coding, quality: int) -> bytes:
    """In 10 bits and 4:2:0, which is what FFmpeg's encoder here has."""
    matrix = coding.matrix if coding.matrix in MATRICES else 6
    frame = av.VideoFrame.from_ndarray(picture, "rgb48le").reformat(
        format="yuv420p10le",
        dst_colorspace=MATRICES[matrix],
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
    )
    frame.colorspace, frame.color_range, frame.pts = matrix, ColorRange.JPEG, 0
    file = io.BytesIO()
    options = {"crf": str(1 + (100 - quality) * 6 // 10), "preset": "6", "svtav1-params": "avif=1"}
    with av.open(file, "w", format="avif") as container:
        stream: Any = container.add_stream("libsvtav1", options=options)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt, stream.colorspace, stream.color_range = "yuv420p10le", matrix, ColorRange.JPEG
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def _scaled(values: Pixels, white: int, to: int) -> Pixels:
    return ((values.astype(np.uint32) * to + white // 2) // white).astype(np.uint16)
