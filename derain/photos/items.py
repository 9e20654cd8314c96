"""HEIC and AVIF as what they are: items with properties and references (ISO/IEC 23008-12), and the bytes of each.

New pictures take the place of old ones, and everything else stays as it is, known or not: EXIF, XMP, alpha, depth, gain
maps, further pictures, turns, colours.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from derain.errors import PhotoError

CONFIGURATION = {b"hvcC", b"av1C", b"ispe", b"pixi", b"clap"}  # properties that go with the coded picture
CODED_TYPES = {b"hvc1", b"av01"}
GRID, TILES, THUMBNAIL = b"grid", b"dimg", b"thmb"
ALPHA = (b":alpha", b"hevc:2015:auxid:1")  # ends of the name of its kind
COLOURS, CODES = b"colr", b"nclx"
REWRITTEN = {b"pitm", b"iinf", b"iloc", b"iref", b"iprp", b"idat"}  # boxes of meta
SEQUENCE_BRANDS = {b"msf1", b"hevc", b"hevx", b"avis"}
DROPPED = {b"mdat", b"free", b"skip", b"moov"}  # boxes of the file: data goes along with its items
MOST_SHARED = 8  # times the file's bytes that its items may have together
Box = tuple[bytes, bytes]


@dataclass
class Item:
    """A picture, or data of one."""

    kind: bytes
    entry: bytes  # what its infe box holds
    data: bytes
    properties: list[tuple[bytes, bool]] = field(default_factory=list)  # whole boxes, and whether they are essential

    def holds(self, kind: bytes) -> bytes | None:
        """What the first property of a kind holds."""
        return next((box[8:] for box, _ in self.properties if box[4:8] == kind), None)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as coded."""
        width, height = struct.unpack_from(">II", self.holds(b"ispe") or bytes(12), 4)
        return width, height

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height without what the encoder filled up."""
        clean = self.holds(b"clap")
        if clean is None:
            return self.size
        width, of_width, height, of_height = struct.unpack_from(">4I", clean)
        return width // of_width, height // of_height

    @property
    def is_alpha(self) -> bool:
        return (self.holds(b"auxC") or b"").rstrip(b"\0").endswith(ALPHA)


@dataclass
class ItemFile:
    """A HEIC or AVIF, taken apart."""

    kind: bytes  # the ftyp box
    primary: int
    items: dict[int, Item]
    references: list[tuple[bytes, int, list[int]]]  # kind, from, to
    further: list[Box]  # boxes of meta
    after: bytes  # boxes of the file
    moves: bool  # whether there is a moving picture beside it, which is dropped

    def of(self, kind: bytes, item: int) -> list[int]:
        """Items that an item refers to in this way."""
        return [
            target for name, start, targets in self.references if (name, start) == (kind, item) for target in targets
        ]

    def to(self, kind: bytes, item: int) -> list[int]:
        """Items that refer to an item in this way."""
        return [start for name, start, targets in self.references if name == kind and item in targets]

    def pictures(self) -> list[int]:
        """Pictures that a viewer lists."""
        parts = {target for name, _, targets in self.references for target in targets if name == TILES}
        auxiliary = {start for name, start, _ in self.references if name in (THUMBNAIL, b"auxl")}
        shown = (number for number, item in self.items.items() if item.holds(b"ispe") and not item.entry[3] & 1)
        return [number for number in shown if number not in parts | auxiliary]

    def replace(self, number: int, encoded: "ItemFile") -> None:
        """Put the picture of another file in the place of one, which keeps its properties but for the coding's."""
        new, old = encoded.items[encoded.primary], self.items[number]
        tiles = self.of(TILES, number)
        properties = old.properties or []
        if not any(box[4:8] == COLOURS for box, _ in properties) and tiles:
            properties = properties + [p for p in self.items[tiles[0]].properties if p[0][4:8] == COLOURS]
        kept = [_recoded(entry, new) for entry in properties if entry[0][4:8] not in CONFIGURATION]
        if not any(box[4:12] == COLOURS + CODES for box, _ in kept):
            kept = [entry for entry in new.properties if entry[0][4:12] == COLOURS + CODES] + kept
        old.properties = [entry for entry in new.properties if entry[0][4:8] in CONFIGURATION] + kept
        old.entry = old.entry.replace(old.kind, new.kind, 1) if old.kind != new.kind else old.entry
        old.kind, old.data = new.kind, new.data
        self.references = [r for r in self.references if not (r[0] == TILES and r[1] == number)]
        for tile in tiles:
            if not self.to(TILES, tile):
                del self.items[tile]
        self.references = [
            (name, start, left)
            for name, start, targets in self.references
            if start in self.items and (left := [target for target in targets if target in self.items])
        ]


