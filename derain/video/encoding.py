"""Frames to encoded segments."""

import json
from collections import deque
from collections.abc import Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from derain.errors import PhotoError, reason
from derain.files.writing import write_bytes
from derain.photos import Photo
from derain.video.colour import Colours, from_rgb
from derain.video.decoding import ANY_BYTES
from derain.video.formats import NVENC, has_alpha
from derain.video.reading import Frame
from derain.video.sides import TAKEN_OVER, Carrier

QUALITY = {"libx264": 16, "libx265": 18, "libvpx-vp9": 20, "libsvtav1": 22}  # default CRF: hardly to be told apart
NVENC_QUALITY = 19  # its default is a small bit rate, whatever the clip's size
VP9 = {"b": "0", "row-mt": "1", "cpu-used": "4"}
NOT_IN_NUT = {"prores_ks", "qtrle", "dnxhd", "cfhd"}
FINEST = 60_000  # parts of a second that MPEG-4 counts in at the most, of those that divide well


@dataclass(frozen=True)
class Encoding:
    """How the frames of one clip are encoded, whatever segment they are in."""

    codec: str
    width: int
    height: int
    pixel_format: str
    rate: Fraction
    time_base: Fraction
    aspect: Fraction | None = None  # of a pixel
    options: dict[str, str] = field(default_factory=dict)

    @property
    def takes_over(self) -> Set[str]:
        """Kinds of side data that the encoder takes from the frames."""
        return TAKEN_OVER.get(self.codec, set())


def encoder_options(
    codec: str, crf: int | None, preset: str | None, given: dict[str, str], alpha: bool = False
) -> dict[str, str]:
    """Options as the encoder names them."""
    options: dict[str, str] = {}
    quality = QUALITY.get(codec) if crf is None else crf
    if quality is not None:
        options["crf"] = str(quality)
    if codec.endswith(NVENC):
        options = {"rc": "vbr", "cq": str(NVENC_QUALITY if crf is None else crf), "b": "0"}
    if preset is not None:
        options["preset"] = preset
    if codec == "libvpx-vp9":
        options |= VP9 | ({"auto-alt-ref": "0"} if alpha else {})
    if codec == "libx264":  # its macroblock tree differs from run to run on AVX-512, so resumed clips would too
        options["x264-params"] = "mbtree=0"
        options.setdefault("preset", "veryfast")  # the network needs the processor more, and files grow by a twentieth
    if codec == "libx265":
        options["x265-params"] = "log-level=error"
    if codec in TAKEN_OVER:
        options["udu_sei"] = "1"
    if codec == "mjpeg":
        options |= {"qmin": "1", "qmax": "2" if crf is None else str(crf)}
    if codec == "mpeg4":
        options |= {"qmin": "2", "qmax": "2" if crf is None else str(crf)}
    if codec == "libsvtav1":
        options.setdefault("preset", "8")
    return options | given


def open_output(path: Path, form: str, **options: str) -> Any:
    """A container to write to; of the type Any because PyAV's stubs do not tell its streams apart."""
    if path.is_symlink():  # which is not to be written through
        path.unlink()
    return av.open(str(path.absolute()), "w", format=form, options=options, metadata_errors=ANY_BYTES)


def _form_of_segments(encoding: Encoding) -> str:
    """A container that holds the encoder's packets with all that they bring."""
    if encoding.codec == "libvpx-vp9" and has_alpha(encoding.pixel_format):
        return "matroska"  # each brings a second one, of the alpha
    return "mov" if encoding.codec in NOT_IN_NUT else "nut"


class SegmentWriter:
    """One encoded segment, video alone, and beside it the times of its packets.

    The times are kept apart because containers round and shift them. The file with the times is written last, so a
    segment that has one is whole.

    Raises:
        PhotoError: the file cannot be written, or the encoder does not take its settings.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.path, self.encoding = path, encoding
        self.times: list[int] = []
        self.exact: deque[int] = deque()  # times of frames that wait in the encoder, where it counts more coarsely
        coarse = encoding.codec == "mpeg4" and encoding.time_base.denominator > 65535
        self.base = Fraction(1, FINEST) if coarse else encoding.time_base
        try:
            self.container = open_output(path, _form_of_segments(encoding))
            self.stream = self.container.add_stream(encoding.codec, rate=encoding.rate)
            self.stream.width, self.stream.height = encoding.width, encoding.height
            self.stream.pix_fmt = encoding.pixel_format
            self.stream.options = dict(encoding.options)
            self.stream.codec_context.time_base = self.base
            if encoding.aspect:
                self.stream.codec_context.sample_aspect_ratio = encoding.aspect
        except (av.FFmpegError, OSError, ValueError) as error:
            raise PhotoError(f"{path}: cannot be written ({reason(error)})") from None
        self._opened, self.carrier = False, Carrier()

    def _colours(self, frame: Frame) -> Colours:
        if self.encoding.codec == "mpeg4":  # has no tags, so what players take for granted
            return replace(frame.colours, pixel_format=self.encoding.pixel_format, matrix=2, range=1)
        return frame.colours

    def converted(self, frame: Frame, picture: Photo) -> av.VideoFrame:
        """``picture``, which stands as the stored frame does, as the encoder takes it, at the time of ``frame``."""
        encoded = from_rgb(picture, self._colours(frame), self.encoding.pixel_format)
        encoded.pts, encoded.time_base = round(frame.pts * self.encoding.time_base / self.base), self.base
        return encoded

    def write(self, frame: Frame, encoded: av.VideoFrame) -> None:
        """Encode what was ``converted`` of a frame; all of them in order.

        Raises:
            PhotoError: the encoder does not take it, or the disk is full.
        """
        if self.base != self.encoding.time_base:
            self.exact.append(frame.pts)
        if frame.decoded is not None and self.encoding.takes_over:
            encoded = self.carrier.carried(frame.decoded, encoded, frame.sides)
        if not self._opened:
            context = self.stream.codec_context
            context.colorspace, context.color_range = encoded.colorspace, int(self._colours(frame).converter_range)
            context.color_primaries, context.color_trc = encoded.color_primaries, encoded.color_trc
            self._opened = True
        self._mux(encoded)

    def close(self) -> None:
        """Finish the segment.

        Raises:
            PhotoError: the disk is full.
        """
        self._mux(None)
        try:
            self.container.close()
        except (av.FFmpegError, OSError) as error:
            raise PhotoError(f"{self.path}: cannot be written ({reason(error)})") from None
        write_bytes(self.path.with_suffix(".json"), json.dumps(self.times).encode())

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self.stream.encode(frame):
                at = round(packet.pts * packet.time_base / self.encoding.time_base)
                self.times.append(self.exact.popleft() if self.exact else at)  # MPEG-4 keeps their order
                self.container.mux(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            codec = self.encoding.codec
            begun = self.stream.codec_context.is_open
            done = "written" if isinstance(error, OSError) and begun else f"encoded as {codec}"
            advice = "; that takes an NVIDIA GPU with an encoder" if codec.endswith(NVENC) and not begun else ""
            raise PhotoError(f"{self.path}: cannot be {done} ({reason(error)}){advice}") from None
