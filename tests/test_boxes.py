"""`derain video` on MP4 and MOV: every box comes back, known or not, but for what speaks of the samples."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from derain.video import VideoSettings, process
from derain.video.containers.mp4_header import write_in_header
from tests.test_video import QUARTER_TURN, Identity, make_clip

FRAME_BY_FRAME = VideoSettings(temporal="off")
NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"tref", b"edts", b"dinf", b"gmhd", b"wave")
MAY_CHANGE = {  # what is said of the samples: where they lie, how many, how large, and how they are encoded
    *("mdat", "free", "wide", "elst", "stts", "ctts", "stss", "stsc", "stsz", "stco", "co64", "sdtp", "sgpd", "sbgp"),
    *("avcC", "hvcC", "btrt", "fiel", "mvex", "dref"),
}
TIMES = {"mvhd": 20, "tkhd": 24, "mdhd": 20}  # end of the duration, which may change with the timescale before it


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    while len(content) >= 8:
        size, kind = struct.unpack_from(">I4s", content)
        if size == 1:  # and its length follows
            size = struct.unpack_from(">Q", content, 8)[0]
        if not 8 <= size <= len(content):
            break
        found.append((kind, content[8:size]))
        content = content[size:]
    return found + ([(b"rest", content)] if any(content) else [])


def told(content: bytes, path: str = "") -> list[tuple[str, bytes]]:
    """All that the boxes say, in order, but what may change."""
    found = []
    for kind, inside in boxes(content):
        name = kind.decode("latin-1")
        if name in MAY_CHANGE or name == "edts":
            continue
        if kind in NESTED:
            found += told(inside, f"{path}/{name}")
        elif kind == b"stsd":
            for entry, body in boxes(inside[8:]):
                fixed = {b"avc1": 78, b"hvc1": 78, b"mp4a": 28}.get(entry)
                if entry == b"mp4a" and body[8:10] == b"\0\1":
                    fixed = 44
                found.append((f"{path}/stsd/{entry.decode()}", body[:fixed]))
                found += told(body[fixed:], f"{path}/stsd") if fixed else []
        elif name in TIMES:
            start = TIMES[name] - (4 if name == "tkhd" else 8)
            found.append((f"{path}/{name}", inside[:start] + inside[TIMES[name] :]))
        else:
            found.append((f"{path}/{name}", inside))
    return found


def changed(path: Path, change) -> None:
    """Rewrite the moov box, which is the last, with what ``change`` makes of its boxes."""
    content = path.read_bytes()
    at = content.rindex(b"moov") - 4
    path.write_bytes(content[:at] + box(b"moov", *(box(k, c) for k, c in change(boxes(content[at + 8 :])))))


def with_more(content: bytes, way: tuple[bytes, ...], more: bytes, skip: int = 0) -> bytes:
    """Boxes with ``more`` put at the end of the first box that the way leads to."""
    if not way:
        return content + more
    out, done = b"", False
    for kind, inside in boxes(content):
        if kind == way[0] and not done:
            done, head = True, {b"stsd": 8, b"avc1": 78, b"mp4a": 28}.get(kind, 0)
            inside = inside[:head] + with_more(inside[head:], way[1:], more)
        out += box(kind, inside)
    return out


STBL = (b"mdia", b"minf", b"stbl", b"stsd")
KEYS = box(
    b"meta",
    box(b"hdlr", bytes(8) + b"mdta" + bytes(13)),
    box(b"keys", struct.pack(">II", 0, 1), box(b"mdta", b"maker.serial")),
    box(b"ilst", box(b"\0\0\0\1", box(b"data", struct.pack(">II", 1, 0), b"4711"))),
)
PROJECTION = box(
    b"sv3d",
    box(b"svhd", bytes(4) + b"maker\0"),
    box(b"proj", box(b"prhd", bytes(16)), box(b"equi", bytes(20))),
)
USER = box(b"udta", box(b"\xa9mak", b"\0\4\x15\xc7ACME"), box(b"GPMF", b"telemetry"), box(b"qqqq", b"nobody knows"))


def camera(path: Path, fast: bool = False) -> Path:
    """A clip with a maker's boxes everywhere, a projection, a track of no known kind, and bytes behind all boxes."""
    make_clip(path, count=6, sound=1)
    write_in_header(path, QUARTER_TURN)

    def change(header):
        tracks = [inside for kind, inside in header if kind == b"trak"]
        film = with_more(tracks[0], (*STBL, b"avc1"), box(b"st3d", bytes(5)) + PROJECTION)
        film = with_more(with_more(film, (), box(b"uuid", b"spherical.maker!" + b"<rdf/>")), (), USER)
        sound = with_more(tracks[1], (*STBL, b"mp4a"), box(b"SA3D", bytes(20)))
        sensor = tracks[1].replace(b"soun", b"meta").replace(b"mp4a", b"mebx")
        at = sensor.index(b"tkhd") + 16  # its identifier
        sensor = (
            sensor[:at] + struct.pack(">I", 7) + sensor[at + 4 :] + box(b"tref", box(b"cdsc", struct.pack(">I", 1)))
        )
        head = [(kind, inside) for kind, inside in header if kind == b"mvhd"]
        traks = [(b"trak", sensor), (b"trak", film), (b"trak", sound)]
        return [*head, *traks, *boxes(USER), (b"uuid", b"another.maker's!" + b"x"), *boxes(KEYS)]

    changed(path, change)
    if fast:
        path.write_bytes(first(path.read_bytes()))
    with path.open("ab") as file:
        file.write(box(b"uuid", b"at.the.top.level" + b"x") + box(b"free", b"calibration") + b"\0\0 trailer")
    return path


