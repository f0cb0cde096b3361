"""Makes what LightRAG's files lack: mentions, extractions, positions of chunks, terms, hashes of vectors.

The graph says which entity stands in which chunk (by its tracking files, or `source_id` where there are none); the
answers in the response cache say in which words. What this server knew before of the same mention goes first. Doing it
again changes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from lightrag.storage.contracts import Namespace, VectorKind
from lightrag.storage.files.adopted_mentions import AdoptedMentions
from lightrag.storage.files.derived import (
    CHUNK_PREFIX,
    ENTITY_PREFIX,
    RELATION_PREFIX,
    entity_text,
    relation_text,
    text_hash,
)
from lightrag.storage.files.graphml import StoredGraph
from lightrag.storage.files.large_texts import is_part, whole_text
from lightrag.storage.files.lightrag_rows import (
    StatusForm,
    error_of,
    form_of,
    metadata_of,
    status_of,
    updated_record,
)
from lightrag.storage.files.rows import VectorItem, record_from_row
from lightrag.storage.files.state import STATUS_FORM, State
from lightrag.storage.rows import chunk_row, key_of_pair
from lightrag.text.words import index_terms
from lightrag.types import UNKNOWN_SOURCE, Chunk, DocStatus, DocumentRecord, JsonObject

SUMMARY_CHARS = 250
_NUMBERED_CHUNK = re.compile(r".*-chunk-\d+")
"""Ids that do not follow from the chunk's text, so that the text behind them may change."""
_CHUNK_FIELDS = chunk_row(Chunk("", "", 0, "", 0, 0, 0)).keys()
_NO_FILE = frozenset({"", UNKNOWN_SOURCE, "no-file-path"})


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """What was read and is not in the state yet."""

    status_rows: Mapping[str, JsonObject]
    own_records: Mapping[str, JsonObject]
    """The documents as this server knew them, with `hidden` for those that LightRAG does not know."""
    entity_chunks: Mapping[str, JsonObject]
    relation_chunks: Mapping[str, JsonObject]
    graph: StoredGraph
    vector_contents: Mapping[VectorKind, Mapping[str, str]]


