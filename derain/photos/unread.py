"""Pictures that derain does not read, which are told for what they are: cameras' raw files, and further formats."""

import os
from collections.abc import Iterable
from pathlib import Path

from derain.photos.raw import WHAT, is_named_raw, told_of_raws

CONVERT = "convert {} to TIFF, PNG or JPEG first"
SUFFIXES_OF = {
    "OpenEXR": (".exr",),
    "DPX": (".dpx",),
    "Cineon": (".cin",),
    "Radiance HDR": (".hdr",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx"),
    "JPEG XL": (".jxl",),
    "JPEG XR": (".jxr", ".wdp", ".hdp"),
    "Photoshop": (".psd", ".psb"),
    "Netpbm": (".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm"),
    "Targa": (".tga",),
}
SIGNATURES_OF = {
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "DPX": (b"SDPX", b"XPDS"),
    "Cineon": (b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80"),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG XR": (b"II\xbc",),
    "Photoshop": (b"8BPS",),
    "Netpbm": tuple(b"P%c%c" % (kind, space) for kind in b"1234567Ff" for space in b" \t\r\n"),
}
BY_SUFFIX = {suffix: name for name, suffixes in SUFFIXES_OF.items() for suffix in suffixes}


def format_named(name: str) -> str:
    """The format of a picture that is not read, by its name; empty of anything else, cameras' raw files too."""
    return BY_SUFFIX.get(os.path.splitext(name)[1].lower(), "")


def format_within(content: bytes) -> str:
    """The same by how a file begins."""
    return next((name for name, signatures in SIGNATURES_OF.items() if content.startswith(signatures)), "")


def is_unread(name: str) -> bool:
    """Whether a file is, by its name, a picture that is not read."""
    return is_named_raw(name) or bool(format_named(name))


def what_is(name: str) -> str:
    """What such a file is and what to do, as the end of a sentence."""
    return WHAT if is_named_raw(name) else what_is_in(format_named(name))


def what_is_in(form: str) -> str:
    return f"is a picture in {form} format, which derain does not read; {CONVERT.format('it')}"


def unread_left_out(files: Iterable[Path]) -> list[str]:
    """A sentence for the raw files among the files, and one for the pictures in other formats."""
    shown = [path for path in files if not path.name.startswith(".")]
    raws = [path for path in shown if is_named_raw(path.name)]
    others = [path for path in shown if format_named(path.name)]
    return [tell(kind[0], len(kind)) for kind, tell in ((raws, told_of_raws), (others, told_of_others)) if kind]


def told_of_others(first: Path, count: int) -> str:
    if count == 1:
        return f"{first}: left out because it {what_is(first.name)}"
    return f"{count} pictures left out, which derain does not read, such as {first}: {CONVERT.format('them')}"
