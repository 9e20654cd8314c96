"""HEIC and AVIF, with another picture in the place of their own, and what their colours mean where no profile says it:
H.273 codes in their ``colr`` box.
"""

import io
import struct
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile

from derain.arrays import Pixels
from derain.errors import PhotoError
from derain.photos import coded, items
from derain.photos.codec import ORIENTATION, QUALITY, Codec, NewPhoto, opened, with_channels
from derain.photos.original import Original, upright
from derain.photos.previews import STILL_RAINY, has_thumbnail

# what files raise that are no list of items
UNREADABLE = (PhotoError, struct.error, KeyError, IndexError, StopIteration, ArithmeticError)
COLOUR_BOX = b"colrnclx"
SRGB_CODES = 1, 13  # primaries and transfer of sRGB
SRGB_LIKE_PRIMARIES = {1, 2, 5, 6, 7}  # those, not specified, and television's of old, which are shown alike
SRGB_LIKE_TRANSFERS = {1, 2, 4, 5, 6, 7, 13, 14, 15}

AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class _Items(Codec):
    """What both have in common."""

    def is_deep(self, image: ImageFile, content: bytes) -> bool:
        return bits(content) > 8

    def further(self, original: Original) -> list[str]:
        """Pictures beside the one that is shown: depth, gain maps, a second one."""
        try:
            file = items.read(original.content)
        except UNREADABLE:
            return []
        moving = ["its image sequence"] if file.moves else []
        own = {file.primary, *file.of(items.TILES, file.primary), *file.to(items.THUMBNAIL, file.primary)}
        alpha = {number for number, item in file.items.items() if item.is_alpha}
        others = [item for number, item in file.items.items() if number not in own | alpha and item.holds(b"ispe")]
        return moving + ["its further pictures"] * bool(others)

    def needs_codes(self, content: bytes) -> bool:
        return not are_plain(colours(content))

    def options(self, new: NewPhoto) -> dict[str, Any]:
        return self.metadata(new) | {"quality": new.quality or QUALITY}

    def write(self, new: NewPhoto) -> bytes:
        source = new.original.content
        if new.same:
            try:
                return with_picture(items.read(source), new)
            except UNREADABLE:
                new.previews.say("all but its picture, EXIF, XMP and profile is left out because derain cannot read it")
        content = super().write(new)
        if new.source and new.source.codes and "icc_profile" not in new.original.options:
            return with_colours_of(content, source)
        return content


class Avif(_Items):
    opener = AvifImageFile

    def renewed_exif(self, exif: bytes, new: NewPhoto) -> bytes:
        """Empty if it is damaged, as AVIF's encoder takes none then."""
        try:
            known = Image.Exif()
            known.load(exif)
        except Exception:  # damaged EXIF raises anything
            new.previews.say("its EXIF is left out because it is damaged")
            return b""
        renewed = super().renewed_exif(exif, new)
        if not new.same and ORIENTATION in known and has_thumbnail(renewed):  # which Pillow writes anew without it
            new.previews.say(f"its thumbnail is left out, which {new.format.name} cannot hold")
        return renewed

    def open(self, content: bytes) -> ImageFile:
        return super().open(items.readable(content))

    def is_deep(self, image: ImageFile, content: bytes) -> bool:
        return (found := coding(content)).bits > 8 and coded.has_known_matrix(found)

    def changes(self, image: ImageFile, content: bytes) -> tuple[str, ...]:
        found = coding(content)
        is_cut = found.bits > 8 and not coded.has_known_matrix(found) and found.matrix != coded.YCGCO_RE
        said = f"its {found.bits} bits became 8, as its colours are coded in a way that derain reads no deeper"
        return (*super().changes(image, content), *([said] if is_cut else []))

    def read_deep(self, found: Original, image: ImageFile) -> Original:
        """Of which Pillow has decoded the alpha."""
        turn = upright(found.orientation)
        stored = coded.read_av1(items.read(found.content))
        alpha = turn(np.asarray(image.getchannel("A"), np.uint16) * 257) if "A" in image.getbands() else None
        return replace(found, pixels=turn(stored), alpha=alpha)


class Heif(_Items):
    def open(self, content: bytes) -> ImageFile:
        coded.heif_library()
        return opened(import_module("pillow_heif.as_plugin").HeifImageFile, items.readable(content, still=True))

    def choose_page(self, image: ImageFile) -> tuple[str, ...]:
        return ()  # the picture that is shown stands open; the others are kept

    def orientation(self, image: ImageFile) -> int:
        return 1  # the library turns it upright

    def read_deep(self, found: Original, image: ImageFile) -> Original:
        values = np.atleast_3d(coded.read_hevc(items.readable(found.content, still=True), bits(found.content)))
        return with_channels(found, values, 1 if values.shape[2] < 3 else 3)

    def save_image(self, image: Image.Image, file: io.BytesIO, name: str, options: dict[str, Any]) -> None:
        if "icc_profile" in options:
            image.info["icc_profile"] = options["icc_profile"]
        own = {name: value for name, value in options.items() if name in ("exif", "xmp", "quality")}
        coded.heif_library().from_pillow(image).save(file, **own)