def first(content: bytes) -> bytes:
    """The same file with the header before the samples."""
    found = boxes(content)
    brands, header = (box(kind, inside) for kind, inside in found if kind in (b"ftyp", b"moov"))
    rest = b"".join(box(kind, inside) for kind, inside in found if kind not in (b"ftyp", b"moov"))
    at = 0
    while (at := header.find(b"stco", at) + 4) > 3:
        (count,) = struct.unpack_from(">I", header, at + 4)
        places = struct.unpack_from(f">{count}I", header, at + 8)
        moved = struct.pack(f">{count}I", *(place + len(header) for place in places))
        header = header[: at + 8] + moved + header[at + 8 + 4 * count :]
    return brands + header + rest


def packets(path: Path) -> dict[int, list[tuple[bytes, float]]]:
    """Of all streams but the pictures, by their identifiers."""
    found: dict[int, list[tuple[bytes, float]]] = {}
    with av.open(str(path)) as clip:
        for packet in clip.demux():
            if packet.size and packet.stream.type != "video":
                found.setdefault(packet.stream.id, []).append((bytes(packet), float(packet.pts * packet.time_base)))
    return found


@pytest.mark.parametrize("ending, fast", [(".mp4", False), (".mp4", True), (".mov", False)])
def test_every_box_comes_back(tmp_path, ending, fast):
    source, out, said = camera(tmp_path / f"a{ending}", fast), tmp_path / f"b{ending}", []
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    before, after = told(source.read_bytes()), told(out.read_bytes())
    for one, other in zip(sorted(before), sorted(after), strict=True):
        assert one == other
    assert [name for name, _ in before if "/" in name[1:]] == [name for name, _ in after if "/" in name[1:]]
    assert packets(source) == packets(out) and 7 in packets(out)
    order = [kind for kind, _ in boxes(out.read_bytes()) if kind in (b"moov", b"mdat")]
    assert (order[0] == b"moov") == fast
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(video=0))) == 6
    assert not said and out.read_bytes().endswith(b"\0\0 trailer")


def test_a_stretch_keeps_all_boxes_and_names_the_tracks_that_cannot_be_cut(tmp_path):
    source, out, said = camera(tmp_path / "a.mp4"), tmp_path / "b.mp4", []
    process(source, out, Identity(), VideoSettings(temporal="off", start=0.08), say=said.append)
    before, after = (
        {pair for pair in told(path.read_bytes()) if "uuid" in pair[0] or "udta" in pair[0]} for path in (source, out)
    )
    assert before == after and any("track 7 (mebx)" in line for line in said)
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(video=0))) == 4
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(audio=0))) > 0


def test_without_sound_the_other_tracks_stay(tmp_path):
    source, out = camera(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    process(source, out, Identity(), VideoSettings(temporal="off", audio=False))
    assert packets(out).keys() == {7}


@pytest.mark.parametrize("layer", ["compare"])
def test_what_is_true_of_one_picture_alone_is_not_said_of_two(tmp_path, layer):
    source, out = camera(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    process(source, out, Identity(), VideoSettings(temporal="off", layer=layer))
    assert not [name for name, _ in told(out.read_bytes()) if name.endswith(("sv3d", "st3d"))]
    with av.open(str(out)) as clip:
        assert (clip.streams.video[0].width, clip.streams.video[0].height) == (64, 96)


def test_a_header_that_lies_costs_what_ffmpeg_does_not_know_and_that_is_said(tmp_path):
    source, out, said = camera(tmp_path / "a.mp4"), tmp_path / "b.mp4", []
    content = source.read_bytes()
    at = content.index(b"stco") + 12  # of the sensor's
    source.write_bytes(content[:at] + b"\x7f\xff\xff\xff" + content[at + 4 :])
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("header is damaged" in line for line in said)
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(video=0))) == 6


