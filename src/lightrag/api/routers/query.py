"""Questions: answered at once, while they are written, or with the data that was found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from lightrag.api.dependencies import EngineDep, SettingsDep, documented_key
from lightrag.api.routers.responses import Responses, errors
from lightrag.api.schemas.query import QueryDataResponse, QueryRequest, QueryResponse, ReferenceItem
from lightrag.api.streaming import (
    HEADERS,
    NO_ANSWER,
    AnswerResponse,
    answer_parts,
    close_stream,
    until_disconnect,
    wire_for,
)
from lightrag.settings import Settings
from lightrag.storage.properties import entity_properties, relation_properties
from lightrag.types import QueryResult, RankedChunk, Reference, Retrieved

router = APIRouter(
    tags=["query"], dependencies=[documented_key], responses=errors(402, 403, 404, 413, 429, 502, 503, 504)
)

T = TypeVar("T")
NAIVE_COUNTS = frozenset({"total_chunks_found", "final_chunks_count"})

_LINES = (
    '{"references":[{"reference_id":"1","file_path":"ada.txt"}]}\n{"response":"Ada "}\n{"response":"Lovelace."}\n'
    '{"response":"","llm_generated":true,"finish_reason":"stop","model":"gpt-4o-mini@OpenAI","response_time":0.42}\n'
)
_EVENTS = (
    'event: references\ndata: {"references":[{"reference_id":"1","file_path":"ada.txt"}]}\n\n'
    'event: token\ndata: {"response":"Ada "}\n\n'
    'event: done\ndata: {"llm_generated":true,"finish_reason":"stop","model":"gpt-4o-mini@OpenAI",'
    '"response_time":0.42}\n\n'
)
_STREAM_DOCS: Responses = {
    200: {
        "description": "The answer, piece by piece, the last one without text but with how the answer came and ended; "
        "failures on the way are sent as `error`",
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _LINES},
            "text/event-stream": {"example": _EVENTS},
        },
    }
}
_DATA_ERRORS: Responses = {
    400: {"model": QueryDataResponse, "description": "The request is not valid; `message` says why"}
}


@router.post("/query", operation_id="query")
async def query(request: Request, body: QueryRequest, engine: EngineDep, settings: SettingsDep) -> QueryResponse:
    """Answer a question from the documents, with references to where it was found."""
    begun = time.perf_counter()
    param = body.to_param(settings.query, stream=False)
    result = await _in_time(request, engine.query(body.query, param), settings)
    text = await _whole(result)
    return QueryResponse(
        response=text or NO_ANSWER,
        references=_references(result.retrieved, body) if body.wants_references else None,
        response_time=round(time.perf_counter() - begun, 3),
        llm_generated=result.llm_generated,
        finish_reason=result.outcome.finish_reason if result.llm_generated else None,
        model=result.outcome.model,
    )


@router.post("/query/stream", operation_id="query_stream", response_class=AnswerResponse, responses=_STREAM_DOCS)
async def query_stream(request: Request, body: QueryRequest, engine: EngineDep, settings: SettingsDep) -> Response:
    """Answer a question while the answer is written: JSON lines, or events with `Accept: text/event-stream`."""
    param = body.to_param(settings.query, stream=body.stream is not False)
    result = await _in_time(request, engine.query(body.query, param), settings)
    wire = wire_for(request)
    references = None
    if body.wants_references:
        # LightRAG's first line has no `content` key unless the client asked for it.
        exclude = None if body.include_chunk_content else {"content"}
        references = [item.model_dump(exclude=exclude) for item in _references(result.retrieved, body)]
    parts = answer_parts(result, references, wire)
    return AnswerResponse(parts, keep_alive=wire.keep_alive(), media_type=wire.media_type, headers=HEADERS)


@router.post("/query/data", operation_id="query_data", responses=_DATA_ERRORS)
async def query_data(
    request: Request, body: QueryRequest, engine: EngineDep, settings: SettingsDep
) -> QueryDataResponse:
    """Return the entities, relations and chunks that were found for a question, without an answer."""
    param = body.to_param(settings.query, stream=False)
    retrieved = await _in_time(request, engine.retrieve(body.query, param), settings)
    if retrieved.is_empty and body.mode != "bypass":
        naive = body.mode == "naive"
        return QueryDataResponse(
            status="failure",
            message="No relevant document chunks found." if naive else "Query returned no results",
            data={},
            metadata={"failure_reason": "no_results", "mode": body.mode},
        )
    return QueryDataResponse(
        status="success",
        message="Query processed successfully",
        data=_data(retrieved),
        metadata=_metadata(retrieved, body.mode),
    )


async def _in_time(request: Request, work: Coroutine[Any, Any, T], settings: Settings) -> T:
    """Return what `work` returns, unless the time is over or the client has left."""
    async with asyncio.timeout(settings.server.timeout):
        return await until_disconnect(request, work)


async def _whole(result: QueryResult) -> str:
    if result.stream is None:
        return result.text or ""
    try:
        return "".join([piece async for piece in result.stream])
    finally:
        await close_stream(result.stream)


def _references(retrieved: Retrieved, body: QueryRequest) -> list[ReferenceItem]:
    with_content = bool(body.include_chunk_content)
    return [ReferenceItem.of(reference, with_content=with_content) for reference in retrieved.references]


def _data(retrieved: Retrieved) -> dict[str, Any]:
    return {
        "entities": [{"entity_name": item.name, **entity_properties(item)} for item in retrieved.entities],
        "relationships": [
            {"src_id": item.source, "tgt_id": item.target, **relation_properties(item)} for item in retrieved.relations
        ],
        "chunks": [_chunk(item) for item in retrieved.chunks],
        "references": [_reference(item) for item in retrieved.references],
    }


def _chunk(ranked: RankedChunk) -> dict[str, Any]:
    chunk = ranked.chunk
    return {
        "reference_id": ranked.reference_id,
        "content": chunk.content,
        "file_path": chunk.file_path,
        "chunk_id": chunk.id,
        "doc_id": chunk.doc_id,
        "start": chunk.start,
        "end": chunk.end,
        "page_start": chunk.page_start,
        "page_end": chunk.page_end,
        "score": ranked.score,
        "found_by": [{"list": item.list_name, "rank": item.rank, "score": item.score} for item in ranked.found_by],
    }


def _reference(reference: Reference) -> dict[str, Any]:
    return ReferenceItem.of(reference, with_content=False).model_dump(exclude={"content"})


def _metadata(retrieved: Retrieved, mode: str) -> dict[str, Any]:
    keywords = retrieved.keywords
    metadata: dict[str, Any] = {
        "query_mode": mode,
        "keywords": {"high_level": list(keywords.high_level), "low_level": list(keywords.low_level)},
    }
    if retrieved.keywords_model is not None:
        metadata["keywords_model"] = retrieved.keywords_model
    if mode == "naive":
        metadata["processing_info"] = {name: n for name, n in retrieved.counts.items() if name in NAIVE_COUNTS}
    elif mode != "bypass":
        metadata["processing_info"] = dict(retrieved.counts)
    return metadata
