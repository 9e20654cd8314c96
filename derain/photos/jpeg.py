"""JPEG, whose segments beside the image stay as they are and in their order, whether anybody knows them or not.

Only previews in them are made anew, and what they say of places in the file. The same goes for what a phone adds after
the end: further pictures (gain map, depth, preview) by CIPA's Multi-Picture Format, a video.
"""

import hashlib
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from derain.arrays import Pixels, Rgb8
from derain.errors import PhotoError
from derain.photos import captions, segments
from derain.photos.captions import Captions
from derain.photos.codec import EXIF, QUALITY, Codec, NewPhoto, tells_resolution
from derain.photos.directories import CAMERA, PLACE, order_of
from derain.photos.original import Original, upright
from derain.photos.previews import LEFT_OUT, STILL_RAINY, Previews
from derain.photos.segments import Segment

SIGNATURE = b"\xff\xd8\xff"
JFIF, JFXX, PROFILE, LIST = b"JFIF\0", b"JFXX\0", b"ICC_PROFILE\0", b"MPF\0"
XMP, FURTHER_XMP, PHOTOSHOP = (
    b"http://ns.adobe.com/xap/1.0/\0",
    b"http://ns.adobe.com/xmp/extension/\0",
    b"Photoshop 3.0\0",
)
DIGEST = slice(len(FURTHER_XMP), len(FURTHER_XMP) + 32)  # of all further XMP; its length and a place in it follow
HEAD = DIGEST.stop + 8
ENTRIES = 0xB002  # tag of the list of pictures: attributes, size, offset, dependencies; 16 bytes each
KIND, PREVIEW, VIEW, UNDEFINED = 0xFFFFFF, 0x01, 0x02, 0  # of a picture in the list; its highest byte
SMALL = 1 / 4  # of the photo's pixels, which a picture of no kind has at the most where it is a preview
CREDENTIALS = 0xEB, b"c2pa"  # marker, and what is in it
SUBSAMPLINGS: dict[tuple[float, float], str] = {  # by samples of light for one of colour, across and down
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (4, 1): "4:1:1",
    (1, 2): "4:4:0",
    (4, 2): "4:1:0",
}
WRITTEN = {"4:4:4", "4:2:2", "4:2:0"}  # kinds of subsampling that Pillow writes
FOUR_BYTES = "RGBX"  # Pillow's mode
MOST_SCANS = 100  # each of which goes over all of the picture; encoders write about ten
BLOCKS_A_BYTE = 8  # of 64 pixels: each takes one bit at the least
LONGEST_XMP, LONG = 65_502, 1000  # bytes: of what a segment holds, and of one value
IPTC_MARKER = 0xED
RESOLUTION_UNITS = 1, 2  # of JFIF: inches, centimetres


