"""One chat, embedding or reranking model out of several backends, as `lightrag.llm.routing` chooses among them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Literal

from lightrag.errors import AccessRefused, ModelError
from lightrag.llm.circuit import Clock
from lightrag.llm.contracts import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    EmbeddingModel,
    FloatArray,
    ModelFacts,
    RerankHit,
    RerankModel,
)
from lightrag.llm.limiter import PRIORITIES, Priority, closing
from lightrag.llm.routing import Attempt, Backend, BackendState, Route, Router, RoutingRules

RERANK_RULES = RoutingRules(interactive_patience=2.0, tries_the_unfit=False)
"""Somebody waits for the answer, which comes without reranking, too: a dead reranker must not hold it up."""

_log = logging.getLogger(__name__)
_CANARY = ("What two servers make of this sentence tells whether they run the same model.", "water lilies")
_SAME_MODEL = 0.9
"""Least cosine of two servers' vectors of one text. Another model's are near 0, another precision's above 0.95."""


class RoutedChat:
    """A chat model behind several backends. `facts` are those of the first one, the context the smallest of all."""

    def __init__(
        self,
        routes: Sequence[Route[ChatModel]],
        rules: RoutingRules | None = None,
        *,
        clock: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._router = Router(routes, rules or RoutingRules(), clock, chance or random.Random())

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        known = [backend.route.model.facts.context_tokens for backend in self._router.backends]
        contexts = [tokens for tokens in known if tokens is not None]
        return dataclasses.replace(
            self._router.primary.route.model.facts, context_tokens=min(contexts) if contexts else None
        )

    def snapshot(self) -> list[BackendState]:
        """Return all backends as they are."""
        return self._router.snapshot()

    def only(self, names: Collection[str]) -> RoutedChat:
        """Return the model behind the backends of these names alone; they are shared, and closed with this one."""
        return _PartOfRoutedChat(self._router.only(names))

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer; it names the model that gave it."""
        walk = self._router.walk(PRIORITIES[request.role])
        while True:
            with await walk.next() as attempt:
                reply = await attempt.model.complete(request)
                return dataclasses.replace(reply, model=attempt.model.facts.identity, given_by=_called(attempt))

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written; the last piece names the model that gave it."""
        walk = self._router.walk(PRIORITIES[request.role])
        while True:
            with await walk.next() as attempt:
                async with closing(attempt.model.stream(request)) as deltas:
                    async for delta in deltas:
                        attempt.begun = True
                        if delta.finish_reason is not None:
                            identity = attempt.model.facts.identity
                            yield dataclasses.replace(delta, model=identity, given_by=_called(attempt))
                        else:
                            yield delta
                return

    async def aclose(self) -> None:
        """Release connections."""
        await self._router.aclose()


def _called(attempt: Attempt[ChatModel]) -> str:
    return attempt.backend.route.called or attempt.model.facts.called


class _PartOfRoutedChat(RoutedChat):
    """Some of the backends of another one."""

    def __init__(self, router: Router[ChatModel]) -> None:
        self._router = router

    async def aclose(self) -> None:
        """Leave the backends to the model that they were taken from."""


class RoutedEmbedding:
    """An embedding model that several servers run. `facts` are those of the first one.

    Vectors of different models cannot be compared, and a name proves little. So a sentence is embedded by the first
    backend once it has answered, and by each other one before it gets its first text; one whose vectors differ is
    never used. As long as the first backend has not answered, the name has to do.
    """

    def __init__(
        self,
        routes: Sequence[Route[EmbeddingModel]],
        rules: RoutingRules | None = None,
        *,
        clock: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._router = Router(routes, rules or RoutingRules(), clock, chance or random.Random())
        self._first = self._router.primary
        self._verified = {self._first}
        self._reference: FloatArray | None = None
        self._checking = asyncio.Lock()

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model; `dimension` is set once `embed` was called, at the latest."""
        facts = self._first.route.model.facts
        known = [backend.route.model.facts for backend in self._router.backends]
        batches = [fact.max_batch for fact in known if fact.max_batch is not None]
        dimension = facts.dimension or next((fact.dimension for fact in known if fact.dimension), None)
        return dataclasses.replace(facts, dimension=dimension, max_batch=min(batches) if batches else None)

    def snapshot(self) -> list[BackendState]:
        """Return all backends as they are."""
        return self._router.snapshot()

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        walk = self._router.walk(Priority.INTERACTIVE if purpose == "query" else Priority.INDEXING)
        while True:
            with await walk.next() as attempt:
                await self._verify(attempt.backend)
                vectors = await attempt.model.embed(texts, purpose=purpose)
                if attempt.backend is self._first:
                    await self._learn()
                return vectors

    async def aclose(self) -> None:
        """Release connections and memory."""
        await self._router.aclose()

    async def _learn(self) -> None:
        """Note what the first backend makes of the sentence; without that the others cannot be checked yet."""
        if self._reference is not None or len(self._router.backends) == 1:
            return
        async with self._checking:
            if self._reference is None:
                try:
                    self._reference = await self._first.route.model.embed(_CANARY, purpose="document")
                except ModelError as error:
                    _log.info("the backends cannot be compared yet: %s", error)

    async def _verify(self, backend: Backend[EmbeddingModel]) -> None:
        """Make sure that a backend runs the same model; raises `AccessRefused` where it does not."""
        reference = self._reference
        if backend in self._verified or reference is None:
            return
        vectors = await backend.route.model.embed(_CANARY, purpose="document")
        if vectors.shape == reference.shape:
            cosine = float((vectors * reference).sum(axis=1).min())
            if cosine >= _SAME_MODEL:
                self._verified.add(backend)
                return
            reason = f"its vectors agree with those of '{self._first.route.name}' to {cosine:.2f} only"
        else:
            reason = f"its vectors have {vectors.shape[1]} dimensions, not {reference.shape[1]}"
        backend.excluded = True
        error = AccessRefused(
            f"Backend '{backend.route.name}' serves another embedding model: {reason} (it is not used; correct "
            "EMBEDDING_BACKENDS)"
        )
        _log.error("%s", error)
        raise error


class RoutedRerank:
    """A reranking model behind several backends. `facts` are those of the first one.

    Scores of different models cannot be compared, and need not be: one backend judges all documents of a call.
    """

    def __init__(
        self,
        routes: Sequence[Route[RerankModel]],
        rules: RoutingRules | None = None,
        *,
        clock: Clock = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._router = Router(routes, rules or RERANK_RULES, clock, chance or random.Random())

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._router.primary.route.model.facts

    def snapshot(self) -> list[BackendState]:
        """Return all backends as they are."""
        return self._router.snapshot()

    def only(self, names: Collection[str]) -> RoutedRerank:
        """Return the model behind the backends of these names alone; they are shared, and closed with this one."""
        return _PartOfRoutedRerank(self._router.only(names))

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        walk = self._router.walk(Priority.INTERACTIVE)
        while True:
            with await walk.next() as attempt:
                return await attempt.model.rerank(query, documents, top_n)

    async def aclose(self) -> None:
        """Release connections."""
        await self._router.aclose()


class _PartOfRoutedRerank(RoutedRerank):
    """Some of the backends of another one."""

    def __init__(self, router: Router[RerankModel]) -> None:
        self._router = router

    async def aclose(self) -> None:
        """Leave the backends to the model that they were taken from."""
