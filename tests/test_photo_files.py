"""What is opened as a photo and what is not: by content, by extent, with nothing of the process's own changed."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from derain.batch import plan, run
from derain.errors import PhotoError
from derain.photos import decode, read_original
from derain.photos.extent import SparseError
from derain.weights import load
from tests.test_photos import back, saved

HEIGHT, WIDTH = 24, 36


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (6, 9, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize(
    "file_format", ["EPS", "PPM", "TGA", "PCX", "ICO", "SGI", "DDS", "GIF", "PDF", "ICNS", "JPEG2000"]
)
def test_other_formats_are_never_opened_whatever_they_are_called(rgb, tmp_path, file_format, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(saved(Image.fromarray(rgb).resize((64, 64)), file_format))
    for plugin in Image.OPEN:
        if plugin not in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"):
            monkeypatch.setitem(Image.OPEN, plugin, (lambda *_: pytest.fail("opened"), lambda _: True))
    with pytest.raises(PhotoError, match="photo.jpg: (not a photo|is a picture in .* format, which)"):
        read_original(tmp_path / "photo.jpg")


def test_importing_derain_changes_nothing_of_the_process():
    program = """
import io, warnings
from PIL import Image
ignored = lambda: [entry for entry in warnings.filters if "PIL" in str(entry)]
state = lambda: (Image.MAX_IMAGE_PIXELS, dict(Image.OPEN), dict(Image.SAVE), ignored())
Image.init()
before = state()
import derain, derain.photos, derain.batch, derain.video
file = io.BytesIO()
Image.new("RGB", (40, 30)).save(file, format="JPEG")
original = derain.photos.decode(file.getvalue())
assert {kind for kind in ("PNG", "AVIF", "HEIF") if derain.photos.encode(original, original.pixels, to=kind)}
assert state() == before
"""
    pytest.importorskip("pillow_heif")
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", program], check=True, timeout=240)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [2, 1])
def test_a_jpeg_that_lacks_only_its_end_is_read(rng, progressive, lost):
    whole = saved(Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)), "JPEG", progressive=progressive)
    original = decode(whole[:-lost])
    assert np.array_equal(original.pixels, decode(whole).pixels)
    assert back(whole[:-lost]) == back(whole)
    padded = decode(whole[:-2] + bytes(500))
    assert np.array_equal(padded.pixels, original.pixels)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_part_of_its_picture_is_refused(rng, progressive):
    whole = saved(Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)), "JPEG", progressive=progressive)
    last_scan = whole.rindex(b"\xff\xc4" if progressive else b"\xff\xda")
    for end in (len(whole) - 4, len(whole) * 9 // 10, len(whole) // 2, last_scan):
        for tail in (b"", bytes(2000)):
            with pytest.raises(PhotoError, match="missing|cannot be read"):
                decode(whole[:end] + tail)


def test_a_jpeg_whose_scan_is_cut_short_is_refused_in_words_for_users(rng):
    whole = saved(Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)), "JPEG")
    place = whole.index(b"\xff\xda\0\x0c")
    with pytest.raises(PhotoError, match="part of the picture is missing"):
        decode(whole[: place + 2] + b"\0\x0a" + whole[place + 4 : -100])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray, kind: int, *further: bytes) -> bytes:
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{values.itemsize}").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *further, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_16_bit_png_with_a_colour_key_keeps_depth_and_transparency(rng):
    colours = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    colours[:8, :8] = 1000, 2000, 3000
    key = chunk(b"tRNS", struct.pack(">HHH", 1000, 2000, 3000))
    again = decode(back(png(colours, 2, key)))
    assert np.array_equal(again.pixels, colours)
    assert (again.alpha[:8, :8] == 0).all() and (again.alpha[8:, 8:] == 65535).all()
    grey = decode(back(png(colours[..., 0], 0, chunk(b"tRNS", struct.pack(">H", 1000)))))
    assert grey.grey and np.array_equal(grey.pixels[..., 0], colours[..., 0])
    assert np.array_equal(grey.alpha == 0, colours[..., 0] == 1000)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("to", ["PNG", "TIFF"])
def test_16_bits_with_alpha_stay_both(rng, channels, to):
    values = rng.integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    content = back(png(values, {2: 4, 4: 6}[channels]), to=to)
    for again in (decode(content), decode(back(content))):
        assert again.grey == (channels == 2) and again.deep
        assert np.array_equal(again.pixels[..., : channels - 1], values[..., :-1])
        assert np.array_equal(again.alpha, values[..., -1])
    if to == "TIFF":
        assert tifffile.imread(io.BytesIO(back(content))).shape == values.shape


def tiff(values, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"rowsperstrip": 7},
        {"compression": "zlib", "predictor": True},
        {"compression": "zlib", "predictor": True, "tile": (16, 16)},
        {"tile": (32, 16)},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "zlib", "predictor": True, "rowsperstrip": 5},
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_16_bit_tiff_of_every_layout_is_read(rng, form, order):
    values = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    stored = values.transpose(2, 0, 1) if form.get("planarconfig") == "separate" else values
    assert np.array_equal(decode(tiff(stored, photometric="rgb", byteorder=order, **form)).pixels, values)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
def test_16_bit_tiff_of_older_compressions_is_read(rng, compression):
    values = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16) & 0xFF0F
    flat = values.astype("<u2").view(np.uint8).reshape(HEIGHT, -1)  # packed as grey bytes and then called colours
    content = bytearray(saved(Image.fromarray(flat), "TIFF", compression=compression))
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    rows = [struct.unpack_from("<HHII", content, directory + 2 + 12 * index) for index in range(count)]
    content += bytes(len(content) % 2)
    bits = len(content)
    content += struct.pack("<HHH", 16, 16, 16)
    changed = {256: (256, 3, 1, WIDTH), 258: (258, 3, 3, bits), 262: (262, 3, 1, 2), 277: (277, 3, 1, 3)}
    rows = sorted(({row[0]: row for row in rows} | changed).values())
    struct.pack_into("<I", content, 4, len(content))
    content += struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    assert np.array_equal(decode(bytes(content)).pixels, values)


@pytest.mark.parametrize("kind", [1, 4, 5])
def test_a_tiff_whose_second_page_is_a_small_copy_or_a_mask_is_one_photo(rgb, kind):
    mark = struct.pack("<HHII", 254, 4, 1, 1), struct.pack("<HHII", 254, 4, 1, kind)
    whole, reduced = (
        {"photometric": "rgb", "metadata": None},
        {"photometric": "rgb", "subfiletype": 1, "metadata": None},
    )
    for pages in ([(rgb, whole), (rgb[::4, ::4], reduced)], [(rgb[::4, ::4], reduced), (rgb, whole)]):
        file = io.BytesIO()
        with tifffile.TiffWriter(file, byteorder="<") as writer:
            for values, options in pages:
                writer.write(values, **options)
        content = file.getvalue().replace(*mark)
        original = decode(content)
        assert np.array_equal(original.pixels, rgb) and original.left_out
        assert np.array_equal(decode(back(content)).pixels, rgb)


def damaged_16_bit_files(rng):
    values = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
    for content in (
        png(values, 2),
        tiff(values, photometric="rgb", compression="zlib"),
        tiff(values, photometric="rgb"),
    ):
        yield content[: len(content) // 2]
        middle = len(content) // 2
        yield content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]


def test_refusals_are_sentences_and_no_lines_of_libraries(rng, tmp_path, small_weights):
    for index, content in enumerate(damaged_16_bit_files(rng)):
        suffix = "png" if content.startswith(b"\x89") else "tif"
        (tmp_path / f"{index}.{suffix}").write_bytes(content)
    command = [sys.executable, "-m", "derain", "run", str(tmp_path), "--weights", str(small_weights), "-q"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stderr
    assert said and all(line.startswith("derain: ") for line in said.splitlines() if not line.startswith(" ")), said
    assert not any(word in said.lower() for word in ("opencv", "libpng", "libtiff", "global", "warn")), said


def declared(width: int, height: int, file_format: str) -> bytes:
    """A few kilobytes that say they are a large photo."""
    if file_format == "PNG":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        small = png(np.zeros((8, 8, 3), np.uint8), 2)
        return small[:8] + header + small[33:]
    if file_format == "JPEG":
        small = saved(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
        place = small.index(b"\xff\xc2") + 5
        return small[:place] + struct.pack(">HH", height, width) + small[place + 4 :]
    if file_format == "TIFF":
        zeros = zlib.compress(bytes(width))
        tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
        offsets, counts = 1000, 1000 + 4 * height
        strips = [(273, 4, height, offsets), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, height, counts)]
        directory = b"".join(struct.pack("<HHII", *tag) for tag in tags + strips)
        head = b"II*\0" + struct.pack("<IH", 8, 9) + directory + bytes(4)
        data = counts + 4 * height
        lists = struct.pack("<I", data) * height + struct.pack("<I", len(zeros)) * height
        return head.ljust(1000, b"\0") + lists + zeros
    return saved(Image.new("RGB", (width, height)), file_format, lossless=True)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF"])
def test_what_a_file_declares_has_to_fit_what_is_there(file_format):
    content = declared(13_000, 13_000, file_format)
    assert len(content) < 150_000
    with pytest.raises(PhotoError, match="13000x13000 px in .* missing"):
        decode(content)


def test_a_blank_giant_is_refused_only_where_that_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "blank.webp").write_bytes(declared(8_000, 8_000, "WEBP"))
    with pytest.raises(SparseError, match="8000x8000 px in . kB"):
        read_original(tmp_path / "blank.webp", patient=False)
    with pytest.raises(PhotoError, match="`max_megapixels` 64"):
        read_original(tmp_path / "blank.webp", max_megapixels=50)
    monkeypatch.setattr("derain.photos.extent.LARGE_PIXELS", 10_000)
    Image.new("RGB", (200, 100)).save(tmp_path / "blank.webp", lossless=True)
    assert read_original(tmp_path / "blank.webp").pixels.shape == (100, 200, 3)


def test_a_blank_giant_does_not_hold_up_the_others(rgb, tmp_path, small_weights, monkeypatch):
    monkeypatch.setattr("derain.photos.extent.LARGE_PIXELS", 10_000)
    Image.new("RGB", (200, 100)).save(tmp_path / "a.webp", lossless=True)
    (tmp_path / "b.png").write_bytes(saved(Image.fromarray(rgb), "PNG"))
    outcomes = list(run(plan([tmp_path]), load(str(small_weights))))
    assert [outcome.job.source.name for outcome in outcomes] == ["b.png", "a.webp"]
    assert not any(outcome.error for outcome in outcomes) and (tmp_path / "a.derained.webp").exists()
    assert "so it was done last" in outcomes[1].notes[0] and not outcomes[0].notes


def test_a_giant_that_does_not_fit_the_memory_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("derain.restoring.devices.proc_bytes", lambda *_: 500e6)
    with pytest.raises(PhotoError, match="needs 896.0 MB of memory; 500.0 MB is free"):
        decode(declared(8_000, 8_000, "WEBP"))


def test_a_jpeg_of_a_thousand_scans_is_refused(rgb):
    content = saved(Image.fromarray(rgb), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    with pytest.raises(PhotoError, match="over 100 scans"):
        decode(content[:-2] + scan * 1000 + b"\xff\xd9")


def test_what_a_phone_puts_beside_the_picture_is_not_counted_as_scans(rgb):
    video = b"\xff\xda" * 500
    content = saved(Image.fromarray(rgb), "JPEG")
    segment = b"\xff\xe9" + struct.pack(">H", len(video) + 2) + video
    assert decode(content[:2] + segment + content[2:] + video).pixels.shape == rgb.shape


def test_a_blank_photo_of_usual_size_is_read_at_once():
    blank = Image.new("RGB", (4000, 3000), "white")
    for file_format in ("JPEG", "PNG"):
        assert decode(saved(blank, file_format), patient=False).pixels.shape == (3000, 4000, 3)
