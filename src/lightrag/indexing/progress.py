"""What the pipeline is doing, for people who watch it."""

from __future__ import annotations

import dataclasses
from collections import deque
from datetime import UTC, datetime
from typing import Any

HISTORY = 1000
"""Messages that are kept."""


@dataclasses.dataclass(frozen=True, slots=True)
class PipelineStatus:
    """A snapshot of the pipeline; the first fields carry LightRAG's names."""

    busy: bool
    job_name: str
    job_start: str | None
    docs: int
    """Documents of the present job."""
    batchs: int
    cur_batch: int
    """Documents of the present job that are done."""
    request_pending: bool
    cancellation_requested: bool
    latest_message: str
    history_messages: tuple[str, ...]
    autoscanned: bool = False
    scanning: bool = False
    chunks: int = 0
    """Chunks of the present job that are known so far."""
    chunks_done: int = 0
    vectors_waiting: int = 0
    summaries_waiting: int = 0
    paused_until: str | None = None
    """When a model server asked to wait: the time until which calls are held back."""
    slots: int = 0
    slots_busy: int = 0
    is_here: bool = False
    """Whether this process does it; documents are worked on in one process at a time."""


@dataclasses.dataclass(slots=True)
class Progress:
    """Counts the present job. A job begins with the first document after a pause and ends when nothing is left.

    The name, start and counts of a job that has ended stay until the next one begins, as LightRAG's clients expect.
    """

    is_over: bool = True
    job_start: str | None = None
    job_name: str = "-"
    docs: int = 0
    docs_done: int = 0
    chunks: int = 0
    chunks_done: int = 0
    messages: deque[str] = dataclasses.field(default_factory=lambda: deque(maxlen=HISTORY))
    """What was said and is not in the shared history yet."""

    def begin_document(self, name: str) -> None:
        """Count a document that is being worked on; the first one names the job."""
        if self.is_over:
            self.is_over = False
            self.job_start = now_iso()
            self.docs = self.docs_done = self.chunks = self.chunks_done = 0
            self.job_name = name[:40]
        self.docs += 1

    def end_job(self) -> None:
        """Note that nothing is left to do."""
        if not self.is_over:
            self.say(f"Finished: {self.docs_done} of {self.docs} documents, {self.chunks_done} chunks")
        self.is_over = True

    def say(self, message: str) -> None:
        """Keep a message for the watchers."""
        self.messages.append(message)

    def counts(self) -> dict[str, Any]:
        """Return the job and its counts, for watchers in other processes."""
        return {
            "job_start": self.job_start,
            "job_name": self.job_name,
            "docs": self.docs,
            "docs_done": self.docs_done,
            "chunks": self.chunks,
            "chunks_done": self.chunks_done,
        }


def now_iso() -> str:
    """Return the present time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()
