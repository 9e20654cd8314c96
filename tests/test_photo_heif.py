"""HEIC and AVIF: depth, turns, thumbnails and whatever else their files hold come back."""

import base64
import io
import struct
import sys

import av
import numpy as np
import pytest
from PIL import Image

from derain.errors import PhotoError
from derain.photos import coded, decode, encode_with_notes, heif, items
from derain.photos.previews import STILL_RAINY

heif_library = pytest.importorskip("pillow_heif")
WIDTH, HEIGHT = 96, 64
RAIN = 60 * 257


@pytest.fixture
def photo(rng):
    small = Image.fromarray(rng.integers(90, 250, (4, 6, 3), dtype=np.uint8))
    return np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def test_a_library_that_is_missing_is_told_from_one_that_is_broken(photo, monkeypatch):
    content = heic(photo)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(PhotoError, match=r"HEIC needs an extra; install it with: pip install 'derain\[heic\]'"):
            decode(content, "a.heic")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pillow_heif"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "_pillow_heif", None)
    with pytest.raises(PhotoError, match=r"HEIC cannot be used, as pillow-heif cannot be loaded \(.*; reinstall it"):
        decode(content, "a.heic")


def heic(photo, mode="RGB", **options) -> bytes:
    file, size = io.BytesIO(), (photo.shape[1], photo.shape[0])
    further = options.pop("further", ())
    image = heif_library.from_bytes(mode=mode, size=size, data=np.ascontiguousarray(photo).tobytes())
    for pixels in further:
        image.add_frombytes(mode="RGB", size=(pixels.shape[1], pixels.shape[0]), data=pixels.tobytes())
    image.save(file, quality=95, **options)
    return file.getvalue()


def deep_avif(photo) -> bytes:
    return coded.encode(photo.astype(np.uint16) * 257, coded.AV1, coded.Coding(10), 95)


def darker(content: bytes, to: str | None = None):
    """The photo with 60 of 255 levels taken away, and what is said of it."""
    original = decode(content)
    step = RAIN if original.deep else 60
    encoded = encode_with_notes(original, original.pixels - original.pixels.dtype.type(step), to)
    return encoded.content, encoded.notes


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("chroma", ["420", "444"])
def test_heic_keeps_its_bits_and_chroma(photo, bits, chroma):
    values = (photo.astype(np.uint16) << (bits - 8)) + 1
    content = heic(values, f"RGB;{bits}", bit_depth=bits, chroma=chroma)
    original = decode(content)
    white = (1 << bits) - 1
    assert original.deep and np.abs(original.pixels - values * (65535 / white)).mean() < 3 * 257
    assert len(np.unique(original.pixels)) > 256
    result, notes = darker(content)
    after = heif_library.open_heif(result, convert_hdr_to_8bit=False)
    assert (after.info["bit_depth"], after.info["chroma"]) == (bits, int(chroma)) and not notes
    assert np.abs(decode(result).pixels + float(RAIN) - original.pixels).mean() < 3 * 257
    assert decode(darker(content, "PNG")[0]).deep


@pytest.mark.parametrize("matrix", [1, 4, 6, 7, 8, 9, 12, 16])
def test_deep_avif_has_the_colours_of_its_matrix(photo, matrix):
    codes = b"colrnclx\0\2\0\2\0"
    content = deep_avif(photo).replace(codes + b"\6", codes + bytes([matrix]))
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))  # by another decoder, at 8 bits
    original = decode(content)
    assert np.abs(original.pixels / (257 if original.deep else 1) - shown).mean() < 2
    result = encode_with_notes(original, original.pixels)
    assert np.abs(decode(result.content).pixels / 257 - shown).mean() < 3
    if matrix in (8, 12):
        assert not original.deep and result.notes[0].startswith("its 10 bits became 8")
    else:
        assert original.deep == (matrix != 16) and not result.notes  # which is of 8 bits, and two more for the coding


def test_avif_keeps_10_bits_and_its_colours(photo):
    content = deep_avif(photo).replace(b"colrnclx\0\2\0\2", b"colrnclx\0\x09\0\x10")
    original = decode(content)
    assert original.deep and np.abs(original.pixels / 257 - photo).mean() < 3
    result, notes = darker(content)
    assert b"colrnclx\0\x09\0\x10" in result and not notes
    assert heif.bits(result) == 10 and np.abs(decode(result).pixels + float(RAIN) - original.pixels).mean() < 3 * 257
    assert Image.open(io.BytesIO(result)).size == (WIDTH, HEIGHT)
    with av.open(io.BytesIO(result)) as clip:
        assert clip.streams.video[0].codec_context.pix_fmt == "yuv420p10le"


