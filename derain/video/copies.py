"""Streams whose packets are copied as they are."""

import io
from contextlib import suppress
from typing import Any

import av


def add_copy(container: Any, stream: Any) -> Any:
    """A stream of an open container for the packets of a stream of the source.

    Sound whose speakers nobody names has the usual ones: MP4 refuses it at its end otherwise, and in FLV FFmpeg aborts.

    Raises:
        ValueError, TypeError, av.FFmpegError: the container cannot hold it.
    """
    copy = container.add_stream_from_template(stream)
    if stream.type == "audio" and any(speaker.name == "NONE" for speaker in copy.layout.channels):
        with suppress(ValueError):  # there are usual ones up to a number
            copy.codec_context.layout = f"{copy.channels}c"
    return copy


def try_header(form: str, stream: Any) -> None:
    """Write a header with nothing but this stream: it fails where asking whether the container holds it does not."""
    with av.open(io.BytesIO(), "w", format=form) as trial:
        add_copy(trial, stream)
        trial.start_encoding()
