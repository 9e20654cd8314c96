"""All that a Matroska or WebM file says and FFmpeg does not know, kept: the source's header around the new blocks."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from derain.video.containers.elements import (
    ATTACHMENTS,
    CHAPTERS,
    CHECKSUM,
    CLUSTER,
    COLOUR,
    CUE,
    CUE_PLACES,
    CUES,
    ENTRY,
    INFO,
    SEEK_HEAD,
    SEGMENT,
    TAG,
    TAGS,
    TARGETS,
    TRACKS,
    VIDEO,
    VOID,
    Element,
    identifier,
    parse,
    read,
    segment,
    unsigned,
)
from derain.video.containers.mp4_layout import copy

SECTION_ORDER = (INFO, TRACKS, CHAPTERS, ATTACHMENTS, TAGS)
SEEK, SEEK_NAME, SEEK_PLACE = 0x4DBB, 0x53AB, 0x53AC
CUE_CLUSTER, NUMBER, UID, TAG_TRACK, SIMPLE, TAG_NAME = 0xF1, 0xD7, 0x73C5, 0x63C5, 0x67C8, 0x45A3
SCALE, DURATION, MUXER, WRITER = 0x2AD7B1, 0x4489, 0x4D80, 0x5741
MOST_ADDED, CODEC, CODEC_NAME, SETUP = 0x55EE, 0x86, 0x258688, 0x63A2
OF_THE_BLOCKS = {  # of a track: its number, codec, its setup, delays, wrappings and what is added to blocks
    *(NUMBER, CODEC, SETUP, 0x6D80, MOST_ADDED, 0x41E4, 0x56AA, 0x56BB, 0x23314F),
}
OF_THE_PIXELS = {0xB0, 0xBA, 0x53C0, 0x9A, 0x9D}  # of a picture: width, height, alpha, interlacing, order of fields
OF_ONE_PICTURE = {0x54B0, 0x54BA, 0x54B2, 0x54AA, 0x54BB, 0x54CC, 0x54DD, 0x7670, 0x53B8}  # how it is shown
MATRIX = 0x55B1
OF_THE_MATRIX = {MATRIX, 0x55B2, 0x55B9, 0x55BA, 0x55BB}  # matrix, bits, range, transfer, primaries
WIDTH, HEIGHT, SHOWN_WIDTH, SHOWN_HEIGHT, UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
AS_RATIO = 3  # unit of the width and height shown
INTERLACED, PROGRESSIVE = 0x9A, 2
TIMECODE = b"TIMECODE"  # name of a tag
STATISTICS = (b"BPS", b"NUMBER_OF_BYTES", b"NUMBER_OF_FRAMES", b"_STATISTICS", b"DURATION")


@dataclass(frozen=True)
class Pair:
    """A track in the source and in the result, both by their places."""

    source: int
    result: int
    picture: bool
    is_renamed: bool = False  # the result names another codec than the one its packets are of


def can_be_grafted(path: Path, tracks: int) -> bool:
    """Whether the header can be read and has as many tracks as FFmpeg finds."""
    header = _header(path)
    return TRACKS in header and len(header[TRACKS][0].all(ENTRY)) == tracks


def graft(source: Path, result: Path, pairs: list[Pair], whole: bool) -> None:
    """Give ``result``, which FFmpeg wrote, the header of ``source`` as far as it does not speak of the blocks.

    Args:
        whole: nothing was cut away in time; else chapters are those that FFmpeg wrote.
    """
    old, new = _header(source), _header(result)
    entries, written = old[TRACKS][0].all(ENTRY), new[TRACKS][0].all(ENTRY)
    order = {pair.result: _joined(entries[pair.source], written[pair.result], pair) for pair in pairs}
    tracks = Element(TRACKS, inside=[order.get(number, entry) for number, entry in enumerate(written)])
    header = dict(old) | {TRACKS: [tracks], INFO: [_info(old, new, whole)]}
    if not whole:
        header[CHAPTERS] = new.get(CHAPTERS, [])
    pictures = {number.content for pair in pairs if pair.picture for number in entries[pair.source].all(UID)}
    moved = {} if whole else {_name(e): e for e in _simple(new.get(TAGS, [])) if _name(e).upper() == TIMECODE}
    header[TAGS] = [_tags(tags, pictures, whole, moved) for tags in header.get(TAGS, [])]
    _rewrite(result, header)


def set_aspect(result: Path, aspects: dict[int, Fraction | None]) -> None:
    """Say how wide pixels are, where nothing is said yet; FFmpeg is told of it only where it encodes itself.

    Args:
        aspects: of the pictures in the tracks at these places; None or 1 if they are square.
    """
    aspects = {place: aspect for place, aspect in aspects.items() if aspect and aspect != 1}
    header = _header(result) if aspects else {}
    for place, aspect in aspects.items():
        video = header[TRACKS][0].all(ENTRY)[place].find(VIDEO)
        if video is None or video.find(SHOWN_WIDTH):
            continue
        if aspect and (width := video.find(WIDTH)) and (height := video.find(HEIGHT)):
            video.inside = [part for part in video.inside if part.name not in (SHOWN_WIDTH, SHOWN_HEIGHT, UNIT)]
            shown, ratio = width.number * aspect, width.number * aspect / height.number
            if shown.denominator == 1 or result.suffix.lower() == ".webm":  # which knows pixels alone
                video.inside += [unsigned(SHOWN_WIDTH, round(shown)), unsigned(SHOWN_HEIGHT, height.number)]
            else:
                video.inside += [unsigned(SHOWN_WIDTH, ratio.numerator), unsigned(SHOWN_HEIGHT, ratio.denominator)]
                video.inside.append(unsigned(UNIT, AS_RATIO))
    if header:
        _rewrite(result, header)


def _header(path: Path) -> dict[int, list[Element]]:
    """What is in the segment beside clusters, by its name; nothing if it cannot be read."""
    found = segment(path)
    if found is None:
        return {}
    elements: dict[int, list[Element]] = {}
    with path.open("rb") as file:
        for place in found[1]:
            if place.name in (CLUSTER, CUES, SEEK_HEAD, VOID, CHECKSUM):
                continue
            element = read(file, place)
            if element is None:
                return {}
            elements.setdefault(place.name, []).append(element)
    return elements


def _joined(old: Element, new: Element, pair: Pair) -> Element:
    """A track of the source with the result's blocks."""
    of_the_blocks = OF_THE_BLOCKS - ({CODEC, SETUP} if pair.is_renamed else set())
    ours = [element for element in new.inside if element.name in of_the_blocks]
    said = bool(old.find(MOST_ADDED))
    entry = Element(ENTRY, inside=[part for part in ours if part.name != MOST_ADDED or part.number or said])
    same_codec = pair.is_renamed or (old.find(CODEC) or old).content == (new.find(CODEC) or new).content
    left = of_the_blocks | {CHECKSUM, VOID} | (set() if same_codec else {CODEC_NAME})
    for element in old.inside:
        if element.name == VIDEO and pair.picture:
            entry.inside.append(_video(element, new.find(VIDEO) or element))
        elif element.name not in left:
            entry.inside.append(element)
    return entry


