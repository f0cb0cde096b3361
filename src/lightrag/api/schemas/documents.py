"""Bodies of the routes about documents that are there."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from lightrag.api.schemas.common import DOC_ID, Body, ShortText, example
from lightrag.types import BROUGHT_BY, DocStatus, DocumentRecord

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
_ROW_EXAMPLE: JsonDict = {
    "id": DOC_ID,
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


class DocumentRow(Body):
    """A document in a list; `error` and `error_msg` are the same."""

    model_config = example(_ROW_EXAMPLE)

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

    model_config = example(
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

    model_config = example({"statuses": {"processed": [_ROW_EXAMPLE]}})

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

    model_config = example(
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

    model_config = example({"status_counts": _COUNTS_EXAMPLE})

    status_counts: dict[str, int]


class TrackStatus(Body):
    """The documents of one request."""

    model_config = example(
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

    model_config = example(
        {
            "status": "deletion_started",
            "message": "Document deletion for 1 documents has been initiated. Processing will continue in background.",
            "doc_id": DOC_ID,
        }
    )

    status: Literal["deletion_started", "busy", "not_allowed"]
    message: str
    doc_id: str


class ActionResponse(Body):
    """Outcome of an action on all documents."""

    model_config = example({"status": "success", "message": "All documents cleared successfully. Deleted 3 files."})

    status: str
    message: str


class TrackedActionResponse(ActionResponse):
    """Outcome of an action that works in the background."""

    model_config = example(
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


class FileTypes(Body):
    """Suffixes of files that can be indexed."""

    model_config = example({"supported_extensions": [".md", ".pdf", ".txt"], "engines": {"native": [".md"]}})

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
