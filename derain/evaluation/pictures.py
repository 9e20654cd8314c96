"""Pictures as they are stored: 16 bits and grey are kept, which the network's 8-bit RGB reading does not."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from derain.errors import PhotoError
from derain.evaluation.metrics import Picture
from derain.photos import Photo, read_photo

DEEP = {".png", ".tif", ".tiff"}
CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def read_picture(path: Path) -> Picture:
    """``(H, W, 3)`` or grey ``(H, W)``, uint8 or uint16, upright; alpha is left out.

    Raises:
        PhotoError: as :func:`derain.photos.read_photo`.
    """
    if path.suffix.lower() in DEEP and path.is_file():
        stored = np.fromfile(path, np.uint8)
        deep = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED) if len(stored) else None
        if deep is not None and deep.dtype == np.uint16:
            return deep if deep.ndim == 2 else np.ascontiguousarray(deep[..., 2::-1])
    photo = read_photo(path)
    with Image.open(path) as image:
        if image.mode in ("L", "1"):
            return np.asarray(ImageOps.exif_transpose(image).convert("L"))
    return photo


def to_photo(picture: Picture) -> Photo:
    """8-bit RGB, as the network reads it."""
    eight = (picture / 257 + 0.5).astype(np.uint8) if picture.dtype == np.uint16 else picture
    return np.repeat(eight[..., None], 3, axis=2) if eight.ndim == 2 else eight


def read_frames(path: Path) -> Iterator[Photo]:
    """The frames of a clip, upright, one at a time.

    Raises:
        PhotoError: the file is no clip that can be read.
    """
    import av

    try:
        with av.open(str(path)) as clip:
            if not clip.streams.video:
                raise PhotoError(f"{path}: holds no video")
            for frame in clip.decode(video=0):
                yield np.rot90(frame.to_ndarray(format="rgb24"), round((frame.rotation or 0) / 90))
    except (av.FFmpegError, OSError) as error:
        raise PhotoError(f"{path}: cannot be read as video ({error})") from None
