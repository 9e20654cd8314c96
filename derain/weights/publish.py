"""Finetuned weights on the Hugging Face Hub, with their model card."""

from pathlib import Path
from tempfile import TemporaryDirectory

import derain
from derain.errors import HubError, first_line
from derain.weights.files import about, load, save
from derain.weights.header import read_header, without_paths
from derain.weights.places import check_repo

CARD_TEMPLATE = """---
library_name: derain
pipeline_tag: image-to-image
tags: [deraining, rain-removal, image-restoration]
---

# {name}

Weights of derain {version}, preset {preset}, that remove rain from photos. They were adapted from `{start}` to one
camera by `derain finetune`, from {photos} rainy photos without any clean twins, in {steps} steps.

    derain run photo.jpg --weights hf:{repo}

Scores on photos of that camera that were held out from training, before and after the adaptation:

| score | before | after |
| --- | --- | --- |
{scores}

Re-pasted rain, matched rain (rendered on clean pictures to look like the photos' rain), rendered rain of any kind and
what is unchanged are PSNR in dB; streaks left (rain left, in older weights) is their height relative to the photo's;
cleanness is a critic's score, 1 for a clean picture. None of these scores knows what the photos look like without rain,
so check your own photos before you rely on the weights. They have learned nothing that the photos did not show.

SHA-256 of `derain.safetensors`: `{sha256}`
"""


def push(repo: str, weights: Path) -> str:
    """Upload ``weights`` as ``derain.safetensors``, with a model card; returns the address of the page.

    The repository ``OWNER/REPO`` is made if it is not there. The token is the client's own: ``HF_TOKEN``, or its login.

    Raises:
        HubError: no token that may write there, or no Hub to be reached.
        WeightsError: not a repository's name.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_repo(repo)
    with TemporaryDirectory() as folder:
        clean = Path(folder) / "derain.safetensors"
        save(load(weights), clean, read_header(weights)["training"])  # older versions left paths in it
        card, content = model_card(repo, clean).encode(), clean.read_bytes()
    try:
        api = HfApi()
        page = api.create_repo(repo, exist_ok=True)
        files = [CommitOperationAdd("derain.safetensors", content), CommitOperationAdd("README.md", card)]
        api.create_commit(repo, files, commit_message="Weights finetuned by derain")
    except Exception as error:  # the client's own, and those of whichever transport its version uses
        said = first_line(error)
        raise HubError(f"hf:{repo}: cannot be written ({said}); {weights} is intact; upload it by hand") from None
    return str(page)


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
    return CARD_TEMPLATE.format(
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
