"""What texts in a photo's file say of it, written into EXIF for formats that have no place for such texts."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from derain.photos import segments
from derain.photos.exif_tags import DAMAGED, TEXT, UNDEFINED, Entry, byte_order, texts_of, with_entries

COMMENT, TITLE, CREATION = "comment", "title", "creation time"  # PNG's names for texts, in small letters
TAGS = {"description": 270, TITLE: 270, "author": 315, "copyright": 33432, "software": 305}
USER_COMMENT, TAKEN, TAKEN_OFFSET, TAKEN_FRACTION = 37510, 36867, 36881, 37521
DATE_WITH_COLONS = re.compile(r"^\s*(\d{4}):(\d\d):(\d\d)(?=[ T])")  # as EXIF has it


def in_exif(exif: bytes, texts: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """EXIF with the texts that have a place there that is free, and the names of the others.

    A place that has the same text already is as good; damaged EXIF stays as it is.
    """
    entries, homeless = list[Entry](), list[str]()
    try:
        known = texts_of(exif)
    except DAMAGED:
        return exif, list(texts)
    for name in sorted(texts, key=lambda name: name.lower() == TITLE):  # a description comes before it
        wanted = entries_for(name, texts[name], byte_order(exif))
        if not wanted or any(entry.tag == wanted[0].tag for entry in entries):
            homeless.append(name)
        elif there := _without_code(known.get(wanted[0].tag, b"")):
            if there != _without_code(wanted[0].packed(byte_order(exif))[1]):
                homeless.append(name)
        elif len(with_entries(exif, entries + wanted)) > segments.LONGEST:
            homeless.append(name)
        else:
            entries += wanted
    return with_entries(exif, entries) if entries else exif, homeless


def entries_for(name: str, text: str, order: str) -> list[Entry]:
    """The entries of EXIF, in this order of bytes, for one of PNG's texts; none if there is no place for it."""
    kind, text = name.lower(), text.replace("\0", "").strip()
    if not text:
        return []
    if kind in TAGS:
        return [Entry(TAGS[kind], TEXT, text)]
    if kind == COMMENT:
        return [Entry(USER_COMMENT, UNDEFINED, tuple(_coded(text, order)), of_camera=True)]
    return _taken(text) if kind == CREATION else []


def _coded(text: str, order: str) -> bytes:
    """A comment after the name of its code, as EXIF has it."""
    if text.isascii():
        return b"ASCII\0\0\0" + text.encode()
    return b"UNICODE\0" + text.encode("utf-16-be" if order == ">" else "utf-16-le", "replace")


def _without_code(value: bytes) -> bytes:
    """What a value says, be it a comment; of one that a camera filled with blanks, nothing."""
    return re.sub(rb"\A(ASCII|UNICODE|JIS)\0+|\A\0+", b"", value).strip(b" \0")


def _taken(text: str) -> list[Entry]:
    """When the picture was taken; none of a date without a time, or of what is no date."""
    moment = _moment(text)
    if moment is None:
        return []
    values = {TAKEN: f"{moment.year:04d}:{moment:%m:%d %H:%M:%S}"}
    offset = moment.utcoffset()
    if offset is not None and not offset % timedelta(minutes=1):
        values[TAKEN_OFFSET] = f"{moment:%z}"[:3] + ":" + f"{moment:%z}"[3:]
    if moment.microsecond:
        values[TAKEN_FRACTION] = f"{moment.microsecond:06d}".rstrip("0")
    return [Entry(tag, TEXT, value, of_camera=True) for tag, value in values.items()]


def _moment(text: str) -> datetime | None:
    """A moment as EXIF, ISO 8601 or e-mail writes it."""
    if ":" not in text:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            return read(DATE_WITH_COLONS.sub(r"\1-\2-\3", text).strip())
    return None
