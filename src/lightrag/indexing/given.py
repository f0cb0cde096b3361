"""Documents whose chunks come with them, and maybe what is to be found in each: custom chunks, custom graphs.

They are documents like any other: accepted durably, indexed by the pipeline, updated by giving them again, deleted.
What was given is kept in rows `g:{length of the id}:{document id}:{number}` of `Namespace.EDITS`, one for each chunk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson

from lightrag.errors import InvalidInput, NotFound
from lightrag.indexing.chunking_spans import chunk_id
from lightrag.indexing.contributions import extraction_from_row
from lightrag.indexing.full_text import md5_hex, store_head, store_parts
from lightrag.indexing.intake import clean_document_text, summary_of
from lightrag.indexing.payers import brought_by
from lightrag.indexing.progress import now_iso
from lightrag.storage.contracts import KVStore, Namespace, Storage
from lightrag.types import (
    Accepted,
    Chunk,
    DocStatus,
    DocumentRecord,
    Extraction,
    JsonObject,
    ParsedDocument,
)

KEY = "given"
"""Key in a record's metadata: what came with the document."""
CHUNKS: Literal["chunks"] = "chunks"
GRAPH: Literal["graph"] = "graph"
PARAGRAPH = "\n\n"
_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1024}")
_PAGE = 64
_PUT = 500


@dataclasses.dataclass(frozen=True, slots=True)
class GivenChunk:
    """A passage as it was given."""

    content: str
    file_path: str
    found: Extraction | None = None
    """What is said in it, where that was given too."""


@dataclasses.dataclass(frozen=True, slots=True)
class GivenDocument:
    """A document with its chunks."""

    kind: Literal["chunks", "graph"]
    text: str
    chunks: tuple[GivenChunk, ...]
    file_path: str
    doc_id: str | None = None
    notes: tuple[str, ...] = ()
    """What was left out, for the document's report."""
    brought_by: str | None = None
    """The token or account that brings it and pays for its indexing."""


def given_chunks(full_text: str, texts: Sequence[str], doc_id: str | None, file_path: str) -> GivenDocument:
    """Return a document of these passages, to be read like any other. Raises `InvalidInput`."""
    text, pieces = clean_document_text(full_text), [clean_document_text(piece) for piece in texts]
    kept = [piece for piece in pieces if piece]
    if not text or not kept:
        raise InvalidInput("Give a text and at least one chunk that is not empty")
    return GivenDocument(CHUNKS, text, tuple(GivenChunk(piece, file_path) for piece in kept), file_path, doc_id)


async def accept_given(
    storage: Storage, given: GivenDocument, track_id: str, count_tokens: Callable[[str], int]
) -> Accepted:
    """Store a document with its chunks in one transaction; the pipeline does the rest.

    The same document given again changes nothing; another one under the same id takes its place.
    """
    if given.doc_id is not None and not _ID.fullmatch(given.doc_id):
        raise InvalidInput("The document id must have 1 to 1024 characters, none of them a control character")
    rows = list(_rows(given, count_tokens))
    content_hash = _hash(given, rows)
    doc_id = given.doc_id or f"doc-{content_hash}"
    async with storage.transaction() as tx:
        before = (await tx.documents.get([doc_id])).get(doc_id)
        if before is not None and _is_same(before, content_hash):
            return Accepted("duplicate", before, track_id)
        now = now_iso()
        record = DocumentRecord(
            id=doc_id,
            status=DocStatus.PENDING,
            file_path=given.file_path,
            content_summary=summary_of(given.text),
            content_length=len(given.text),
            content_hash=content_hash,
            track_id=track_id,
            created_at=before.created_at if before is not None else now,
            updated_at=now,
            chunks_list=before.chunks_list if before is not None else (),
            tags=before.tags if before is not None else {},
            metadata={KEY: given.kind} | brought_by(given.brought_by),
        )
        texts = tx.kv(Namespace.FULL_DOCS)
        await store_parts(texts, doc_id, ParsedDocument(given.text))
        await store_head(texts, doc_id, ParsedDocument(given.text), given.file_path)
        await drop_given(tx.kv(Namespace.EDITS), doc_id)
        for start in range(0, len(rows), _PUT):
            part = enumerate(rows[start : start + _PUT], start=start)
            await tx.kv(Namespace.EDITS).put({_key(doc_id, number): row for number, row in part})
        await tx.documents.put([record])
    return Accepted("updated" if before is not None else "accepted", record, track_id)


