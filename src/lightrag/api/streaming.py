"""Answers that are written while they are read: JSON lines, or server-sent events where the client asks for them."""

from __future__ import annotations

import asyncio
import math
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
from lightrag.types import QueryResult, TakesBack

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
        """Return a line. The last one is a piece without text: to who reads nothing else a piece like others."""
        return encode({"response": "", **data} if name == "done" else data) + b"\n"

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
    """A streaming response that stops its source as soon as the client is gone, even while nothing is being sent.

    `source`: what `parts` are made from. `keep_alive` is sent whenever they have been silent for a while; empty for
    never.
    """

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        status_code: int = 200,
        *,
        source: AsyncIterator[Any] | None = None,
        keep_alive: bytes = b"",
        **options: Any,
    ) -> None:
        super().__init__(parts, status_code, **options)
        self._source = source
        self._keep_alive = keep_alive
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self.stream_response(send))
        watching = [asyncio.create_task(self.listen_for_disconnect(receive))]
        if self._keep_alive:
            watching.append(asyncio.create_task(self._keep_open(send)))
        try:
            await asyncio.wait((sending, *watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in watching:
                task.cancel()
            if not sending.done():
                sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending
            await asyncio.gather(*watching, return_exceptions=True)
            await close_stream(aiter(self.body_iterator))

    async def stream_response(self, send: Send) -> None:
        """Send the parts, each as it comes and without a task of its own."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self.body_iterator:
            if part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                self._sent_at = time.monotonic()
        self._sent_at = math.inf
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _keep_open(self, send: Send) -> None:
        self._sent_at = time.monotonic()
        while (silent := time.monotonic() - self._sent_at) > -math.inf:
            if silent >= KEEP_ALIVE_SECONDS:
                await send({"type": "http.response.body", "body": self._keep_alive, "more_body": True})
                self._sent_at, silent = time.monotonic(), 0.0
            await asyncio.sleep(KEEP_ALIVE_SECONDS - silent)
        await asyncio.Event().wait()  # the answer is complete; its sender ends the response


def wire_for(request: Request) -> Wire:
    """Return the form that the client accepts: events where it names them, else JSON lines."""
    accept = request.headers.get("accept", "")
    return ServerSentEvents() if "text/event-stream" in accept.lower() else JsonLines()


async def started(stream: AsyncIterator[T], patience: float) -> AsyncIterator[T]:
    """Return a stream whose first piece is there, or which has been waited for long enough (`patience` seconds).

    Raises what the stream raises before its first piece: nothing was sent by then, so that it can have a status.
    """
    first: asyncio.Future[T] = asyncio.ensure_future(anext(stream))
    try:
        await asyncio.wait((first,), timeout=patience)
    except asyncio.CancelledError:
        first.cancel()
        await asyncio.wait((first,))
        await close_stream(stream)
        raise
    error = first.exception() if first.done() else None
    if error is not None and not isinstance(error, StopAsyncIteration):
        raise error
    return _Started(first, stream)


class _Started(AsyncIterator[T]):
    """A stream after its first piece was asked for. Closing it works at any time, unlike with a generator."""

    def __init__(self, first: asyncio.Future[T], rest: AsyncIterator[T]) -> None:
        self._first: asyncio.Future[T] | None = first
        self._rest = rest

    async def __anext__(self) -> T:
        if self._first is None:
            return await anext(self._rest)
        piece = await self._first
        self._first = None
        return piece

    async def aclose(self) -> None:
        if self._first is not None:
            self._first.cancel()
            await asyncio.wait((self._first,))
        await close_stream(self._rest)


async def answer_parts(
    result: QueryResult, references: list[dict[str, Any]] | None, wire: Wire
) -> AsyncIterator[bytes]:
    """Yield an answer as bytes: references first, then its text; a failure on the way becomes an error part."""
    begun = time.perf_counter()
    if result.stream is None:
        yield wire.whole(result.text or NO_ANSWER, references, ending(result))
        return
    if references is not None:
        yield wire.event("references", {"references": references})
    try:
        async for piece in result.stream:
            if piece.__class__ is TakesBack:
                yield wire.event("token", {"response": piece, "takes_back": True})
            elif piece:
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
    yield wire.event("done", ending(result) | {"response_time": round(time.perf_counter() - begun, 3)})


def ending(result: QueryResult) -> dict[str, Any]:
    """Return how an answer came and ended; of one that no model wrote only that."""
    if not result.llm_generated:
        return {"llm_generated": False}
    return {"llm_generated": True, "finish_reason": result.outcome.finish_reason, "model": result.outcome.model}


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
