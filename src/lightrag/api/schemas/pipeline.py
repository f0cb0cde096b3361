"""Bodies of the routes that tell how the work on documents goes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lightrag.api.schemas.common import Body, example

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


class PipelineStatusBody(Body):
    """What the pipeline is doing."""

    model_config = example(
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


class ScanSamples(Body):
    """Some of the files of one kind."""

    items: list[str]
    truncated: bool = False
    dropped: int = Field(0, description="Files that are not listed.")


class ScanStatus(Body):
    """How a scan of the input folder goes, or went."""

    model_config = example(
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

    model_config = example(
        {"is_scanning": False, "current_file": "", "indexed_count": 3, "total_files": 3, "progress": 100.0}
    )

    is_scanning: bool
    current_file: str
    indexed_count: int
    total_files: int
    progress: float = Field(description="Percent of the present job's documents that are done.")
