"""The model card that goes to the Hub with finetuned weights."""

from pathlib import Path

import derain
from derain.weights import about
from derain.weights.header import without_paths

CARD = """---
library_name: derain
pipeline_tag: image-to-image
tags: [deraining, rain-removal, image-restoration]
---

# {name}

Weights of derain {version}, preset {preset}, that take rain out of photos. They were adapted from `{start}` to one
camera by `derain finetune`, from {photos} rainy photos without any clean twin, in {steps} steps.

    derain run photo.jpg --weights hf:{repo}

Photos of that camera which training did not see, before and after the adaptation:

| score | before | after |
| --- | --- | --- |
{scores}

Re-pasted rain, matched rain (rendered like the photos' on clean pictures), rendered rain of any kind and what is
unchanged are PSNR in dB; rain left is the height of the streaks relative to the photo's; cleanness is a critic's score,
1 for a clean picture. None of them has seen a true picture without the rain, so look at your own photos before you rely
on it. What the photos did not show, the weights have not learned.

SHA-256 of `derain.safetensors`: `{sha256}`
"""


def model_card(repo: str, weights: Path) -> str:
    """Markdown for ``repo``, from what the weights say of themselves.

    Raises:
        WeightsError: no weights that derain wrote.
    """
    said = about(weights)
    training = without_paths(said["training"]) if isinstance(said["training"], dict) else {}
    found = training.get("finetuned", {"photos": "some", "before": {}, "after": {}})
    rows = (
        f"| {name.replace('_', ' ')} | {value:.2f} | {found['after'][name]:.2f} |"
        for name, value in found["before"].items()
        if value is not None and found["after"][name] is not None
    )
    return CARD.format(
        name=repo.split("/")[-1],
        repo=repo,
        version=derain.__version__,
        preset=said["preset"],
        start=training.get("start", "derain"),
        photos=found["photos"],
        steps=training.get("steps", "some"),
        scores="\n".join(rows),
        sha256=said["sha256"],
    )
