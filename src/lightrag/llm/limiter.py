"""Limit how many calls a model server gets at once, in a fair order, and hold back when it asks for a rest."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import heapq
import time
from collections.abc import AsyncIterator, Sequence
from enum import IntEnum
from typing import Literal

from lightrag.llm.contracts import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    EmbeddingModel,
    FloatArray,
    RerankHit,
    RerankModel,
    Role,
)
from lightrag.llm.wrapper import Wrapper

_PATIENCE_SECONDS = 30.0
"""How much longer than its betters background work waits at most."""


class Priority(IntEnum):
    """Who goes first when a slot becomes free."""

    INTERACTIVE = 0
    """Somebody is waiting for the answer: before everything else."""
    INDEXING = 1
    BACKGROUND = 2
    """After indexing, but ahead of indexing work that came half a minute later: nothing starves."""


PRIORITIES = {
    Role.ANSWER: Priority.INTERACTIVE,
    Role.KEYWORDS: Priority.INTERACTIVE,
    Role.RERANK: Priority.INTERACTIVE,
    Role.EXTRACT: Priority.INDEXING,
    Role.EMBED: Priority.INDEXING,
    Role.IMAGE2TEXT: Priority.INDEXING,
    Role.SUMMARY: Priority.BACKGROUND,
}


@dataclasses.dataclass(frozen=True, slots=True)
class LimiterStats:
    """What a limiter has done; `busy_seconds` ÷ (`slots` × `elapsed_seconds`) is how well its slots were used."""

    slots: int
    active: int
    waiting: int
    busy_seconds: float
    """Sum over the slots of the time that they were held."""
    elapsed_seconds: float
    """Since the first call."""
    paused_until: float | None
    """Unix seconds."""


class Limiter:
    """At most `slots` holders at once; those who wait are served by priority, and in order of arrival within one.

    One limiter stands for one server's capacity, and may be shared by any number of models. Belongs to one event loop.
    """

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError("a limiter needs at least one slot")
        self._slots = slots
        self._active = 0
        self._arrivals = 0
        self._queue: list[tuple[tuple[int, float, int], asyncio.Future[None]]] = []
        self._resume_at = 0.0
        self._wake: asyncio.TimerHandle | None = None
        self._busy_seconds = 0.0
        self._changed_at: float | None = None
        self._opened_at: float | None = None

    @property
    def slots(self) -> int:
        """Most holders at once."""
        return self._slots

    @property
    def active(self) -> int:
        """How many slots are held."""
        return self._active

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot."""
        return sum(not future.done() for _, future in self._queue)

    @property
    def paused_until(self) -> float | None:
        """When calls go on, in Unix seconds; None where nothing is paused."""
        left = self._resume_at - time.monotonic()
        return time.time() + left if left > 0 else None

    def stats(self) -> LimiterStats:
        """Return counts and times up to this moment."""
        self._account()
        elapsed = time.monotonic() - self._opened_at if self._opened_at is not None else 0.0
        return LimiterStats(self._slots, self._active, self.waiting, self._busy_seconds, elapsed, self.paused_until)

    def pause(self, seconds: float) -> None:
        """Give out no slot for so long. Calls under way go on; a longer pause that is in force stays."""
        resume_at = time.monotonic() + seconds
        if resume_at <= self._resume_at:
            return
        self._resume_at = resume_at
        if self._wake is not None:
            self._wake.cancel()
        self._wake = asyncio.get_running_loop().call_later(seconds, self._resume)

    @contextlib.asynccontextmanager
    async def slot(self, priority: Priority = Priority.INDEXING) -> AsyncIterator[None]:
        """Hold a slot for the length of the block."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, priority: Priority) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (self._rank(priority), future))
        self._serve()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._release()  # the slot was given in the same moment: pass it on
            raise

    def _rank(self, priority: Priority) -> tuple[int, float, int]:
        self._arrivals += 1
        if priority is Priority.INTERACTIVE:
            return (0, 0.0, self._arrivals)
        late = _PATIENCE_SECONDS if priority is Priority.BACKGROUND else 0.0
        return (1, time.monotonic() + late, self._arrivals)

    def _serve(self) -> None:
        if self._resume_at > time.monotonic():
            return
        while self._queue and self._active < self._slots:
            _, future = heapq.heappop(self._queue)
            if not future.done():
                self._account()
                self._active += 1
                future.set_result(None)

    def _release(self) -> None:
        self._account()
        self._active -= 1
        self._serve()

    def _resume(self) -> None:
        self._wake = None
        self._resume_at = 0.0
        self._serve()

    def _account(self) -> None:
        now = time.monotonic()
        if self._changed_at is None:
            self._opened_at = now
        else:
            self._busy_seconds += self._active * (now - self._changed_at)
        self._changed_at = now


class LimitedChat(Wrapper[ChatModel]):
    """A chat model whose calls each hold a slot; a stream holds its slot until it is closed."""

    def __init__(self, model: ChatModel, limiter: Limiter) -> None:
        super().__init__(model)
        self._limiter = limiter

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer."""
        async with self._limiter.slot(PRIORITIES[request.role]):
            return await self._model.complete(request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written."""
        async with self._limiter.slot(PRIORITIES[request.role]), closing(self._model.stream(request)) as deltas:
            async for delta in deltas:
                yield delta


class LimitedEmbedding(Wrapper[EmbeddingModel]):
    """An embedding model whose calls each hold a slot; questions go before documents."""

    def __init__(self, model: EmbeddingModel, limiter: Limiter) -> None:
        super().__init__(model)
        self._limiter = limiter

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        async with self._limiter.slot(Priority.INTERACTIVE if purpose == "query" else Priority.INDEXING):
            return await self._model.embed(texts, purpose=purpose)


class LimitedRerank(Wrapper[RerankModel]):
    """A reranking model whose calls each hold a slot."""

    def __init__(self, model: RerankModel, limiter: Limiter) -> None:
        super().__init__(model)
        self._limiter = limiter

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        async with self._limiter.slot(PRIORITIES[Role.RERANK]):
            return await self._model.rerank(query, documents, top_n)


@contextlib.asynccontextmanager
async def closing(deltas: AsyncIterator[ChatDelta]) -> AsyncIterator[AsyncIterator[ChatDelta]]:
    """Close an iterator at the end of the block, at once and not when it is collected, where it can be closed."""
    try:
        yield deltas
    finally:
        close = getattr(deltas, "aclose", None)
        if close is not None:
            await close()
