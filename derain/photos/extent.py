"""What a file says that it holds against the bytes that are there, told before anything is decoded.

A file of a few kilobytes may declare hundreds of megapixels. Where no encoder can have made so much of so little, the
file is damaged; where one can, but photos never are like that, whoever asks decides whether to wait for it.
"""

import math

from PIL import ImageFile

from derain.errors import PhotoError
from derain.photos.codec import Codec

LARGE_PIXELS = 50e6  # pixels from which few bytes are strange; blank ones of fewer are done at once
SPARSE_BYTES_PER_PIXEL = 0.01  # bytes a pixel; a blank page as JPEG has about that
BYTES_A_PIXEL = 14  # of memory: Pillow's pixels, those of the photo, background and rain


class SparseError(PhotoError):
    """A file that may be whole but holds far fewer bytes than photos of its size do; ``what`` is that in words."""

    def __init__(self, what: str, name: str = "the photo") -> None:
        super().__init__(f"{name}: {what}")
        self.what = what


def check_extent(image: ImageFile.ImageFile, content: bytes, codec: Codec, patient: bool) -> None:
    """
    Raises:
        PhotoError: the file cannot hold what it declares, or the memory cannot.
        SparseError: it holds very little for its size; not if ``patient``.
    """
    pixels = image.width * image.height
    said = f"declares {image.width}x{image.height} px in {_size(len(content))}"
    if len(content) < codec.least_bytes(image, content):
        raise PhotoError(f"{said}, so part of it is missing; get the file again from its source")
    codec.refuse_endless(content)
    if pixels > LARGE_PIXELS and (needed := BYTES_A_PIXEL * pixels) > (free := _free_memory()):
        raise PhotoError(f"{said}, which needs {_size(needed)} of memory; {_size(int(free))} is free")
    if not patient and pixels > LARGE_PIXELS and len(content) < SPARSE_BYTES_PER_PIXEL * pixels:
        raise SparseError(f"{said}, very little for a photo")


def _free_memory() -> float:
    from derain.restoring.devices import proc_bytes  # which brings torch: only a giant waits for that

    free = proc_bytes("meminfo", "MemAvailable")
    return math.inf if free is None else free


def _size(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{math.ceil(count / 1000)} kB"