class Jpeg(Codec):
    opener = segments.JpegPicture

    def open(self, content: bytes) -> ImageFile:
        if kind := segments.rare_kind(content):
            raise PhotoError(f"is a {kind}, which derain does not read; convert it to 8-bit JPEG, PNG or TIFF first")
        return super().open(content)

    def least_bytes(self, image: ImageFile, content: bytes) -> float:
        if segments.is_arithmetic(content):
            return 0
        return math.ceil(image.width / 8) * math.ceil(image.height / 8) / BLOCKS_A_BYTE

    def refuse_endless(self, content: bytes) -> None:
        if segments.scans_of(content, MOST_SCANS + 1) > MOST_SCANS:
            raise PhotoError(
                f"has over {MOST_SCANS} scans, far more than any photo; save it again with another program"
            )

    def completed(self, content: bytes) -> bytes:
        return segments.with_end(content)

    def read(self, image: ImageFile, content: bytes) -> Original:
        """The photo of an opened file, decoded into an array of ours, as Pillow copies its own pixel by pixel."""
        if image.mode != "RGB":
            return super().read(image, content)
        array, mapped = _four_bytes_a_pixel(image.size)
        try:
            mapped.frombytes(self.completed(content), "jpeg", FOUR_BYTES, "")
        except ValueError:
            return super().read(image, content)  # which says what is wrong with it
        pixels, orientation = cv2.cvtColor(array, cv2.COLOR_RGBA2RGB), self.orientation(image)
        return Original(
            upright(orientation)(pixels), "JPEG", orientation=orientation, content=content, options=self.kept(image)
        )

    def image_of(self, channels: Pixels) -> Image.Image:
        if channels.ndim == 2:
            return super().image_of(channels)
        array, mapped = _four_bytes_a_pixel((channels.shape[1], channels.shape[0]))
        cv2.cvtColor(channels, cv2.COLOR_RGB2RGBA, dst=array)
        return mapped

    def kept(self, image: ImageFile) -> dict[str, Any]:
        assert isinstance(image, JpegImageFile)
        options = super().kept(image)
        if image.info.get("jfif_unit") not in RESOLUTION_UNITS and not tells_resolution(options.get("exif", b"")):
            options.pop("dpi", None)  # which Pillow makes up
        return options | {
            "qtables": image.quantization,
            "progressive": bool(image.info.get("progressive")),
            "subsampling": subsampling_of(image.layer),
        }

    def further(self, original: Original) -> list[str]:
        parts = segments.metadata(original.content)
        known = JFIF, JFXX, EXIF, XMP, PROFILE, LIST, PHOTOSHOP, FURTHER_XMP
        others = [part for part in parts if part.kind != segments.COMMENT and not part.data.startswith(known)]
        found = {
            "further XMP": any(part.data.startswith(FURTHER_XMP) for part in parts) or _has_second_xmp(parts),
            "its incomplete ICC profile": _lacks_profile(parts),
            "Photoshop's settings": captions.holds_more(_photoshop(parts)),
            "vendor segments": bool(others),
            "further pictures": any(part.data.startswith(LIST) for part in parts),
        }
        found["data after its end"] = not found["further pictures"] and 0 < segments.length(original.content) < len(
            original.content
        )
        return [name for name, there in found.items() if there]

    def captions(self, original: Original) -> Captions:
        parts = segments.metadata(original.content)
        comments = (captions.decoded(part.data) for part in parts if part.kind == segments.COMMENT)
        return Captions(captions.iptc_of(_photoshop(parts)), tuple(filter(None, comments)))

    def write(self, new: NewPhoto) -> bytes:
        if not new.same:
            options = self.metadata(new)
            said = Captions(options.pop("iptc", b""), options.pop("comments", ()))
            return with_captions(self.save(new, new.channels(), options | self.coding(new)), said, new.previews)
        plain = self.save(new, new.channels(), self.coding(new))
        return with_rest_of(plain, new.original.content, new.previews)

    def metadata(self, new: NewPhoto) -> dict[str, Any]:
        options = super().metadata(new)
        if len(options.get("xmp", b"")) > LONGEST_XMP:
            del options["xmp"]
            new.previews.say("its XMP is left out because it is too long for a JPEG")
        if len(options.get("exif", b"")) > segments.LONGEST:
            options["exif"] = _shortened(options["exif"])
            new.previews.say("long EXIF values are left out because they do not fit into a JPEG")
        return options

    def coding(self, new: NewPhoto) -> dict[str, Any]:
        if new.same and new.quality is None:
            options = {name: new.original.options[name] for name in ("qtables", "subsampling", "progressive")}
            if segments.is_arithmetic(new.original.content):
                new.previews.say("its arithmetic coding became Huffman's: nothing is lost, but the file is larger")
            if options["subsampling"] not in WRITTEN:
                new.previews.say(
                    f"its chroma subsampling of {options['subsampling']}, which derain cannot write, became 4:4:4: "
                    "no colour is lost, but the file is larger"
                )
                options["subsampling"] = "4:4:4"
            return options
        return {"quality": new.quality or QUALITY, "subsampling": 0 if new.quality is None else -1}