def test_a_clip_in_fragments_keeps_its_boxes_and_its_timecode(tmp_path):
    whole = make_clip(tmp_path / "whole.mp4", 6, sound=1)
    source, out, said = tmp_path / "a.mp4", tmp_path / "b.mp4", []
    with (
        av.open(str(whole)) as file,
        av.open(str(source), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as clip,
    ):
        streams = {stream.index: clip.add_stream_from_template(stream, opaque=True) for stream in file.streams}
        streams[0].metadata["timecode"] = "01:00:00:00"
        streams[0].codec_context.framerate = 25
        for packet in file.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                clip.mux(packet)
    content = source.read_bytes()
    at = content.index(b"moov") - 4
    size = int.from_bytes(content[at : at + 4], "big")
    source.write_bytes(content[:at] + box(b"moov", content[at + 8 : at + size], USER) + content[at + size :])
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    assert b"nobody knows" in out.read_bytes() and not said
    with av.open(str(out)) as clip:
        assert clip.streams.video[0].metadata["timecode"] == "01:00:00:00"
        assert [stream.type for stream in clip.streams] == ["video", "audio", "data"]
        assert len(list(clip.decode(video=0))) == 6


def test_another_kind_of_file_costs_what_ffmpeg_does_not_know_and_that_is_said(tmp_path):
    source, said = camera(tmp_path / "a.mp4"), []
    process(source, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME, say=said.append)
    assert any("a different kind of file" in line and ".mp4 keeps it" in line for line in said)


def test_parts_of_an_avi_that_nobody_knows_are_named(tmp_path):
    source, said = make_clip(tmp_path / "a.avi", 3, "mpeg4", base=Fraction(1, 25)), []
    content = source.read_bytes()
    at = content.index(b"hdrl") - 8
    maker = b"JUNK" + struct.pack("<I", 8) + b"ACME1234" + b"strd" + struct.pack("<I", 4) + b"abcd"
    header = content[at + 8 : at + 8 + struct.unpack_from("<I", content, at + 4)[0]]
    rest = content[at + 8 + len(header) :]
    changed_header = b"LIST" + struct.pack("<I", len(header) + len(maker)) + header + maker
    source.write_bytes(content[:at] + changed_header + rest)
    process(source, tmp_path / "b.avi", Identity(), FRAME_BY_FRAME, say=said.append)
    assert said == [f"{source}: parts of the AVI that FFmpeg does not know are left out: JUNK, strd"]


def test_a_header_that_counts_billions_of_chunks_takes_no_time(tmp_path):
    source = camera(tmp_path / "a.mp4")
    content = source.read_bytes()
    at = content.index(b"stsc") + 12  # of the sensor's
    source.write_bytes(content[:at] + b"\xff\xff\xff\xf0" + content[at + 4 :])
    process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert len(list(clip.decode(video=0))) == 6


POSITIONS = [box(b"free", b"GPS " + bytes(52) + f"position {n}".encode() + bytes(182)) for n in range(3)]


def dash_camera(path: Path, fast: bool = False, index: bool = True, as_boxes: bool = False) -> Path:
    """A clip with blocks of positions among its samples, or as boxes of their own, and an index of where they are."""
    make_clip(path, count=6)
    content, blocks = path.read_bytes(), b"".join(POSITIONS)
    at = content.rindex(b"moov") - 4
    header = b"".join(box(kind, inside) for kind, inside in boxes(content[at + 8 :]))
    begins = at + 8 * (not as_boxes) + (len(header) + 8 + 16 + 8 * 4) * fast
    places = [begins + sum(map(len, POSITIONS[:n])) for n in range(3)]
    listed = b"".join(struct.pack(">II", place, len(block)) for place, block in zip(places, POSITIONS))
    table = box(b"gps ", struct.pack(">II", 0x101, 4) + listed + bytes(8)) if index else b""  # one place is unused
    among = blocks if as_boxes else box(b"mdat", blocks)
    path.write_bytes(content[:at] + among + box(b"moov", header + table))
    if fast:
        path.write_bytes(first(path.read_bytes()))
    return path


def positions_of(path: Path) -> list[bytes]:
    """What the index leads to."""
    content = path.read_bytes()
    (index,) = [inside for kind, inside in boxes(dict(boxes(content))[b"moov"]) if kind == b"gps "]
    assert index[:8] == struct.pack(">II", 0x101, 4)
    return [content[at : at + size] for at, size in struct.iter_unpack(">II", index[8:]) if size]


@pytest.mark.parametrize("fast, as_boxes", [(False, False), (True, False), (False, True)])
def test_the_positions_of_a_dash_camera_come_along_with_their_index(tmp_path, fast, as_boxes):
    source, out, said = dash_camera(tmp_path / "a.mp4", fast, as_boxes=as_boxes), tmp_path / "b.mp4", []
    assert positions_of(source) == POSITIONS
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    assert positions_of(out) == POSITIONS and not said
    assert out.read_bytes().count(b"position 1") == 1
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(video=0))) == 6


