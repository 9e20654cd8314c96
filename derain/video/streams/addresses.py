"""What an address means: a stream or a file, which container, and what of it may be shown."""

import errno
import math
import re
import socket
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from derain.bounds import bounded
from derain.errors import UsageError
from derain.files.places import ADDRESS
from derain.given import check_fields, check_path
from derain.video.naming import FORMATS

PIPE = "-"
PORT = re.compile(r":(\d+)$")
MOST_PORTS = 65535
CAMERA = re.compile(r"/dev/video\d+")
CONTAINERS = FORMATS | {".ts": "mpegts", ".flv": "flv", ".nut": "nut", ".m3u8": "hls"}  # by the suffix of a file
CONTAINERS_BY_SCHEME = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "rtp": "rtp_mpegts"}  # MPEG-TS elsewhere
ENDINGS = {form: suffix for suffix, form in reversed(CONTAINERS.items())} | {"hls": ".ts"}  # the first of each
SECRETS = re.compile(r"([?&][^=&]*(?:key|token|pass|secret|sig|auth|user|pw)[^=&]*=)[^&#]*", re.IGNORECASE)


@dataclass(frozen=True)
class RawFrames:
    """Frames without a container: one after the other, line by line."""

    pixel_format: str  # FFmpeg's name, such as rgb24 or yuv420p
    width: int
    height: int
    rate: Fraction = Fraction(25)  # a second


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is received and sent on."""

    live: bool | None = None  # frames are dropped if the machine is too slow; default: if nobody knows its length
    reconnect: float | None = bounded(None, 0, math.inf)  # seconds for which a lost connection is tried again
    raw: RawFrames | None = None  # what comes in, if it has no container
    form: str | None = None  # FFmpeg's name of the container that goes out; default: by the address
    source_options: dict[str, str] = field(default_factory=dict)  # of FFmpeg's protocol or container
    output_options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a value that cannot be.
        """
        check_fields(self)


def ending_of(form: str) -> str:
    """The suffix of files that hold the codecs that a container holds: of MPEG-TS where no other does."""
    return ENDINGS.get(form, ".ts")


def is_stream(address: str | Path) -> bool:
    """Whether an address names a connection, a camera or a pipe, and not a file.

    Raises:
        UsageError: it is none.
    """
    check_path("address", address)
    address = str(address)
    return address == PIPE or bool(ADDRESS.match(address) or CAMERA.fullmatch(address))


def without_password(address: str) -> str:
    """The address for messages: without names, passwords, tokens and keys."""
    if not ADDRESS.match(address):
        return {PIPE: "stdin"}.get(address, address)
    scheme, rest = address.split("://", 1)
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2] if "@" in host else host
    if scheme.lower().startswith("rtmp") and "/" in path:
        path = path.rpartition("/")[0] + "/***"  # the last part is the key to somebody's channel
    return SECRETS.sub(r"\1***", f"{scheme}://{host}{slash}{path}")


def shown_output(address: str) -> str:
    return "stdout" if address == PIPE else without_password(address)


def host_of(address: str) -> str:
    """Host and port of a URL, without name and password; empty of anything else."""
    if not ADDRESS.match(address):
        return ""
    return address.split("://", 1)[1].partition("/")[0].partition("?")[0].rpartition("@")[2]


def check_port(address: str, named: str) -> None:
    """
    Raises:
        UsageError: a URL has a port that cannot be.
    """
    port = PORT.search(host_of(address))
    if port and not 0 < int(port[1]) <= MOST_PORTS:
        raise UsageError(f"{named}: port {port[1]} cannot be; ports are 1 to {MOST_PORTS}")


def unknown_host(address: str, error: Exception) -> str:
    """What is wrong with a URL that FFmpeg could not open because nobody knows its host; empty if that is not it.

    FFmpeg calls it an input or output error.
    """
    host = PORT.sub("", host_of(address)).strip("[]")
    if not host or getattr(error, "errno", None) != errno.EIO:
        return ""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return f"the host {host} is not known"
    return ""


def container_of(out: str, settings: StreamSettings) -> str:
    """FFmpeg's name of the container that goes out.

    Raises:
        UsageError: nothing tells it, or there is no such container.
    """
    import av

    form = settings.form or _usual_container(out, settings)
    if form is None:
        raise UsageError(f"{shown_output(out)}: give its container as `format`, such as mpegts, matroska or nut")
    try:
        av.format.ContainerFormat(form, "w")
    except ValueError:
        raise UsageError(f"`format` {form}: no such container; try mpegts, matroska, nut, flv or rawvideo") from None
    return form


def _usual_container(out: str, settings: StreamSettings) -> str | None:
    if out == PIPE:
        return "rawvideo" if settings.raw else None
    if ADDRESS.match(out):
        return CONTAINERS_BY_SCHEME.get(urlsplit(out).scheme.lower(), "mpegts")
    return CONTAINERS.get(Path(out).suffix.lower())
