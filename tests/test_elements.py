"""`derain video` on Matroska and WebM: every element comes back, known or not, but for what speaks of the blocks."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from derain.video import VideoSettings, process
from tests.test_tracks import with_sound
from tests.test_video import Identity, make_clip

FRAME_BY_FRAME = VideoSettings(temporal="off")
HEAD, SEGMENT, CLUSTER, CUES, SEEK_HEAD, TRACKS, ENTRY, VIDEO = (
    *("1a45dfa3", "18538067", "1f43b675", "1c53bb6b", "114d9b74", "1654ae6b", "ae", "e0"),
)
CHAPTERS, ATTACHMENTS, TAGS, TAG = "1043a770", "1941a469", "1254c367", "7373"
NESTED = (SEGMENT, TRACKS, ENTRY, VIDEO, "1549a966", TAGS, TAG, "63c0")
MAY_CHANGE = {  # places, sums and fillings, the encoder's setup, and who wrote it
    *(CLUSTER, CUES, SEEK_HEAD, "ec", "bf", "63a2", "4d80", "5741"),
}


def element(name: str, *content: bytes) -> bytes:
    inside = b"".join(content)
    return bytes.fromhex(name) + (len(inside) | 1 << 56).to_bytes(8, "big") + inside


def elements(content: bytes) -> list[tuple[str, bytes]]:
    found, at = [], 0
    while at < len(content):
        width = 9 - content[at].bit_length()
        name, at = content[at : at + width].hex(), at + width
        width = 9 - content[at].bit_length()
        size = int.from_bytes(content[at : at + width], "big") & ((1 << 7 * width) - 1)
        found.append((name, content[at + width : at + width + size]))
        at += width + size
    return found


def told(content: bytes, path: str = "") -> list[tuple[str, bytes]]:
    found = []
    for name, inside in elements(content):
        if name not in MAY_CHANGE:
            found += told(inside, f"{path}/{name}") if name in NESTED else [(f"{path}/{name}", inside)]
    return found


def changed(path: Path, change: Callable[[str, bytes], bytes], more: bytes = b"") -> Path:
    """Rewrite what is in the segment, without places that would be wrong then."""
    (head, brand), (_, inside) = elements(path.read_bytes())[:2]
    parts = [(n, c) for n, c in elements(inside) if n not in (SEEK_HEAD, CUES, "ec")]
    header = b"".join(element(n, change(n, c)) for n, c in parts if n != CLUSTER)
    clusters = b"".join(element(n, c) for n, c in parts if n == CLUSTER)
    path.write_bytes(element(head, brand) + element(SEGMENT, header + more + clusters))
    return path


def text(name: str, words: str) -> bytes:
    return element(name, words.encode())


PROJECTION = element("7670", element("7671", b"\1"), element("7672", bytes(20)))
EDITION = element(
    CHAPTERS,
    element(
        "45b9",
        element("45bc", b"\7\7"),
        element(
            "b6", element("73c4", b"\1"), element("91", b"\0"), element("98", b"\1"), element("4fff", b"nobody knows")
        ),
    ),
)
FONT = element(
    ATTACHMENTS,
    element(
        "61a7", text("467e", "a font"), text("466e", "a.ttf"), text("4660", "font/ttf"), element("465c", bytes(99))
    ),
)


def rich(path: Path, webm: bool = False) -> Path:
    """A clip with a projection, light of its screen, nested tags and chapters, an attachment and what nobody knows."""
    make_clip(
        path,
        30,
        "libvpx-vp9" if webm else "libx264",
        base=Fraction(1, 1000),
        subtitles=not webm,
        options={"g": "5"},
        tags={"color_range": 1},
    )

    def change(name: str, content: bytes) -> bytes:
        if name == TRACKS:
            (first, entry), *others = [pair for pair in elements(content) if pair[0] == ENTRY]
            parts = []
            for kind, inside in elements(entry):
                if kind == VIDEO:
                    inside += PROJECTION + element("54b0", b"\x60") + element("54ba", b"\x30") + element("4ffe", b"?")
                parts.append(element(kind, inside))
            parts += [text("22b59d", "de-CH"), element("4ffd", b"of a maker"), text("258688", "AVC")]
            return b"".join([element(first, *parts), *(element(k, c) for k, c in others)])
        if name == TAGS:
            inner = element("67c8", text("45a3", "PART"), text("4487", "one"))
            outer = element("67c8", text("45a3", "SERIES"), text("447a", "deu"), text("4487", "Regen"), inner)
            return content + element(TAG, element("63c0", element("68ca", b"\x46")), outer)
        return content if name != CHAPTERS else b""

    more = EDITION + element("1ffffff0", b"x") + (b"" if webm else FONT)
    return changed(path, change, more)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_every_element_comes_back(tmp_path, name):
    source, out, said = rich(tmp_path / name, name.endswith("webm")), tmp_path / f"dry {name}", []
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    before, after = ({pair for pair in told(path.read_bytes()) if pair[1]} for path in (source, out))
    assert before == after
    with av.open(str(source)) as one, av.open(str(out)) as other:
        assert len(list(other.decode(video=0))) == 30
        assert [s.type for s in one.streams] == [s.type for s in other.streams]
        assert one.metadata | {"ENCODER": ""} == other.metadata | {"ENCODER": ""}
    assert not said


def test_sound_that_ffmpeg_knows_by_a_windows_name_alone_is_copied(tmp_path):
    source = with_sound(tmp_path / "a.mkv", "pcm_u8")

    def change(name: str, content: bytes) -> bytes:
        if name != TRACKS:
            return content
        *pictures, (kind, sound) = elements(content)
        parts = [part for part in elements(sound) if part[0] not in ("86", "63a2")]
        setup = struct.pack("<HHIIHHH", 6, 1, 44100, 44100, 1, 8, 0)  # A-law
        renamed = [*(element(*part) for part in parts), text("86", "A_MS/ACM"), element("63a2", setup)]
        return b"".join(element(*part) for part in pictures) + element(kind, *renamed)

    changed(source, change)
    for start in (None, 0.24):
        done = process(source, tmp_path / "b.mkv", Identity(), VideoSettings(temporal="off", start=start), True)
        assert not done.notes
        with av.open(str(source)) as one, av.open(str(tmp_path / "b.mkv")) as other:
            before, after = ([bytes(p) for p in clip.demux(audio=0) if p.size] for clip in (one, other))
            assert other.streams.audio[0].codec_context.name == "pcm_alaw"
        assert after and after == before[-len(after) :]


def test_places_in_the_result_are_right(tmp_path):
    source, out = rich(tmp_path / "a.mkv"), tmp_path / "b.mkv"
    process(source, out, Identity(), FRAME_BY_FRAME)
    content = out.read_bytes()
    inside = dict(elements(content))[SEGMENT]
    begins = len(content) - len(inside)
    assert content.endswith(inside)
    seeks = [dict(elements(seek)) for _, seek in elements(dict(elements(inside))[SEEK_HEAD])]
    for seek in seeks:
        at = begins + int.from_bytes(seek["53ac"], "big")
        assert content[at:].startswith(seek["53ab"])
    points = [dict(elements(point)) for name, point in elements(dict(elements(inside))[CUES]) if name == "bb"]
    assert len(points) > 1
    for point in points:
        at = begins + int.from_bytes(dict(elements(point["b7"]))["f1"], "big")
        assert content[at:].startswith(bytes.fromhex(CLUSTER))


@pytest.mark.parametrize(
    "codec, pixel_format, name, told",
    [
        ("prores_ks", "yuv422p10le", "b.mov", False),
        ("qtrle", "rgb24", "b.mov", False),
        ("huffyuv", "yuv422p", "b.avi", True),  # of which FFmpeg writes no such shape
        ("libx264", "yuv420p", "b.webm", False),
    ],
)
def test_pixels_that_are_not_square_stay_so_without_help_of_the_codec(tmp_path, codec, pixel_format, name, told):
    wide = Fraction(4, 3)
    source = make_clip(tmp_path / "a.mov", 2, "prores_ks", "yuv422p10le", tags={"sample_aspect_ratio": wide})
    if name == "b.mov":
        source = make_clip(tmp_path / "a.mov", 2, codec, pixel_format, tags={"sample_aspect_ratio": wide})
    said = []
    encoder = VideoSettings(temporal="off", codec=codec if told else None)
    process(source, tmp_path / name, Identity(), encoder, say=said.append)
    with av.open(str(tmp_path / name)) as clip:
        kept = clip.streams.video[0].sample_aspect_ratio or 1
    assert any("shape of its pixels, 4:3, cannot be kept" in sentence for sentence in said) is told, said
    assert (abs(kept / wide - 1) < 0.02) is not told


def test_pixels_that_are_not_square_stay_so(tmp_path):
    wide = make_clip(tmp_path / "a.mp4", 3, tags={"sample_aspect_ratio": Fraction(4, 3)})
    for name in ("b.mkv", "c.webm", "d.mp4"):
        process(wide, tmp_path / name, Identity(), FRAME_BY_FRAME)
        with av.open(str(tmp_path / name)) as clip:
            aspect = clip.streams.video[0].sample_aspect_ratio
            assert aspect == (Fraction(85, 64) if name == "c.webm" else Fraction(4, 3)), name  # which counts in pixels
    process(tmp_path / "b.mkv", tmp_path / "e.mkv", Identity(), FRAME_BY_FRAME)
    with av.open(str(tmp_path / "e.mkv")) as clip:
        assert clip.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_a_stretch_keeps_what_is_no_matter_of_time(tmp_path):
    source, out = rich(tmp_path / "a.mkv"), tmp_path / "b.mkv"
    process(source, out, Identity(), VideoSettings(temporal="off", start=0.4, end=0.8))
    after = told(out.read_bytes())
    assert ("/18538067/1654ae6b/ae/4ffd", b"of a maker") in after
    assert any(name.endswith("1941a469") for name, _ in after) and any(b"SERIES" in told_of for _, told_of in after)
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(video=0))) == 10 and clip.duration < 500_000


def test_statistics_of_the_old_pictures_are_not_said_of_the_new(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 3, base=Fraction(1, 1000), sound=1)
    tracks = dict(elements(dict(elements(source.read_bytes()))[SEGMENT]))[TRACKS]
    uids = [dict(elements(entry))["73c5"] for name, entry in elements(tracks) if name == ENTRY]
    rates = [
        element(TAG, element("63c0", element("63c5", uid)), element("67c8", text("45a3", "BPS"), text("4487", "1234")))
        for uid in uids
    ]
    changed(source, lambda name, content: content + b"".join(rates) if name == TAGS else content)
    process(source, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    with av.open(str(tmp_path / "b.mkv")) as clip:
        assert ["BPS" in stream.metadata for stream in clip.streams] == [False, True]


def test_a_header_of_which_nothing_can_be_read_is_left_to_ffmpeg(tmp_path):
    source = rich(tmp_path / "a.mkv")
    content = source.read_bytes()
    at = content.index(bytes.fromhex("1ffffff0"))
    source.write_bytes(content[:at] + b"\0" + content[at + 1 :])
    process(source, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME)
    with av.open(str(tmp_path / "b.mkv")) as clip:
        assert len(list(clip.decode(video=0))) == 30