def subsampling_of(channels: list[tuple[int, int, int, int]]) -> str:
    """What the sampling of a JPEG's channels is called; each has an identifier, and samples across and down a block."""
    factors = [(across, down) for _, across, down, _ in channels]
    if len(set(factors)) <= 1:
        return "4:4:4"
    ratios = {(factors[0][0] / across, factors[0][1] / down) for across, down in factors[1:3]}
    other = " ".join(f"{across}x{down}" for across, down in factors)
    return SUBSAMPLINGS.get(ratios.pop(), other) if len(ratios) == 1 and len(factors) == 3 else other


def _four_bytes_a_pixel(size: tuple[int, int]) -> tuple[Rgb8, Image.Image]:
    """An array ``(H, W, 4)``, and Pillow's image of the same memory, which is how Pillow holds colours."""
    array = np.empty((size[1], size[0], 4), np.uint8)
    return array, Image.frombuffer(FOUR_BYTES, size, array, "raw", FOUR_BYTES, 0, 1)


def _photoshop(parts: list[Segment]) -> bytes:
    return b"".join(part.data[len(PHOTOSHOP) :] for part in parts if part.data.startswith(PHOTOSHOP))


def with_captions(jpeg: bytes, said: Captions, previews: Previews) -> bytes:
    """The JPEG with IPTC and comments after its other metadata."""
    if not said.as_options():
        return jpeg
    block, room = captions.as_block(said.iptc) if said.iptc else b"", segments.LONGEST - len(PHOTOSHOP)
    parts = [Segment(0, IPTC_MARKER, PHOTOSHOP + block[at : at + room]) for at in range(0, len(block), room)]
    for comment in map(str.encode, said.comments):
        if len(comment) > segments.LONGEST:
            previews.say("a comment is left out because it is too long for a JPEG")
        else:
            parts.append(Segment(0, segments.COMMENT, comment))
    return segments.with_metadata(jpeg, [*segments.metadata(jpeg), *parts])


def _has_second_xmp(parts: list[Segment]) -> bool:
    """Whether there are several packets, of which other formats hold one."""
    return sum(part.data.startswith(XMP) for part in parts) > 1


def _lacks_profile(parts: list[Segment]) -> bool:
    """Whether part of a profile is missing."""
    profiles = [part.data[len(PROFILE) : len(PROFILE) + 2] for part in parts if part.data.startswith(PROFILE)]
    return bool(profiles) and {data[0] for data in profiles if data} != set(range(1, profiles[0][-1] + 1))


def _shortened(exif: bytes) -> bytes:
    """EXIF without thumbnail, maker's note and other long values."""
    whole, short = Image.Exif(), Image.Exif()
    with suppress(Exception):  # damaged EXIF raises anything
        whole.load(exif)
    of = ((short, whole), *((short.get_ifd(tag), whole.get_ifd(tag)) for tag in (CAMERA, PLACE)))
    for kept, values in of:
        kept.update({tag: v for tag, v in values.items() if not isinstance(v, dict) and len(str(v)) < LONG})
    return short.tobytes()


def with_rest_of(plain: bytes, source: bytes, previews: Previews) -> bytes:
    """The JPEG ``plain`` with all that the JPEG ``source`` holds beside its picture."""
    parts = segments.metadata(source)
    if any(part.kind == CREDENTIALS[0] and CREDENTIALS[1] in part.data for part in parts):
        previews.say("its content credentials still describe the original photo")
    first = segments.with_metadata(plain, renewed(parts, previews))
    tail = source[segments.length(source) or len(source) :]
    here, there = _pictures(first), _pictures(source)
    if not here or not there:
        return first + previews.in_blob(tail, most=SMALL)
    return _joined(first, here, source, there, previews)


def renewed(parts: list[Segment], previews: Previews) -> list[Segment]:
    """The segments, with the previews in them made anew; all but JFIF keep their length."""
    result = []
    for part in parts:
        data = part.data
        if data.startswith(JFXX) or (data.startswith(JFIF) and any(data[12:14])):
            previews.say(LEFT_OUT)
            if data.startswith(JFXX):
                continue
            data = data[:12] + bytes(2)
        elif data.startswith(XMP):
            data = previews.in_xmp(data)
        elif not data.startswith((EXIF, PHOTOSHOP, FURTHER_XMP)):
            data = previews.in_blob(data)
        result.append(replace(part, data=data))
    result = _renewed_together(result, EXIF, len(EXIF), previews.in_exif)
    result = _renewed_together(result, PHOTOSHOP, len(PHOTOSHOP), previews.in_photoshop)
    further = _renewed_together(result, FURTHER_XMP, HEAD, previews.in_xmp)
    return further if further == result else _with_digest(further)


