"""Cameras' raw files, which are told for what they are and not read."""

import re
from pathlib import Path

from derain.text import counted

ENDINGS = "3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|rw2|rwl|sr2|srf|srw|x3f"
RAW_NAME = re.compile(rf".*[^/\\]\.({ENDINGS})", re.IGNORECASE | re.DOTALL)
SIGNATURES = b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM"
CANON = (b"II*\0", b"CR", 8), (b"\0\0\0", b"ftypcrx ", 4)  # beginning, and what stands where
DEVELOP = "develop it to TIFF, PNG or JPEG first"
WHAT = f"is a camera's raw file; {DEVELOP}"


def is_named_raw(name: str) -> bool:
    """Whether a file is, by its name, a camera's raw file."""
    return bool(RAW_NAME.fullmatch(name))


def has_signature(content: bytes) -> bool:
    """Whether a file begins as the raw files of some makers do; those of others begin as TIFFs."""
    canon = any(content.startswith(begins) and content.startswith(what, at) for begins, what, at in CANON)
    return canon or content.startswith(SIGNATURES)


def told_of_raws(first: Path, count: int) -> str:
    others = f"{counted(count, 'raw file')} left out, such as {first}: develop them to TIFF, PNG or JPEG first"
    return others if count > 1 else f"{first}: left out because it {WHAT}"
