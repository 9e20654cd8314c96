"""How the frames of a clip are encoded."""

from collections.abc import Set
from dataclasses import dataclass, field
from fractions import Fraction

from derain.arrays import Pixels
from derain.video.formats import NVENC, PRORES, choose_encoder, choose_pixel_format, has_alpha
from derain.video.reading import Frame, PictureTrack
from derain.video.settings import VideoSettings
from derain.video.sides import KINDS_TAKEN_OVER, Light, merged

DEFAULT_CRF = {"libx264": 16, "libx265": 18, "libvpx-vp9": 20, "libsvtav1": 22}  # default CRF: hardly to be told apart
DEFAULT_NVENC_CQ = 19  # its default is a small bit rate, whatever the clip's size
VP9_OPTIONS = {"b": "0", "row-mt": "1", "cpu-used": "4"}


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
        return KINDS_TAKEN_OVER.get(self.codec, set())


def encoder_options(
    codec: str, crf: int | None, preset: str | None, given: dict[str, str], alpha: bool = False
) -> dict[str, str]:
    """Options as the encoder names them."""
    options: dict[str, str] = {}
    quality = DEFAULT_CRF.get(codec) if crf is None else crf
    if quality is not None:
        options["crf"] = str(quality)
    if codec.endswith(NVENC):
        options = {"rc": "vbr", "cq": str(DEFAULT_NVENC_CQ if crf is None else crf), "b": "0"}
    if preset is not None:
        options["preset"] = preset
    if codec == "libvpx-vp9":
        options |= VP9_OPTIONS | ({"auto-alt-ref": "0"} if alpha else {})
    if codec == "libx264":  # its macroblock tree differs from run to run on AVX-512, so resumed clips would too
        options["x264-params"] = "mbtree=0"
        options.setdefault("preset", "veryfast")  # the network needs the processor more, and files grow by a twentieth
    if codec == "libx265":
        options["x265-params"] = "log-level=error"
    if codec in KINDS_TAKEN_OVER:
        options["udu_sei"] = "1"
    if codec == "mjpeg":
        options |= {"qmin": "1", "qmax": "2" if crf is None else str(crf)}
    if codec == "mpeg4":
        options |= {"qmin": "2", "qmax": "2" if crf is None else str(crf)}
    if codec == "libsvtav1":
        options.setdefault("preset", "8")
    return options | given


def likely_encoding(track: PictureTrack, ending: str, settings: VideoSettings) -> Encoding | None:
    """How frames will be encoded, as far as the header of the source tells; ``None`` if it does not."""
    context = track.stream.codec_context
    if context.format is None or settings.hwaccel:
        return None
    size, pixel_format = (context.width, context.height), context.format.name
    codec = choose_encoder(track.codec, ending, settings.codec, has_alpha(pixel_format))
    form = choose_pixel_format(codec, pixel_format, size, ending)
    options = encoder_options(codec, settings.crf, settings.preset, settings.options, has_alpha(form))
    return Encoding(codec, *size, form, track.rate, track.time_base, None, options)


def encoding_of(
    track: PictureTrack, frame: Frame, stored: Pixels, ending: str, light: Light, settings: VideoSettings
) -> Encoding:
    """How the frames of a track are encoded that are like this one.

    Args:
        stored: the picture as it is to be stored.
        ending: suffix of the files that hold what the result's container holds.
    """
    height, width = stored.shape[:2]
    codec = choose_encoder(track.codec, ending, settings.codec, frame.alpha is not None)
    form = choose_pixel_format(codec, frame.colours.pixel_format, (width, height), ending)
    options = encoder_options(codec, settings.crf, settings.preset, settings.options, has_alpha(form))
    options = merged(options, light.options(codec))
    profile = track.stream.codec_context.profile
    if codec == "prores_ks" and profile in PRORES:
        options.setdefault("profile", PRORES[profile])
    aspect = track.stream.sample_aspect_ratio
    return Encoding(codec, width, height, form, track.rate, track.time_base, aspect or None, options)
