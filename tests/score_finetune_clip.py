"""What finetuning on the first half of a clip of a fixed camera gains on its second half.

    python -m tests.score_finetune_clip CLIP OUT [--minutes M | --steps N]

writes OUT/mine/first_half.mp4, finetunes on it with the default settings, and compares the starting weights with the
finetuned ones on frames of the second half. The truth of a frame is the median of the four frames before and after it,
and counts only where nothing but rain moves.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

import derain
from derain.arrays import Mask, Rgb8, UnitRgb
from derain.finetuning.finetune import finetune
from derain.models.contract import Derainer
from derain.rain.by_time import median, moment
from derain.training.clips import Footage, windows

MOMENTS = 8  # of the second half
KNOWN = 0.5  # trust from which the truth counts
SECOND_HALF = (0.52, 1.0)  # of the clip, with a gap to the first


@dataclass(frozen=True)
class KnownFrame:
    """A frame, its truth, and where that is known."""

    rainy: Rgb8
    truth: UnitRgb
    known: Mask

    def psnr(self, background: Rgb8) -> float:
        return float(-10 * np.log10(np.square(background / 255 - self.truth)[self.known].mean()))


def known_frames(clip: Path) -> Iterator[KnownFrame]:
    for frames in windows(Footage(clip, *SECOND_HALF), MOMENTS):
        if (found := moment(frames)) is None:
            continue
        middle = len(frames) // 2
        truth = median([*frames[:middle], *frames[middle + 1 :]]) / np.float32(255)
        yield KnownFrame(frames[middle], truth, found.trust > KNOWN)


def write_first_half(clip: Path, out: Path) -> None:
    """The frames before the middle, encoded anew, nearly without loss."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        pictures = source.streams.video[0]
        end = (source.duration or 0) / av.time_base / 2
        stream = target.add_stream("libx264", pictures.average_rate, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height = pictures.width // 2 * 2, pictures.height // 2 * 2
        for frame in source.decode(pictures):
            if frame.time is not None and frame.time >= end:
                break
            picture = frame.reformat(stream.width, stream.height, "yuv420p")
            target.mux(stream.encode(picture))
        target.mux(stream.encode())


def mean_psnr(network: Derainer, frames: list[KnownFrame]) -> float:
    return float(np.mean([frame.psnr(derain.restore(network, frame.rainy)[0]) for frame in frames]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, help="so many, however long they take: the same on a busy machine")
    given = parser.parse_args()
    (mine := given.out / "mine").mkdir(parents=True)
    write_first_half(given.clip, mine / "first_half.mp4")
    frames = list(known_frames(given.clip))
    settings = {} if given.steps is None else {"save_every": given.steps}  # it is judged in the end alone
    weights = given.out / "mine.safetensors"
    found = finetune(mine, weights, minutes=given.minutes, steps=given.steps, say=print, **settings)
    before, bundled, tuned = (
        np.mean([frame.psnr(frame.rainy) for frame in frames]),
        mean_psnr(derain.load(), frames),
        mean_psnr(derain.load(str(found.weights)), frames),
    )
    scores = f"rainy {before:.2f}, bundled {bundled:.2f}, finetuned {tuned:.2f} dB"
    print(f"{given.clip.name}: {len(frames)} frames, {scores}; {found.verdict}")


if __name__ == "__main__":
    main()
