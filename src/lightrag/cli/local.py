"""A workspace that is opened in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from lightrag.cli.targets import Answer, Cited, DocumentState, Ending, Offered, Question, SourceFile, Work
from lightrag.documents.folder import file_md5
from lightrag.documents.names import resolve_inside
from lightrag.documents.uploads import store_upload
from lightrag.engine import Engine
from lightrag.errors import Conflict, UnreadableDocument
from lightrag.indexing.intake import new_track_id
from lightrag.settings import Settings
from lightrag.types import Chunk, JsonObject, QueryParam, QueryResult, RankedChunk, Reference, TagValue

_BLOCK = 1024 * 1024


class LocalTarget:
    """Works through an engine. Files are copied into the workspace's input folder, unless they lie there already."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._input_dir = engine.describe().input_dir
        self._track_id = new_track_id("insert")

    async def offer(self, file: SourceFile, tags: Mapping[str, TagValue]) -> Offered:
        """Copy the file into the input folder and accept it; a changed one replaces its former version."""
        await self._engine.check_file_type(file.name)
        known = await self._engine.find_by_path(file.name)
        if known is not None and known.delete_requested:
            raise Conflict("Its former version is being deleted; try again when that is done")
        target = resolve_inside(self._input_dir, file.name)
        if target != file.path:
            await self._copy(file.path, target)
        accepted = await self._engine.add_file(file.name, track_id=self._track_id, tags=tags, on_conflict="update")
        record = accepted.record
        if accepted.outcome == "duplicate" and record.file_path != file.name and target != file.path:
            # The bytes are a document already under another name; a second copy would serve nothing.
            await asyncio.to_thread(target.unlink, missing_ok=True)
        return Offered("unchanged" if accepted.outcome == "duplicate" else accepted.outcome, record.id)

    async def _copy(self, source: Path, target: Path) -> None:
        size = (await asyncio.to_thread(source.stat)).st_size
        if size == 0:
            raise UnreadableDocument("The file is empty")
        if await asyncio.to_thread(target.is_file) and await file_md5(source) == await file_md5(target):
            return
        await store_upload(_blocks(source), target, self._settings.server.max_upload_bytes, overwrite=True)

    async def state(self, doc_id: str) -> DocumentState:
        """Return how far a document is."""
        record = await self._engine.get_document(doc_id)
        return DocumentState(record.status, len(record.chunks_list), len(record.failed_chunks), record.error_msg)

    async def work(self) -> Work:
        """Return what the pipeline is doing."""
        status = await self._engine.pipeline_status()
        return Work(status.chunks, status.chunks_done, status.latest_message, status.paused_until)

    async def ask(self, question: Question) -> Answer:
        """Begin to answer a question."""
        result = await self._engine.query(question.text, self._param(question, stream=True))
        references = [_cited(item) for item in result.retrieved.references]
        ending = Ending()
        return Answer(references, _pieces(result, ending), ending)

    async def search(self, question: Question) -> Mapping[str, Any]:
        """Return what is found, in the form of the REST route /query/data."""
        found = await self._engine.retrieve(question.text, self._param(question, stream=False))
        keywords = found.keywords
        return {
            "data": {
                "entities": [
                    {"entity_name": item.name, "entity_type": item.type, "description": item.description}
                    for item in found.entities
                ],
                "relationships": [
                    {"src_id": item.source, "tgt_id": item.target, "keywords": item.keywords}
                    for item in found.relations
                ],
                "chunks": [_chunk(item) for item in found.chunks],
            },
            "metadata": {
                "query_mode": question.mode,
                "keywords": {"high_level": list(keywords.high_level), "low_level": list(keywords.low_level)},
                "keywords_model": found.keywords_model,
                "processing_info": dict(found.counts),
            },
        }

    def _param(self, question: Question, *, stream: bool) -> QueryParam:
        defaults = self._settings.query
        return QueryParam(
            mode=question.mode,
            stream=stream,
            top_k=question.top_k or defaults.top_k,
            chunk_top_k=question.chunk_top_k or defaults.chunk_top_k,
            max_entity_tokens=defaults.max_entity_tokens,
            max_relation_tokens=defaults.max_relation_tokens,
            max_total_tokens=defaults.max_total_tokens,
            user_prompt=question.user_prompt,
            filter=question.filter,
            model=question.model,
            rerank_model=question.rerank_model,
        )

    async def edits(self, limit: int) -> list[JsonObject]:
        """Return the newest manual edits."""
        return [{"number": edit.number, **edit.row()} for edit in await self._engine.list_edits(limit=limit)]

    async def undo_edit(self, edit_id: str) -> None:
        """Take an edit back."""
        await self._engine.undo_edit(edit_id)


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    stream = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(stream.read, _BLOCK):
            yield block
    finally:
        stream.close()


async def _pieces(result: QueryResult, ending: Ending) -> AsyncIterator[str]:
    if result.stream is None:
        yield result.text or ""
    else:
        async for piece in result.stream:
            yield piece
    if result.llm_generated:
        ending.finish_reason, ending.model = result.outcome.finish_reason, result.outcome.model


def _cited(reference: Reference) -> Cited:
    return Cited(reference.reference_id, reference.file_path, [_place(chunk) for chunk in reference.chunks])


def _place(chunk: Chunk) -> dict[str, Any]:
    return {
        "chunk_id": chunk.id,
        "start": chunk.start,
        "end": chunk.end,
        "page_start": chunk.page_start,
        "page_end": chunk.page_end,
    }


def _chunk(ranked: RankedChunk) -> dict[str, Any]:
    return {
        **_place(ranked.chunk),
        "reference_id": ranked.reference_id,
        "content": ranked.chunk.content,
        "file_path": ranked.chunk.file_path,
        "score": ranked.score,
        "found_by": [{"list": item.list_name, "rank": item.rank, "score": item.score} for item in ranked.found_by],
    }