def turns_of(file: items.ItemFile) -> list[bytes]:
    return [entry[4:] for entry, _ in file.items[file.primary].properties if entry[4:8] in (b"irot", b"imir")]


@pytest.mark.parametrize("file_format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_stay_and_the_picture_stands_as_before(photo, file_format, orientation):
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "Hans Camera"
    image = Image.fromarray(photo)
    file = io.BytesIO()
    if file_format == "HEIF":
        image.info["exif"] = exif.tobytes()
        heif_library.from_pillow(image).save(file, quality=95)
    else:
        image.save(file, format="AVIF", quality=95, exif=exif.tobytes())
    original = decode(file.getvalue())
    result, notes = darker(file.getvalue())
    after = decode(result)
    assert after.pixels.shape == original.pixels.shape and after.orientation == original.orientation and not notes
    assert np.abs(after.pixels + 60.0 - original.pixels).mean() < 4
    turns = [turns_of(items.read(each)) for each in (file.getvalue(), result)]
    assert turns[0] == turns[1]


def test_thumbnails_of_a_heic_are_made_anew_and_further_pictures_stay(photo):
    second = photo[::2, ::2].copy()
    content = heic(photo, thumbnails=[48], further=[second])
    result, notes = darker(content)
    before, after = (heif_library.open_heif(each) for each in (content, result))
    assert [len(each.info["thumbnails"]) for each in (before, after)] == [1, 1] and len(after) == 2
    small = np.asarray(after[after.primary_index].get_thumbnail(0)).astype(int)
    assert np.abs(small - (np.asarray(before[0].get_thumbnail(0)).astype(int) - 60)).mean() < 5
    assert np.array_equal(np.asarray(after[1]), np.asarray(before[1])) and notes == (STILL_RAINY,)


def with_auxiliary(content: bytes, picture: np.ndarray, kind: bytes) -> bytes:
    """A further picture that belongs to the first, such as a gain map."""
    file, other = items.read(content), items.read(heic(picture, "L"))
    item = other.items[other.primary]
    number = max(file.items) + 1
    item.entry = item.entry[:3] + b"\1" + struct.pack(">H", number) + item.entry[6:]
    item.properties.append((items.box(b"auxC", bytes(4) + kind + b"\0"), True))
    file.items[number] = item
    file.references.append((b"auxl", number, [file.primary]))
    return items.write(file)


def data_of(content: bytes, kind: bytes) -> bytes:
    return next(item.data for item in items.read(content).items.values() if kind in (item.holds(b"auxC") or b""))


def test_depth_and_gain_map_of_a_heic_are_carried_over(photo):
    gain, depth = b"urn:com:apple:photo:2020:aux:hdrgainmap", b"urn:mpeg:hevc:2015:auxid:2"
    content = heic(photo.astype(np.uint16) << 2, "RGB;10", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    for kind in (gain, depth):
        content = with_auxiliary(content, np.full((32, 48), len(kind), np.uint8), kind)
    result, notes = darker(content)
    assert not notes and all(data_of(result, kind) == data_of(content, kind) for kind in (gain, depth))
    after = heif_library.open_heif(result)
    assert set(after.info["aux"]) == {gain.decode()} and len(after.info["depth_images"]) == 1
    assert "left out" in darker(content, "PNG")[1][0]


@pytest.mark.parametrize("file_format", ["HEIF", "AVIF"])
def test_alpha_stays_bit_for_bit(photo, rng, file_format):
    alpha = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    image = Image.fromarray(np.dstack([photo, alpha]))
    file = io.BytesIO()
    if file_format == "HEIF":
        heif_library.from_pillow(image).save(file, quality=95)
    else:
        image.save(file, format="AVIF", quality=90)
    result, notes = darker(file.getvalue())
    before, after = (
        next(item.data for item in items.read(each).items.values() if item.is_alpha)
        for each in (file.getvalue(), result)
    )
    assert before == after and not notes
    assert np.array_equal(decode(result).alpha, decode(file.getvalue()).alpha)
    assert np.abs(decode(result).pixels + 60.0 - decode(file.getvalue()).pixels).mean() < 4


def test_a_heic_of_tiles_becomes_one_picture_with_all_that_it_had(photo):
    large = photo.repeat(3, axis=0).repeat(3, axis=1)
    content = heic(large, tile_size=128, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x/>")
    assert items.read(content).items[items.read(content).primary].kind == b"grid"
    result, notes = darker(content)
    after = heif_library.open_heif(result)
    assert after.info["xmp"] == b"<x/>" and after.info["exif"] == heif_library.open_heif(content).info["exif"]
    assert np.abs(np.asarray(after) + 60.0 - large).mean() < 4 and not notes
    assert len([item for item in items.read(result).items.values() if item.kind == b"hvc1"]) == 1


@pytest.mark.parametrize("file_format", ["HEIF", "AVIF"])
def test_damaged_files_end_in_a_sentence(photo, rng, file_format):
    from derain.errors import PhotoError

    content = heic(photo, thumbnails=[48]) if file_format == "HEIF" else deep_avif(photo)
    meta = content.index(b"mdat")
    for _ in range(25):
        damaged = bytearray(content)
        damaged[rng.integers(8, meta)] ^= 1 << rng.integers(8)
        try:
            darker(bytes(damaged))
        except PhotoError:
            continue


TWELVE_BITS = """
AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAPltZXRhAAAAAAAAAC9oZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAUGljdHVyZUhhbm
RsZXIAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABHQAAABMAAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAx
Q29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAABAAAAAQAAAAEHBpeGkAAAAAAwwMDAAAAAxhdjFDgUBgAAAAABNjb2xybmNseA
ACAAIAAgAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAABttZGF0CgZYDP/awIAyCRgAAABQAAAAnA==
"""


def test_an_avif_of_12_bits_becomes_one_of_10_and_that_is_said():
    content = base64.b64decode(TWELVE_BITS)
    result, notes = darker(content)
    assert heif.bits(content) == 12 and heif.bits(result) == 10
    assert len(notes) == 1 and "12 bits and 4:4:4" in notes[0] and "10 bits and 4:2:0" in notes[0]


@pytest.mark.parametrize("file_format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("damage", ["magic", "offset", "length"])
def test_damaged_exif_costs_neither_picture_nor_itself(photo, file_format, damage):
    exif = Image.Exif()
    exif[271] = "Hans Camera"
    plain = heic(photo, exif=exif.tobytes()) if file_format == "HEIF" else avif(photo, exif=exif.tobytes())
    place = plain.index(b"MM\0*\0\0\0\x08")
    start, value = {"magic": (0, b"XX"), "offset": (4, b"\xff\xff\xff\xff"), "length": (-10, b"\xff\xff\xff\xff")}[
        damage
    ]
    source = plain[: place + start] + value + plain[place + start + len(value) :]
    result, _ = darker(source)
    kept = [item.data for item in items.read(result).items.values() if item.kind == b"Exif"]
    assert kept == [item.data for item in items.read(source).items.values() if item.kind == b"Exif"]
    assert np.abs(decode(result).pixels + 60.0 - photo).mean() < 5


def avif(photo, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "AVIF", quality=90, **options)
    return file.getvalue()


def test_the_moving_picture_of_a_heic_is_left_out_and_that_is_said(photo):
    plain = heic(photo)
    brands = b"heic\0\0\0\0mif1heicmsf1hevcmiaf"
    (size,) = struct.unpack(">I", plain[:4])
    moved = len(brands) + 8 - size
    source = bytearray(items.box(b"ftyp", brands) + plain[size:] + items.box(b"moov", b"tracks" * 20))
    extent = source.index(b"iloc")
    place = source.index(struct.pack(">I", plain.index(b"mdat") + 4), extent)
    struct.pack_into(">I", source, place, plain.index(b"mdat") + 4 + moved)
    result, notes = darker(bytes(source))
    assert len(notes) == 1 and "image sequence" in notes[0]
    assert b"moov" not in result and result[4:32] == b"ftypheic\0\0\0\0mif1heicmiaf" + result[28:32]
    assert np.abs(decode(result).pixels + 60.0 - photo).mean() < 5
    assert darker(bytes(source), "PNG")[1] == ("its image sequence left out, which PNG cannot hold",)


def test_a_list_that_names_the_same_data_thousands_of_times_is_refused(tmp_path, rng):
    """A file of some kilobytes would hold up a batch for minutes, and take gigabytes."""
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(content, format="AVIF")
    file = content.getvalue()
    parts = dict(items.boxes(next(inner for kind, inner in items.boxes(file) if kind == b"meta"), 4))
    extents = 2000 * struct.pack(">II", 0, len(file))
    parts[b"iloc"] = bytes((0, 0, 0, 0, 0x44, 0)) + struct.pack(">HHHH", 1, 1, 0, 2000) + extents
    other = b"".join(items.box(*part) for part in items.boxes(file) if part[0] != b"meta")

    def whole():
        return items.box(b"meta", bytes(4) + b"".join(items.box(*part) for part in parts.items())) + other

    with pytest.raises(PhotoError, match="again and again"):
        items.read(whole())
    parts[b"iloc"] = parts[b"iloc"][:30]
    with pytest.raises(IndexError):
        items.read(whole())
