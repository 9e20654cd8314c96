"""A format of photos, and its codec: how such files are read and written. What the base does, Pillow does alone."""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from derain.arrays import Pixels
from derain.errors import PhotoError, reason
from derain.photos.captions import Captions
from derain.photos.exif_tags import DAMAGED, EXIF, RATIO, SHORT, Entry, with_entries
from derain.photos.original import WHITE, Original, as_rgb, to_8_bit, upright
from derain.photos.previews import Previews

QUALITY = 95  # of lossy formats, where the source's own tables cannot be kept
ORIENTATION = 274  # EXIF tag
RESOLUTION, INCH = (282, 283, 296), 2  # EXIF tags of both resolutions and their unit
METADATA = ("exif", "icc_profile", "dpi", "xmp")
OPENING_FAILS = (SyntaxError, IndexError, TypeError, struct.error)  # Pillow's plugins on what is none of theirs


@dataclass(frozen=True)
class Format:
    """A format: what its files are called and begin with, what reads and writes them, and what they can hold."""

    name: str  # Pillow's
    suffixes: tuple[str, ...]
    has_signature: Callable[[bytes], bool]
    codec: "Codec"
    choices: tuple[str, ...] = ()  # what `--format` calls it, which takes its suffixes, too
    extra: str = ""  # of derain, that it needs
    lossless: bool = False  # its photos stay lossless in formats that can be either
    holds: tuple[str, ...] = METADATA
    alpha: bool = False
    deep: bool = False  # 16 bits, of photos of other formats too
    inks: bool = False  # CMYK
    codes: bool = False  # colours without a profile, by the codes of H.273

    @property
    def suffix(self) -> str:
        """What a new file of it ends in."""
        return self.suffixes[0]


