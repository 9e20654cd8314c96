"""The weights that come with derain: their names, and their digests in ``SHA256SUMS``."""

import os
import re
from importlib import resources
from pathlib import Path, PurePosixPath

from derain.errors import WeightsError, reason
from derain.given import to_path
from derain.text import shown
from derain.weights.checksums import sha256

PURPOSES = {  # of the weights that come with derain, and their speed on one core at float32
    "derain": "the default; about 1 s per megapixel",
    "nlcl": "the paper's own network, a second opinion; about 10 s per megapixel",
}

# whether the name has escapes, digest, how it was read, and name; and the same as of --tag
PLAIN = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)", re.DOTALL)
TAGGED = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r"}


def bundled_folder() -> Path:
    """``weights/`` inside an installed wheel, or of the repository in an editable install."""
    package = Path(str(resources.files("derain")))
    inside = package / "weights"
    return inside if (inside / "SHA256SUMS").is_file() else package.parent / "weights"


def bundled_weights() -> dict[str, Path]:
    """The weights that come with derain, by name."""
    return {path.stem: path for path in sorted(bundled_folder().glob("*.safetensors"))}


def locate_bundled(name: str) -> Path:
    """The file of bundled weights, checked against its digest.

    Raises:
        WeightsError: there are none of that name, or they are damaged.
    """
    found = find_bundled(name)
    refuse_damaged(found, found.parent)
    return found


def find_bundled(name: str) -> Path:
    """
    Raises:
        WeightsError: there are no bundled weights of that name.
    """
    found = bundled_folder() / f"{name}.safetensors"
    if not os.path.isfile(found):
        names = ", ".join(bundled_weights())
        raise WeightsError(f"{name}: no bundled weights of that name; choose one of {names}, or give a file")
    return found


def refuse_damaged(file: str | Path, folder: str | Path) -> None:
    """
    Raises:
        WeightsError: a bundled file whose SHA-256 digest is not the one noted in its ``folder``.
    """
    file, folder = to_path("file", file), to_path("folder", folder)
    expected = digests(folder).get(file.relative_to(folder).as_posix())
    if sha256(file) != expected:
        wrong = f"is not the expected {expected}" if expected else "is not known"
        raise WeightsError(f"{file}: its SHA-256 {wrong}; reinstall derain")


def digests(folder: str | Path) -> dict[str, str]:
    """File name to SHA-256, from ``SHA256SUMS`` in ``sha256sum``'s own format.

    Raises:
        WeightsError: that file is missing or damaged.
    """
    folder = to_path("folder", folder)
    sums, is_own = folder / "SHA256SUMS", folder == bundled_folder()
    try:
        content = sums.read_text(encoding="utf-8", errors="surrogateescape")
        lines = content.split("\0" if "\0" in content else "\n")
        named = dict(_named(line) for line in lines if line.strip())
        return {_in_folder(folder, name): digest for name, digest in named.items()}
    except (OSError, ValueError) as error:
        remedy = "reinstall derain" if is_own else "make it again with sha256sum, or remove it"
        raise WeightsError(f"{sums}: cannot be read ({reason(error)}); {remedy}") from None


def _named(line: str) -> tuple[str, str]:
    """
    Raises:
        ValueError: it is no line of ``sha256sum``.
    """
    if found := PLAIN.fullmatch(line):
        escaped, digest, name = found.groups()
    elif found := TAGGED.fullmatch(line):
        escaped, name, digest = found.groups()
    else:
        raise ValueError(f"{shown(line)} is not understood")
    if escaped:
        name = re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), name)
    return name, digest.lower()


def _in_folder(folder: Path, name: str) -> str:
    """The name as seen from the folder; it may be the one from outside, or from the root."""
    parts = tuple(part for part in PurePosixPath(name).parts if part != "..")
    home = folder.absolute().parts
    below = "/".join(parts)
    is_outside = parts[:-1] == home[len(home) - len(parts) + 1 :] and not os.path.exists(f"{folder}/{below}")
    return parts[-1] if is_outside else below
