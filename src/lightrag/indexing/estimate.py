"""Foresees what indexing takes, without calling any model.

Calls and prompts are counted on the chunks that the texts will be cut into. Answers and the texts of entities and
relations are not known before; they are taken to be as long as they are on average (see docs/usage-and-limits.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from lightrag.indexing.chunkers import Chunkers
from lightrag.indexing.chunking_record import choice_of
from lightrag.indexing.full_text import read_head, read_pieces
from lightrag.indexing.given import is_given
from lightrag.llm.contracts import ChatRequest
from lightrag.storage.contracts import Namespace, Storage
from lightrag.types import Chunk, DocumentRecord

ANSWER_SHARE = 0.6
"""Tokens of an extraction's answer per token of the chunk."""
ANSWER_LEAST = 100
NAMES_SHARE = 0.8
"""Tokens of the entities and relations that are embedded, per token of the chunk."""
NAMES_PER_TOKENS = 60
"""One entity or relation is embedded for so many tokens of a chunk."""


class Requests(Protocol):
    """Knows what is asked of a model about a chunk; `LLMExtractor` does."""

    @property
    def rounds(self) -> int:
        """How many further questions are asked about each chunk."""
        ...

    def requests(self, chunk: Chunk) -> list[ChatRequest]:
        """Return the requests of the attempts, the first of which usually suffices."""
        ...


@dataclasses.dataclass(slots=True)
class WorkEstimate:
    """What indexing will take."""

    documents: int = 0
    unread: int = 0
    """Files that were not read yet: nothing is known of their size."""
    chunks: int = 0
    tokens: int = 0
    """Of the chunks."""
    extraction_calls: int = 0
    """0 where the bundled parts extract."""
    extraction_prompt_tokens: int = 0
    extraction_completion_tokens: int = 0
    embedded_texts: int = 0
    embedded_tokens: int = 0


class Estimator:
    """Cuts texts as indexing will, and counts."""

    def __init__(self, storage: Storage, chunkers: Chunkers) -> None:
        self._storage = storage
        self._chunkers = chunkers

    async def texts(self, texts: Sequence[str], extractor: Requests | None) -> WorkEstimate:
        """Foresee the indexing of texts; `extractor` is None where the bundled parts extract."""
        estimate = WorkEstimate(documents=len(texts))
        for text in texts:
            cut = self._chunkers.cut(self._chunkers.default, _one(text), doc_id="estimate", file_path="estimate")
            async for chunks in cut:
                self._add(estimate, chunks, extractor)
        return estimate

    async def documents(self, records: Sequence[DocumentRecord], extractor: Requests | None) -> WorkEstimate:
        """Foresee what is left to do of documents; chunks that were extracted already take nothing."""
        estimate = WorkEstimate(documents=len(records))
        store = self._storage.kv(Namespace.FULL_DOCS)
        for record in records:
            head = await read_head(store, record.id)
            if is_given(record):
                continue
            if head is None:
                estimate.unread += 1
                continue
            cut = self._chunkers.cut(
                choice_of(record) or self._chunkers.default,
                read_pieces(store, record.id, head),
                doc_id=record.id,
                file_path=record.file_path,
                pages=head.pages,
            )
            async for chunks in cut:
                known = await self._storage.kv(Namespace.EXTRACTIONS).get([chunk.id for chunk in chunks])
                self._add(estimate, [chunk for chunk in chunks if chunk.id not in known], extractor)
        return estimate

    def _add(self, estimate: WorkEstimate, chunks: Sequence[Chunk], extractor: Requests | None) -> None:
        for chunk in chunks:
            estimate.chunks += 1
            estimate.tokens += chunk.tokens
            names = int(chunk.tokens * NAMES_SHARE)
            estimate.embedded_texts += 1 + chunk.tokens // NAMES_PER_TOKENS
            estimate.embedded_tokens += chunk.tokens + names
            if extractor is not None:
                answer = max(ANSWER_LEAST, int(chunk.tokens * ANSWER_SHARE))
                prompt = sum(self._chunkers.count(message.content) for message in extractor.requests(chunk)[0].messages)
                calls = 1 + extractor.rounds
                estimate.extraction_calls += calls
                # Each further question repeats what was said before.
                estimate.extraction_prompt_tokens += sum(prompt + round * answer for round in range(calls))
                estimate.extraction_completion_tokens += calls * answer


async def _one(text: str) -> AsyncIterator[str]:
    yield text
