"""Count what model calls cost, by role and model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from typing import Literal

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
    Role,
    Usage,
)
from lightrag.llm.limiter import closing
from lightrag.llm.usage import estimate_rerank, estimate_texts, estimate_usage, noted_usage
from lightrag.llm.wrapper import Wrapper


@dataclasses.dataclass(slots=True)
class UsageRow:
    """Totals of one role on one model; every attempt of a call counts."""

    role: str
    model: str
    """Binding and name."""
    calls: int = 0
    errors: int = 0
    aborted: int = 0
    """Calls that were given up by the caller, a stream closed early among them."""
    cache_hits: int = 0
    """Calls that were not made because the answer was kept."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that the server found in its own cache."""
    estimated_tokens: int = 0
    """Of the prompt and completion tokens, those that the server did not tell and that were estimated."""
    texts: int = 0
    """Texts embedded, or documents reranked."""
    seconds: float = 0.0
    """Sum of the durations of calls."""


class UsageMeter:
    """Totals since it was made. One meter is shared by all models of a workspace."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], UsageRow] = {}

    def snapshot(self) -> list[UsageRow]:
        """Return copies of all rows, by role and model."""
        return [dataclasses.replace(self._rows[key]) for key in sorted(self._rows)]

    def row(self, role: Role, facts: ModelFacts) -> UsageRow:
        """Return the live row of a role and a model."""
        model = facts.label
        return self._rows.setdefault((role.value, model), UsageRow(role.value, model))

    def add(self, role: Role, facts: ModelFacts, usage: Usage) -> None:
        """Add tokens."""
        row = self.row(role, facts)
        row.prompt_tokens += usage.prompt_tokens
        row.completion_tokens += usage.completion_tokens
        row.cached_tokens += usage.cached_tokens
        if usage.estimated:
            row.estimated_tokens += usage.prompt_tokens + usage.completion_tokens


class MeteredChat(Wrapper[ChatModel]):
    """A chat model whose calls are counted, those that fail or are given up included."""

    def __init__(self, model: ChatModel, meter: UsageMeter) -> None:
        super().__init__(model)
        self._meter = meter

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the whole answer."""
        row = self._meter.row(request.role, self.facts)
        with Timed(row):
            reply = await self._model.complete(request)
        self._meter.add(request.role, self.facts, reply.usage)
        return reply

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer as it is written."""
        row = self._meter.row(request.role, self.facts)
        usage: Usage | None = None
        said = ""
        try:
            with Timed(row):
                async with closing(self._model.stream(request)) as deltas:
                    async for delta in deltas:
                        said += delta.thinking + delta.text
                        usage = delta.usage or usage
                        yield delta
        finally:
            # What was written until a stream broke off or was closed has to be paid for, too.
            if usage is not None or said:
                self._meter.add(request.role, self.facts, usage or estimate_usage(request, said))


class MeteredEmbedding(Wrapper[EmbeddingModel]):
    """An embedding model whose calls and texts are counted; tokens are estimated where its server tells none."""

    def __init__(self, model: EmbeddingModel, meter: UsageMeter) -> None:
        super().__init__(model)
        self._meter = meter

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        row = self._meter.row(Role.EMBED, self.facts)
        with Timed(row), noted_usage() as noted:
            vectors = await self._model.embed(texts, purpose=purpose)
        row.texts += len(texts)
        self._meter.add(Role.EMBED, self.facts, noted.usage or estimate_texts(texts))
        return vectors


class MeteredRerank(Wrapper[RerankModel]):
    """A reranking model whose calls and documents are counted; tokens are estimated where its server tells none."""

    def __init__(self, model: RerankModel, meter: UsageMeter) -> None:
        super().__init__(model)
        self._meter = meter

    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> list[RerankHit]:
        """Return the `top_n` most relevant documents, best first."""
        row = self._meter.row(Role.RERANK, self.facts)
        with Timed(row), noted_usage() as noted:
            hits = await self._model.rerank(query, documents, top_n)
        row.texts += len(documents)
        self._meter.add(Role.RERANK, self.facts, noted.usage or estimate_rerank(query, documents))
        return hits


class Timed:
    """Counts one call with its duration and its end."""

    def __init__(self, row: UsageRow) -> None:
        self._row = row
        self._start = 0.0

    def __enter__(self) -> None:
        self._row.calls += 1
        self._start = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self._row.seconds += time.perf_counter() - self._start
        if kind is not None:
            if issubclass(kind, Exception):
                self._row.errors += 1
            else:  # cancelled, or a stream that was closed before its end
                self._row.aborted += 1
