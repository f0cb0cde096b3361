"""Documents listed, followed, deleted."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated

from fastapi import APIRouter, Body, Path

from lightrag.api.dependencies import EngineDep, documented_key
from lightrag.api.routers.responses import errors
from lightrag.api.schemas.common import DocId
from lightrag.api.schemas.documents import (
    ActionResponse,
    ClearCacheRequest,
    DeleteRequest,
    DeleteResponse,
    DocumentDetail,
    DocumentRow,
    DocumentsByStatus,
    FileTypes,
    Page,
    PageRequest,
    Pagination,
    StatusCounts,
    TrackedActionResponse,
    TrackStatus,
    counts_by_name,
)
from lightrag.api.schemas.pipeline import NAMESPACES, PipelineStatusBody, ScanProgress, ScanSamples, ScanStatus
from lightrag.errors import Conflict, InvalidInput, NotFound
from lightrag.types import DocStatus, DocumentRecord

MAX_LISTED = 1000
"""Rows of GET /documents; the paginated route has no limit."""
router = APIRouter(
    prefix="/documents", tags=["documents"], dependencies=[documented_key], responses=errors(403, 413, 503)
)

by_id = APIRouter(
    prefix="/documents", tags=["documents"], dependencies=[documented_key], responses=errors(403, 413, 503)
)
"""Routes with a document id, which must stand behind all literal paths below `/documents` of all routers."""


@router.post("/scan", operation_id="scan_input_folder")
async def scan(engine: EngineDep) -> TrackedActionResponse:
    """Look for new and changed files in the input folder and index them."""
    return TrackedActionResponse(
        status="scanning_started",
        message="Scanning process has been initiated in the background",
        track_id=await engine.scan(),
    )


@router.get("/scan/status/{track_id}", operation_id="get_scan_status", responses=errors(404))
async def scan_status(track_id: Annotated[str, Path(max_length=1024)], engine: EngineDep) -> ScanStatus:
    """Return how a scan goes, or went; the latest 50 are remembered."""
    report = await engine.scan_report(track_id)
    return ScanStatus(
        track_id=report.track_id,
        status=report.status,
        counts=report.counts,
        samples={
            kind: ScanSamples(items=items, dropped=report.dropped(kind)) for kind, items in report.samples.items()
        },
        created_at=report.created_at,
        updated_at=report.updated_at,
        version=report.version,
        message=report.message,
    )


@router.get("/scan-progress", operation_id="get_scan_progress")
async def scan_progress(engine: EngineDep) -> ScanProgress:
    """Return whether the input folder is being scanned, as LightRAG's oldest web pages ask for it."""
    status = await engine.pipeline_status()
    is_done = status.cur_batch >= status.docs
    return ScanProgress(
        is_scanning=status.scanning,
        current_file=status.job_name if status.busy else "",
        indexed_count=status.cur_batch,
        total_files=status.docs,
        progress=100.0 if is_done else round(100.0 * status.cur_batch / status.docs, 1),
    )


@router.get("", operation_id="list_documents")
async def list_documents(engine: EngineDep) -> DocumentsByStatus:
    """Return documents by status, at most 1000, fairly taken from all statuses; use /documents/paginated for more."""
    groups = {status: (await engine.list_documents(statuses=[status], limit=MAX_LISTED))[0] for status in DocStatus}
    chosen: dict[str, list[DocumentRow]] = {}
    left = MAX_LISTED
    for row in zip_longest(*groups.values()):
        for record in row:
            if record is not None and left > 0:
                chosen.setdefault(record.status.value, []).append(DocumentRow.of(record))
                left -= 1
    return DocumentsByStatus(statuses=chosen)