def _video(old: Element, new: Element) -> Element:
    same_size = all((old.find(name) or old).content == (new.find(name) or new).content for name in (WIDTH, HEIGHT))
    video = Element(VIDEO, inside=[element for element in new.inside if element.name in OF_THE_PIXELS - {INTERLACED}])
    for element in old.inside:
        if element.name == COLOUR:
            ours = new.find(COLOUR)
            kept = [part for part in (ours.inside if ours else []) if part.name in OF_THE_MATRIX]
            there = {part.name for part in kept} | (OF_THE_MATRIX if _is_rgb(element) else set())
            video.inside.append(Element(COLOUR, inside=kept + [e for e in element.inside if e.name not in there]))
        elif element.name == INTERLACED:
            video.inside.append(unsigned(INTERLACED, PROGRESSIVE))
        elif element.name not in OF_THE_PIXELS and (same_size or element.name not in OF_ONE_PICTURE):
            video.inside.append(element)
    return video


def _is_rgb(colour: Element) -> bool:
    """Whether it says that there is no matrix, which the encoder may have needed one for."""
    matrix = colour.find(MATRIX)
    return matrix is not None and matrix.number == 0


def _info(old: dict[int, list[Element]], new: dict[int, list[Element]], whole: bool) -> Element:
    ours, theirs = new[INFO][0], old[INFO][0] if old.get(INFO) else Element(INFO)
    same_scale = (ours.find(SCALE) or ours).content == (theirs.find(SCALE) or theirs).content
    anew = {SCALE, MUXER, WRITER} | (set() if whole and same_scale and theirs.find(DURATION) else {DURATION})
    kept = [element for element in theirs.inside if element.name not in anew | {CHECKSUM, VOID}]
    return Element(INFO, inside=[element for element in ours.inside if element.name in anew] + kept)


