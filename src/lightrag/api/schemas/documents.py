"""Bodies of the document routes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.chunking import ChunkingRequest
from lightrag.api.schemas.common import Body, OnConflict, ShortText, Tags, Text
from lightrag.types import BROUGHT_BY, DocStatus, DocumentRecord

SourceName = Annotated[Text, Field(max_length=1024)]
StatusName = Literal["pending", "parsing", "analyzing", "processing", "preprocessed", "processed", "failed"]
"""Statuses of all LightRAG versions; documents here have four of them."""
STATUS_NAMES: tuple[StatusName, ...] = (
    "pending",
    "parsing",
    "analyzing",
    "processing",
    "preprocessed",
    "processed",
    "failed",
)

NAMESPACES = (
    "full_docs",
    "text_chunks",
    "full_entities",
    "full_relations",
    "entity_chunks",
    "relation_chunks",
    "entities",
    "relationships",
    "chunks",
    "chunk_entity_relation",
    "doc_status",
    "llm_response_cache",
)
"""LightRAG's stores, whose reload flags old clients expect; stores here never need a reload."""

_ID = "doc-0cc175b9c0f1b6a831c399e269772661"
_ROW_EXAMPLE: JsonDict = {
    "id": _ID,
    "content_summary": "Ada Lovelace wrote the first program for Charles Babbage's Analytical Engine.",
    "content_length": 78,
    "status": "processed",
    "created_at": "2026-01-02T03:04:05.678901+00:00",
    "updated_at": "2026-01-02T03:04:06.789012+00:00",
    "track_id": "insert_20260102_030405_0a1b2c3d",
    "chunks_count": 1,
    "error": None,
    "error_msg": None,
    "metadata": {},
    "file_path": "ada.txt",
    "tags": {"topic": "history"},
    "failed_chunks": 0,
}
_COUNTS_EXAMPLE: JsonDict = {
    "pending": 0,
    "parsing": 0,
    "analyzing": 0,
    "processing": 0,
    "preprocessed": 0,
    "processed": 1,
    "failed": 0,
    "all": 1,
}


def _example(example: JsonDict) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


_TEXT_EXAMPLE: JsonDict = {
    "text": "Ada Lovelace wrote the first program for Charles Babbage's Analytical Engine.",
    "file_source": "ada.txt",
    "tags": {"topic": "history"},
}


class InsertTextRequest(Body):
    """A text to be indexed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TEXT_EXAMPLE]})

    text: Text = Field(min_length=1)
    file_source: SourceName | None = Field(None, description="Name of the source, shown in references.")
    tags: Tags = Field(default_factory=dict)
    on_conflict: OnConflict = Field(
        "skip", description="What to do where the source is known already: leave it, or replace a changed text."
    )
    chunking: ChunkingRequest | None = Field(None, description="How to cut the text; left out: as the settings say.")

    @model_validator(mode="before")
    @classmethod
    def _one_text(cls, values: Any) -> Any:
        return _not_both(values, "texts", "/documents/texts")

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        return _visible(text)


class InsertTextsRequest(Body):
    """Several texts to be indexed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "texts": ["Alice leads Acme.", "Bob founded Initech."],
                    "file_sources": ["acme.txt", "initech.txt"],
                }
            ]
        }
    )

    texts: list[Text] = Field(min_length=1)
    file_sources: list[SourceName | None] | None = Field(
        None, description="Names of the sources, in the order of the texts."
    )
    tags: Tags = Field(default_factory=dict)
    on_conflict: OnConflict = "skip"
    chunking: ChunkingRequest | None = Field(None, description="How to cut the texts; left out: as the settings say.")

    @model_validator(mode="before")
    @classmethod
    def _many_texts(cls, values: Any) -> Any:
        return _not_both(values, "text", "/documents/text")

    @field_validator("texts")
    @classmethod
    def _not_blank(cls, texts: list[str]) -> list[str]:
        return [_visible(text) for text in texts]


