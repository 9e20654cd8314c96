"""What finetuning gains on three cameras that the bundled weights do not know, and what it costs elsewhere.

    python -m tests.score_finetune CLEAN OUT [--validation PAIRS]... [--camera NAME]... [--minutes M]

makes OUT/<camera>/{rainy,kept/rainy,kept/clean} from the photos without rain in the folder CLEAN (60 of 192 px or
more that are not bundled): 40 rainy photos to finetune on and 20 pairs kept back, no photo twice in one camera. Then it
finetunes on the rainy photos and scores the pairs, other folders of pairs (each with rainy/ and clean/), and
scikit-image's dry pictures. `--camera fine` is rain that the weights know through a JPEG that they do not; `--camera
known` is rendered rain of the training's own kind, where finetuning shall do no harm.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

import derain
from derain.evaluation.matching import match
from derain.evaluation.metrics import luma, psnr
from derain.finetuning.finetune import finetune
from derain.photos import find_photos, read_photo, write_photo
from derain.rain.compose import add, compose, screen
from derain.rain.render import ANY_RAIN, line_kernel, render
from derain.weights import bundled_folder
from tests.score import unchanged

SIDE = 384
Image = np.ndarray


def streaks(rng, shape, density: float, sizes: float, length: float, degrees: float, width: float, height: float):
    """Separate streaks: a share of pixels ``density`` holds a drop, of an uneven size."""
    drops = np.where(rng.random(shape) < density, rng.gamma(sizes, 0.6 / sizes + 0.1, shape), 0).astype(np.float32)
    kernel = line_kernel(length, degrees, width)
    return np.clip(cv2.filter2D(drops, -1, kernel / kernel.max()) * height, 0, 1)[..., None]


def veil(background: Image, rain: Image, light: float = 0.85) -> Image:
    """Streaks of the sky's light that vanish before a brighter background."""
    return background + rain * np.maximum(light - background, 0)


def sleet(rng, clean: Image) -> tuple[Image, Image]:
    """At night, many short thick streaks, all slanted one way by the wind."""
    u, night = rng.uniform, clean**1.6 * 0.5
    return night, add(night, streaks(rng, clean.shape[:2], 0.006, 3, u(10, 18), u(25, 45), u(0.9, 1.4), u(0.2, 0.4)))


def coarse(rng, clean: Image) -> tuple[Image, Image]:
    """Close to the lens, few wide blurred streaks."""
    u, slant = rng.uniform, rng.normal(0, 8)
    return clean, veil(clean, streaks(rng, clean.shape[:2], 0.0004, 3, u(50, 90), slant, u(2.0, 3.5), u(0.25, 0.5)))


def squeezed(rng, clean: Image) -> tuple[Image, Image]:
    """Streaks out of focus, as a cheap dash-cam sees them; written as JPEG of quality 40."""
    u, slant = rng.uniform, rng.normal(0, 10)
    return clean, screen(clean, streaks(rng, clean.shape[:2], 0.0015, 2, u(20, 45), slant, u(1.4, 2.2), u(0.2, 0.4)))


def fine(rng, clean: Image) -> tuple[Image, Image]:
    """Fine rain, which the bundled weights know; written as JPEG of quality 40, which they do not."""
    u, slant = rng.uniform, rng.normal(0, 10)
    return clean, screen(clean, streaks(rng, clean.shape[:2], 0.004, 2, u(14, 30), slant, 0.6, u(0.15, 0.35)))


def known(rng, clean: Image) -> tuple[Image, Image]:
    """Rain as in the training of the bundled weights."""
    height, width = clean.shape[:2]
    return clean, compose(rng, clean, render(rng, max(height, width), ANY_RAIN)[:height, :width])


CAMERAS: dict[str, Callable[[np.random.Generator, Image], tuple[Image, Image]]] = {
    camera.__name__: camera for camera in (sleet, coarse, squeezed, fine, known)
}


def thumbnail(photo: Image) -> Image:
    small = cv2.resize(photo.mean(axis=2).astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA)
    return (small - small.mean()) / (np.linalg.norm(small - small.mean()) + 1e-6)


def make(clean: Path, out: Path, name: str) -> Path:
    rng = np.random.default_rng(sorted(CAMERAS).index(name))
    bundled = [thumbnail(read_photo(p)) for p in find_photos(bundled_folder() / "finetune" / "clean")]
    every = {path: read_photo(path) for path in find_photos(clean)}
    photos = [
        path
        for path, photo in every.items()
        if min(photo.shape[:2]) >= 192 and max((thumbnail(photo) * one).sum() for one in bundled) < 0.98
    ]
    for index, place in enumerate(rng.permutation(len(photos))[:60]):
        truth = read_photo(photos[place])[:SIDE, :SIDE].astype(np.float32) / np.float32(255)
        truth, rainy = CAMERAS[name](rng, truth)
        folder = out / name if index < 40 else out / name / "kept"
        for kind, picture in {"rainy": rainy, "clean": truth}.items():
            if kind == "rainy" or index >= 40:
                (folder / kind).mkdir(parents=True, exist_ok=True)
                levels = (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
                if kind == "rainy" and name in ("squeezed", "fine"):
                    codes = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
                    (folder / kind / f"{index:02d}.jpg").write_bytes(codes.tobytes())
                else:
                    write_photo(folder / kind / f"{index:02d}.png", levels)
    return out / name


def gains(weights: str | Path, pairs: Path) -> float:
    """Mean gain in dB of luma over the rainy pictures."""
    model, found = derain.load(weights), []
    for entry in match(pairs / "rainy", pairs / "clean", {})[0]:
        rainy, truth = read_photo(entry.rainy), read_photo(entry.clean)
        background = derain.restore(model, rainy)[0]
        found.append(psnr(luma(background), luma(truth)) - psnr(luma(rainy), luma(truth)))
    return float(np.mean(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--validation", type=Path, action="append", default=[])
    parser.add_argument("--camera", action="append", choices=list(CAMERAS))
    parser.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    for name in arguments.camera or list(CAMERAS)[:3]:
        folder = make(arguments.clean, arguments.out, name)
        tuned = finetune(folder / "rainy", folder / "tuned.safetensors", minutes=arguments.minutes, say=print).weights
        for pairs in (folder / "kept", *arguments.validation):
            before, after = gains("derain", pairs), gains(tuned, pairs)
            print(f"{name} {pairs.parent.name}/{pairs.name}: {before:+.2f} -> {after:+.2f} ({after - before:+.2f}) dB")
        unchanged(derain.load(tuned))
