"""Foresees what indexing takes, without calling any model.

Calls and prompts are counted on the chunks that the texts will be cut into, and on the pictures of files. Answers and
the texts of entities and relations are not known before; they are taken to be as long as they are on average (see
docs/usage-and-limits.md).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from lightrag.errors import LightRAGError
from lightrag.indexing.chunkers import Chunkers
from lightrag.indexing.chunking_record import choice_of
from lightrag.indexing.full_text import pieces_of, read_head, read_pieces
from lightrag.indexing.given import is_given
from lightrag.indexing.pictures import DESCRIPTION_TOKENS, LEFT, Illustrator
from lightrag.llm.contracts import ChatRequest
from lightrag.storage.contracts import Namespace, Storage
from lightrag.types import Chunk, ChunkingChoice, DocumentRecord, PageSpan, ParsedDocument

MOST_FILES = 50
"""Files that were not read yet and are read for one estimate."""
MOST_BYTES = 64 * 1024 * 1024
"""Of these files together."""
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
    """Files of which nothing is foreseen: those that cannot be read, and what goes beyond the most that is read."""
    chunks: int = 0
    tokens: int = 0
    """Of the chunks."""
    extraction_calls: int = 0
    """0 where the bundled parts extract."""
    extraction_prompt_tokens: int = 0
    extraction_completion_tokens: int = 0
    embedded_texts: int = 0
    embedded_tokens: int = 0
    pictures: int = 0
    """That a model will describe; those of which a description is kept are not among them."""
    picture_prompt_tokens: int = 0
    picture_completion_tokens: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class FileReading:
    """How files are read: as indexing does."""

    parse: Callable[[DocumentRecord], Awaitable[ParsedDocument]]
    illustrator: Illustrator | None
    """Describes the pictures that `parse` returns."""


class _Allowance:
    """Bounds what is read for one estimate."""

    def __init__(self) -> None:
        self._files, self._bytes = MOST_FILES, MOST_BYTES

    def takes(self, record: DocumentRecord) -> bool:
        """Tell whether a file may be read as well."""
        if not self._files or record.content_length > self._bytes:
            return False
        self._files -= 1
        self._bytes -= record.content_length
        return True


class Estimator:
    """Cuts texts as indexing will, and counts."""

    def __init__(self, storage: Storage, chunkers: Chunkers, files: FileReading | None = None) -> None:
        self._storage = storage
        self._chunkers = chunkers
        self._files = files
        self._room = asyncio.Semaphore(1)
        """Held while pictures are in memory."""

    async def texts(self, texts: Sequence[str], extractor: Requests | None) -> WorkEstimate:
        """Foresee the indexing of texts; `extractor` is None where the bundled parts extract."""
        estimate = WorkEstimate(documents=len(texts))
        for text in texts:
            choice = self._unpaid(self._chunkers.default)
            cut = self._chunkers.cut(choice, _one(text), doc_id="estimate", file_path="estimate")
            async for chunks in cut:
                self._add(estimate, chunks, extractor)
        return estimate

    async def documents(self, records: Sequence[DocumentRecord], extractor: Requests | None) -> WorkEstimate:
        """Foresee what is left to do of documents; chunks that were extracted already take nothing."""
        estimate = WorkEstimate(documents=len(records))
        store, allowance = self._storage.kv(Namespace.FULL_DOCS), _Allowance()
        for record in records:
            if is_given(record):
                continue
            head = await read_head(store, record.id)
            if record.source_file and (not record.content_hash or record.metadata.get(LEFT)):
                # Its text is not known yet, or not the last word.
                parsed = await self._read(record, estimate) if allowance.takes(record) else None
                if parsed is not None:
                    await self._cut(estimate, record, pieces_of(parsed), parsed.pages, extractor)
                    continue
                head = None
            if head is None:
                estimate.unread += 1
                continue
            await self._cut(estimate, record, read_pieces(store, record.id, head), head.pages, extractor)
        return estimate

    async def _read(self, record: DocumentRecord, estimate: WorkEstimate) -> ParsedDocument | None:
        """Return the text of a file as it will be, and count its pictures; None where it cannot be read."""
        if self._files is None:
            return None
        illustrator = self._files.illustrator
        try:
            if illustrator is None:
                return await self._files.parse(record)
            async with self._room:
                parsed = await self._files.parse(record)
                if not parsed.pictures:
                    return parsed
                rows = await self._storage.kv(Namespace.LLM_CACHE).get(
                    await asyncio.to_thread(illustrator.keys, parsed)
                )
                kept = {key: str(row.get("return", "")) for key, row in rows.items()}
                foreseen = await asyncio.to_thread(illustrator.foresee, parsed, kept)
        except LightRAGError:
            return None
        estimate.pictures += foreseen.calls
        estimate.picture_prompt_tokens += foreseen.prompt_tokens
        estimate.picture_completion_tokens += foreseen.calls * DESCRIPTION_TOKENS
        return foreseen.document

    async def _cut(
        self,
        estimate: WorkEstimate,
        record: DocumentRecord,
        pieces: AsyncIterator[str],
        pages: Sequence[PageSpan],
        extractor: Requests | None,
    ) -> None:
        cut = self._chunkers.cut(
            self._unpaid(choice_of(record) or self._chunkers.default),
            pieces,
            doc_id=record.id,
            file_path=record.file_path,
            pages=pages,
        )
        async for chunks in cut:
            known = await self._storage.kv(Namespace.EXTRACTIONS).get([chunk.id for chunk in chunks])
            self._add(estimate, [chunk for chunk in chunks if chunk.id not in known], extractor)

    def _unpaid(self, choice: ChunkingChoice) -> ChunkingChoice:
        """Return a way to cut that asks no model, into chunks of about the same size."""
        if choice.strategy != "semantic_vector":
            return choice
        return self._chunkers.resolve(
            ChunkingChoice("recursive_character", chunk_token_size=choice.chunk_token_size, chunk_overlap_token_size=0)
        )

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
