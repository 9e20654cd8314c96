"""What a clip says of itself and its tracks: languages as a container knows them, and what a result says no more."""

import re
from typing import Any

from derain.text import listed
from derain.video.reading import is_cover

OF_THE_FILE = {  # tags of a file or its writer, not of what it shows
    *("major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration", "vendor_id"),
    *("handler_name", "isvbr", "wmfsdkneeded", "wmfsdkversion", "deviceconformancetemplate", "metadatacreator"),
}
OF_QUICKTIME = {  # names of languages that have two, as QuickTime's list has them
    **{"sqi": "alb", "hye": "arm", "eus": "baq", "mya": "bur", "zho": "chi", "cze": "ces", "nld": "dut", "fre": "fra"},
    **{"kat": "geo", "deu": "ger", "ell": "gre", "isl": "ice", "mkd": "mac", "msa": "may", "rum": "ron", "slo": "slk"},
    **{"bod": "tib", "cym": "wel"},
}
IN_A_LANGUAGE = re.compile(r"-[a-z]{3}$")  # at the end of a tag that FFmpeg gives without it, too
MOST_NAMED = 8  # tags


def in_quicktime(tags: dict[str, str]) -> dict[str, str]:
    """Tags of a track with its language as QuickTime calls it."""
    language = tags.get("language", "")
    return tags | {"language": OF_QUICKTIME[language]} if language in OF_QUICKTIME else tags


def lost_labels(source: Any, result: Any, pairs: dict[int, int], stretch: bool) -> list[str]:
    """What an open clip says of itself and its result, which is open too, does not, in words.

    Args:
        pairs: the result's tracks by the source's.
        stretch: only a stretch was taken, so chapters may be missing.
    """
    said = {value for each in (result, *result.streams) for value in each.metadata.values()}
    names = {name.lower() for name in result.metadata} | OF_THE_FILE
    left = {name.lower(): value for name, value in source.metadata.items() if value and value not in said}
    tags = sorted(name for name in left.keys() - names if IN_A_LANGUAGE.sub("", name) not in left.keys() - {name})
    lost = [f"tags ({listed(tags, MOST_NAMED)})"] if tags else []
    lost += ["chapters"] if source.chapters() and not result.chapters() and not stretch else []
    tracks = [(source.streams[old], result.streams[new]) for old, new in pairs.items()]
    tracks = [(one, other) for one, other in tracks if not is_cover(one)]
    lost += ["languages of tracks"] if any(_language(one) != _language(other) for one, other in tracks) else []
    titles = {title for one, _ in tracks if (title := one.metadata.get("title"))}
    lost += ["names of tracks"] if titles - said else []
    return lost + (["the timecode"] if _has_timecode(source) and not _has_timecode(result) else [])


def _language(stream: Any) -> str:
    told = stream.metadata.get("language") or "und"
    return OF_QUICKTIME.get(told, told)


def _has_timecode(clip: Any) -> bool:
    return any(name.lower() == "timecode" for each in (clip, *clip.streams) for name in each.metadata)
