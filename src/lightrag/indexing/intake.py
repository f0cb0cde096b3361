"""How documents are accepted: durably, before anything is said to the caller."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from lightrag.errors import InvalidInput
from lightrag.indexing.chunking_record import asked_metadata
from lightrag.indexing.full_text import md5_hex, store_head, store_parts
from lightrag.indexing.payers import brought_by
from lightrag.indexing.progress import now_iso
from lightrag.storage.contracts import Namespace, Storage
from lightrag.types import (
    UNKNOWN_SOURCE,
    Accepted,
    ChunkingChoice,
    DocStatus,
    DocumentRecord,
    ParsedDocument,
    TagValue,
    is_blank,
)

SUMMARY_CHARS = 250
STAMP = "source_stamp"
"""Key in a record's metadata."""
OnConflict = Literal["skip", "update"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BREAK = re.compile(r"[\t\n\r]+")
_NO_SOURCE = frozenset({"", UNKNOWN_SOURCE, "no-file-path"})


@dataclasses.dataclass(frozen=True, slots=True)
class TextItem:
    """A text that is offered for indexing."""

    text: str
    file_path: str | None = None
    doc_id: str | None = None
    tags: Mapping[str, TagValue] = dataclasses.field(default_factory=dict)
    chunking: ChunkingChoice | None = None
    """How to cut it, complete; None where the caller did not ask for anything."""
    brought_by: str | None = None
    """The token or account that brings it and pays for its indexing."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileItem:
    """A file that lies durably in the input folder."""

    file_path: str
    """Path below the input folder, with forward slashes."""
    size: int
    md5: str
    tags: Mapping[str, TagValue] = dataclasses.field(default_factory=dict)
    stamp: str = ""
    """Size and time of change, by which a later scan sees that nothing changed; see `file_stamp`."""
    chunking: ChunkingChoice | None = None
    """How to cut it, complete; None where the caller did not ask for anything."""
    brought_by: str | None = None
    """The token or account that brings it and pays for its indexing; None for what a scan finds."""


def file_stamp(size: int, mtime_ns: int) -> str:
    """Return what a file looks like without reading it."""
    return f"{size}:{mtime_ns}"


def new_track_id(prefix: str) -> str:
    """Return an id under which the documents of one request are found."""
    return f"{prefix}_{datetime.now(UTC):%Y%m%d_%H%M%S}_{uuid.uuid4().hex[:8]}"


def document_id(text: str, file_path: str | None) -> str:
    """Return the id of a document: it names the source, or the text where there is no source."""
    return f"doc-{md5_hex(text if (file_path or '') in _NO_SOURCE else str(file_path))}"


def clean_document_text(text: str) -> str:
    """Remove what cannot be stored or shown (NUL, control characters, lone surrogates) and outer blanks."""
    return _CONTROL.sub("", text).strip()


def _clean_source(source: str) -> str:
    """Return the name of a source on one line: it stands in lists, logs and citations."""
    return _CONTROL.sub("", _BREAK.sub(" ", source)).strip()


def summary_of(text: str) -> str:
    """Return the beginning of a text for lists."""
    return text if len(text) <= SUMMARY_CHARS else text[:SUMMARY_CHARS] + "..."


async def accept_texts(
    storage: Storage, items: Sequence[TextItem], track_id: str, on_conflict: OnConflict
) -> list[Accepted]:
    """Store texts and their status rows in one transaction.

    A text whose source or content is known already is a duplicate and changes nothing; with `on_conflict` "update" a
    changed text of a known source, or one with other tags, replaces it. Raises `InvalidInput` for an empty text; then
    nothing is stored.
    """
    texts = [clean_document_text(item.text) for item in items]
    for number, text in enumerate(texts, start=1):
        if is_blank(text):
            raise InvalidInput(f"Text {number} of {len(texts)} is empty; send at least one visible character")
    outcomes: list[Accepted] = []
    async with storage.transaction() as tx:
        for item, text in zip(items, texts, strict=True):
            outcomes.append(await _accept_text(tx, item, text, track_id, on_conflict))
    return outcomes


async def _accept_text(tx: Storage, item: TextItem, text: str, track_id: str, on_conflict: OnConflict) -> Accepted:
    source = _clean_source(item.file_path or "")
    file_path = UNKNOWN_SOURCE if source in _NO_SOURCE else source
    doc_id = item.doc_id or document_id(text, file_path)
    content_hash = md5_hex(text)
    existing = (await tx.documents.get([doc_id])).get(doc_id)
    if existing is None and file_path != UNKNOWN_SOURCE:
        existing = await tx.documents.by_file_path(file_path)
    if existing is not None and existing.delete_requested:
        existing = None
    if existing is not None:
        same = existing.content_hash == content_hash and not _retagged(item.tags, existing)
        if same or on_conflict == "skip":
            return Accepted("duplicate", existing, track_id)
    if existing is None:
        twin = await tx.documents.by_content_hash(content_hash)
        if twin is not None and not twin.delete_requested and twin.id != doc_id:
            return Accepted("duplicate", twin, track_id)
    record = _fresh_record(existing.id if existing else doc_id, file_path, track_id, item.tags, existing).replace(
        content_summary=summary_of(text),
        content_length=len(text),
        content_hash=content_hash,
        metadata=asked_metadata(item.chunking, existing) | brought_by(item.brought_by),
    )
    texts = tx.kv(Namespace.FULL_DOCS)
    await store_parts(texts, record.id, ParsedDocument(text))
    await store_head(texts, record.id, ParsedDocument(text), file_path)
    await tx.documents.put([record])
    return Accepted("updated" if existing else "accepted", record, track_id)


async def accept_file(storage: Storage, item: FileItem, track_id: str, on_conflict: OnConflict) -> Accepted:
    """Store the status row of a file; it is parsed later.

    A file of the same path, or of the same bytes under another path, is a duplicate; with `on_conflict` "update" a
    changed file of a known path, or one with other tags, replaces it.
    """
    async with storage.transaction() as tx:
        doc_id = document_id("", item.file_path)
        existing = (await tx.documents.get([doc_id])).get(doc_id) or await tx.documents.by_file_path(item.file_path)
        if existing is not None and existing.delete_requested:
            existing = None
        if existing is not None:
            same = existing.source_hash == item.md5 and existing.status is not DocStatus.FAILED
            same = same and not _retagged(item.tags, existing)
            if same or on_conflict == "skip":
                return Accepted("duplicate", existing, track_id)
        else:
            twin = await tx.documents.by_content_hash(item.md5)
            if twin is not None and not twin.delete_requested:
                return Accepted("duplicate", twin, track_id)
        record = _fresh_record(existing.id if existing else doc_id, item.file_path, track_id, item.tags, existing)
        record = record.replace(
            content_summary=existing.content_summary if existing else "",
            content_length=item.size,
            content_hash="",
            source_file=item.file_path,
            source_hash=item.md5,
            metadata=({STAMP: item.stamp} if item.stamp else {})
            | asked_metadata(item.chunking, existing)
            | brought_by(item.brought_by),
        )
        await tx.documents.put([record])
        return Accepted("updated" if existing else "accepted", record, track_id)


def _retagged(tags: Mapping[str, TagValue], existing: DocumentRecord) -> bool:
    """Return whether a document gets other tags; none given leaves it those that it has."""
    return bool(tags) and dict(tags) != dict(existing.tags)


def _fresh_record(
    doc_id: str,
    file_path: str,
    track_id: str,
    tags: Mapping[str, TagValue],
    existing: DocumentRecord | None,
) -> DocumentRecord:
    now = now_iso()
    return DocumentRecord(
        id=doc_id,
        status=DocStatus.PENDING,
        file_path=file_path,
        track_id=track_id,
        created_at=existing.created_at if existing else now,
        updated_at=now,
        # What the former text contributed stays in place until the new one takes it over.
        chunks_list=existing.chunks_list if existing else (),
        tags=dict(tags) if tags or existing is None else existing.tags,
    )
