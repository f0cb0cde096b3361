"""What every request passes first: the key, the body's size, and the count of who is being served."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmservice.api.errors import HttpError, refusal
from llmservice.api.responding import SERVER_SEND
from llmservice.api.watch import Metrics
from llmservice.service import ModelService

OPEN_PATHS = frozenset({"/health", "/livez", "/readyz"})
"""Answered without a key, and no sign that anybody uses the service."""
QUIET_PATHS = OPEN_PATHS | {"/metrics"}


class Edge:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, service: ModelService, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._service = service
        self._metrics = metrics
        self._paths = paths
        key = service.settings.server.api_key
        self._key = key.get_secret_value().encode() if key else None
        self._limit = int(service.settings.server.max_body_mb * 1024 * 1024)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path in QUIET_PATHS:
            await self._checked(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        # Events of a stream have nothing that the layers in between would look at, and there is one for every token.
        scope[SERVER_SEND] = send

        self._service.begin()
        try:
            await self._checked(scope, receive, noting)
        finally:
            self._service.end()
            known = path if path in self._paths else "other"
            self._metrics.requests.labels(known, str(status)).inc()
            self._metrics.seconds.labels(known).observe(time.perf_counter() - started)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if self._key is not None and scope["path"] not in OPEN_PATHS and not self._has_key(headers):
            await self._refuse(_no_key(), scope, receive, send)
            return
        too_large = refusal(413, f"The body is larger than {self._limit} bytes; send less, or raise MAX_BODY_MB")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            await self._refuse(too_large, scope, receive, send)
            return
        counted = 0

        async def counting() -> Message:
            nonlocal counted
            message = await receive()
            if message["type"] == "http.request":
                counted += len(message.get("body", b""))
                if counted > self._limit:
                    raise BodyTooLarge(too_large)
            return message

        # Bodies of a known length, which are most, need no counting.
        await self._app(scope, receive if length else counting, send)

    def _has_key(self, headers: Mapping[bytes, bytes]) -> bool:
        assert self._key is not None
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        offered = token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(offered, self._key)

    async def _refuse(self, error: HttpError, scope: Scope, receive: Receive, send: Send) -> None:
        await error.response()(scope, receive, send)


class BodyTooLarge(Exception):
    """A body grew over the limit while it was read."""

    def __init__(self, error: HttpError) -> None:
        super().__init__()
        self.error = error


def _no_key() -> HttpError:
    message = "The API key is missing or wrong; send the service's API_KEY as Authorization: Bearer <key>"
    error = refusal(401, message, "authentication_error", "invalid_api_key")
    return HttpError(error.status, error.error, {"WWW-Authenticate": "Bearer"})
