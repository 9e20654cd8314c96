"""The application: its routes, and what stands before each of them."""

import mimetypes
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import derain
from derain.errors import reason
from derain.rain.amount import row_of
from derain.serve.clients import client_of, refuse_foreign, unless, until_gone
from derain.serve.metrics import Counting
from derain.serve.openapi import openapi
from derain.serve.options import options_of_derain, options_of_score, read_options
from derain.serve.refusals import InJson, Refusal, client_left, failed, not_found, refused
from derain.serve.sending import InPieces
from derain.serve.service import Service
from derain.serve.turns import Turns
from derain.serve.uploads import Receiving, Upload
from derain.text import as_json

Result = TypeVar("Result")
mimetypes.add_type("text/javascript", ".js")  # for which Windows may have another name, and browsers then run nothing
PAGE = Path(__file__).parent / "page"
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'; form-action 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def application(service: Service, hosts: Collection[str] | None = None) -> Starlette:
    """The application of a service; ``hosts`` as in :func:`derain.serve.app`."""
    routes = [
        Route("/v1/derain", _derain, methods=["POST"]),
        Route("/v1/score", _score, methods=["POST"]),
        Route("/healthz", _health, methods=["GET"]),
        Route("/metrics", _metrics, methods=["GET"]),
        Route("/openapi.json", _openapi, methods=["GET"]),
        Route("/", _page, methods=["GET"]),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Counting, metrics=service.metrics),
            Middleware(Guarded, turns=service.turns, hosts=hosts),
            Middleware(InJson),
        ],
        exception_handlers={
            Refusal: refused,
            ClientDisconnect: client_left,
            HTTPException: not_found,
            Exception: failed,
        },
    )
    app.router.redirect_slashes = False  # an upload is not sent again where a redirection leads
    app.state.service = service
    return app


class Guarded:
    """Refuses what other sites send browsers to ask for, and tells browsers to be strict."""

    def __init__(self, app: ASGIApp, turns: Turns, hosts: Collection[str] | None) -> None:
        self.app, self.turns, self.hosts = app, turns, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self.turns.refuse_crowd()
            refuse_foreign(Headers(scope=scope), scope["method"], self.hosts)
        except Refusal as error:
            response = await refused(Request(scope, receive), error)
            await response(scope, receive, strictly)
            return
        await self.app(scope, receive, strictly)


async def _derain(request: Request) -> Response:
    service: Service = request.app.state.service
    wanted = read_options(request.query_params, options_of_derain(list(service.restorers)), service.default)

    async def serve(client: str, upload: Upload) -> Response:
        made = await service.derain(client, upload, wanted)
        return Response(made.content, 200, made.headers, made.media_type)

    return await _serve(request, serve)


async def _score(request: Request) -> Response:
    service: Service = request.app.state.service
    wanted = read_options(request.query_params, options_of_score(list(service.restorers)), service.default)

    async def serve(client: str, upload: Upload) -> Response:
        found = await service.score(client, upload, wanted)
        return _json(row_of(upload.called, None, found))

    return await _serve(request, serve)


async def _serve(request: Request, serve: Callable[[str, Upload], Awaitable[Response]]) -> Response:
    """A photo from its first byte to the last of its answer, for as long as the client is there."""
    service: Service = request.app.state.service
    client, receiving = client_of(request), Receiving(request, service.turns)
    async with AsyncExitStack() as presence:
        await presence.enter_async_context(service.turns.presence(client))
        presence.callback(receiving.forget)
        upload = await unless(_told(receiving.upload()), service.turns.until_closing())
        await _told(service.check(upload))
        answer = await unless(_told(serve(client, upload)), until_gone(request))
        return InPieces(answer, service.limits.stalled, presence.pop_all().aclose)


async def _told(work: Awaitable[Result]) -> Result:
    """
    Raises:
        Refusal: whatever goes wrong, the other photos go on.
    """
    try:
        return await work
    except (Refusal, ClientDisconnect):
        raise
    except Exception as error:
        raise Refusal(500, f"the photo: cannot be derained ({reason(error)})") from error


async def _page(request: Request) -> Response:
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


async def _health(request: Request) -> Response:
    service: Service = request.app.state.service
    state = "shutting down" if service.turns.closed else "ok"
    said = {
        "status": state,
        "version": derain.__version__,
        "device": str(service.device),
        "weights": list(service.restorers),
        "waiting": service.turns.waiting,
        "limits": asdict(service.limits),
    }
    return _json(said, 200 if state == "ok" else 503)


async def _metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    body, kind = service.metrics.told(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": kind, "cache-control": "no-store"})


async def _openapi(request: Request) -> Response:
    service: Service = request.app.state.service
    return _json(openapi(list(service.restorers), request.scope.get("root_path", "")))


def _json(said: object, status: int = 200) -> Response:
    return Response(as_json(said), status, {"cache-control": "no-store"}, "application/json")
