"""Files that hold no weights: what they are, in a sentence for whoever took them for some."""

from pathlib import Path

from derain.errors import WeightsError, unreadable
from derain.files.writing import read_file

INSTEAD = "give weights of derain: a .safetensors file or a bundled name"
ANEW = "is damaged or cut short; download or copy it again"
BEGINNING = 512  # bytes that tell what a file is
BEGINNINGS = {
    b"version https://git-lfs": "a pointer of Git LFS, which `git lfs pull` replaces with the file",
    b"PK\x03\x04": "a PyTorch or zip file",
    b"\x80": "a PyTorch file",
    b"GGUF": "a GGUF file",
    b"<": "a web page",
}


def is_safetensors(beginning: bytes) -> bool:
    """Whether a file seems to be one: the length of a header in 8 bytes, and the JSON of the header."""
    return beginning[8:9] == b"{"


def not_weights(path: Path, wanted: str) -> WeightsError:
    """What is to be said of a file that is not what was ``wanted``."""
    try:
        beginning = read_file(path, BEGINNING)
    except OSError as error:
        return WeightsError(f"{path}: {unreadable(error)}")
    if not beginning:
        return WeightsError(f"{path}: is empty; {INSTEAD}")
    seen = seems(path, beginning)
    return WeightsError(f"{path}: not {wanted}{seen and f', but {seen}'}; {INSTEAD}")


def seems(path: Path, beginning: bytes) -> str:
    """What a file is, as far as its name and its first bytes tell; empty if they do not."""
    from derain.photos.formats import format_by_content

    if path.suffix.lower() == ".onnx":
        return "an ONNX network for other software"
    if is_safetensors(beginning):
        return "a .safetensors file under another name"
    if photo := format_by_content(beginning):
        return f"a photo ({photo.name})"
    return next((what for begins, what in BEGINNINGS.items() if beginning.startswith(begins)), "")
