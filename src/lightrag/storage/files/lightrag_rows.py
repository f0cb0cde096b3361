"""How rows look in LightRAG's key-value files, and how they are read from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any

from lightrag.types import DocStatus, DocumentRecord, JsonObject

EXTRACT = "extract"
_STATUSES = {
    "preprocessed": DocStatus.PROCESSED,
    "parsing": DocStatus.PENDING,
    "analyzing": DocStatus.PENDING,
    **{status.value: status for status in DocStatus},
}


def kept_row(key: str, row: JsonObject, created: int, updated: int) -> JsonObject:
    """Return a row with the fields that LightRAG adds to every one."""
    return {**row, "create_time": created, "update_time": updated, "_id": key}


def plain_row(row: JsonObject, *, with_time: bool = False) -> JsonObject:
    """Return a row without the fields that are added; `with_time` keeps when it was made."""
    added = ("update_time", "_id") if with_time else ("create_time", "update_time", "_id")
    return {name: value for name, value in row.items() if name not in added}


class StatusForm(IntEnum):
    """Which fields a status row has: versions refuse rows with fields that they do not know, so a folder keeps its."""

    PRESENT = 0
    OLDEST = 1
    """Of versions up to 1.2.5: with the whole text, without file path and list of chunks."""
    OLD = 2
    """Of version 1.2.6: with the whole text and the file path, without list of chunks."""


def form_of(rows: Collection[JsonObject]) -> StatusForm:
    """Return the form of a folder's status rows."""
    if not rows or not all("content" in row and "chunks_list" not in row for row in rows):
        return StatusForm.PRESENT
    return StatusForm.OLD if any("file_path" in row for row in rows) else StatusForm.OLDEST


def status_row(record: DocumentRecord, form: StatusForm, text: Callable[[], str]) -> JsonObject:
    """Return a document's row as LightRAG reads it."""
    if form is not StatusForm.PRESENT:
        return _old_row(record, text(), with_path=form is StatusForm.OLD)
    row: JsonObject = {
        "status": record.status.value,
        "chunks_count": len(record.chunks_list),
        "chunks_list": list(record.chunks_list),
        "content_summary": record.content_summary,
        "content_length": record.content_length,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "file_path": record.file_path,
        "track_id": record.track_id,
        "metadata": dict(record.metadata),
    }
    return row | {"error_msg": record.error_msg} if record.error_msg is not None else row


def _old_row(record: DocumentRecord, text: str, *, with_path: bool) -> JsonObject:
    row: JsonObject = {
        "status": record.status.value,
        "chunks_count": len(record.chunks_list),
        "content": text,
        "content_summary": record.content_summary,
        "content_length": record.content_length,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "metadata": dict(record.metadata),
    }
    row |= {"file_path": record.file_path} if with_path else {}
    return row | {"error": record.error_msg} if record.error_msg is not None else row


def updated_record(record: DocumentRecord, row: JsonObject, form: StatusForm) -> DocumentRecord:
    """Return a record of ours with what LightRAG has changed in its row."""
    if status_row(record, form, lambda: str(row.get("content"))) == row:
        return record
    status = status_of(row)
    return record.replace(
        status=status,
        chunks_list=tuple(row.get("chunks_list") or record.chunks_list),
        content_summary=str(row.get("content_summary") or ""),
        content_length=int(row.get("content_length") or 0),
        created_at=str(row.get("created_at") or record.created_at),
        updated_at=str(row.get("updated_at") or record.updated_at),
        file_path=str(row.get("file_path") or record.file_path),
        track_id=str(row.get("track_id") or record.track_id),
        error_msg=error_of(row, status),
        metadata=metadata_of(row),
        failed_chunks=() if status is DocStatus.PROCESSED else record.failed_chunks,
    )


def status_of(row: JsonObject) -> DocStatus:
    """Return the status of a row; what was under way in LightRAG has to be begun again."""
    return _STATUSES.get(str(row.get("status")).rpartition(".")[2].lower(), DocStatus.FAILED)


def error_of(row: JsonObject, status: DocStatus) -> str | None:
    """Return the error of a row, under either of its names."""
    error = row.get("error_msg") or row.get("error")
    if error is None and status is DocStatus.FAILED and str(row.get("status")) != status.value:
        return f"unknown status {row.get('status')!r}"
    return str(error) if error and status is not DocStatus.PROCESSED else None


def metadata_of(row: JsonObject) -> dict[str, Any]:
    """Return the metadata of a row."""
    metadata = row.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def seconds_of(time: str) -> int:
    """Return Unix seconds of an ISO 8601 time; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(time).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0


def answers_by_chunk(cache: Iterable[tuple[str, JsonObject]]) -> dict[str, list[str]]:
    """Return for each chunk the keys of the extraction answers on it."""
    found: dict[str, list[str]] = {}
    for key, row in cache:
        chunk_id = row.get("chunk_id")
        if row.get("cache_type") == EXTRACT and isinstance(chunk_id, str):
            found.setdefault(chunk_id, []).append(key)
    return found


def flat_cache(rows: Mapping[str, Any]) -> dict[str, JsonObject]:
    """Return the response cache by `{mode}:{cache_type}:{hash}`; the oldest versions nest it by mode."""
    flat: dict[str, JsonObject] = {}
    for key, row in rows.items():
        if not isinstance(row, dict):
            continue
        if "return" in row:
            flat[key] = row
            continue
        for digest, nested in row.items():
            if isinstance(nested, dict) and "return" in nested:
                flat[f"{key}:{nested.get('cache_type') or EXTRACT}:{digest}"] = nested
    return flat