def brands(content: bytes) -> set[bytes]:
    """The major brand and the compatible ones of an ISO base media file."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4], "big"), len(content), 1024)
    return {content[8:12], *(content[place : place + 4] for place in range(16, end - 3, 4))}


def colours(content: bytes) -> tuple[int, int]:
    """Codes of primaries and transfer; those of sRGB if the file names none."""
    place = _place(content)
    return struct.unpack_from(">HH", content, place) if 0 < place < len(content) - 4 else SRGB_CODES


def are_plain(codes: tuple[int, int]) -> bool:
    """Whether any viewer shows these colours right without being told."""
    return codes[0] in SRGB_LIKE_PRIMARIES and codes[1] in SRGB_LIKE_TRANSFERS


def with_colours_of(plain: bytes, source: bytes) -> bytes:
    """``plain`` with the codes of ``source``, if both name them; how its numbers are stored stays its own."""
    here, there = _place(plain), _place(source)
    return plain[:here] + source[there : there + 4] + plain[here + 4 :] if here and there else plain


def _place(content: bytes) -> int:
    """Where the codes of the picture stand, not those of a video beside it; 0 if it has none."""
    with suppress(PhotoError):
        for start, kind, inner in items.placed_boxes(content):
            if kind == b"meta":
                found = content.find(COLOUR_BOX, start, start + len(inner))
                return found + len(COLOUR_BOX) if found > 0 else 0
    return 0


def with_picture(file: items.ItemFile, new: NewPhoto) -> bytes:
    """The file with another picture and its thumbnails; all else stays as it is. Damaged ones raise ``UNREADABLE``."""
    quality, previews = new.quality or QUALITY, new.previews
    primary = file.items[file.primary]
    coding = coded.coding_of(file, file.primary)
    if primary.kind not in items.CODED_TYPES | {items.GRID}:
        raise KeyError(primary.kind)
    av1 = primary.kind == coded.AV1 or file.kind[8:12] in (b"avif", b"avis")
    stored = _as_stored(new.pixels, primary)
    kind = coded.AV1 if av1 else b"hvc1"
    for thumbnail in file.to(items.THUMBNAIL, file.primary):
        width, height = file.items[thumbnail].shown
        if not (0 < width <= stored.shape[1] and 0 < height <= stored.shape[0]):
            raise KeyError(thumbnail)
        small = np.asarray(cv2.resize(stored, (width, height), interpolation=cv2.INTER_AREA))
        like = coded.coding_of(file, thumbnail)
        file.replace(thumbnail, items.read(coded.encode(small, kind, like, quality)))
    file.replace(file.primary, items.read(coded.encode(stored, kind, coding, quality)))
    if (left := coded.coding_of(file, file.primary)).bits < coding.bits or left.chroma < coding.chroma:
        had, has = (f"{c.bits} bits and {':'.join(c.chroma)}" for c in (coding, left))
        previews.say(f"had {had}; the result has {has}, the most that derain can write here; PNG keeps the depth")
    for item in file.items.values():
        if item.kind == b"Exif":
            start = 4 + int.from_bytes(item.data[:4], "big")
            item.data = item.data[:start] + previews.in_exif(item.data[start:])
        elif item.kind == b"mime" and b"rdf+xml" in item.entry:
            item.data = previews.in_xmp(item.data)
    if file.moves:
        previews.say("the image sequence in it is left out because it still shows the rain")
    if len(file.pictures()) > 1:
        previews.say(STILL_RAINY)
    return items.write(file)


def _as_stored(picture: Pixels, item: items.Item) -> Pixels:
    """Undo the turns that a viewer makes, from the last to the first."""
    for entry, _ in reversed(item.properties):
        if entry[4:8] == b"irot":
            picture = np.rot90(picture, -(entry[8] & 3))
        elif entry[4:8] == b"imir":
            picture = picture[:, ::-1] if entry[8] & 1 else picture[::-1]
    return np.ascontiguousarray(picture)


def bits(content: bytes) -> int:
    """Of the picture; 8 where that cannot be told."""
    return coding(content).bits


def coding(content: bytes) -> coded.Coding:
    """How the picture is coded; in the usual way where that cannot be told."""
    try:
        file = items.read(content)
        return coded.coding_of(file, file.primary)
    except UNREADABLE:
        return coded.Coding()
