"""Try failed model calls again, with growing and random pauses.

The loop is our own: how long to wait depends on the error (a rate limit holds back the shared limiter and not this
call alone), the end depends on the time since the first failure and not on waiting for a slot, and a stream can be
retried only until its first piece. With a library these rules would be callbacks, longer than the loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from lightrag.errors import ModelError, ModelRateLimited, UnusableAnswer
from lightrag.llm.contracts import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    EmbeddingModel,
    FloatArray,
    RerankHit,
    RerankModel,
)
from lightrag.llm.limiter import Limiter, closing
from lightrag.llm.wrapper import Wrapper

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a failed call is tried again. Times are in seconds."""

    attempts: int = 5
    """Calls in all. Rate limits do not count: they say when, not that, the call will fail."""
    unusable_attempts: int = 2
    """Calls in all that may end without a usable answer: each one is paid."""
    base: float = 0.5
    """Longest pause after the first failure; doubles with each further one."""
    most: float = 30.0
    """Longest pause."""
    deadline: float = 600.0
    """No call begins later than this after the first failure."""


class Retrial:
    """Decides, failure by failure of one call, whether and after which pause it is tried again."""

    def __init__(self, policy: RetryPolicy, limiter: Limiter | None) -> None:
        self._policy = policy
        self._limiter = limiter
        self._failures = 0
        self._limited = 0
        self._unusable = 0
        self._first_failure: float | None = None

    async def after(self, error: ModelError) -> None:
        """Wait as `error` asks for; raises it where no further attempt is due."""
        now = time.monotonic()
        if self._first_failure is None:
            self._first_failure = now
        pause = self._pause(error)
        if pause is None or now + pause > self._first_failure + self._policy.deadline:
            raise error
        _log.info("model call failed, trying again in %.1f s: %s", pause, error)
        if isinstance(error, ModelRateLimited) and self._limiter is not None:
            self._limiter.pause(pause)  # every slot rests; the next attempt queues behind the pause
            return
        await asyncio.sleep(pause)

    def _pause(self, error: ModelError) -> float | None:
        if not error.retryable:
            return None
        if isinstance(error, ModelRateLimited):
            self._limited += 1
            # Never less than what is due (a server that says when is believed), and a little more by chance, so
            # that many clients do not come back in the same moment.
            due = error.retry_after if error.retry_after is not None else self._bound(self._limited) / 2
            return due + random.uniform(0, max(0.1 * due, 0.01))
        if isinstance(error, UnusableAnswer):
            self._unusable += 1
            if self._unusable >= self._policy.unusable_attempts:
                return None
        self._failures += 1
        return self._backoff(self._failures) if self._failures < self._policy.attempts else None

    def _backoff(self, failures: int) -> float:
        # "Full jitter": anything between nothing and the exponential bound.
        return random.uniform(0, self._bound(failures))

    def _bound(self, failures: int) -> float:
        return min(self._policy.most, self._policy.base * 2.0 ** min(failures - 1, 30))


class RetryingChat(Wrapper[ChatModel]):
    """A chat model whose failed calls are tried again; a stream only as long as it has yielded nothing.

    Rate limits pause `limiter`, which is the one that the model's calls go through.
    """

    def __init__(self, model: ChatModel, policy: RetryPolicy, limiter: Limiter | None = None) -> None:
        super().__init__(model)
        self._policy = policy
        self._limiter = limiter

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer."""
        return await _persist(lambda: self._model.complete(request), Retrial(self._policy, self._limiter))

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written."""
        retrial = Retrial(self._policy, self._limiter)
        while True:
            begun = False
            try:
                async with closing(self._model.stream(request)) as deltas:
                    async for delta in deltas:
                        begun = True
                        yield delta
                return
            except ModelError as error:
                if begun:
                    raise
                await retrial.after(error)


class RetryingEmbedding(Wrapper[EmbeddingModel]):
    """An embedding model whose failed calls are tried again."""

    def __init__(self, model: EmbeddingModel, policy: RetryPolicy, limiter: Limiter | None = None) -> None:
        super().__init__(model)
        self._policy = policy
        self._limiter = limiter

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        retrial = Retrial(self._policy, self._limiter)
        return await _persist(lambda: self._model.embed(texts, purpose=purpose), retrial)


class RetryingRerank(Wrapper[RerankModel]):
    """A reranking model whose failed calls are tried again."""

    def __init__(self, model: RerankModel, policy: RetryPolicy, limiter: Limiter | None = None) -> None:
        super().__init__(model)
        self._policy = policy
        self._limiter = limiter

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        retrial = Retrial(self._policy, self._limiter)
        return await _persist(lambda: self._model.rerank(query, documents, top_n), retrial)


async def _persist(call: Callable[[], Awaitable[_T]], retrial: Retrial) -> _T:
    while True:
        try:
            return await call()
        except ModelError as error:
            await retrial.after(error)
