"""Around every request: the proxy's prefix, an id, one log line, its latency."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightrag.api.errors import CLIENT_CLOSED
from lightrag.api.metrics import Metrics
from lightrag.callers import Caller, calling_as, working_for

log = structlog.get_logger("lightrag.access")

REQUEST_ID = "X-Request-ID"
QUIET_ROUTES = frozenset(
    {
        "/health",
        "/livez",
        "/readyz",
        "/metrics",
        "/documents",
        "/documents/paginated",
        "/documents/pipeline_status",
        "/documents/status_counts",
        "/documents/track_status/{track_id}",
    }
)
"""Paths that clients poll: logged at level DEBUG when they succeed."""

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RootPath:
    """Serves below a path prefix, whether a reverse proxy takes it off or passes it on."""

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = self._root_path
        if root and scope["type"] == "http":
            path = scope["path"]
            if path != root and not path.startswith(root + "/"):
                path = root + path
            scope = {**scope, "root_path": root, "path": path}
        await self._app(scope, receive, send)


class RequestRecorder:
    """Gives each request an id that every log line carries, and records its outcome."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = sent if _SAFE_ID.fullmatch(sent) else secrets.token_hex(8)
        status = CLIENT_CLOSED
        scope[_REQUEST_ID] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        begun = time.perf_counter()
        # In which workspace it works is noted when that is known, and its caller entitled to it.
        with working_for(None), calling_as(Caller(request_id=request_id, waits=True)):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._record(scope, status, time.perf_counter() - begun)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.latency.labels(method, route, str(status)).observe(seconds)
        is_quiet = route in QUIET_ROUTES and status < 400
        record = log.debug if is_quiet else log.info
        record("request", method=method, path=scope["path"], status=status, ms=round(seconds * 1000, 1))


def request_id_of(scope: Scope) -> str:
    """Return the id of a request; empty where none was given."""
    return str(scope.get(_REQUEST_ID, ""))


_REQUEST_ID = "lightrag.request_id"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
