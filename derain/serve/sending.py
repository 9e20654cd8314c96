"""Answers on their way to clients that may be slow, or not read at all."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE = 2**18  # bytes


class InPieces(Response):
    """An answer of which each piece is sent when the client has taken the one before.

    Whoever takes nothing for too long loses the connection. What the answer holds is let go either way.
    """

    def __init__(self, answer: Response, stalled: float, let_go: Callable[[], Awaitable[None]]) -> None:
        super().__init__(answer.body, answer.status_code, media_type=answer.media_type)
        self.raw_headers, self.stalled, self.let_go = answer.raw_headers, stalled, let_go

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), PIECE):
                piece = bytes(self.body[start : start + PIECE])
                async with asyncio.timeout(self.stalled):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            async with asyncio.timeout(self.stalled):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            pass  # the server cuts what is not complete
        finally:
            await self.let_go()
