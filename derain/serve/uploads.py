"""Photos as they are sent: the body itself, or a form with one file. They stay in memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from derain.serve.forms import unescaped
from derain.serve.packing import Unpacking
from derain.serve.refusals import Refusal
from derain.serve.turns import Turns
from derain.text import printable


@dataclass
class Upload:
    """A photo's file as it was sent, and its name."""

    content: bytes = field(repr=False)
    name: str = ""  # empty if the client gave none

    @property
    def called(self) -> str:
        """What messages call it."""
        return printable(self.name) or "the photo"


class InMemory(MultiPartParser):
    """A form of one file and nothing else, of which nothing goes to disk."""

    spool_max_size = 0  # without end


class Receiving:
    """The body of a request, within the limits; its bytes count until :meth:`forget`."""

    def __init__(self, request: Request, turns: Turns) -> None:
        self.request, self.turns, self.limits = request, turns, turns.limits
        self._bytes = self._packed_bytes = 0

    async def upload(self) -> Upload:
        """
        Raises:
            Refusal: too many bytes, too slowly, none at all, packed in an unknown way, or no form that has one file.
            ClientDisconnect: the connection was cut before the end.
        """
        declared = self.request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self.limits.bytes:
            raise self._too_long()
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            found = await self._file_of_form()
        else:
            found = Upload(await self._whole())
        if not found.content:
            raise Refusal(400, f"{found.called}: is empty; send a photo as the body, or a form with one file")
        return found

    def forget(self) -> None:
        self.turns.give_room(self._bytes)
        self._bytes = 0

    async def _whole(self) -> bytes:
        parts = bytearray()
        async with aclosing(self._within_limits()) as stream:
            async for part in stream:
                parts += part
        return bytes(parts)

    async def _file_of_form(self) -> Upload:
        try:
            async with aclosing(self._within_limits()) as stream:
                form = await InMemory(self.request.headers, stream, max_files=1, max_fields=0).parse()
        except (MultiPartException, FormParserError):
            raise Refusal(400, "send a form with one photo and nothing else; put options into the address") from None
        try:
            file = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
            if file is None:
                raise Refusal(400, "the form has no photo; put a file into its field")
            return Upload(await file.read(), unescaped(file.filename or ""))
        finally:
            await form.close()

    async def _within_limits(self) -> AsyncGenerator[bytes, None]:
        """The body, unpacked, of which no more is kept than is accepted here."""
        unpacking = Unpacking(self.request.headers.get("content-encoding", ""))
        async with aclosing(self._received()) as parts:
            async for part in parts:
                for piece in unpacking.pieces(part):
                    if self._bytes + len(piece) > self.limits.bytes:
                        raise self._too_long()
                    self.turns.take_room(len(piece))
                    self._bytes += len(piece)
                    yield piece
                    await asyncio.sleep(0)  # for other clients: a part may hold a thousand times its bytes
        unpacking.end()

    async def _received(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes."""
        stream = self.request.stream()
        while True:
            try:
                async with asyncio.timeout(self.limits.stalled):
                    part = await anext(stream, b"")
            except TimeoutError:
                raise Refusal(408, f"no data arrived for {self.limits.stalled:g} s; send the photo again") from None
            if not part:
                return
            self._packed_bytes += len(part)
            if self._packed_bytes > self.limits.bytes:
                raise self._too_long()
            yield part

    def _too_long(self) -> Refusal:
        return Refusal(413, f"the upload has more than the {self.limits.megabytes:g} MB that are accepted here")