def _simple(tags: list[Element]) -> list[Element]:
    return [element for each in tags for tag in each.all(TAG) for element in tag.all(SIMPLE)]


def _tags(tags: Element, pictures: set[bytes], whole: bool, moved: dict[bytes, Element]) -> Element:
    """Without statistics of what is another now, and with what is ``moved`` in place of tags of the same names."""
    kept = Element(TAGS)
    for tag in tags.all(TAG):
        targets = {target.content for part in tag.all(TARGETS) for target in part.all(TAG_TRACK)}
        left = STATISTICS if not whole else STATISTICS[:2] if targets & pictures else ()
        inside = [e for e in tag.inside if not (e.name == SIMPLE and left and _name(e).startswith(left))]
        inside = [moved.get(_name(e), e) if moved and e.name == SIMPLE else e for e in inside if e.name != CHECKSUM]
        kept.inside.append(Element(TAG, inside=inside))
    return kept


def _name(tag: Element) -> bytes:
    return next((part.content for part in parse(tag.content, set()) or [] if part.name == TAG_NAME), b"")


def _rewrite(result: Path, header: dict[int, list[Element]]) -> None:
    """Put another header before the clusters."""
    found = segment(result)
    assert found is not None
    whole, inside = found
    clusters = [place for place in inside if place.name == CLUSTER]
    names = [name for name in (*SECTION_ORDER, *sorted(header.keys() - set(SECTION_ORDER))) if header.get(name)]
    parts = [(name, bytes(element)) for name in names for element in header[name] if element.inside or element.content]
    first, end = clusters[0].start if clusters else whole.end, clusters[-1].end if clusters else whole.end
    before = len(bytes(_seek_head([(name, 0) for name, _ in parts] + [(CUES, 0)])))
    begins = before + sum(len(content) for _, content in parts)
    moved = begins - (first - whole.inside)
    again = result.with_name(f"{result.name}.again")
    with result.open("rb") as file, again.open("wb") as new:
        cues = [_moved_cues(element, moved) for p in inside if p.name == CUES and (element := read(file, p))]
        after = b"".join(map(bytes, cues))
        at, where = before, list[tuple[int, int]]()
        for name, content in parts:
            where.append((name, at))
            at += len(content)
        where.append((CUES, begins + end - first))
        head = bytes(_seek_head(where))
        size = begins + end - first + len(after)
        copy(file, 0, whole.start, new)
        new.write(identifier(SEGMENT) + (size | 1 << 56).to_bytes(8, "big"))
        new.write(head + b"".join(content for _, content in parts))
        copy(file, first, end, new)
        new.write(after)
    again.replace(result)


def _seek_head(places: list[tuple[int, int]]) -> Element:
    """Where elements stand in the segment; as long whatever the places."""
    listed = [Element(SEEK, inside=[Element(SEEK_NAME, identifier(n)), unsigned(SEEK_PLACE, p, 8)]) for n, p in places]
    return Element(SEEK_HEAD, inside=listed)


def _moved_cues(cues: Element, moved: int) -> Element:
    for point in cues.all(CUE):
        for places in point.all(CUE_PLACES):
            for place in places.all(CUE_CLUSTER):
                place.content = unsigned(CUE_CLUSTER, place.number + moved, 8).content
    return cues