def _recoded(entry: tuple[bytes, bool], new: Item) -> tuple[bytes, bool]:
    """Codes of colours with matrix and range of the new picture; other properties as they are."""
    box, essential = entry
    theirs = next((other for other, _ in new.properties if other[4:12] == COLOURS + CODES), None)
    if box[4:12] != COLOURS + CODES or theirs is None:
        return entry
    return box[:16] + theirs[16:], essential


def boxes(content: bytes, place: int = 0) -> Iterator[Box]:
    """Kind and content of each box."""
    return ((kind, inner) for _, kind, inner in placed_boxes(content, place))


def placed_boxes(content: bytes, place: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
    """Place, kind and content of each box."""
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", content, place + 8), 16
        size = size or len(content) - place
        if size < head:
            raise PhotoError("a box of it has no size")
        yield place, kind, content[place + head : place + size]
        place += size


def box(kind: bytes, content: bytes) -> bytes:
    """The bytes of a box: its size and kind, then what it holds."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def read(content: bytes) -> ItemFile:
    """
    Raises:
        PhotoError: what derain does not know, such as data in another file.
        struct.error: a damaged file, and so are KeyError, IndexError and StopIteration.
    """
    file = list(boxes(content))
    meta = dict(parts := list(boxes(next(inner for kind, inner in file if kind == b"meta"), 4)))
    version = meta[b"iinf"][0]
    items = {}
    for kind, entry in boxes(meta[b"iinf"], 4 + (2 if version == 0 else 4)):
        if kind != b"infe" or entry[0] < 2:
            raise PhotoError("lists its items in an outdated way")
        (number,) = struct.unpack_from(">H" if entry[0] == 2 else ">I", entry, 4)
        place = 4 + (2 if entry[0] == 2 else 4) + 2
        items[number] = Item(entry[place : place + 4], entry, b"")
    for number, data in _located(meta[b"iloc"], content, meta.get(b"idat", b"")):
        items[number].data = data
    _associate(items, meta[b"iprp"])
    wide = ">I" if meta[b"pitm"][0] else ">H"
    (primary,) = struct.unpack_from(wide, meta[b"pitm"], 4)
    further = [(kind, inner) for kind, inner in parts if kind not in REWRITTEN]
    after = b"".join(box(kind, inner) for kind, inner in file if kind not in DROPPED | {b"ftyp", b"meta"})
    references = list(_references(meta[b"iref"])) if b"iref" in meta else []
    moves = any(kind == b"moov" for kind, _ in file)
    brands = box(b"ftyp", _of_still(file[0][1]) if moves else file[0][1])
    return ItemFile(brands, primary, items, references, further, after, moves)


def _of_still(brands: bytes) -> bytes:
    """Brands of a file without the moving picture."""
    kept = [brand for brand in _fours(brands[8:]) if brand not in SEQUENCE_BRANDS]
    first = next(brand for brand in (brands[:4], b"heic", b"avif", b"mif1") if brand in {*kept, b"mif1"})
    return first + brands[4:8] + b"".join(kept)


def _fours(data: bytes) -> list[bytes]:
    return [data[place : place + 4] for place in range(0, len(data), 4)]


def readable(content: bytes, still: bool = False) -> bytes:
    """The file with damaged EXIF under a name that decoders pass over: some refuse the picture for it.

    Args:
        still: whether to do the same with a moving picture.
    """
    file = bytearray(content)
    try:
        for place, kind, inner in placed_boxes(content) if still else ():
            if kind == b"moov":
                file[place + 4 : place + 8] = b"free"
            elif kind == b"ftyp":
                file[place + 8 : place + 8 + len(inner)] = b"".join(
                    b"mif1" if brand in SEQUENCE_BRANDS else brand for brand in _fours(inner)
                )
        damaged = [
            item.entry for item in read(content).items.values() if item.kind == b"Exif" and not _is_exif(item.data)
        ]
    except (PhotoError, struct.error, KeyError, IndexError, StopIteration):
        damaged = []
    for entry in damaged:
        file = file.replace(box(b"infe", entry), box(b"infe", entry.replace(b"Exif", b"skip", 1)))
    return bytes(file)


def _is_exif(data: bytes) -> bool:
    return data[4 + int.from_bytes(data[:4], "big") :].startswith((b"II*\0", b"MM\0*"))


def _located(iloc: bytes, content: bytes, idat: bytes) -> Iterator[tuple[int, bytes]]:
    version = iloc[0]
    sizes = iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, (iloc[5] & 15) if version else 0
    place = 6

    def number(size: int) -> int:
        nonlocal place
        place += size
        if place > len(iloc):
            raise IndexError("ends too early")
        return int.from_bytes(iloc[place - size : place], "big")

    room = MOST_SHARED * len(content)
    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        item, method = number(wide), number(2) & 15 if version else 0
        reference, base = number(2), number(sizes[2])
        if reference or method > 1:
            raise PhotoError("keeps data in another file or item")
        extents, source = [], idat if method else content
        for _ in range(number(2)):
            number(sizes[3])
            offset, length = base + number(sizes[0]), number(sizes[1])
            extents.append(source[offset : offset + length] if length else source[offset:])
            room -= len(extents[-1])
            if room < 0:
                raise PhotoError("lists the same data again and again")
        yield item, b"".join(extents)


def _associate(items: dict[int, Item], iprp: bytes) -> None:
    parts = list(boxes(iprp))
    properties = [box(*each) for each in boxes(next(inner for kind, inner in parts if kind == b"ipco"))]
    for ipma in (inner for kind, inner in parts if kind == b"ipma"):
        place, wide = 8, ipma[3] & 1
        for _ in range(struct.unpack_from(">I", ipma, 4)[0]):
            form = ">HB" if ipma[0] < 1 else ">IB"
            number, count = struct.unpack_from(form, ipma, place)
            place += struct.calcsize(form)
            for _ in range(count):
                (value,) = struct.unpack_from(">H" if wide else ">B", ipma, place)
                place += 1 + wide
                essential, index = divmod(value, 0x8000 if wide else 0x80)
                if index:
                    items[number].properties.append((properties[index - 1], bool(essential)))


def _references(iref: bytes) -> Iterator[tuple[bytes, int, list[int]]]:
    form = "I" if iref[0] else "H"
    for kind, inner in boxes(iref, 4):
        start, count = struct.unpack_from(f">{form}H", inner)
        yield kind, start, list(struct.unpack_from(f">{count}{form}", inner, struct.calcsize(f">{form}H")))


def write(file: ItemFile) -> bytes:
    """The file, with its data in one piece after what describes it."""
    wide = max(file.items) > 0xFFFF
    entries = b"".join(box(b"infe", item.entry) for item in file.items.values())
    form = "I" if wide else "H"
    references = b"".join(
        box(kind, struct.pack(f">{form}H{len(targets)}{form}", start, len(targets), *targets))
        for kind, start, targets in file.references
    )
    head = b"".join(box(kind, inner) for kind, inner in file.further)
    head += box(b"pitm", struct.pack(f">I{form}", wide << 24, file.primary))
    head += box(b"iinf", struct.pack(">II", 1 << 24, len(file.items)) + entries)
    head += box(b"iref", struct.pack(">I", wide << 24) + references) if references else b""
    head += box(b"iprp", _properties(file.items))
    row = 4 + 2 + 2 + 2 + 8 if wide else 2 + 2 + 2 + 2 + 8
    room = 8 + 6 + (4 if wide else 2) + row * len(file.items)
    place = len(file.kind) + 12 + len(head) + room + 8
    iloc = struct.pack(f">IBB{form}", (2 if wide else 1) << 24, 0x44, 0, len(file.items))
    for number, item in file.items.items():
        iloc += struct.pack(f">{form}HHHII", number, 0, 0, 1, place, len(item.data))
        place += len(item.data)
    meta = box(b"meta", bytes(4) + head + box(b"iloc", iloc))
    return file.kind + meta + box(b"mdat", b"".join(item.data for item in file.items.values())) + file.after


def _properties(items: dict[int, Item]) -> bytes:
    distinct = list(dict.fromkeys(entry for item in items.values() for entry, _ in item.properties))
    places = {entry: index for index, entry in enumerate(distinct, start=1)}
    rows = b""
    for number, item in items.items():
        rows += struct.pack(">IB", number, len(item.properties))
        rows += b"".join(struct.pack(">H", places[entry] | essential << 15) for entry, essential in item.properties)
    ipma = struct.pack(">II", 1 << 24 | 1, len(items)) + rows
    return box(b"ipco", b"".join(distinct)) + box(b"ipma", ipma)
