"""Weights: files that describe themselves, the bundled ones, the Hub, and what is published there."""

from derain.weights.files import (
    about,
    bundled,
    bundled_folder,
    digests,
    fingerprint,
    load,
    locate,
    read_header,
    refuse_damaged,
    refuse_not_finite,
    save,
    sha256,
    verify,
)

__all__ = [
    "about",
    "bundled",
    "bundled_folder",
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