class Adoption:
    """Completes a state that was read from LightRAG's files."""

    def __init__(self, state: State, stored: Stored) -> None:
        self._state = state
        self._stored = stored
        self._docs = state.kv[Namespace.FULL_DOCS]
        self._chunks = state.kv[Namespace.TEXT_CHUNKS]

    def run(self) -> None:
        """Bring everything in line with what LightRAG's files say."""
        self._adopt_texts()
        chunks = self._adopt_chunks()
        self._adopt_documents(chunks)
        self._number_chunks(chunks)
        changed = AdoptedMentions(
            self._state, self._stored.graph, self._stored.entity_chunks, self._stored.relation_chunks, chunks
        ).run()
        self._adopt_extractions(chunks, changed)
        self._adopt_terms(chunks)
        self._adopt_vectors(chunks)

    def _adopt_texts(self) -> None:
        # The oldest versions keep the text of a document that waits in its status row only.
        for id, row in self._stored.status_rows.items():
            if id not in self._docs and isinstance(row.get("content"), str) and row["content"]:
                self._docs.put(id, orjson.dumps({"content": row["content"], "file_path": _path_of(row)}))
        for id, body in list(self._docs.items()):
            row = orjson.loads(body)
            if row.get("parts") or is_part(id, self._docs.get):
                continue
            if not isinstance(row.get("content"), str) or not row["content"]:
                self._docs.remove(id)
            elif "pages" not in row or "file_path" not in row:
                path = row.get("file_path") or _path_of(self._stored.status_rows.get(id, {}))
                self._docs.put(id, orjson.dumps({**row, "file_path": path, "pages": row.get("pages", [])}))

    def _adopt_chunks(self) -> dict[str, JsonObject]:
        """Return the chunks by id; rows without a text are dropped."""
        chunks: dict[str, JsonObject] = {}
        for key, body in list(self._chunks.items()):
            row = orjson.loads(body)
            if isinstance(row.get("content"), str):
                chunks[key] = row
            else:
                self._chunks.remove(key)
        return chunks

    def _adopt_documents(self, chunks: Mapping[str, JsonObject]) -> None:
        by_document: dict[str, list[str]] = {}
        for key, row in sorted(chunks.items(), key=lambda item: _order(item[1])):
            by_document.setdefault(str(row.get("full_doc_id", "")), []).append(key)
        form = self._form()
        for id, row in self._stored.status_rows.items():
            mine = self._stored.own_records.get(id)
            if mine is not None and not mine["hidden"]:
                record = updated_record(record_from_row(mine), row, form)
            else:
                record = self._record(id, row, by_document.get(id, []))
            self._state.documents.put(id, record)
        for id, row in self._stored.own_records.items():
            if row["hidden"] and id not in self._stored.status_rows:
                self._state.documents.put(id, record_from_row(row))

    def _form(self) -> StatusForm:
        """Return the form of the status rows, and keep it for when they are written."""
        before = StatusForm(self._state.settings.get(STATUS_FORM) or StatusForm.PRESENT)
        form = form_of(self._stored.status_rows.values()) if self._stored.status_rows else before
        if form != before:
            self._state.settings.put(STATUS_FORM, form)
        return form

    def _record(self, id: str, row: JsonObject, chunk_ids: list[str]) -> DocumentRecord:
        text, status, path = self._text(id), status_of(row), _path_of(row)
        listed = row.get("chunks_list")
        created = _utc(row.get("created_at"))
        waits_for_file = not text and status is DocStatus.PENDING and path not in _NO_FILE
        return DocumentRecord(
            id=id,
            status=status,
            file_path=path,
            content_summary=str(row.get("content_summary") or text[:SUMMARY_CHARS]),
            content_length=int(row.get("content_length") or len(text)),
            content_hash=hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() if text else "",
            track_id=str(row.get("track_id") or ""),
            created_at=created,
            updated_at=_utc(row.get("updated_at") or created),
            chunks_list=tuple(listed if isinstance(listed, list) and listed else chunk_ids),
            error_msg=error_of(row, status),
            metadata=metadata_of(row),
            source_file=path if waits_for_file else "",
        )

    def _text(self, id: str) -> str:
        return whole_text(id, self._docs.get)

    def _number_chunks(self, chunks: dict[str, JsonObject]) -> None:
        """Give chunks the fields that this server needs: their place in the text, pages, tokens."""
        by_document: dict[str, list[str]] = {}
        for key, row in sorted(chunks.items(), key=lambda item: _order(item[1])):
            if not _is_complete(row):
                by_document.setdefault(str(row.get("full_doc_id", "")), []).append(key)
        for doc_id, keys in by_document.items():
            record, text, last = self._state.documents.get(doc_id), self._text(doc_id), -1
            for number, key in enumerate(keys):
                row = chunks[key]
                start = text.find(row["content"], last + 1)
                last = max(start, last)
                path = row.get("file_path") or (record.file_path if record is not None else UNKNOWN_SOURCE)
                row |= chunk_row(
                    Chunk(
                        id=key,
                        doc_id=doc_id,
                        order=row.get("chunk_order_index", number),
                        content=row["content"],
                        tokens=row.get("tokens") or len(row["content"]) // 4 + 1,
                        start=max(start, 0),
                        end=max(start, 0) + len(row["content"]),
                        file_path=path,
                        page_start=row.get("page_start"),
                        page_end=row.get("page_end"),
                    )
                )
                self._chunks.put(key, orjson.dumps(row))

    def _adopt_extractions(self, chunks: Mapping[str, JsonObject], changed: Collection[str]) -> None:
        rows = self._state.kv[Namespace.EXTRACTIONS]
        for key in [key for key in rows if key not in chunks]:
            # Sources that are no chunks are kept as long as LightRAG says the same of them.
            if key in changed or "source" not in orjson.loads(rows.get(key) or b"{}"):
                rows.remove(key)
        for key, chunk in chunks.items():
            said = self._state.said.get(key)
            record = self._state.documents.get(chunk["full_doc_id"])
            is_done = record is not None and record.status is DocStatus.PROCESSED
            before = rows.get(key)
            if said is None and not is_done:
                continue
            if before is not None and key not in changed:
                # What was found may bear other names than what manual edits made of it.
                continue
            entities = [[e.name, e.type, e.description] for e in said.entities.values()] if said else []
            relations = (
                [[r.source, r.target, r.keywords, r.description, r.weight] for r in said.relations.values()]
                if said
                else []
            )
            old = orjson.loads(before) if before is not None else {}
            if (old.get("entities"), old.get("relations")) != (entities, relations):
                created = said.source.created_at if said else 0
                found = {"entities": entities, "relations": relations, "created_at": created}
                rows.put(key, orjson.dumps({"fingerprint": "lightrag", **found}))

    def _adopt_terms(self, chunks: Mapping[str, JsonObject]) -> None:
        terms = self._state.terms
        for key in [key for key in terms if key not in chunks]:
            terms.remove(key)
        for key, row in chunks.items():
            if key not in terms or _NUMBERED_CHUNK.fullmatch(key):
                terms.put(key, tuple(index_terms(row["content"])))

    def _adopt_vectors(self, chunks: Mapping[str, JsonObject]) -> None:
        """Give vectors that LightRAG made their hash, and list those that are missing or of another text as stale."""
        for key, row in chunks.items():
            digest = text_hash(row["content"])
            self._adopt_vector(VectorKind.CHUNKS, CHUNK_PREFIX, key, digest, (row["content"],))
        for name, entity in self._state.nodes.items():
            digest = text_hash(entity_text(entity))
            self._adopt_vector(VectorKind.ENTITIES, ENTITY_PREFIX, name, digest, (f"{name}\n{entity.description}",))
        for (source, target), edge in self._state.edges.items():
            forms = (
                f"{edge.keywords}\t{source}\n{target}\n{edge.description}",
                *(f"{a}\t{b}\n{edge.keywords}\n{edge.description}" for a, b in (edge.pair, edge.pair[::-1])),
            )
            digest = text_hash(relation_text(edge))
            self._adopt_vector(VectorKind.RELATIONS, RELATION_PREFIX, key_of_pair(edge.pair), digest, forms)

    def _adopt_vector(self, kind: VectorKind, prefix: str, key: str, digest: str, forms: Iterable[str]) -> None:
        item = self._state.vectors[kind].get(key)
        stale = self._state.kv[Namespace.STALE]
        content = self._stored.vector_contents.get(kind, {}).get(key)
        if item is not None and content is not None:
            item = VectorItem(digest if content in forms else text_hash(content), item.created_at, item.vector)
            self._state.vectors[kind].put(key, item)
        if (item is None or item.content_hash != digest) and self._is_done(kind, key):
            stale.put(prefix + key, orjson.dumps({"hash": digest}))
        elif item is not None:
            stale.remove(prefix + key)

    def _is_done(self, kind: VectorKind, key: str) -> bool:
        """Tell whether the vector ought to be there: those of a document that is still to be indexed come with it."""
        body = self._chunks.get(key) if kind is VectorKind.CHUNKS else None
        if body is None:
            return True
        record = self._state.documents.get(orjson.loads(body)["full_doc_id"])
        return record is not None and record.status is DocStatus.PROCESSED


def _path_of(row: Mapping[str, Any]) -> str:
    path = str(row.get("file_path") or "")
    return UNKNOWN_SOURCE if path in _NO_FILE else path


def _order(row: Mapping[str, Any]) -> int:
    order = row.get("chunk_order_index")
    return order if isinstance(order, int) else 0


def _is_complete(row: JsonObject) -> bool:
    return row.keys() >= _CHUNK_FIELDS


def _utc(time: Any) -> str:
    """Return a time in UTC; the oldest versions wrote local times without saying so."""
    try:
        return datetime.fromisoformat(str(time)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC).isoformat()
