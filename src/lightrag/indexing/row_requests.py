"""What requests do to the rows of documents that are there: delete, try again, stop. The pipeline acts upon them."""

from __future__ import annotations

from collections.abc import Sequence

from lightrag.indexing.chunking_record import retried_metadata
from lightrag.indexing.progress import now_iso
from lightrag.storage.contracts import DocumentStore, Storage
from lightrag.types import DocStatus, DocumentRecord

OPEN = (DocStatus.PENDING, DocStatus.PROCESSING)
CANCELLED_REASON = "User cancelled"

RETRIED_AT_ONCE = 500
"""Rows that one transaction puts back in the queue."""
READ_AT_ONCE = 5000
"""Rows that are read at a time where all are wanted."""


async def request_deletion(
    storage: Storage, doc_ids: Sequence[str], *, delete_file: bool, delete_llm_cache: bool
) -> list[str]:
    """Mark documents for deletion, durably; return the ids that exist, in the order given."""
    async with storage.transaction() as tx:
        found = await tx.documents.get(doc_ids)
        asked = {"delete_file": delete_file, "delete_llm_cache": delete_llm_cache}
        await tx.documents.put(
            [
                record.replace(delete_requested=True, updated_at=now_iso(), metadata={**record.metadata, **asked})
                for record in found.values()
            ]
        )
    return [doc_id for doc_id in doc_ids if doc_id in found]


async def retry_failed(storage: Storage) -> None:
    """Make failed documents pending again, each once; those that failed as duplicates of others stay as they are."""
    retried: set[str] = set()
    passed = 0
    while True:
        async with storage.transaction() as tx:
            rows, _ = await tx.documents.page(
                statuses=[DocStatus.FAILED], offset=passed, limit=RETRIED_AT_ONCE, sort="created_at", descending=False
            )
            # One that fails again meanwhile waits for the next request.
            again = [row for row in rows if not is_duplicate(row) and row.id not in retried]
            await tx.documents.put(
                [
                    row.replace(
                        status=DocStatus.PENDING, updated_at=now_iso(), error_msg=None, metadata=retried_metadata(row)
                    )
                    for row in again
                ]
            )
        if not rows:
            return
        retried.update(row.id for row in again)
        passed += len(rows) - len(again)


async def fail_open(documents: DocumentStore) -> int:
    """Make all open documents failed because somebody cancelled; return their number. Deletions stay accepted."""
    rows: list[DocumentRecord] = []
    while page := (
        await documents.page(statuses=OPEN, offset=len(rows), limit=READ_AT_ONCE, sort="created_at", descending=False)
    )[0]:
        rows += page
    stopped = [row for row in rows if not row.delete_requested]
    await documents.put(
        [row.replace(status=DocStatus.FAILED, error_msg=CANCELLED_REASON, updated_at=now_iso()) for row in stopped]
    )
    return len(stopped)


def is_duplicate(record: DocumentRecord) -> bool:
    """Tell whether a document failed because its text is that of another one, which no further try will change."""
    return bool(record.metadata.get("is_duplicate"))
