"""BMP. Its later headers tell the colours' space, a profile and where the alpha is, which Pillow does not write."""

import struct
from dataclasses import replace

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile

from derain.photos.codec import Codec, NewPhoto
from derain.photos.original import Original

FILE, PLAIN, FOURTH, FIFTH = 14, 40, 108, 124  # bytes of the file's header, and of the picture's by its version
COMPRESSION, RESOLUTION, SPACE = slice(16, 20), slice(24, 32), slice(56, 60)  # in the picture's header
COLOURS, INTENT, PROFILE = slice(56, 108), slice(108, 112), 112  # space, its corners and gamma; where the profile is
SRGB, CALIBRATED, EMBEDDED, LINKED = b"BGRs", bytes(4), b"DEBM", b"KNIL"  # spaces
BY_MASKS, MASKS = struct.pack("<I", 3), struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
FOR_PHOTOS = struct.pack("<I", 4)  # an intent


class Bmp(Codec):
    opener = BmpImageFile

    def read(self, image: ImageFile, content: bytes) -> Original:
        found, header = super().read(image, content), _late_header(content)
        profile = _profile(content, header) if header[SPACE] == EMBEDDED else b""
        return replace(found, options=found.options | {"icc_profile": profile}) if profile else found

    def further(self, original: Original) -> list[str]:
        header = _late_header(original.content)
        without_profile = header[SPACE] == CALIBRATED and any(header[COLOURS])
        return ["its own description of its colours"] if without_profile else []

    def write(self, new: NewPhoto) -> bytes:
        content, channels = new.original.content, new.channels()
        if channels.ndim == 3 and channels.shape[2] == 2:  # there is no grey with alpha
            channels = channels[..., [0, 0, 0, 1]]
        plain = self.save(new, channels, self.options(new))
        profile = self.metadata(new).get("icc_profile", b"")
        header = bytearray(plain[FILE : FILE + PLAIN])
        if new.same:
            header[RESOLUTION] = content[FILE + RESOLUTION.start : FILE + RESOLUTION.stop]
        source = _late_header(content) if new.same else b""
        rest, alpha = plain[FILE + PLAIN :], new.original.alpha is not None
        if source or profile or alpha:
            header[COMPRESSION] = BY_MASKS if alpha else header[COMPRESSION]
            header += (MASKS if alpha else bytes(16)) + (source[COLOURS] or (EMBEDDED if profile else SRGB) + bytes(48))
            profile = _profile(content, source) or profile
            if profile or len(source) == FIFTH or not source:
                place = FIFTH + len(rest) if profile else 0
                header += (source[INTENT] or FOR_PHOTOS) + struct.pack("<III", place, len(profile), 0)
            struct.pack_into("<I", header, 0, len(header))
        (pixels,) = struct.unpack_from("<I", plain, 10)
        size = FILE + len(header) + len(rest) + len(profile)
        return struct.pack("<2sIII", b"BM", size, 0, pixels + len(header) - PLAIN) + header + rest + profile


def _late_header(content: bytes) -> bytes:
    """The picture's header, if it is a fourth or fifth one."""
    size = int.from_bytes(content[FILE : FILE + 4], "little")
    return content[FILE : FILE + size] if size in (FOURTH, FIFTH) else b""


def _profile(content: bytes, header: bytes) -> bytes:
    """The profile of a file, or the name of its file."""
    if len(header) != FIFTH or header[SPACE] not in (EMBEDDED, LINKED):
        return b""
    place, length = struct.unpack_from("<II", header, PROFILE)
    return content[FILE + place : FILE + place + length]