class UpdateTextRequest(Body):
    """The changed text of a document."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Alice led Acme until 2024."}]})

    text: Text = Field(min_length=1)
    tags: Tags | None = Field(None, description="Replaces the tags where it is given.")
    chunking: ChunkingRequest | None = Field(None, description="How to cut the text; left out: as it was cut before.")

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        return _visible(text)


class AcceptedDocument(Body):
    """What became of one offered document."""

    doc_id: str
    file_path: str
    status: Literal["accepted", "updated", "duplicated"]


class InsertResponse(Body):
    """Whether documents were taken over; they are durable when this is sent, and indexed in the background."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "success",
                    "message": "Text successfully received. Processing will continue in background.",
                    "track_id": "insert_20260102_030405_0a1b2c3d",
                    "documents": [
                        {
                            "doc_id": "doc-0cc175b9c0f1b6a831c399e269772661",
                            "file_path": "ada.txt",
                            "status": "accepted",
                        }
                    ],
                }
            ]
        }
    )

    status: Literal["success", "duplicated"]
    message: str
    track_id: str
    documents: list[AcceptedDocument]


class DocumentRow(Body):
    """A document in a list; `error` and `error_msg` are the same."""

    model_config = _example(_ROW_EXAMPLE)

    id: str
    content_summary: str
    content_length: int
    status: DocStatus
    created_at: str
    updated_at: str
    track_id: str
    chunks_count: int
    error: str | None
    error_msg: str | None
    metadata: dict[str, Any]
    file_path: str
    tags: dict[str, Any]
    failed_chunks: int = Field(description="Chunks of which nothing could be extracted; they can be retried.")

    @staticmethod
    def of(record: DocumentRecord) -> DocumentRow:
        """Return the row of a document."""
        return DocumentRow(**_row(record))


class DocumentDetail(DocumentRow):
    """A document with its chunks."""

    model_config = _example(
        _ROW_EXAMPLE
        | {
            "chunks_list": ["chunk-92eb5ffee6ae2fec3ad71c777531578f"],
            "failed_chunk_ids": [],
            "content_hash": "4a8a08f09d37b73795649038408b5f33",
            "delete_requested": False,
        }
    )

    chunks_list: list[str]
    failed_chunk_ids: list[str]
    content_hash: str
    delete_requested: bool

    @staticmethod
    def of(record: DocumentRecord) -> DocumentDetail:
        """Return the details of a document."""
        return DocumentDetail(
            **_row(record),
            chunks_list=list(record.chunks_list),
            failed_chunk_ids=list(record.failed_chunks),
            content_hash=record.content_hash,
            delete_requested=record.delete_requested,
        )


class DocumentsByStatus(Body):
    """Documents by status; a status without documents is left out."""

    model_config = _example({"statuses": {"processed": [_ROW_EXAMPLE]}})

    statuses: dict[str, list[DocumentRow]]


