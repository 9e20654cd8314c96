"""Weights: files that describe themselves, the bundled ones, the Hub, and what is published there."""

from derain.weights.bundled import bundled_folder, bundled_weights, digests, refuse_damaged
from derain.weights.checksums import fingerprint, sha256
from derain.weights.files import about, load, locate, refuse_not_finite, save, verify
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
    "verify",
]
