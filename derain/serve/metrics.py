"""What is counted, for Prometheus."""

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from derain.serve.turns import Turns

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
COUNTED = ("/v1/derain", "/v1/score")  # paths that have numbers of their own


class Metrics:
    """Counters of one service."""

    def __init__(self, turns: "Turns") -> None:
        self.registry = here = CollectorRegistry()
        ProcessCollector(registry=here)
        by_path = ("path", "status")
        self._requests = Counter("derain_requests", "Requests by path and status.", by_path, registry=here)
        self._refusals = Counter("derain_refusals", "Requests that were refused.", ("status",), registry=here)
        self._seconds = Histogram(
            "derain_request_seconds", "Seconds from request to answer.", ("path",), buckets=SECONDS, registry=here
        )
        self._network = Counter("derain_network_seconds", "Seconds in the network.", registry=here)
        self._megapixels = Counter("derain_megapixels", "Megapixels that went through the network.", registry=here)
        waiting = Gauge("derain_waiting", "Photos waiting for their turn.", registry=here)
        waiting.set_function(lambda: turns.waiting)
        present = Gauge("derain_present", "Requests under way, uploads included.", registry=here)
        present.set_function(lambda: turns.present)

    def computed(self, seconds: float, megapixels: float) -> None:
        self._network.inc(seconds)
        self._megapixels.inc(megapixels)

    def answered(self, path: str, status: int, seconds: float) -> None:
        path = path if path in COUNTED else "other"
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        if status >= 400 and path != "other":
            self._refusals.labels(str(status)).inc()

    def told(self, accept: str) -> tuple[bytes, str]:
        """All of them, in the form that the client takes, and the name of that form."""
        encoder, kind = choose_encoder(accept)
        return encoder(self.registry), kind


class Counting:
    """Counts the requests of an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            await self.app(scope, receive, noting)
        finally:
            self.metrics.answered(path, status, time.perf_counter() - began)
