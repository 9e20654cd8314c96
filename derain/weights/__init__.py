"""Weights: files that describe themselves, the bundled ones, the Hub, and what is published there."""

from typing import TYPE_CHECKING

from derain.lazy import parts_of
from derain.weights.bundled import bundled_folder, bundled_weights, digests, refuse_damaged
from derain.weights.checksums import fingerprint, sha256
from derain.weights.places import locate

if TYPE_CHECKING:
    from derain.weights.files import about, load, refuse_not_finite, save, verified
    from derain.weights.header import read_header

__all__ = [
    "about",
    "bundled_folder",
    "bundled_weights",
    "digests",
    "fingerprint",
    "load",
    "locate",
    "read_header",
    "refuse_damaged",
    "refuse_not_finite",
    "save",
    "sha256",
    "verified",
]
_FILES = ("about", "load", "refuse_not_finite", "save", "verified")
__getattr__ = parts_of(__name__, dict.fromkeys(_FILES, "files") | {"read_header": "header"})
