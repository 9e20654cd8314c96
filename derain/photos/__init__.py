"""Photos as files: found, read with everything that they hold, and written back with nothing lost but the rain."""

from derain.photos.names import SUFFIXES, find_photos, format_of, without_results
from derain.photos.reading import Original, Photo, as_rgb, decode, read_original, read_photo, to_8_bit, write_photo
from derain.photos.writing import Encoded, encode, encode_with_notes

__all__ = [
    "SUFFIXES",
    "Encoded",
    "Original",
    "Photo",
    "as_rgb",
    "decode",
    "encode",
    "encode_with_notes",
    "find_photos",
    "format_of",
    "read_original",
    "read_photo",
    "to_8_bit",
    "without_results",
    "write_photo",
]
