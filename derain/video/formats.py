"""Which encoder and pixel format a clip goes on in, and what they cannot hold of it."""

from typing import Any

import av

from derain.errors import UsageError
from derain.video.colour import is_rgb

ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp8": "libvpx-vp9",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
    "qtrle": "qtrle",
    "png": "png",
    "utvideo": "utvideo",
    "huffyuv": "huffyuv",
    "ffvhuff": "ffvhuff",
    "mjpeg": "mjpeg",
}
HELD = {  # codecs that not every container holds
    "libvpx-vp9": {".webm", ".mkv", ".mp4", ".m4v"},
    "libsvtav1": {".webm", ".mkv", ".mp4", ".m4v"},
    "libx264": {".mp4", ".m4v", ".mov", ".mkv", ".ts", ".flv", ".nut"},  # AVI has no times for it
    "libx265": {".mp4", ".m4v", ".mov", ".mkv", ".ts", ".nut"},
    "prores_ks": {".mov", ".mkv"},
    "ffv1": {".mkv", ".avi"},
    "qtrle": {".mov"},
    "png": {".mov", ".avi"},
    "utvideo": {".avi"},
    "huffyuv": {".avi"},
    "ffvhuff": {".avi"},
    "mjpeg": {".avi", ".mov", ".mkv"},
}
VP9_ALPHA = {".webm", ".mkv"}  # endings of containers that hold it: beside each packet
FALLBACK = {".webm": "libvpx-vp9", ".avi": "mpeg4"}  # by container, libx264 elsewhere
WITH_ALPHA = {".mov": "prores_ks", ".mkv": "ffv1", ".avi": "ffv1", ".webm": "libvpx-vp9"}
WITHOUT_ODD_SIZES = {"libx264", "libx265", "h264_nvenc", "hevc_nvenc"}  # in formats with halved chroma
NVENC = "_nvenc"  # ending of the encoders of NVIDIA's cards
OF_NVENC = {"yuv420p", "nv12", "p010le", "yuv444p"}
PRORES = {  # profiles, as the decoder names them
    "Proxy": "proxy",
    "LT": "lt",
    "Standard": "standard",
    "HQ": "hq",
    "4444": "4444",
    "XQ": "4444xq",
}
OF_GREY = {"ffv1", "ffvhuff", "png"}  # encoders whose grey every player knows
LOSSLESS = {"ffv1", "qtrle", "png", "utvideo", "huffyuv", "ffvhuff"}
UNUSUAL = (
    "gray",
    "ya",
    "nv",
    "pal",
    "mono",
    "rgb555",
    "yuv410",
    "yuv411",
)
SCHEMES = {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 1): "4:4:4", (1, 2): "4:4:0", (4, 1): "4:1:1", (4, 4): "4:1:0"}


def choose_encoder(source: str, ending: str, codec: str | None, alpha: bool = False) -> str:
    """The encoder named, or that of the source's own codec if the container takes it and it keeps the alpha.

    Raises:
        UsageError: no such encoder.
    """
    if codec is None:
        own = ENCODERS.get(source, "")
        chosen = own if ending in HELD.get(own, ()) else FALLBACK.get(ending, "libx264")
        if own in LOSSLESS and ending in HELD["ffv1"] and chosen != own:
            chosen = "ffv1"
        return WITH_ALPHA.get(ending, chosen) if alpha and not any(map(has_alpha, formats(chosen, ending))) else chosen
    name = ENCODERS.get(codec, codec)
    try:
        av.codec.Codec(name, "w")
    except ValueError:
        raise UsageError(f"`codec` {codec}: no such encoder; try libx264, libx265, libvpx-vp9 or libsvtav1") from None
    return name


def formats(codec: str, ending: str = ".mkv") -> list[str]:
    """Pixel formats that an encoder takes and derain gives it, for a container with this ending."""
    found = [form.name for form in av.codec.Codec(codec, "w").video_formats or [] if form.components]
    if codec.endswith(NVENC):  # which takes further ones on the newest cards alone
        found = [name for name in found if name in OF_NVENC and not (codec.startswith("h264") and "p010" in name)]
    if codec == "libx265":  # its alpha needs a build of x265 that hardly anybody has
        found = [name for name in found if not has_alpha(name)]
    if codec == "libvpx-vp9" and ending not in VP9_ALPHA:
        found = [name for name in found if not has_alpha(name)]
    if codec == "ffv1":  # players of some years ago do not know these
        found = [name for name in found if not (has_alpha(name) and "12" in name)]
    return found


def has_alpha(pixel_format: str) -> bool:
    """Whether its pixels may be transparent; palettes apart."""
    return any(part.is_alpha for part in _parts(pixel_format))


def choose_pixel_format(codec: str, source: str, size: tuple[int, int], ending: str = ".mkv") -> str:
    """The source's own format, or of those that the encoder takes for frames of this size the one that loses least."""
    known = formats(codec, ending)
    plain = source.replace("yuvj", "yuv") if codec != "mjpeg" else source
    odd = any(side % 2 for side in size) and codec in WITHOUT_ODD_SIZES

    def misfit(form: str) -> tuple[Any, ...]:
        alpha, chroma, depth = differences(plain, form)
        more = differences(form, plain)
        other_kind = is_rgb(form) != is_rgb(plain)
        unusual = form.startswith("yuvj") or is_rgb(form) and codec not in LOSSLESS
        return alpha, chroma, depth > 0, unusual, other_kind, depth, more, known.index(form)

    fit = [form for form in known if not form.startswith(UNUSUAL) and not (odd and _halves(form))]
    grey_there = plain == "gray" and codec in OF_GREY  # the converter changes deeper grey, if only a little
    if plain in known and (grey_there or not is_grey(plain)) and not (odd and _halves(plain)):
        return plain
    return min(fit, key=misfit) if fit else known[0] if known else "yuv420p"


def is_grey(pixel_format: str) -> bool:
    """Whether its pixels have no colour, nor alpha."""
    return pixel_format.startswith("gray")


def lost(source: str, bits: int, form: str) -> list[str]:
    """What frames of the pixel format ``source`` lose in ``form``, in words."""
    alpha, chroma, _ = differences(source, form)
    said = ["its transparency is lost"] if alpha else []
    if chroma:
        said += [f"its {_scheme(source)} chroma becomes {_scheme(form)}"]
    held = max(part.bits for part in _parts(form))
    return said + ([f"its {bits} bits become {held}"] if held < bits else [])


def _parts(pixel_format: str) -> Any:
    return av.VideoFormat(pixel_format, 64, 64).components


def differences(source: str, form: str) -> tuple[int, int, int]:
    """Alpha, chroma samples in a block of 16 pixels, and bits that the first has and the second lacks."""
    alpha = has_alpha(source) and not has_alpha(form)
    chroma = max(_chroma(source) - _chroma(form), 0)
    depth = max(part.bits for part in _parts(source)) - max(part.bits for part in _parts(form))
    return int(alpha), chroma, max(depth, 0)


def _chroma(pixel_format: str) -> int:
    if pixel_format.startswith("pal"):
        return 16
    parts = [part for part in _parts(pixel_format) if not part.is_alpha]
    return 0 if len(parts) < 3 else 16 // (64 // parts[1].width) // (64 // parts[1].height)


def _scheme(pixel_format: str) -> str:
    parts = _parts(pixel_format)
    return SCHEMES.get((64 // parts[1].width, 64 // parts[1].height), pixel_format)


def _halves(pixel_format: str) -> bool:
    return 0 < _chroma(pixel_format) < 16
