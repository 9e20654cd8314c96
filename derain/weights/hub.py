"""Weights from the Hugging Face Hub: ``hf:OWNER/REPO[@REVISION][/FILE]``, through its own client and cache."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from derain.errors import HubError, WeightsError, first_line
from derain.text import listed
from derain.weights.checksums import digest

REPO_FORM = r"[\w.-]+/[\w.-]+"
REFERENCE_FORM = re.compile(rf"hf:(?P<repo>{REPO_FORM})(@(?P<revision>[^/]+))?(/(?P<file>.+))?")
HUB_TIMEOUT = 8  # seconds for the Hub to answer at all
NO_CONNECTION = {"ConnectError", "ConnectTimeout", "ConnectionError"}  # as whichever transport names it


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
        found = REFERENCE_FORM.fullmatch(text)
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
        with without_warnings():
            file = reference.file or _weights_of(reference)
            if reference.file:  # otherwise it was asked for above
                _refuse_unreachable(reference.repo, file, reference.revision)
            path = Path(hf_hub_download(reference.repo, file, revision=reference.revision, etag_timeout=HUB_TIMEOUT))
    except WeightsError:
        raise
    except Exception as error:  # the client's own, and those of whichever transport its version uses
        instead = "download the file by hand and give its path instead"
        if why := unreached(error):
            raise HubError(f"{reference}: cannot be fetched because {why}, or {instead}") from None
        raise WeightsError(f"{reference}: cannot be fetched ({first_line(error)}); {instead}") from None
    refuse_damaged(path, reference)
    return path


@contextmanager
def without_warnings() -> Iterator[None]:
    """The client tells of each try in words of its own; what comes of them is said afterwards."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def unreached(error: BaseException) -> str:
    """Why the Hub gives no answer, and what to do; empty if it gave one."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set and it was not downloaded before; unset that"
        if isinstance(seen, HfHubHTTPError):
            return ""
        seen = seen.__cause__ or seen.__context__
    of_transport = {kind.__name__ for kind in type(error).__mro__} & {"TransportError", "RequestException"}
    if of_transport or isinstance(error, (ConnectionError, TimeoutError, LocalEntryNotFoundError)):
        return "the Hugging Face Hub cannot be reached; check the internet connection and try again"
    return ""


def _refuse_unreachable(repo: str, file: str, revision: str | None) -> None:
    """Ask the Hub once before the client does, which goes on trying for half a minute where nobody answers.

    Raises:
        Exception: the transport's own, of a file that is not in the cache and a Hub to which there is no connection.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(repo, file, revision=revision), str):
        return
    try:
        HfApi().model_info(repo, revision=revision, timeout=HUB_TIMEOUT)
    except Exception as error:  # an answer, be it a refusal or late, is the client's to make sense of
        if NO_CONNECTION & {kind.__name__ for kind in type(error).__mro__}:
            raise


def _weights_of(reference: Reference) -> str:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        siblings = HfApi().model_info(reference.repo, revision=reference.revision, timeout=HUB_TIMEOUT).siblings or []
        files = [sibling.rfilename for sibling in siblings]
    except RevisionNotFoundError:
        raise
    except Exception as error:  # offline by wish, no Hub, or one that is busy or refuses: what is cached will do
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


def known_digest(path: Path) -> str:
    """The digest that the cache, which has it from the Hub, calls a file by; empty if it keeps none."""
    link = Path(os.readlink(path)) if path.is_symlink() else path  # a blob may itself lead on, to a store of all repos
    told = link.name.lower() if link.parent.name == "blobs" else ""  # without links the cache keeps no digests
    return told if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", told) else ""


def refuse_damaged(path: Path, reference: Reference) -> None:
    """
    Raises:
        WeightsError: the file has another digest than its :func:`known_digest`.
    """
    told, blob = known_digest(path), path.resolve()
    if not told:
        return
    if len(told) == 64:
        found = {digest(blob, "sha256")}
    else:  # small files are called as Git does, by some mirrors by their own SHA-1
        found = {digest(blob, "sha1", b"blob %d\0" % blob.stat().st_size), digest(blob, "sha1")}
    if told not in found:
        kind = "SHA-256" if len(told) == 64 else "SHA-1"
        raise WeightsError(f"{reference}: damaged, {kind} is not the expected {told}; delete {blob} and try again")
