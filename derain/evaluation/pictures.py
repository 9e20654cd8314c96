"""Pictures to score: photos at their depth, and frames of clips."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from derain.errors import PhotoError
from derain.evaluation.metrics import Picture
from derain.photos import Photo, as_rgb, read_original, to_8_bit

CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def read_picture(path: Path) -> Picture:
    """``(H, W, 3)`` or grey ``(H, W)``, uint8 or uint16, upright; alpha is left out.

    Raises:
        PhotoError: as :func:`derain.photos.read_original`.
    """
    original = read_original(path)
    return original.pixels[..., 0] if original.grey else original.pixels


def to_photo(picture: Picture) -> Photo:
    """8-bit RGB, as pictures are shown."""
    return as_rgb(to_8_bit(picture))


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
