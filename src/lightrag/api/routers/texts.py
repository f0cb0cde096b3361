"""Texts in."""

from __future__ import annotations

from itertools import zip_longest

from fastapi import APIRouter

from lightrag.api.dependencies import EngineDep, SettingsDep, documented_key
from lightrag.api.insertion import inserted
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.chunking import choice_of
from lightrag.api.schemas.common import DocId, plain_tags
from lightrag.api.schemas.taking_in import InsertResponse, InsertTextRequest, InsertTextsRequest, UpdateTextRequest
from lightrag.errors import InvalidInput, TooLarge
from lightrag.indexing.intake import TextItem
from lightrag.types import UNKNOWN_SOURCE

router = APIRouter(prefix="/documents", tags=["documents"], dependencies=[documented_key], responses=errors(403, 503))


@router.post("/text", operation_id="insert_text", responses=errors(400, 413))
async def insert_text(body: InsertTextRequest, engine: EngineDep) -> InsertResponse:
    """Take in a text. It is durable when this returns, and indexed in the background."""
    item = TextItem(body.text, file_path=body.file_source, tags=plain_tags(body.tags))
    accepted = await engine.add_texts([item], on_conflict=body.on_conflict, chunking=choice_of(body.chunking))
    return inserted(accepted, "Text successfully received. Processing will continue in background.")


@router.post("/texts", operation_id="insert_texts", responses=errors(400, 413))
async def insert_texts(body: InsertTextsRequest, engine: EngineDep, settings: SettingsDep) -> InsertResponse:
    """Take in several texts: all of them or, where one cannot be taken, none."""
    limit = settings.server.max_texts
    if limit and len(body.texts) > limit:
        raise TooLarge(f"Too many texts: {len(body.texts)}, at most {limit} are allowed in one request")
    sources = list(body.file_sources or ())
    if len(sources) > len(body.texts):
        raise InvalidInput(f"There are {len(sources)} file_sources for {len(body.texts)} texts; send one per text")
    named = [source.strip() for source in sources if source and source.strip()]
    if len(set(named)) < len(named):
        raise InvalidInput("file_sources must be unique")
    pairs = zip_longest(body.texts, sources)
    items = [TextItem(text, file_path=source, tags=plain_tags(body.tags)) for text, source in pairs]
    accepted = await engine.add_texts(items, on_conflict=body.on_conflict, chunking=choice_of(body.chunking))
    return inserted(accepted, "Texts successfully received. Processing will continue in background.")


@router.put("/{doc_id}", operation_id="update_document", responses=errors(400, 404, 413))
async def update_document(doc_id: DocId, body: UpdateTextRequest, engine: EngineDep) -> InsertResponse:
    """Replace a document's text; only what changed is extracted again."""
    record = await engine.get_document(doc_id)
    tags = record.tags if body.tags is None else plain_tags(body.tags)
    source = None if record.file_path == UNKNOWN_SOURCE else record.file_path
    item = TextItem(body.text, file_path=source, doc_id=doc_id, tags=tags)
    accepted = await engine.add_texts([item], on_conflict="update", chunking=choice_of(body.chunking))
    return inserted(accepted, "Text successfully received. Processing will continue in background.")
