"""Clips: their frames one after the other, or a few of them spread over the whole length."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from derain.errors import PhotoError
from derain.photos import Photo

CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


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
                yield _upright(frame)
    except (av.FFmpegError, OSError) as error:
        raise PhotoError(f"{path}: cannot be read as video ({error})") from None


def sample_frames(path: Path, count: int) -> Iterator[Photo]:
    """``count`` frames, spread evenly over the clip, or fewer of a short one; upright.

    Raises:
        PhotoError: the file is no clip that can be read.
    """
    import av

    try:
        with av.open(str(path)) as clip:
            if not clip.streams.video:
                raise PhotoError(f"{path}: holds no video")
            stream = clip.streams.video[0]
            length = (clip.duration or 0) / av.time_base
            if length <= count / 10:  # too short to seek in, or of unknown length
                yield from (_upright(frame) for frame in islice(clip.decode(stream), 0, 10 * count, 10))
                return
            start = (clip.start_time or 0) / av.time_base
            for second in (np.arange(count) + 0.5) / count * length + start:
                clip.seek(int(second * av.time_base))
                frame = next((f for f in clip.decode(stream) if f.time is None or f.time >= second), None)
                if frame is not None:
                    yield _upright(frame)
    except (av.FFmpegError, OSError) as error:
        raise PhotoError(f"{path}: cannot be read as video ({error})") from None


def _upright(frame: object) -> Photo:
    return np.rot90(frame.to_ndarray(format="rgb24"), round((frame.rotation or 0) / 90))  # type: ignore[attr-defined]