@router.post("/paginated", operation_id="list_documents_paginated")
async def list_page(body: PageRequest, engine: EngineDep) -> Page:
    """Return one page of the document list."""
    wanted = body.wanted()
    records: list[DocumentRecord] = []
    total = 0
    if wanted is None or wanted:
        records, total = await engine.list_documents(
            statuses=wanted,
            offset=(body.page - 1) * body.page_size,
            limit=body.page_size,
            sort=body.sort_field,
            descending=body.sort_direction == "desc",
        )
    pages = -(-total // body.page_size)
    return Page(
        documents=[DocumentRow.of(record) for record in records],
        pagination=Pagination(
            page=body.page,
            page_size=body.page_size,
            total_count=total,
            total_pages=pages,
            has_next=body.page < pages,
            has_prev=body.page > 1,
        ),
        status_counts=counts_by_name(await engine.status_counts()),
    )


@router.get("/status_counts", operation_id="count_documents")
async def status_counts(engine: EngineDep) -> StatusCounts:
    """Return how many documents there are of each status."""
    return StatusCounts(status_counts=counts_by_name(await engine.status_counts()))


@router.get("/track_status/{track_id}", operation_id="track_documents", responses=errors(400))
async def track_status(track_id: Annotated[str, Path(max_length=1024)], engine: EngineDep) -> TrackStatus:
    """Return the documents of one request; an unknown track id has none."""
    track_id = track_id.strip()
    if not track_id:
        raise InvalidInput("Track ID cannot be empty")
    records = await engine.track(track_id)
    summary: dict[str, int] = {}
    for record in records:
        name = f"DocStatus.{record.status.name}"
        summary[name] = summary.get(name, 0) + 1
    return TrackStatus(
        track_id=track_id,
        documents=[DocumentRow.of(record) for record in records],
        total_count=len(records),
        status_summary=summary,
    )


@router.get("/pipeline_status", operation_id="get_pipeline_status")
async def pipeline_status(engine: EngineDep) -> PipelineStatusBody:
    """Return what the pipeline is doing, with its latest messages."""
    status = await engine.pipeline_status()
    return PipelineStatusBody.model_validate(
        {
            **{name: getattr(status, name) for name in PipelineStatusBody.model_fields if hasattr(status, name)},
            "history_messages": list(status.history_messages),
            "update_status": {name: [False] for name in NAMESPACES},
        }
    )


@router.get("/supported_file_types", operation_id="list_file_types")
async def supported_file_types(engine: EngineDep) -> FileTypes:
    """Return the suffixes of files that can be indexed; those of pictures where a model of the workspace reads them."""
    suffixes = sorted(await engine.file_types())
    return FileTypes(supported_extensions=suffixes, engines={"legacy": suffixes, "native": suffixes})


@router.delete("/delete_document", operation_id="delete_documents", responses=errors(404))
async def delete_documents(body: DeleteRequest, engine: EngineDep) -> DeleteResponse:
    """Delete documents and what only they have contributed to the graph."""
    return await _delete(engine, body)


@router.delete("", operation_id="clear_documents")
async def clear_documents(engine: EngineDep) -> ActionResponse:
    """Delete all documents with their files and the whole graph; refused while documents are being processed."""
    try:
        files = await engine.clear(delete_files=True)
    except Conflict as error:
        return ActionResponse(status="busy", message=str(error))
    return ActionResponse(status="success", message=f"All documents cleared successfully. Deleted {files} files.")


@router.post("/reprocess_failed", operation_id="retry_failed_documents")
async def reprocess_failed(engine: EngineDep) -> TrackedActionResponse:
    """Try failed documents again; what has succeeded is not done again."""
    return TrackedActionResponse(
        status="reprocessing_started",
        message="Reprocessing of failed documents has been initiated in background",
        track_id=await engine.retry_failed(),
    )


@router.post("/cancel_pipeline", operation_id="cancel_pipeline")
async def cancel_pipeline(engine: EngineDep) -> ActionResponse:
    """Stop the pipeline; unfinished documents fail with that reason and can be retried."""
    if await engine.cancel():
        message = "Pipeline cancellation has been requested. Documents will be marked as FAILED."
        return ActionResponse(status="cancellation_requested", message=message)
    return ActionResponse(status="not_busy", message="Pipeline is not currently running. No cancellation needed.")


@router.post("/clear_cache", operation_id="clear_cache")
async def clear_cache(
    engine: EngineDep, body: Annotated[ClearCacheRequest | None, Body(examples=[{}])] = None
) -> ActionResponse:
    """Forget the stored answers of models; indexing the same text again calls the model again."""
    modes = list(dict.fromkeys(body.modes or ())) if body is not None else []
    await engine.clear_cache(modes)
    message = f"Successfully cleared cache for modes: {modes}" if modes else "Successfully cleared all cache"
    return ActionResponse(status="success", message=message)


@by_id.get("/{doc_id}", operation_id="get_document", responses=errors(404))
async def get_document(doc_id: DocId, engine: EngineDep) -> DocumentDetail:
    """Return a document's status and chunks."""
    return DocumentDetail.of(await engine.get_document(doc_id))


@by_id.delete("/{doc_id}", operation_id="delete_document", responses=errors(404))
async def delete_document(doc_id: DocId, engine: EngineDep) -> DeleteResponse:
    """Delete one document and what only it has contributed to the graph."""
    return await _delete(engine, DeleteRequest.model_validate({"doc_ids": [doc_id]}))


async def _delete(engine: EngineDep, body: DeleteRequest) -> DeleteResponse:
    found = await engine.delete_documents(
        body.doc_ids, delete_file=body.delete_file, delete_llm_cache=body.delete_llm_cache
    )
    if not found:
        raise NotFound(f"Document {body.doc_ids[0]} not found")
    message = (
        f"Document deletion for {len(found)} documents has been initiated. Processing will continue in background."
    )
    if missing := len(body.doc_ids) - len(found):
        message += f" {missing} of the given ids do not exist."
    return DeleteResponse(status="deletion_started", message=message, doc_id=", ".join(found))
