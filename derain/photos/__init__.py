"""Photos as files: found, read with everything that they hold, and written back with nothing lost but the rain."""

from derain.photos.encode import encode
from derain.photos.files import SUFFIXES, find_photos, format_of, without_results
from derain.photos.original import Original, Photo, as_rgb, decode, read_original, read_photo, to_8_bit, write_photo

__all__ = [
    "SUFFIXES",
    "Original",
    "Photo",
    "as_rgb",
    "decode",
    "encode",
    "find_photos",
    "format_of",
    "read_original",
    "read_photo",
    "to_8_bit",
    "without_results",
    "write_photo",
]
