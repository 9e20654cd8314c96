"""Scores of the model card: `python tests/score.py --weights derain rainy_dir clean_dir`, pairs matched by name.

Without folders: how unchanged scikit-image's own pictures come back, those that training has not seen.
"""

import argparse
from pathlib import Path

import numpy as np

import derain
from derain.evaluation.metrics import luma, psnr, values
from derain.photos import find_photos, read_photo

UNSEEN = "brick camera clock coins grass gravel hubble_deep_field immunohistochemistry moon page retina text"


def pairs(model, rainy: Path, clean: Path) -> None:
    rows = []
    for path in find_photos(rainy):
        before, truth = read_photo(path), read_photo(clean / path.name)
        after = derain.restore(model, before)[0]
        rows.append(
            [psnr(luma(x), luma(truth)) for x in (before, after)]
            + [psnr(values(x), values(truth)) for x in (before, after)]
        )
    a, b, c, d = np.mean(rows, axis=0)
    print(f"{rainy.parent.name:10} n={len(rows)}  luma {a:.2f} -> {b:.2f} ({b - a:+.2f})", end="  ")
    print(f"RGB {c:.2f} -> {d:.2f} ({d - c:+.2f})")


def unchanged(model) -> None:
    from skimage import data

    scores = {}
    for name in UNSEEN.split():
        try:
            picture = getattr(data, name)()
        except Exception:  # some of them need a download
            continue
        photo = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        after = derain.restore(model, photo[..., :3])[0]
        scores[name] = min(psnr(values(after), values(photo[..., :3])), 60)  # equal pictures count as 60 dB
    print("dry pictures, RGB dB:", " ".join(f"{name} {value:.1f}" for name, value in scores.items()))
    print(f"mean {np.mean(list(scores.values())):.1f}, least {min(scores.values()):.1f}, n={len(scores)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--weights", default="derain")
    arguments = parser.parse_args()
    network = derain.load(arguments.weights)
    if arguments.folders:
        pairs(network, *arguments.folders)
    else:
        unchanged(network)
