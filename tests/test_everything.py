"""`derain video`: whatever PyAV, ffprobe and exiftool tell of a clip is true of its result, but for a short list."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from derain.video import VideoSettings, process
from derain.video.containers.mp4_header import write_in_header
from tests.test_boxes import camera
from tests.test_elements import rich
from tests.test_tracks import SCREEN, transparent
from tests.test_video import QUARTER_TURN, Identity, make_clip

FRAME_BY_FRAME = VideoSettings(temporal="off")
PLAIN = (bool, int, float, str, bytes, Fraction, Enum, type(None), dict, list, tuple)
MAY_CHANGE = {  # how the pictures are encoded: sizes, rates, references, the encoder's name and setup
    *("bit_rate", "max_bit_rate", "bit_rate_tolerance", "size", "name", "extradata", "extradata_size", "encoder"),
    *(
        "gop_size",
        "has_b_frames",
        "max_b_frames",
        "delay",
        "global_quality",
        "qmin",
        "qmax",
        "flags",
        "level",
        "reorder_depth",
    ),
    *("frame_size", "encoded_frame_count", "index_entries", "buffer_size", "opaque", "discard", "options"),
}
OF_A_FRAME = {  # and how each of them is
    *("pict_type", "key_frame", "is_corrupt", "quality", "dts", "duration", "planes", "opaque", "index"),
}


def simple(thing: Any, left: set[str]) -> dict[str, Any]:
    """Every plain attribute of an object."""
    found = {}
    for key in dir(thing):
        if key.startswith("_") or key in left:
            continue
        try:
            value = getattr(thing, key)
        except Exception:
            continue
        if isinstance(value, PLAIN) and not callable(value):
            value = "hvc1" if value == "hev1" else value  # which Apple's players want
            found[key] = {k: v for k, v in value.items() if k.lower() not in left} if isinstance(value, dict) else value
    return found


def told_by_pyav(path: Path) -> Iterator[tuple[str, Any]]:
    left = MAY_CHANGE
    with av.open(str(path), metadata_errors="surrogateescape") as clip:
        yield "format", simple(clip, left | {"file", "input_was_opened"})
        yield "chapters", clip.chapters()
        for stream in clip.streams:
            yield f"stream {stream.index}", simple(stream, left)
            if stream.codec_context:
                yield f"codec {stream.index}", simple(stream.codec_context, left)
    with av.open(str(path)) as clip:
        lasts = "matroska" not in clip.format.name  # there, blocks need not tell
        packets = [p for p in clip.demux() if p.size and p.stream.type != "video"]
        for packet in sorted(packets, key=lambda packet: packet.stream.index):
            sides = [(side.data_type, bytes(side)) for side in packet.iter_sidedata()]
            times = packet.pts, packet.dts, packet.time_base, packet.duration if lasts else None
            yield f"packet of {packet.stream.index}", (bytes(packet), *times, sides)
    for track in range(len(av.open(str(path)).streams.video)):
        with av.open(str(path)) as clip:
            for number, frame in enumerate(clip.decode(video=track)):
                sides = {s.type.name: bytes(s) for s in frame.side_data if s.type.name != "SEI_UNREGISTERED"}
                yield f"frame {number} of {track}", (simple(frame, OF_A_FRAME), sides)


def hdr10(path: Path) -> Path:
    options = {"x265-params": f"log-level=error:master-display={SCREEN}:max-cll=1000,400"}
    tags = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 16}
    return make_clip(path, 6, "libx265", "yuv420p10le", tags=tags, options=options, sound=1)


def hlg(path: Path) -> Path:
    tags = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": 18}
    options = {"x265-params": "log-level=error:bframes=0"}
    return make_clip(path, 4, "libx265", "yuv420p10le", tags=tags, options=options)


def turned(path: Path) -> Path:
    write_in_header(make_clip(path, 6, sound=2), QUARTER_TURN)
    return path


UNEVEN = [6400 + 512 * t + t % 3 * 40 for t in range(8)]
IN_25 = Fraction(1, 25)
CLIPS: dict[str, Callable[[Path], Path]] = {
    "camera.mp4": camera,
    "web.mp4": lambda p: camera(p, fast=True),
    "camera.mov": camera,
    "turned.mp4": turned,
    "late.mp4": lambda p: make_clip(p, times=UNEVEN, sound=1, options={"bf": "0"}),
    "hdr10.mp4": hdr10,
    "hlg.mov": hlg,
    "wide.mp4": lambda p: make_clip(p, 4, tags={"sample_aspect_ratio": Fraction(4, 3)}),
    "rich.mkv": rich,
    "hdr10.mkv": hdr10,
    "rich.webm": lambda p: rich(p, webm=True),
    "prores.mov": lambda p: make_clip(p, 3, "prores_ks", "yuv422p10le", options={"profile": "lt"}),
    "alpha.mov": lambda p: transparent(p, "qtrle", "argb"),
    "alpha.webm": lambda p: transparent(p, "libvpx-vp9", "yuva420p"),
    "lossless.mkv": lambda p: make_clip(p, 3, "ffv1", "yuv444p", base=Fraction(1, 1000), sound=1),
    "old.avi": lambda p: make_clip(p, 6, "mpeg4", base=IN_25, options={"bf": "0"}),
    "old motion.avi": lambda p: make_clip(p, 6, "mjpeg", "yuvj422p", base=IN_25),
}


@pytest.mark.parametrize("name", CLIPS)
def test_all_that_pyav_tells_stays(tmp_path, name):
    (tmp_path / "out").mkdir()
    source, out, said = CLIPS[name](tmp_path / name), tmp_path / "out" / name, []
    process(source, out, Identity(), FRAME_BY_FRAME, say=said.append)
    for (what, before), (other, after) in zip(told_by_pyav(source), told_by_pyav(out), strict=True):
        assert what == other and not differences(before, after), what
    assert not said


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after}, key=str)
        return [line for key in keys for line in differences(before.get(key), after.get(key), f"{where}.{key}")]
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and len(before) == len(after):
        return [line for n, pair in enumerate(zip(before, after)) for line in differences(*pair, f"{where}[{n}]")]
    return [] if before == after else [f"{where}: {before!r} -> {after!r}"]


TOOLS = {
    "ffprobe": [
        *("ffprobe", "-v", "quiet", "-of", "json", "-show_format", "-show_programs", "-show_chapters"),
        *("-show_streams", "-show_frames"),
    ],
    "exiftool": ["exiftool", "-a", "-u", "-ee", "-G1:2:4", "-j"],
}
OF_A_FILE = (  # words in the names of what may change
    *("filename", "SourceFile", "FileName", "FileSize", "FileModify", "FileAccess", "FileInode", "Directory"),
    *("size", "bit_rate", "Bitrate", "bits_per_sample", "ENCODER", "encoder", "Encoder", "MuxingApp", "WritingApp"),
    *("pkt_pos", "pict_type", "key_frame", "coded_picture", "reference", "level", "refs", "has_b_frames", "quality"),
    *("CodecPrivate", "Configuration", "MediaData", "SeekPosition", "CRC-32", "Table", "ChunkOffset", "SampleSize"),
    *("SyncSample", "CompositionTime", "SampleToChunk", "TimeToSample", "edts", "Software", "MaxDataRate", "Wide"),
    *("is_avc", "nal_length", "User Data Unregistered", "MaxBlockAdditionID", "BufferSize", "pkt_duration"),
    *("pkt_dts", "best_effort", "codec_tag", "Cue", "SeekID", "Idependent", "FieldOrder", "field_order", "hvcC"),
    *("0x0070", "0x0032", ".File:Image"),  # of cues, and of a setup that exiftool takes for a picture
)


def told_by_tool(command: list[str], path: Path) -> dict[str, Any]:
    told = json.loads(subprocess.run([*command, str(path)], capture_output=True, check=True).stdout)
    told = told[0] if isinstance(told, list) else told
    told.get("frames", []).sort(key=lambda frame: frame.get("stream_index", -1))
    found = [(key, "hvc1" if value == "hev1" else value) for key, value in flat(told)]
    return {key: value for key, value in found if not any(word in key or word == value for word in OF_A_FILE)}


def flat(told: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(told, dict):
        for key, value in told.items():
            yield from flat(value, f"{where}.{key}")
    elif isinstance(told, list):
        for number, value in enumerate(told):
            yield from flat(value, f"{where}[{number}]")
    else:
        yield where, told


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(
    "tool", [pytest.param(t, marks=pytest.mark.skipif(not shutil.which(t), reason=t)) for t in TOOLS]
)
def test_all_that_other_tools_tell_stays(tmp_path, name, tool):
    (tmp_path / "out").mkdir()
    source, out = CLIPS[name](tmp_path / name), tmp_path / "out" / name
    process(source, out, Identity(), FRAME_BY_FRAME)
    before, after = (told_by_tool(TOOLS[tool], path) for path in (source, out))
    assert before and not differences(before, after)