@dataclass(frozen=True)
class NewPhoto:
    """What a file is to hold: the original with other pixels."""

    original: Original
    pixels: Pixels  # upright (H, W, 3)
    format: Format
    source: Format | None  # of the original's file; None of a new picture
    quality: int | None  # 1 to 100 of lossy formats; None: the source's
    previews: Previews

    @property
    def same(self) -> bool:
        """Whether the format is the original's."""
        return self.source is self.format

    def channels(self) -> Pixels:
        """``(H, W)`` or ``(H, W, C)`` as the file is to store them."""
        original, pixels = self.original, self.pixels
        turn, alpha = self.previews.turn, original.alpha
        if original.inks is not None and self.format.inks:
            inks = original.inks.copy()  # rain is light: taking it away adds ink
            darker = np.maximum(original.pixels.astype(int) - pixels, 0)
            under_black = np.maximum(255 - inks[..., 3:].astype(int), 1)  # where ink tells less the more black there is
            inks[..., :3] = np.minimum(original.inks[..., :3] + darker * 255 // under_black, 255)
            lit = (pixels > original.pixels).any(axis=2)  # where dark streaks were filled
            inks[lit] = _lit(original.inks[lit], pixels[lit].astype(np.float32) - original.pixels[lit])
            return np.ascontiguousarray(turn(inks))
        if pixels.dtype == np.uint16 and not self.format.deep:
            pixels, alpha = to_8_bit(pixels), None if alpha is None else to_8_bit(alpha)
            self.previews.say(f"it was reduced to 8 bits a channel, the most that this {self.format.name} can hold")
        if alpha is None and not original.grey and pixels is self.previews.after:
            return self.previews.stored_after
        colours = _mean(pixels) if original.grey else pixels
        channels: Pixels = turn(colours if alpha is None else np.dstack([colours, alpha]))
        return np.ascontiguousarray(channels if channels.shape[-1] != 1 else channels[..., 0])


def _lit(inks: Pixels, light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Inks ``(N, 4)`` with so much more light ``(N, 3)``: black goes where no other ink could give as much."""
    paper = 255 - inks.astype(np.float32)
    wanted = (paper[:, :3] * paper[:, 3:] / 255 + light).clip(0, 255)
    under_black = np.maximum(paper[:, 3:], wanted.max(axis=1, keepdims=True)).clip(1)
    return np.rint(255 - np.hstack([wanted * 255 / under_black, under_black])).astype(np.uint8)


class Codec:
    """Reads and writes one format. A codec overrides what its format needs."""

    opener: Callable[[io.BytesIO], ImageFile]

    def open(self, content: bytes) -> ImageFile:
        """Pillow's image, not decoded yet.

        Raises:
            UnidentifiedImageError: the content is none of this format.
        """
        return opened(type(self).opener, content)

    def declared_size(self, content: bytes) -> tuple[int, int]:
        """Width and height, where opening would already allocate them."""
        return 0, 0

    def least_bytes(self, image: ImageFile, content: bytes) -> float:
        """Bytes that any encoder needs for a picture of this size; 0 where that cannot be told."""
        return 0

    def refuse_endless(self, content: bytes) -> None:
        """
        Raises:
            PhotoError: decoding takes far longer than for any photo.
        """

    def completed(self, content: bytes) -> bytes:
        """The file, with what it may lack without harm.

        Raises:
            PhotoError: part of the picture is missing.
        """
        return content

    def choose_page(self, image: ImageFile) -> tuple[str, ...]:
        """Turn to the one page of a file that is a photo, and say what the others are.

        Raises:
            PhotoError: there are several photos, or it is no finished one.
        """
        if getattr(image, "n_frames", 1) > 1:
            raise PhotoError(MOVING.get(image.format or "", SEVERAL))
        return ()

    def read(self, image: ImageFile, content: bytes) -> Original:
        """The photo of an opened file."""
        is_deep = has_bytes(image) and self.is_deep(image, content)
        image.load()
        found = Original(
            np.empty(0),
            image.format or "",
            orientation=self.orientation(image),
            content=content,
            options=self.kept(image),
        )
        return self.read_deep(found, image) if is_deep else read_plain(found, image, upright(found.orientation))

    def changes(self, image: ImageFile, content: bytes) -> tuple[str, ...]:
        """How any result differs from a photo of this kind, in a sentence each."""
        if image.mode == "1":
            return fewer_bits(1)
        return ("its palette became RGB",) if image.mode in ("P", "PA") else ()

    def is_deep(self, image: ImageFile, content: bytes) -> bool:
        """Whether Pillow would cut its colours to 8 bits."""
        return False

    def read_deep(self, found: Original, image: ImageFile) -> Original:
        """The photo at its depth, which Pillow does not read."""
        raise NotImplementedError

    def orientation(self, image: ImageFile) -> int:
        """EXIF's, 1 to 8; 1 where it says nothing that can be understood, as the picture is there all the same."""
        try:
            orientation = image.getexif().get(ORIENTATION)
        except Exception:  # damaged EXIF raises anything
            return 1
        return int(orientation) if orientation and orientation in range(1, 9) else 1

    def kept(self, image: ImageFile) -> dict[str, Any]:
        """Metadata and encoding, under the names that Pillow's ``save`` takes."""
        options = {name: value for name in METADATA if (value := image.info.get(name))}
        if not all(0 < value < float("inf") for value in options.get("dpi", ())):
            del options["dpi"]
        if "exif" in options and not options["exif"].startswith(EXIF):
            options["exif"] = EXIF + options["exif"]  # WebP has it without
        return options

    def further(self, original: Original) -> list[str]:
        """What the file holds that no other format takes, in a few words each."""
        return []

    def captions(self, original: Original) -> Captions:
        """IPTC and comments, for another format."""
        return Captions()

    def needs_codes(self, content: bytes) -> bool:
        """Whether only codes tell what its colours mean."""
        return False

    def exif_for_others(self, exif: bytes) -> bytes:
        """EXIF for another format."""
        return exif

    def write(self, new: NewPhoto) -> bytes:
        """The file.

        Raises:
            PhotoError: the format cannot hold the photo.
        """
        return self.save(new, new.channels(), self.options(new))

    def options(self, new: NewPhoto) -> dict[str, Any]:
        """What Pillow's ``save`` takes."""
        return self.metadata(new)

    def metadata(self, new: NewPhoto) -> dict[str, Any]:
        """The original's metadata, with its previews made anew."""
        options = {name: value for name, value in new.original.options.items() if name in new.format.holds}
        if new.original.inks is not None and not new.format.inks and options.pop("icc_profile", None):
            new.previews.say("its ICC profile is left out because it describes inks")
        if "dpi" in new.original.options and "dpi" not in new.format.holds and "exif" in new.format.holds:
            if not tells_resolution(exif := options.get("exif", b"")):
                options["exif"] = with_resolution(exif, new.original.options["dpi"])
            if not tells_resolution(options["exif"]):
                new.previews.say(f"its resolution is left out, for which {new.format.name} has no place beside EXIF")
        if "exif" in options:
            if new.source and not new.same:
                options["exif"] = new.source.codec.exif_for_others(options["exif"])
            options["exif"] = self.renewed_exif(options["exif"], new)
        if "xmp" in options:
            options["xmp"] = new.previews.in_xmp(options["xmp"])
        return options

    def renewed_exif(self, exif: bytes, new: NewPhoto) -> bytes:
        return new.previews.in_exif(exif)

    def save(self, new: NewPhoto, channels: Pixels, options: dict[str, Any]) -> bytes:
        """A file by Pillow."""
        height, width = channels.shape[:2]
        mode = "CMYK" if new.original.inks is not None and new.format.inks else None
        image = Image.frombytes(mode, (width, height), channels.tobytes()) if mode else self.image_of(channels)
        file = io.BytesIO()
        try:
            self.save_image(image, file, new.format.name, options)
        except PhotoError:
            raise
        except Exception as error:  # encoders raise anything on what their format cannot hold
            raise PhotoError(
                f"cannot be written as {new.format.name} ({reason(error)}); choose another format"
            ) from None
        return file.getvalue()

    def image_of(self, channels: Pixels) -> Image.Image:
        return Image.fromarray(channels)

    def save_image(self, image: Image.Image, file: io.BytesIO, name: str, options: dict[str, Any]) -> None:
        image.save(file, format=name, **options)


SIMPLER = "save it as a TIFF or PNG with 8 or 16 bits a channel"
SEVERAL = "holds several pictures; save the one that you want as a file of its own"
ANIMATED = "is animated; save one picture of it, or convert it to a GIF or an animated PNG for `derain video`"
MOVING = {"PNG": "is animated; `derain video` takes it", "WEBP": ANIMATED, "AVIF": ANIMATED}  # by Pillow's name


def fewer_bits(bits: int) -> tuple[str, ...]:
    """What becomes of grey of so many bits."""
    what = "1-bit black and white" if bits == 1 else f"{bits}-bit grey"
    return (f"its {what} became 8-bit grey",) if bits < 8 else ()


def with_resolution(exif: bytes, dpi: tuple[float, float]) -> bytes:
    """EXIF that tells dots per inch, for a format that has no other place for them; damaged EXIF stays as it is."""
    across, down = (Entry(tag, RATIO, (round(value * 1000),)) for tag, value in zip(RESOLUTION, dpi))
    with suppress(*DAMAGED):
        return with_entries(exif, [across, down, Entry(RESOLUTION[2], SHORT, (INCH,))])
    return exif


def tells_resolution(exif: bytes) -> bool:
    known = Image.Exif()
    with suppress(Exception):  # damaged EXIF raises anything
        known.load(exif)
    return RESOLUTION[0] in known


def opened(opener: Callable[[io.BytesIO], ImageFile], content: bytes) -> ImageFile:
    """Pillow's image by one of its plugins.

    Raises:
        UnidentifiedImageError: the content is none of its format.
    """
    try:
        return opener(io.BytesIO(content))
    except OPENING_FAILS as error:
        raise UnidentifiedImageError(str(error)) from None


def has_bytes(image: ImageFile) -> bool:
    """Whether Pillow holds its channels in 8 bits each."""
    return not image.mode.startswith("I") and image.mode != "F"


def read_plain(found: Original, image: ImageFile, turn: Callable[[Pixels], Pixels], inverted: bool = False) -> Original:
    """The photo as Pillow decoded it.

    Args:
        inverted: whether white is 0 where there are 16 bits.
    """
    mode = image.mode
    if mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > WHITE:
            raise PhotoError("has more than 16 bits a channel; save it with 8 or 16")
        values = values.astype(np.uint16)
        key = image.info.get("transparency")
        if inverted:
            values = WHITE - values
        alpha = None if key is None else turn(np.where(values == key, 0, WHITE).astype(np.uint16))
        return replace(found, pixels=turn(as_rgb(values)), grey=True, alpha=alpha)
    if mode == "F":
        raise PhotoError(f"holds floating-point numbers, which derain does not read; {SIMPLER}")
    if mode == "CMYK":
        inks = np.asarray(image)
        return replace(found, pixels=turn(np.asarray(image.convert("RGB"))), inks=turn(inks))
    transparent = mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
    grey = mode in ("1", "L", "LA", "La")
    wanted = ("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB")
    plain = image if mode == wanted and not transparent else image.convert(wanted)  # which copies
    channels = np.asarray(plain)
    alpha = turn(channels[..., -1]) if transparent else None
    colours = channels[..., :-1] if transparent else channels
    return replace(
        found, pixels=turn(as_rgb(colours[..., 0] if grey and transparent else colours)), alpha=alpha, grey=grey
    )


def with_channels(found: Original, values: Pixels, colours: int, has_alpha: bool = True) -> Original:
    """The photo of ``(H, W, C)`` as stored: so many colours, 1 or 3, and alpha, if the next channel is that."""
    turn = upright(found.orientation)
    alpha = turn(values[..., colours]) if has_alpha and values.shape[2] > colours else None
    return replace(found, pixels=turn(as_rgb(values[..., :colours])), alpha=alpha, grey=colours == 1)


def _mean(pixels: Pixels) -> Pixels:
    """One channel, ``(H, W, 1)``."""
    return (pixels.mean(axis=2, keepdims=True) + 0.5).astype(pixels.dtype)
