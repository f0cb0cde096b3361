"""Answers that are read while they are written: server-sent events, or JSON lines where a server has only those."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Self

import httpx

from lightrag.client.errors import AnswerBroken, ClientError
from lightrag.client.records import CUT, Reference
from lightrag.client.steps import Reply
from lightrag.client.transports import reason

EVENTS = "text/event-stream"
_NOT_OPEN = "The stream is not open: iterate over it, or use it in a with block"


class AnswerParts:
    """Reads the parts of one answer out of bytes as they come."""

    def __init__(self, content_type: str) -> None:
        self._is_events = content_type.startswith(EVENTS)
        self._rest = b""
        self._pieces: deque[str] = deque()
        self._text: list[str] = []
        self._event, self._data = "", b""
        self._error: str | None = None
        self._is_whole = not self._is_events
        self.has_begun = False
        """Whether references or text have come."""
        self.references: tuple[Reference, ...] = ()
        self.llm_generated: bool | None = None
        self.response_time: float | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None

    @property
    def text(self) -> str:
        """What has come so far."""
        return "".join(self._text)

    def feed(self, block: bytes) -> None:
        """Take in bytes, cut anywhere."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self._line(line.rstrip(b"\r"))

    def pieces(self) -> Iterator[str]:
        """Yield what was not yielded yet. Raises `AnswerBroken` where the server said that the answer ends here."""
        while self._pieces:
            yield self._pieces.popleft()
        if self._error is not None:
            raise AnswerBroken(f"The answer broke off: {self._error}", self.text)

    def finish(self) -> None:
        """Note that nothing more comes. Raises `AnswerBroken` where the end of the answer is missing."""
        if not self._is_events and self._rest.strip():
            self._line(self._rest)
        if not self._is_whole and self._error is None:
            raise AnswerBroken("The answer broke off: the connection ended before it was complete", self.text)

    def _line(self, line: bytes) -> None:
        if not self._is_events:
            if line.strip():
                self._part("", line)
        elif not line:
            if self._data:
                self._part(self._event, self._data)
            self._event, self._data = "", b""
        elif line.startswith(b"event:"):
            self._event = line[6:].strip().decode("ascii", "replace")
        elif line.startswith(b"data:"):
            self._data += line[5:].removeprefix(b" ")

    def _part(self, event: str, data: bytes) -> None:
        try:
            part = json.loads(data)
        except ValueError:
            raise AnswerBroken("The answer broke off: it holds something other than JSON", self.text) from None
        if not isinstance(part, dict):
            return
        self._is_whole = self._is_whole or event == "done"
        self.llm_generated = part.get("llm_generated", self.llm_generated)
        self.response_time = part.get("response_time", self.response_time)
        self.finish_reason = part.get("finish_reason", self.finish_reason)
        self.model = part.get("model", self.model)
        if part.get("references"):
            self.references = tuple(Reference.read(item) for item in part["references"])
        if "error" in part:
            self._error = str(part["error"])
        if part.get("takes_back"):
            # What came so far was what the model thinks: of the pieces it cannot be taken back, of the text it can.
            self._pieces.append(str(part.get("response", "")))
            self._text.clear()
        elif part.get("response"):
            self._pieces.append(str(part["response"]))
            self._text.append(self._pieces[-1])
        self.has_begun = True


class _Stream:
    """What blocking and asynchronous streams share."""

    def __init__(self) -> None:
        self._source: httpx.Response | None = None
        self._parts: AnswerParts | None = None
        self._is_used = False

    @property
    def references(self) -> tuple[Reference, ...]:
        """The cited documents; known as soon as the stream is open."""
        return self._read.references

    @property
    def text(self) -> str:
        """What has come so far."""
        return self._read.text

    @property
    def llm_generated(self) -> bool | None:
        """False where the answer was quoted or canned; known at its end."""
        return self._read.llm_generated

    @property
    def response_time(self) -> float | None:
        """Seconds that the answer took; known at its end."""
        return self._read.response_time

    @property
    def finish_reason(self) -> str | None:
        """How the answer ended: `stop`, `length` or the model server's own word.

        Known at its end; None where no model wrote it.
        """
        return self._read.finish_reason

    @property
    def model(self) -> str | None:
        """The model that wrote the answer, as `name@provider`.

        Known at its end; None where no model wrote it.
        """
        return self._read.model

    @property
    def is_cut(self) -> bool:
        """Whether the answer was cut off at the model's length limit; known at its end."""
        return self.finish_reason == CUT

    @property
    def _read(self) -> AnswerParts:
        if self._parts is None:
            raise ClientError(_NOT_OPEN)
        return self._parts

    def _begin(self, reply: Reply) -> httpx.Response:
        self._parts = AnswerParts(reply.headers.get("Content-Type", ""))
        source: httpx.Response = reply.source
        self._source = source
        return source

    def _use(self) -> None:
        if self._is_used:
            raise ClientError("A streamed answer can be read once; ask again for another")
        self._is_used = True

    def _broken(self, error: Exception) -> AnswerBroken:
        return AnswerBroken(f"The answer broke off: {reason(error)}", self.text)


class AnswerStream(_Stream):
    """An answer in pieces of text. Its request is sent when it is entered or iterated over.

    Leaving the `with` block or the loop closes the connection, and with it the server's work on the answer.
    """

    def __init__(self, send: Callable[[], Reply]) -> None:
        super().__init__()
        self._send = send

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        self._use()
        return self._texts()

    def close(self) -> None:
        """End the answer; may be called at any time."""
        if self._source is not None:
            self._source.close()

    def _texts(self) -> Iterator[str]:
        with closing(self):
            self._open()
            yield from self._read.pieces()
            for _ in self._blocks:
                yield from self._read.pieces()
            yield from self._read.pieces()

    def _open(self) -> None:
        if self._source is None:
            self._blocks = self._fed(self._begin(self._send()))
            try:
                while not self._read.has_begun and next(self._blocks, None) is not None:
                    pass
            except BaseException:
                self.close()
                raise

    def _fed(self, source: httpx.Response) -> Iterator[bool]:
        try:
            for block in source.iter_bytes():
                self._read.feed(block)
                yield True
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._broken(error) from error
        self._read.finish()


class AsyncAnswerStream(_Stream):
    """An answer in pieces of text. Its request is sent when it is entered or iterated over.

    Leaving the `async with` block closes the connection, and with it the server's work on the answer.
    """

    def __init__(self, send: Callable[[], Coroutine[Any, Any, Reply]]) -> None:
        super().__init__()
        self._send = send

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[str]:
        self._use()
        return self._texts()

    async def aclose(self) -> None:
        """End the answer; may be called at any time."""
        if self._source is not None:
            await self._source.aclose()

    async def _texts(self) -> AsyncIterator[str]:
        async with aclosing(self):
            await self._open()
            for piece in self._read.pieces():
                yield piece
            async for _ in self._blocks:
                for piece in self._read.pieces():
                    yield piece
            for piece in self._read.pieces():
                yield piece

    async def _open(self) -> None:
        if self._source is None:
            self._blocks = self._fed(self._begin(await self._send()))
            try:
                while not self._read.has_begun and await anext(self._blocks, None) is not None:
                    pass
            except BaseException:
                await self.aclose()
                raise

    async def _fed(self, source: httpx.Response) -> AsyncIterator[bool]:
        try:
            async for block in source.aiter_bytes():
                self._read.feed(block)
                yield True
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._broken(error) from error
        self._read.finish()
