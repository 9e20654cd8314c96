"""Weights from the Hugging Face Hub: ``hf:OWNER/REPO[@REVISION][/FILE]``, through its own client and cache."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from derain.errors import WeightsError, reason

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
    """The file in the Hub's cache, downloaded if it is not there; its digest is checked each time, offline too.

    On systems without links the cache keeps no digests, and nothing is checked but what the client checks itself.

    ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` and ``HF_HOME`` work as everywhere.

    Raises:
        WeightsError: the Hub cannot be reached, has no such file, or the file is damaged.
    """
    from huggingface_hub import hf_hub_download

    try:
        file = reference.file or _weights_of(reference)
        path = Path(hf_hub_download(reference.repo, file, revision=reference.revision, etag_timeout=PATIENCE))
    except WeightsError:
        raise
    except Exception as error:  # the client's own, and those of whichever transport its version uses
        said = _first_line(error)
        raise WeightsError(
            f"{reference}: cannot be fetched ({said}); download the file by hand and give --weights FILE"
        ) from None
    refuse_damaged(path, reference)
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

    from derain.weights import load, read_header, save
    from derain.weights.card import model_card

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
        said = _first_line(error)
        raise WeightsError(f"hf:{repo}: cannot be written ({said}); {weights} is whole, upload it by hand") from None
    return str(page)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _weights_of(reference: Reference) -> str:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    from derain.weights.header import listed

    try:
        siblings = HfApi().model_info(reference.repo, revision=reference.revision, timeout=PATIENCE).siblings or []
        files = [sibling.rfilename for sibling in siblings]
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
        choice = f"name one of {listed(weights)}" if weights else "it holds no .safetensors file"
        raise WeightsError(f"{reference}: {choice}")
    return weights[0]


def refuse_damaged(path: Path, reference: Reference) -> None:
    """
    Raises:
        WeightsError: the file has another digest than the one that the cache, which has it from the Hub, calls it by.
    """
    link = Path(os.readlink(path)) if path.is_symlink() else path  # a blob may itself lead on, to a store of all repos
    told = link.name.lower() if link.parent.name == "blobs" else ""  # without links the cache keeps no digests
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", told):
        found = {_digest(blob, "sha256")}
    elif re.fullmatch(r"[0-9a-f]{40}", told):  # small files are called as Git does, by some mirrors by their own SHA-1
        found = {_digest(blob, "sha1", b"blob %d\0" % blob.stat().st_size), _digest(blob, "sha1")}
    else:
        return
    if told not in found:
        kind = "SHA-256" if len(told) == 64 else "SHA-1"
        raise WeightsError(f"{reference}: damaged, {kind} is not the expected {told}; delete {blob} and try again")


def _digest(path: Path, kind: str, before: bytes = b"") -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(kind, before, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)})") from None
