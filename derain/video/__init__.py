"""Clips: read, derained frame by frame with what their neighbours know, and written with nothing lost.

for frame in derain.video.frames("clip.mp4"): ...
derain.video.process("clip.mp4", "dry.mp4")
"""

from typing import TYPE_CHECKING

from derain.lazy import parts_of

if TYPE_CHECKING:
    from derain.video.naming import CLIP_SUFFIXES
    from derain.video.pipeline import process
    from derain.video.reading import Frame, frames, read_frames, sample_frames
    from derain.video.settings import VideoSettings
    from derain.video.treatment import Done

__all__ = ["CLIP_SUFFIXES", "Done", "Frame", "VideoSettings", "frames", "process", "read_frames", "sample_frames"]
_OTHERS = {"CLIP_SUFFIXES": "naming", "process": "pipeline", "Done": "treatment", "VideoSettings": "settings"}
__getattr__ = parts_of(__name__, dict.fromkeys(__all__, "reading") | _OTHERS)
