"""How answers are sent: JSON, event streams, and giving up when the client has gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")

SERVER_SEND = "llmservice.server_send"
"""Where a scope holds the web server's own `send`, past all layers around the application."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class EventStream(Response):
    """Server-sent events out of an iterator of ready bytes; the iterator is closed when the client goes away."""

    media_type = "text/event-stream"

    def __init__(self, body: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        super().__init__(None, 200, {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers})
        del self.headers["content-length"]
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the end or until the client is gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(scope.get(SERVER_SEND, send)))
        gone = asyncio.create_task(_wait_until_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A failure to send is the client's going away, too.
            for task in (pump, gone):
                task.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
            await self._body.aclose()

    async def _pump(self, send: Send) -> None:
        async for data in self._body:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def json_response(content: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """Return JSON without a detour over models."""
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status, dict(headers or {}), "application/json")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of some work, or cancel it when the client goes away.

    Raises:
        ClientGone: the client went away.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_wait_until_gone(request.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)
    return task.result()


async def first_of(batches: AsyncGenerator[Result, None]) -> Result | None:
    """Return what an iterator yields first; it is closed where that fails."""
    try:
        return await anext(batches, None)
    except BaseException:
        with contextlib.suppress(Exception):
            await batches.aclose()
        raise


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
