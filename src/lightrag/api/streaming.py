"""Answers that are written while they are read: JSON lines, or server-sent events where the client asks for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Literal, Protocol, TypeVar

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lightrag.errors import LightRAGError
from lightrag.types import QueryResult

log = structlog.get_logger(__name__)

T = TypeVar("T")
EventName = Literal["references", "token", "error", "done"]
NO_ANSWER = "No relevant context found for the query."
KEEP_ALIVE_SECONDS = 15.0
HEADERS = {"Cache-Control": "no-cache", "Connection": "keep-alive", "X-Accel-Buffering": "no"}


class Wire(Protocol):
    """Turns the parts of an answer into bytes."""

    media_type: str

    def event(self, name: EventName, data: dict[str, Any]) -> bytes:
        """Return one part; empty where this form has no such part."""
        ...

    def whole(self, text: str, references: list[dict[str, Any]] | None, closing: dict[str, Any]) -> bytes:
        """Return an answer that is complete already."""
        ...

    def keep_alive(self) -> bytes:
        """Return what keeps an idle connection open; empty where this form has nothing for it."""
        ...


class JsonLines:
    """One JSON object per line, as LightRAG's clients read it."""

    media_type = "application/x-ndjson"

    def event(self, name: EventName, data: dict[str, Any]) -> bytes:
        """Return a line; the end of the stream is its own mark."""
        return b"" if name == "done" else encode(data) + b"\n"

    def whole(self, text: str, references: list[dict[str, Any]] | None, closing: dict[str, Any]) -> bytes:
        """Return a single line."""
        sources = {} if references is None else {"references": references}
        return encode({"response": text, **sources, **closing}) + b"\n"

    def keep_alive(self) -> bytes:
        """Return nothing: an empty line would break clients that parse every line."""
        return b""


class ServerSentEvents:
    """Typed events: references, token, error, done."""

    media_type = "text/event-stream"

    def event(self, name: EventName, data: dict[str, Any]) -> bytes:
        """Return an event; JSON of one line, so one data field."""
        return b"event: " + name.encode() + b"\ndata: " + encode(data) + b"\n\n"

    def whole(self, text: str, references: list[dict[str, Any]] | None, closing: dict[str, Any]) -> bytes:
        """Return the events of a streamed answer, the text as one token."""
        sources = b"" if references is None else self.event("references", {"references": references})
        return sources + self.event("token", {"response": text}) + self.event("done", closing)

    def keep_alive(self) -> bytes:
        """Return a comment, which clients skip."""
        return b": keep-alive\n\n"


class AnswerResponse(StreamingResponse):
    """A streaming response that stops its source as soon as the client is gone, even while nothing is being sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self.stream_response(send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending
            await asyncio.gather(leaving, return_exceptions=True)
            await close_stream(aiter(self.body_iterator))


def wire_for(request: Request) -> Wire:
    """Return the form that the client accepts: events where it names them, else JSON lines."""
    accept = request.headers.get("accept", "")
    return ServerSentEvents() if "text/event-stream" in accept.lower() else JsonLines()


async def with_keep_alive(source: AsyncIterator[bytes], wire: Wire) -> AsyncIterator[bytes]:
    """Yield the parts of `source`, and a sign of life whenever it has been silent for a while."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait((pending,), timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield wire.keep_alive()
                continue
            try:
                part = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield part
    finally:
        if pending is not None:
            pending.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await pending
        await close_stream(source)


async def answer_parts(
    result: QueryResult, references: list[dict[str, Any]] | None, wire: Wire
) -> AsyncIterator[bytes]:
    """Yield an answer as bytes: references first, then its text; a failure on the way becomes an error part."""
    begun = time.perf_counter()
    closing = {"llm_generated": result.llm_generated}
    if result.stream is None:
        yield wire.whole(result.text or NO_ANSWER, references, closing)
        return
    if references is not None:
        yield wire.event("references", {"references": references})
    try:
        async for piece in result.stream:
            if piece:
                yield wire.event("token", {"response": piece})
    except LightRAGError as error:
        yield wire.event("error", {"error": str(error)})
        return
    except Exception:
        log.exception("a streamed answer broke off")
        yield wire.event("error", {"error": "The answer broke off because of an internal error"})
        return
    finally:
        # Ends the model call where the client left before the answer did.
        await close_stream(result.stream)
    yield wire.event("done", closing | {"response_time": round(time.perf_counter() - begun, 3)})


async def close_stream(stream: AsyncIterator[Any]) -> None:
    """End an asynchronous generator, and with it what it holds."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


async def until_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancels it and raises `ClientDisconnect` when the client leaves before."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(leaving, working, return_exceptions=True)


def encode(data: dict[str, Any]) -> bytes:
    """Return compact JSON; text that UTF-8 cannot hold is replaced."""
    try:
        return orjson.dumps(data)
    except orjson.JSONEncodeError:
        return orjson.dumps(_replaced(data))


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item) for key, item in value.items()}
    return value


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