class PageRequest(Body):
    """Which page of the document list to return."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"page": 1, "page_size": 50, "status_filter": "processed"}]}
    )

    status_filter: StatusName | None = None
    status_filters: list[StatusName] | None = Field(None, max_length=16)
    page: int = Field(1, ge=1, le=10_000_000)
    page_size: int = Field(50, ge=10, le=200)
    sort_field: Literal["created_at", "updated_at", "id", "file_path"] = "updated_at"
    sort_direction: Literal["asc", "desc"] = "desc"

    def wanted(self) -> list[DocStatus] | None:
        """Return the statuses to list; None for all."""
        names = {*(self.status_filters or ()), *([self.status_filter] if self.status_filter else ())}
        if not names:
            return None
        return [status for status in DocStatus if status.value in names]


class Pagination(Body):
    """Where a page stands."""

    page: int
    page_size: int
    total_count: int
    total_pages: int
    has_next: bool
    has_prev: bool


class Page(Body):
    """One page of the document list."""

    model_config = _example(
        {
            "documents": [_ROW_EXAMPLE],
            "pagination": {
                "page": 1,
                "page_size": 50,
                "total_count": 1,
                "total_pages": 1,
                "has_next": False,
                "has_prev": False,
            },
            "status_counts": _COUNTS_EXAMPLE,
        }
    )

    documents: list[DocumentRow]
    pagination: Pagination
    status_counts: dict[str, int]


class StatusCounts(Body):
    """Number of documents by status, and of all."""

    model_config = _example({"status_counts": _COUNTS_EXAMPLE})

    status_counts: dict[str, int]


class TrackStatus(Body):
    """The documents of one request."""

    model_config = _example(
        {
            "track_id": "insert_20260102_030405_0a1b2c3d",
            "documents": [_ROW_EXAMPLE],
            "total_count": 1,
            "status_summary": {"DocStatus.PROCESSED": 1},
        }
    )

    track_id: str
    documents: list[DocumentRow]
    total_count: int
    status_summary: dict[str, int]


class PipelineStatusBody(Body):
    """What the pipeline is doing."""

    model_config = _example(
        {
            "autoscanned": False,
            "busy": True,
            "scanning": False,
            "job_name": "ada.txt",
            "job_start": "2026-01-02T03:04:05.678901+00:00",
            "docs": 10,
            "batchs": 10,
            "cur_batch": 4,
            "chunks": 41,
            "chunks_done": 17,
            "vectors_waiting": 12,
            "summaries_waiting": 0,
            "request_pending": False,
            "cancellation_requested": False,
            "paused_until": None,
            "slots": 4,
            "slots_busy": 4,
            "latest_message": "Completed: ada.txt",
            "history_messages": ["Processing: ada.txt", "Completed: ada.txt"],
            "update_status": {"full_docs": [False]},
        }
    )

    autoscanned: bool
    busy: bool
    scanning: bool
    job_name: str
    job_start: str | None
    docs: int
    batchs: int
    cur_batch: int = Field(description="Documents of the present job that are done.")
    chunks: int
    chunks_done: int
    vectors_waiting: int
    summaries_waiting: int
    request_pending: bool
    cancellation_requested: bool
    paused_until: str | None = Field(description="Until when calls wait because a model server asked for it.")
    slots: int = Field(description="Model calls that may run at the same time.")
    slots_busy: int
    latest_message: str
    history_messages: list[str]
    update_status: dict[str, list[bool]]
    destructive_busy: bool = Field(False, description="Never here: what is deleted does not stop anything else.")
    scanning_exclusive: bool = False
    pending_enqueues: int = 0
    recovery_required: bool = False
    recovery_kind: str | None = None
    recovery_message: str | None = None


class DeleteRequest(Body):
    """Which documents to delete."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"doc_ids": ["doc-0cc175b9c0f1b6a831c399e269772661"], "delete_file": False}]}
    )

    doc_ids: list[ShortText] = Field(min_length=1, max_length=10_000)
    delete_file: bool = Field(False, description="Delete the file in the input folder too.")
    delete_llm_cache: bool = Field(False, description="Forget what the model answered on these documents.")

    @field_validator("doc_ids")
    @classmethod
    def _usable(cls, doc_ids: list[str]) -> list[str]:
        stripped = [doc_id.strip() for doc_id in doc_ids]
        if not all(stripped):
            raise PydanticCustomError("blank_doc_id", "Document IDs cannot be blank")
        if len(set(stripped)) < len(stripped):
            raise PydanticCustomError("repeated_doc_id", "Document IDs must be unique")
        return stripped


class DeleteResponse(Body):
    """Deletion runs in the background and survives a restart."""

    model_config = _example(
        {
            "status": "deletion_started",
            "message": "Document deletion for 1 documents has been initiated. Processing will continue in background.",
            "doc_id": _ID,
        }
    )

    status: Literal["deletion_started", "busy", "not_allowed"]
    message: str
    doc_id: str


class ActionResponse(Body):
    """Outcome of an action on all documents."""

    model_config = _example({"status": "success", "message": "All documents cleared successfully. Deleted 3 files."})

    status: str
    message: str


class TrackedActionResponse(ActionResponse):
    """Outcome of an action that works in the background."""

    model_config = _example(
        {
            "status": "scanning_started",
            "message": "Scanning process has been initiated in the background",
            "track_id": "scan_20260102_030405_0a1b2c3d",
        }
    )

    track_id: str