def _renewed_together(parts: list[Segment], name: bytes, head: int, renew: Callable[[bytes], bytes]) -> list[Segment]:
    """Make anew what goes on from segment to segment: those of a name, each after a head of so many bytes."""
    result, rest = [], renew(b"".join(part.data[head:] for part in parts if part.data.startswith(name)))
    for part in parts:
        if part.data.startswith(name) and (room := len(part.data) - head) > 0:
            part, rest = replace(part, data=part.data[:head] + rest[:room]), rest[room:]
        result.append(part)
    return result


def _with_digest(parts: list[Segment]) -> list[Segment]:
    """XMP names its further part by a digest."""
    for digest in {part.data[DIGEST] for part in parts if part.data.startswith(FURTHER_XMP)}:
        of = [part.data for part in parts if part.data.startswith(FURTHER_XMP + digest)]
        new = hashlib.md5(b"".join(data[HEAD:] for data in of), usedforsecurity=False).hexdigest().upper().encode()
        if len(digest) == len(new):
            parts = [
                replace(part, data=part.data.replace(digest, new)) if part.data.startswith((XMP, FURTHER_XMP)) else part
                for part in parts
            ]
    return parts


@dataclass(frozen=True)
class _Pictures:
    """The list of pictures in a JPEG."""

    order: str  # of bytes
    start: int  # where all offsets count from
    entries: list[int]  # where each lies in the file


def _pictures(jpeg: bytes) -> _Pictures | None:
    """``None`` if there is no list, or a damaged one."""
    place = next((part.place + 4 for part in segments.metadata(jpeg) if part.data.startswith(LIST)), None)
    if place is None:
        return None
    start = place + len(LIST)
    try:
        order = order_of(jpeg[start : start + 2])
        (directory,) = struct.unpack_from(order + "I", jpeg, start + 4)
        (count,) = struct.unpack_from(order + "H", jpeg, start + directory)
        for index in range(count):
            tag, _, size, offset = struct.unpack_from(order + "HHII", jpeg, start + directory + 2 + 12 * index)
            if tag == ENTRIES:
                if start + offset + size > len(jpeg):  # before a list of so many is made
                    return None
                return _Pictures(order, start, [start + offset + 16 * picture for picture in range(size // 16)])
    except (struct.error, KeyError):
        pass
    return None


def _joined(first: bytes, here: _Pictures, source: bytes, there: _Pictures, previews: Previews) -> bytes:
    """A picture and what follows that of the source, with its list of pictures set right."""
    end = segments.length(source) or len(source)
    tail, file = bytearray(source[end:]), bytearray(first)
    for entry, old in zip(here.entries, there.entries):
        kind, size, offset = struct.unpack_from(there.order + "III", source, old)
        place = there.start + offset - end
        if not offset:
            struct.pack_into(here.order + "I", file, entry + 4, len(first))
        elif 0 <= place < len(tail):
            tail[place : place + size] = _renewed(bytes(tail[place : place + size]), kind & KIND, previews)
            struct.pack_into(here.order + "I", file, entry + 8, len(first) + place - here.start)
    return bytes(file + tail)


def _renewed(picture: bytes, kind: int, previews: Previews) -> bytes:
    """A further picture: made anew if it is a preview, else as it is."""
    shown = kind >> 16 == PREVIEW or (kind == UNDEFINED and previews.shows_photo(picture))
    if kind >> 16 == VIEW or (shown and kind == UNDEFINED and previews.share(picture) > SMALL):
        previews.say(STILL_RAINY)
        return picture
    if not shown:
        return picture
    new = previews.like(picture)
    if new is None:
        previews.say(LEFT_OUT)
    return (new or b"").ljust(len(picture), b"\0")
