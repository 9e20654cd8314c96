"""What a file says that it holds against the bytes that are there, told before anything is decoded.

A file of a few kilobytes may declare hundreds of megapixels. Where no encoder can have made so much of so little, the
file is damaged; where one can, but photos never are like that, whoever asks decides whether to wait for it.
"""

import math

from PIL import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from derain.errors import PhotoError
from derain.photos.jpeg_end import scans_of

LARGE = 50e6  # pixels from which few bytes are strange; blank ones of fewer are done at once
SPARSE = 0.01  # bytes a pixel; a blank page as JPEG has about that
MOST_SCANS = 100  # of a JPEG, each of which goes over all of the picture; encoders write about ten
BLOCKS_A_BYTE = 8  # of 64 pixels in a JPEG: each takes one bit at the least
DEFLATE = 1032  # bytes that one byte becomes at the most
BYTES_A_BYTE = {1: 1, 5: 2731, 8: DEFLATE, 32946: DEFLATE, 32773: 64}  # by the number of a TIFF's compression
BYTES_A_PIXEL = 14  # of memory: Pillow's pixels, those of the photo, background and rain
COMPRESSION, CHANNELS, BITS = 259, 277, 258  # TIFF tags


class SparseError(PhotoError):
    """A file that may be whole but holds far fewer bytes than photos of its size do; ``what`` is that in words."""

    def __init__(self, what: str, name: str = "the photo") -> None:
        super().__init__(f"{name}: {what}")
        self.what = what


def check_extent(image: ImageFile.ImageFile, content: bytes, patient: bool) -> None:
    """
    Raises:
        PhotoError: the file cannot hold what it declares, or the memory cannot.
        SparseError: it holds very little for its size; not if ``patient``.
    """
    pixels = image.width * image.height
    said = f"declares {image.width}x{image.height} px in {_size(len(content))}"
    if len(content) < _least(image, content):
        raise PhotoError(f"{said}, so part of it is missing; copy it again from where it came")
    if image.format == "JPEG" and (scans := scans_of(content)) > MOST_SCANS:
        raise PhotoError(f"goes over the picture {scans} times, as no photo does; save it anew with another program")
    if pixels > LARGE and (needed := BYTES_A_PIXEL * pixels) > (free := _free_memory()):
        raise PhotoError(f"{said}, for which {_size(needed)} of memory are needed and {_size(int(free))} are free")
    if not patient and pixels > LARGE and len(content) < SPARSE * pixels:
        raise SparseError(f"{said}, as no photo does")


def _free_memory() -> float:
    from derain.restoring.devices import proc_bytes  # which brings torch: only a giant waits for that

    free = proc_bytes("meminfo", "MemAvailable")
    return math.inf if free is None else free


def _least(image: ImageFile.ImageFile, content: bytes) -> float:
    """Bytes that any encoder needs for a picture of this format and size; 0 where that cannot be told."""
    if image.format == "JPEG":
        return math.ceil(image.width / 8) * math.ceil(image.height / 8) / BLOCKS_A_BYTE
    if image.format == "PNG":
        bits, kind = content[24], content[25]
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(kind, 1)
        return image.height * math.ceil(image.width * channels * bits / 8) / DEFLATE
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        ratio = BYTES_A_BYTE.get(tags.get(COMPRESSION, 1), math.inf)
        bits = tags.get(BITS, (1,))[0] * tags.get(CHANNELS, 1)
        return image.height * math.ceil(image.width * bits / 8) / ratio
    return 0


def _size(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{math.ceil(count / 1000)} kB"