def test_positions_that_are_lost_are_told(tmp_path):
    cut, hidden, gone = (tmp_path / name for name in ("cut.mp4", "hidden.mp4", "gone.mp4"))
    dash_camera(cut)
    dash_camera(hidden, index=False)
    content = dash_camera(gone).read_bytes()
    place = content.index(b"gps ") + 12  # of the first block
    gone.write_bytes(content[:place] + b"\x7f\xff\xff\xff" + content[place + 4 :])
    for source, start, why in [
        (cut, 0.08, "its GPS positions are lost: they can only be kept of a whole clip"),
        (hidden, None, "GPS positions among its samples are lost: no index tells where they are"),
        (gone, None, "its GPS positions are lost: they are not where it says"),
    ]:
        out, settings = source.with_suffix(".out.mp4"), VideoSettings(temporal="off", start=start)
        assert process(source, out, Identity(), settings).notes == [why]
        assert b"gps " not in dict(boxes(dict(boxes(out.read_bytes()))[b"moov"]))


def test_positions_that_another_kind_of_file_does_not_hold_are_told(tmp_path):
    for index in (True, False):
        source = dash_camera(tmp_path / "a.mp4", index=index)
        (note,) = process(source, tmp_path / "b.mkv", Identity(), FRAME_BY_FRAME, overwrite=True).notes
        assert "different kind of file: its GPS positions and parts of the source's header" in note


def indexed(path: Path, beside: bytes, *places: tuple[int, int]) -> Path:
    """A clip with ``beside`` before its header, and an index of places there, counted from its first byte."""
    make_clip(path, count=6)
    content = path.read_bytes()
    at = content.rindex(b"moov") - 4
    listed = b"".join(struct.pack(">II", at + place, length) for place, length in places)
    header = content[at + 8 :] + box(b"gps ", struct.pack(">II", 0x101, len(places)) + listed)
    path.write_bytes(content[:at] + beside + box(b"moov", header))
    return path


VENDOR = box(b"uuid", bytes(16) + b"what a camera says")
FREE = box(b"free", b"".join(POSITIONS))
LONG = box(b"free", b"GPS " + bytes(2 << 20))


@pytest.mark.parametrize(
    "beside, places, kept, note",
    [
        (VENDOR, [(0, 0)], VENDOR, None),
        (VENDOR, [(0, len(VENDOR))], VENDOR, "they are not where it says"),
        (VENDOR, [(0, 20)], VENDOR, "they are not where it says"),
        (FREE, [(0, len(POSITIONS[0]))], FREE, "they are not where it says"),
        (LONG, [(0, len(LONG))], LONG, "they are not where it says"),
        (box(b"mdat", *POSITIONS), [(8, 256), (12, 256)], b"", "they are not where it says"),
    ],
    ids=["unused", "another box", "within a box", "shorter than it is", "too long", "overlapping"],
)
def test_an_index_of_positions_that_names_something_else_costs_nothing_else(tmp_path, beside, places, kept, note):
    source, out = indexed(tmp_path / "a.mp4", beside, *places), tmp_path / "b.mp4"
    notes = process(source, out, Identity(), FRAME_BY_FRAME).notes
    assert kept in out.read_bytes()
    assert notes == ([f"its GPS positions are lost: {note}"] if note else [])


def test_positions_that_are_named_often_are_copied_once(tmp_path):
    length = len(POSITIONS[0])
    source = indexed(tmp_path / "a.mp4", box(b"mdat", *POSITIONS), *[(8, length), (8 + length, length)] * 50)
    process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME)
    content = (tmp_path / "b.mp4").read_bytes()
    index = dict(boxes(dict(boxes(content))[b"moov"]))[b"gps "]
    assert [content[at : at + size] for at, size in struct.iter_unpack(">II", index[8:])] == POSITIONS[:2] * 50
    assert content.count(POSITIONS[0]) == 1


def test_an_index_that_names_no_positions_is_as_none(tmp_path):
    source = indexed(tmp_path / "a.mp4", box(b"mdat", *POSITIONS))
    (note,) = process(source, tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME).notes
    assert note == "GPS positions among its samples are lost: no index tells where they are"


def test_positions_beyond_what_an_index_tells_are_not_blamed_on_a_stretch(tmp_path, monkeypatch):
    monkeypatch.setattr("derain.video.containers.positions.FARTHEST", 1000)
    (note,) = process(dash_camera(tmp_path / "a.mp4"), tmp_path / "b.mp4", Identity(), FRAME_BY_FRAME).notes
    assert note == "its GPS positions are lost: its index tells none in a file of 4 GB"
