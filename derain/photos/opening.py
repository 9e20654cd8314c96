"""Pictures opened by what their files are, whatever the names say: no decoder sees the bytes but that of a format that
derain names. Nothing of Pillow's or the process's is registered or set for that.
"""

import io
import struct
from collections.abc import Callable, Iterator
from copy import copy
from types import ModuleType

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from derain.errors import PhotoError

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
OPENING_FAILS = (SyntaxError, IndexError, TypeError, struct.error)  # Pillow's plugins on what is none of theirs


BITS, LIGHT, EXTRA = 258, 262, 338  # TIFF tags
DEEP_WITH_ALPHA = (16, 16)


class _Tiff(TiffImageFile):
    """Without the limit of the whole process, as derain has its own, and with grey and alpha of 16 bits.

    The latter can be opened; ``deep.read_tiff`` decodes it.
    """

    def _setup(self) -> None:
        tags = self.tag_v2
        if tags.get(BITS) != DEEP_WITH_ALPHA or tags.get(LIGHT) not in (0, 1):
            return super()._setup()
        self.tag_v2 = copy(tags)
        self.tag_v2._tags_v2 = dict(tags) | {BITS: (8, 8), LIGHT: 1, EXTRA: (2,)}
        self.tag_v2._tagdata = {}
        super()._setup()
        self.tag_v2 = tags

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        ImageFile.ImageFile.load_prepare(self)


def open_picture(content: bytes) -> ImageFile.ImageFile:
    """Pillow's image of a JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC, not decoded yet.

    Raises:
        UnidentifiedImageError: the content is none of these.
        PhotoError: a HEIC without the extra for it.
    """
    return _opened(_OPENERS.get(format_of_content(content)), content)


def open_gif(content: bytes) -> ImageFile.ImageFile:
    """Pillow's image of a GIF.

    Raises:
        UnidentifiedImageError: the content is none.
    """
    return _opened(GifImageFile if content.startswith(b"GIF8") else None, content)


def _opened(opener: Callable[[io.BytesIO], ImageFile.ImageFile] | None, content: bytes) -> ImageFile.ImageFile:
    if opener is None:
        raise UnidentifiedImageError("none of derain's formats")
    try:
        return opener(io.BytesIO(content))
    except OPENING_FAILS as error:
        raise UnidentifiedImageError(str(error)) from None


def format_of_content(content: bytes) -> str | None:
    """Pillow's name of the format, by the signature; ``None`` if derain does not read it."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    if content.startswith(TIFF_SIGNATURES):
        return "TIFF"
    if content.startswith(b"BM"):
        return "BMP"
    brands = set(_brands(content))
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIF_BRANDS else None


def _brands(content: bytes) -> Iterator[bytes]:
    """The major brand and the compatible ones of an ISO base media file."""
    if content[4:8] == b"ftyp":
        (size,) = struct.unpack_from(">I", content)
        yield content[8:12]
        for place in range(16, min(size, len(content), 1024) - 3, 4):
            yield content[place : place + 4]


def heif_library() -> ModuleType:
    """pillow-heif, which an extra brings.

    Raises:
        PhotoError: it is not there.
    """
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError("HEIC needs an extra; pip install 'derain[heic]'") from None
    return pillow_heif


def _open_heif(file: io.BytesIO) -> ImageFile.ImageFile:
    from importlib import import_module

    heif_library()
    return import_module("pillow_heif.as_plugin").HeifImageFile(file)


_OPENERS: dict[str | None, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "TIFF": _Tiff,
    "BMP": BmpImageFile,
    "AVIF": AvifImageFile,
    "HEIF": _open_heif,
}
