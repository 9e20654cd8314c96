"""Bodies that come packed (Content-Encoding), unpacked as they come and in pieces: a bomb never fills the memory."""

import zlib
from collections.abc import Iterator

from derain.serve.refusals import Refusal
from derain.text import printable

PIECE = 2**20  # bytes that are unpacked at once
GZIP = 16 + zlib.MAX_WBITS  # zlib's word for its header
NAMES = {"gzip": GZIP, "x-gzip": GZIP, "deflate": zlib.MAX_WBITS}


class Unpacking:
    """A body whose header Content-Encoding is ``packing``.

    Raises:
        Refusal: a packing that is not known here.
    """

    def __init__(self, packing: str) -> None:
        self.name = packing.strip().lower()
        self._plain = self.name in ("", "identity")
        if not self._plain and self.name not in NAMES:
            sentence = f"content-encoding {printable(packing)}: send the photo as it is, or packed with gzip"
            raise Refusal(415, sentence, {"accept-encoding": ", ".join(NAMES)})
        self._begin()

    def _begin(self) -> None:
        self._stream = zlib.decompressobj(NAMES.get(self.name, GZIP))
        self._begun = False

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """What the next part of the body holds.

        Raises:
            Refusal: it is not packed as the header says.
        """
        if self._plain:
            yield part
            return
        try:
            while part:
                if self._stream.eof:  # gzip may have further members
                    self._begin()
                self._begun = True
                if piece := self._stream.decompress(part, PIECE):
                    yield piece
                part = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        except zlib.error:
            raise Refusal(400, f"the body is not packed with {self.name}, as its content-encoding says") from None

    def end(self) -> None:
        """
        Raises:
            Refusal: the rest is missing.
        """
        if self._begun and not self._stream.eof:
            raise Refusal(400, f"the body, packed with {self.name}, ends too early; send it again")
