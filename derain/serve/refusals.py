"""Requests that are refused: a status code, and one sentence as JSON."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from derain.errors import PhotoError, reason
from derain.photos.formats import BY_NAME
from derain.photos.reading import TooLargeError, UnknownFormatError
from derain.text import as_json, printable

CLIENT_LEFT = 499  # nginx's code for it, which only metrics see
SECONDS_OF_PATIENCE = 5  # with a client that goes on sending what is refused
RETRY_AFTER = {429: "5", 503: "10"}  # s


PHOTOS = ", ".join(f"image/{name.lower()}" for name in BY_NAME)  # kinds of media that are accepted
READING_METHODS = "GET, HEAD"  # of what Starlette names none for


class Refusal(Exception):
    """A request that is not served, in one sentence for whoever sent it.

    Args:
        headers: what programs are to know of it.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, dict(headers or {})


def of_photo(error: PhotoError, most_megapixels: float) -> Refusal:
    """What is wrong with a photo, as a refusal."""
    if isinstance(error, UnknownFormatError):
        return Refusal(415, str(error), {"accept": PHOTOS})
    if isinstance(error, TooLargeError):
        name = str(error).rsplit(": ", 1)[0]
        return Refusal(413, f"{name}: {error.megapixels:.1f} megapixels; at most {most_megapixels:g} are accepted here")
    return Refusal(422, str(error))


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a refused request.

    What the client is still sending is read first, and dropped: many clients look for an answer only afterwards.
    """
    assert isinstance(error, Refusal)
    if "expect" not in request.headers and error.status != 408:
        await _drain(request)
    return _answer(error.status, str(error), error.headers)


async def not_found(request: Request, error: Exception) -> Response:
    """The answer where no route fits."""
    assert isinstance(error, HTTPException)
    sentence = {
        404: f"{request.url.path}: no such page; openapi.json says what there is",
        405: f"{request.url.path}: does not accept {request.method}; openapi.json says what does",
    }.get(error.status_code, error.detail)
    allowed = {"allow": READING_METHODS} if error.status_code == 405 and not error.headers else {}
    return _answer(error.status_code, sentence, dict(error.headers or allowed))


async def failed(request: Request, error: Exception) -> Response:
    return _answer(500, f"{request.url.path}: failed ({reason(error)})")


async def client_left(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


class InJson:
    """Refuses in JSON what Starlette refuses in plain text: parts of files that are not there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None = None

        async def unless_plain(message: Message) -> None:
            nonlocal answer
            if message["type"] == "http.response.start" and message["status"] >= 400:
                headers = dict(Headers(raw=message["headers"]))
                if headers.pop("content-type", "").startswith("text/plain"):
                    del headers["content-length"]
                    sentence = f"{scope['path']}: cannot be sent in this part; ask for the whole file, without a range"
                    answer = _answer(message["status"], sentence, headers)
            if answer is None:
                await send(message)

        await self.app(scope, receive, unless_plain)
        if answer is not None:
            await answer(scope, receive, send)


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    headers = {"cache-control": "no-store"} | (headers or {})
    if status in RETRY_AFTER:
        headers["retry-after"] = RETRY_AFTER[status]
    return Response(said_of(status, sentence), status, headers, "application/json")


def said_of(status: int, sentence: str) -> str:
    """The body of a refusal."""
    return as_json({"error": printable(sentence), "status": status, "reason": HTTPStatus(status).phrase})


async def _drain(request: Request) -> None:
    try:
        async with asyncio.timeout(SECONDS_OF_PATIENCE):
            async for _ in request.stream():
                pass
    except (TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was read already
        pass