def _is_same(record: DocumentRecord, content_hash: str) -> bool:
    is_there = not record.delete_requested and record.status is not DocStatus.FAILED
    return is_there and record.content_hash == content_hash


def is_given(record: DocumentRecord) -> bool:
    """Tell whether a document's chunks came with it."""
    return KEY in record.metadata


async def read_given(storage: Storage, record: DocumentRecord) -> AsyncIterator[list[Chunk]]:
    """Yield the chunks that came with a document, some at a time."""
    store, prefix = storage.kv(Namespace.EDITS), _key_prefix(record.id)
    after, repeats = prefix, dict[str, int]()
    while rows := await store.scan(prefix=prefix, after=after, limit=_PAGE):
        after = rows[-1][0]
        yield [_chunk(record.id, int(key[len(prefix) :]), row, repeats) for key, row in rows]
    if after == prefix:
        raise NotFound(f"The chunks of document {record.id} are missing from the store; insert them again")


async def drop_given(store: KVStore, doc_id: str) -> None:
    """Forget what came with a document."""
    prefix = _key_prefix(doc_id)
    while rows := await store.scan(prefix=prefix, after=prefix, limit=1000):
        await store.delete([key for key, _ in rows])


class GivenExtractor:
    """Finds in each chunk of a document what was given for it."""

    fingerprint = "given"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def extract(self, chunk: Chunk) -> Extraction:
        """Return what was given; raises `NotFound` where it is gone."""
        key = _key(chunk.doc_id, chunk.order)
        row = (await self._storage.kv(Namespace.EDITS).get([key])).get(key)
        if row is None or row["found"] is None:
            raise NotFound(f"What was given for chunk {chunk.order + 1} of {chunk.doc_id} is missing; insert it again")
        return dataclasses.replace(extraction_from_row(row["found"]), notes=tuple(row.get("notes", ())))


def _rows(given: GivenDocument, count_tokens: Callable[[str], int]) -> Iterator[JsonObject]:
    last = 0
    for number, chunk in enumerate(given.chunks):
        start = given.text.find(chunk.content, last)
        if start < 0:
            # Passages may overlap, come in any order, or be rewritten.
            start = given.text.find(chunk.content)
        span = [start, start + len(chunk.content)] if start >= 0 else [last, last]
        last = max(start, last)
        yield {
            "content": chunk.content,
            "file_path": chunk.file_path,
            "tokens": count_tokens(chunk.content),
            "span": span,
            "found": _found_row(chunk.found) if chunk.found is not None else None,
            **({"notes": list(given.notes[:20])} if given.notes and not number else {}),
        }


def _found_row(found: Extraction) -> JsonObject:
    return {
        "entities": [[e.name, e.type, e.description] for e in found.entities],
        "relations": [[r.source, r.target, r.keywords, r.description, r.weight] for r in found.relations],
    }


def _hash(given: GivenDocument, rows: Sequence[Mapping[str, Any]]) -> str:
    digest = hashlib.md5(md5_hex(given.text).encode(), usedforsecurity=False)
    digest.update(orjson.dumps([given.kind, given.file_path]))
    for row in rows:
        digest.update(orjson.dumps(row))
    return digest.hexdigest()


def _chunk(doc_id: str, order: int, row: JsonObject, repeats: dict[str, int]) -> Chunk:
    # What is said of a passage is part of its identity: when it changes, the passage is read anew.
    said = row["content"] if row["found"] is None else f"{row['content']}\n{orjson.dumps(row['found']).decode()}"
    key = chunk_id(doc_id, said)
    repeat = repeats.get(key, 0)
    repeats[key] = repeat + 1
    start, end = row["span"]
    return Chunk(
        id=chunk_id(doc_id, said, repeat) if repeat else key,
        doc_id=doc_id,
        order=order,
        content=row["content"],
        tokens=row["tokens"],
        start=start,
        end=end,
        file_path=row["file_path"],
    )


def _key(doc_id: str, number: int) -> str:
    return f"{_key_prefix(doc_id)}{number:08d}"


def _key_prefix(doc_id: str) -> str:
    # With the length no id is the beginning of another one's rows.
    return f"g:{len(doc_id)}:{doc_id}:"
