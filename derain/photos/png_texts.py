"""The texts in a PNG."""

import zlib
from collections.abc import Iterable, Iterator

COMMENT = "Comment"
IPTC = "Raw profile type iptc", "Raw profile type 8bim"  # as ImageMagick and ExifTool name them
ELSEWHERE = {  # names of texts that other formats hold in another way, or whose file dates say nothing of the photo
    *(COMMENT, *IPTC, "XML:com.adobe.xmp"),
    *("Raw profile type exif", "Raw profile type APP1", "Raw profile type xmp"),
    *("date:create", "date:modify", "date:timestamp"),
}
LONGEST = 16 << 20  # bytes of a text that is unpacked


def texts(chunks: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    """Name and text of each; of a damaged one, an empty text."""
    for kind, data in chunks:
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        name, _, rest = data.partition(b"\0")
        yield name.decode("latin-1"), _text(kind, rest)


def is_comment(name: str) -> bool:
    return name.lower() == COMMENT.lower()  # some programs write it small


def further(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The texts that no other format holds in a place of its own, by name; several of one name are put together."""
    kept: dict[str, list[str]] = {}
    for name, text in found:
        if name not in ELSEWHERE and not is_comment(name):
            kept.setdefault(name, []).append(text)
    return {name: "; ".join(dict.fromkeys(filter(None, texts))) for name, texts in kept.items()}


def _text(kind: bytes, rest: bytes) -> str:
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _unpacked(rest[1:]).decode("latin-1")
    packed, parts = rest[:1] == b"\1", rest[2:].split(b"\0", 2)  # language, translated name, text
    content = parts[2] if len(parts) == 3 else b""
    return (_unpacked(content) if packed else content).decode(errors="replace")


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, LONGEST)
    except zlib.error:
        return b""
