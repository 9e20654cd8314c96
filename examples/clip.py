"""A clip: `python examples/clip.py clip.mp4 dry.mp4` keeps sound and times, and goes on if it was interrupted."""

import sys

import derain.video

if __name__ == "__main__":
    source, out = sys.argv[1:]
    derain.video.process(source, out, say=print)
    first = next(iter(derain.video.frames(out)))
    print(f"{out}: {first.pixels.shape[1]}x{first.pixels.shape[0]}")
