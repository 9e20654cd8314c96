"""Photos as files: found, read with everything that they hold, and written back with nothing lost but the rain."""

from derain.arrays import Rgb8 as Photo
from derain.photos.names import SUFFIXES, find_photos, format_of, without_results
from derain.photos.original import Original, as_rgb, to_8_bit
from derain.photos.reading import MAX_MEGAPIXELS, decode, read_original, read_photo
from derain.photos.writing import Encoded, encode, encode_with_notes, write_photo

__all__ = [
    "MAX_MEGAPIXELS",
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
