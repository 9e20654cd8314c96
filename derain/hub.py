"""Weights from the Hugging Face Hub: ``hf:OWNER/REPO[@REVISION][/FILE]``, through its own client and cache."""

import re
from dataclasses import dataclass
from pathlib import Path

from derain.errors import WeightsError

FORM = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
PATIENCE = 8  # seconds for the Hub to answer at all


@dataclass(frozen=True)
class Reference:
    """Weights on the Hub."""

    repo: str
    revision: str | None = None
    file: str | None = None  # default: the only .safetensors file, or derain.safetensors

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """
        Raises:
            WeightsError: the text has another form.
        """
        found = FORM.fullmatch(text)
        if not found:
            raise WeightsError(f"{text}: give weights on the Hub as hf:OWNER/REPO[@REVISION][/FILE]")
        return cls(found["repo"], found["revision"], found["file"])

    def __str__(self) -> str:
        revision, file = (f"@{self.revision}" if self.revision else ""), (f"/{self.file}" if self.file else "")
        return f"hf:{self.repo}{revision}{file}"


def fetch(reference: Reference) -> Path:
    """The file in the Hub's cache, downloaded if it is not there; its SHA-256 is checked where the Hub tells it.

    ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` and ``HF_HOME`` work as everywhere.

    Raises:
        WeightsError: the Hub cannot be reached, has no such file, or sent a damaged one.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        file = reference.file or _weights_of(reference)
        path = Path(hf_hub_download(reference.repo, file, revision=reference.revision, etag_timeout=PATIENCE))
        try:
            url = hf_hub_url(reference.repo, file, revision=reference.revision)
            etag = get_hf_file_metadata(url, timeout=PATIENCE).etag or ""
        except Exception:
            return path  # cached and offline: it was checked when it came
    except WeightsError:
        raise
    except Exception as error:  # the client's own, and those of whichever transport its version uses
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{reference}: cannot be fetched ({reason}); download the file by hand and give --weights FILE"
        ) from None
    _check(path, etag, reference)
    return path


def check_repo(repo: str) -> None:
    """
    Raises:
        WeightsError: not of the form ``OWNER/REPO``.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise WeightsError(f"{repo}: give a place on the Hub as OWNER/REPO")


def push(repo: str, weights: Path) -> str:
    """Upload ``weights`` as ``derain.safetensors``, with a model card; returns the address of the page.

    The repository ``OWNER/REPO`` is made if it is not there. The token is the client's own: ``HF_TOKEN``, or its login.

    Raises:
        WeightsError: not a repository's name, no token that may write there, or no Hub to be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    from derain.card import model_card

    check_repo(repo)
    card = model_card(repo, weights).encode()
    try:
        api = HfApi()
        page = api.create_repo(repo, exist_ok=True)
        files = [CommitOperationAdd("derain.safetensors", str(weights)), CommitOperationAdd("README.md", card)]
        api.create_commit(repo, files, commit_message="Weights finetuned by derain")
    except Exception as error:  # the client's own, and those of whichever transport its version uses
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"hf:{repo}: cannot be written ({reason}); {weights} is whole, upload it by hand") from None
    return str(page)


def _weights_of(reference: Reference) -> str:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        listed = HfApi().model_info(reference.repo, revision=reference.revision, timeout=PATIENCE).siblings or []
        files = [sibling.rfilename for sibling in listed]
    except HfHubHTTPError:  # the Hub's answer
        raise
    except Exception as error:  # offline by wish, or no Hub to be reached: what is cached will do
        try:
            cached = Path(snapshot_download(reference.repo, revision=reference.revision, local_files_only=True))
        except Exception:
            raise error from None
        files = [path.relative_to(cached).as_posix() for path in cached.rglob("*") if path.is_file()]
    weights = [name for name in files if name.endswith(".safetensors")]
    if "derain.safetensors" in weights:
        return "derain.safetensors"
    if len(weights) != 1:
        choice = f"name one of {', '.join(weights)}" if weights else "it holds no .safetensors file"
        raise WeightsError(f"{reference}: {choice}")
    return weights[0]


def _check(path: Path, etag: str, reference: Reference) -> None:
    from derain.weights import sha256

    if re.fullmatch(r"[0-9a-f]{64}", etag) and sha256(path) != etag:
        path.resolve().unlink(missing_ok=True)
        raise WeightsError(f"{reference}: SHA-256 is not the expected {etag}; the file is removed, try again")
