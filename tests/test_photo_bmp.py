"""BMPs keep what their later headers tell: the colours' space, a profile, transparency."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from derain.photos import decode, encode_with_notes
from tests.test_photo_metadata import darker, opened, photo, saved

__all__ = ["photo"]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def bmp(photo, space: bytes, size: int = 124, profile: bytes = b"", corners: bytes = bytes(48)) -> bytes:
    plain = saved(photo, "BMP")
    pixels = plain[54:]
    header = struct.pack("<I", size) + plain[18:38] + struct.pack("<II", 1234, 4321) + plain[46:54] + bytes(16)
    header += space + corners
    if size == 124:
        header += struct.pack("<IIII", 2, size + len(pixels) if profile else 0, len(profile), 0)
    total = 14 + size + len(pixels) + len(profile)
    return struct.pack("<2sIII", b"BM", total, 0, 14 + size) + header + pixels + profile


@pytest.mark.parametrize(
    "given",
    [
        {"space": b"DEBM", "profile": ICC},
        {"space": b"KNIL", "profile": b"c:\\wide.icc\0"},
        {"space": b" niW"},
        {"space": bytes(4), "corners": bytes(range(48)), "size": 108},
        {"space": bytes(4), "corners": bytes(range(48))},
    ],
    ids=["profile", "linked", "of Windows", "calibrated", "calibrated in a fourth header"],
)
def test_a_bmp_keeps_the_fields_of_its_header_and_its_profile(photo, given):
    source = bmp(photo, **given)
    result, notes = darker(source)
    assert result[: 14 + given.get("size", 124)] == source[: 14 + given.get("size", 124)] and not notes
    assert result.endswith(given.get("profile", b"")) and len(result) == len(source)
    assert np.array_equal(np.asarray(opened(result)), np.asarray(photo) - 60)


def test_profiles_go_from_bmp_to_other_formats_and_back(photo):
    result, notes = darker(bmp(photo, b"DEBM", profile=ICC), to="PNG")
    assert opened(result).info["icc_profile"] == ICC and not notes
    again, notes = darker(saved(photo, "JPEG", icc_profile=ICC), to="BMP")
    assert decode(again).options["icc_profile"] == ICC and not notes
    _, notes = darker(bmp(photo, bytes(4), corners=bytes(range(48))), to="PNG")
    assert notes == ("its own description of its colours left out, which PNG cannot hold",)


def test_a_bmp_holds_transparency(photo, rng):
    alpha = rng.integers(0, 256, photo.size[::-1], dtype=np.uint8)
    source = Image.fromarray(np.dstack([np.asarray(photo), alpha]))
    result, notes = darker(saved(source, "PNG"), to="BMP")
    assert np.array_equal(np.asarray(opened(result))[..., 3], alpha) and not notes
    grey, _ = darker(saved(source.convert("LA"), "PNG"), to="BMP")
    assert opened(grey).mode == "RGBA" and np.array_equal(np.asarray(opened(grey))[..., 3], alpha)
    original = decode(result)
    assert np.array_equal(np.asarray(opened(encode_with_notes(original, original.pixels).content))[..., 3], alpha)


@pytest.mark.parametrize("to", ["PNG", "BMP", "WEBP"])
def test_a_profile_of_inks_does_not_go_with_colours_and_that_is_said(photo, to):
    _, notes = darker(saved(photo.convert("CMYK"), "JPEG", icc_profile=ICC), to)
    assert notes == ("its CMYK inks became RGB", "its ICC profile is left out because it describes inks")
    assert darker(saved(photo.convert("CMYK"), "JPEG"), to)[1] == ("its CMYK inks became RGB",)


def test_a_bmp_that_tells_no_resolution_gets_none(photo):
    source = bytearray(saved(photo, "BMP"))
    source[38:46] = bytes(8)
    assert "dpi" not in Image.open(io.BytesIO(darker(bytes(source))[0])).info


def test_a_depth_that_a_format_does_not_hold_is_said(photo, rng):
    deep = Image.fromarray(rng.integers(0, 65536, (8, 8), dtype=np.uint16))
    assert "reduced to 8 bits" in darker(saved(deep, "PNG"), to="WEBP")[1][0]
    assert not darker(saved(deep, "PNG"), to="TIFF")[1]