CacheMode = Literal["default", "naive", "local", "global", "hybrid", "mix", "bypass"]


class ClearCacheRequest(Body):
    """Which of the stored answers to forget; LightRAG's older clients name them by mode."""

    modes: list[CacheMode] | None = Field(
        None,
        max_length=64,
        description="`default` stands for the answers on chunks, all others for the answers on questions; "
        "left out or empty: everything.",
    )


class BatchResponse(Body):
    """What became of several files; the message names those that were not taken."""

    model_config = _example(
        {
            "status": "partial_success",
            "message": "Successfully inserted 1 out of 2 documents. Failed files: a.exe (unsupported type)",
            "track_id": "upload_20260102_030405_0a1b2c3d",
            "documents": [{"doc_id": _ID, "file_path": "ada.txt", "status": "accepted"}],
        }
    )

    status: Literal["success", "partial_success", "failure"]
    message: str
    track_id: str
    documents: list[AcceptedDocument]


class ScanSamples(Body):
    """Some of the files of one kind."""

    items: list[str]
    truncated: bool = False
    dropped: int = Field(0, description="Files that are not listed.")


class ScanStatus(Body):
    """How a scan of the input folder goes, or went."""

    model_config = _example(
        {
            "track_id": "scan_20260102_030405_0a1b2c3d",
            "status": "completed",
            "counts": {"files": 3, "claimed_new": 2, "changed": 0, "known": 1, "duplicate": 0, "error": 0},
            "counters_dropped": 0,
            "samples": {"error": {"items": [], "truncated": False, "dropped": 0}},
            "created_at": 1767323045.1,
            "updated_at": 1767323045.4,
            "version": 2,
            "message": "Scanned 3 files: 2 new, 0 changed",
        }
    )

    track_id: str
    status: Literal["running", "completed", "failed", "cancelled", "abandoned"]
    counts: dict[str, int]
    counters_dropped: int = 0
    samples: dict[str, ScanSamples]
    created_at: float = Field(description="Unix seconds.")
    updated_at: float
    version: int
    message: str


class ScanProgress(Body):
    """Whether the input folder is being scanned, as the oldest web pages ask for it."""

    model_config = _example(
        {"is_scanning": False, "current_file": "", "indexed_count": 3, "total_files": 3, "progress": 100.0}
    )

    is_scanning: bool
    current_file: str
    indexed_count: int
    total_files: int
    progress: float = Field(description="Percent of the present job's documents that are done.")


class FileTypes(Body):
    """Suffixes of files that can be indexed."""

    model_config = _example({"supported_extensions": [".md", ".pdf", ".txt"], "engines": {"native": [".md"]}})

    supported_extensions: list[str]
    engines: dict[str, list[str]]


def counts_by_name(counts: dict[DocStatus, int]) -> dict[str, int]:
    """Return counts under the status names of all versions, with their sum under `all`."""
    by_name = {status.value: count for status, count in counts.items()}
    return {name: by_name.get(name, 0) for name in STATUS_NAMES} | {"all": sum(by_name.values())}


def _row(record: DocumentRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "content_summary": record.content_summary,
        "content_length": record.content_length,
        "status": record.status,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "track_id": record.track_id,
        "chunks_count": len(record.chunks_list),
        "error": record.error_msg,
        "error_msg": record.error_msg,
        # Who brought a document is the business of those who see what it cost.
        "metadata": {name: value for name, value in record.metadata.items() if name != BROUGHT_BY},
        "file_path": record.file_path,
        "tags": dict(record.tags),
        "failed_chunks": len(record.failed_chunks),
    }


def _not_both(values: Any, other: str, route: str) -> Any:
    if isinstance(values, dict) and values.get(other) is not None:
        raise PydanticCustomError(
            "conflicting_fields",
            "'{other}' does not belong here; send either one text to /documents/text or several to /documents/texts, "
            "not both ('{other}' goes to {route})",
            {"other": other, "route": route},
        )
    return values


def _visible(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("string_too_short", "Text must not be blank", {"min_length": 1})
    return text
