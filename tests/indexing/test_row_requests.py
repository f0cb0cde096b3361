"""Requests about documents that are there reach all of them, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lightrag.indexing.row_requests import READ_AT_ONCE, RETRIED_AT_ONCE, fail_open, request_deletion, retry_failed
from lightrag.storage.memory import MemoryStorage
from lightrag.types import DocStatus, DocumentRecord


@pytest.fixture
async def storage() -> AsyncIterator[MemoryStorage]:
    made = MemoryStorage("")
    await made.open()
    yield made
    await made.close()


def failed(number: int, **fields: object) -> DocumentRecord:
    return DocumentRecord(
        id=f"doc-{number:05}", status=DocStatus.FAILED, created_at=f"{number:05}", error_msg="broken"
    ).replace(**fields)


def duplicate(number: int) -> DocumentRecord:
    return failed(number, metadata={"is_duplicate": True})


async def test_a_failed_document_behind_many_duplicates_is_tried_again(storage: MemoryStorage) -> None:
    duplicates = [duplicate(number) for number in range(RETRIED_AT_ONCE + 1)]
    await storage.documents.put([*duplicates, failed(90_000)])
    await retry_failed(storage)
    [retried], _ = await storage.documents.page(statuses=[DocStatus.PENDING])
    assert (retried.id, retried.error_msg) == ("doc-90000", None)
    assert await storage.documents.counts() == {DocStatus.PENDING: 1, DocStatus.FAILED: len(duplicates)}


async def test_every_failed_document_is_tried_again(storage: MemoryStorage) -> None:
    # Every third one is a duplicate, so that pages hold both.
    records = [duplicate(number) if number % 3 == 0 else failed(number) for number in range(3 * RETRIED_AT_ONCE)]
    await storage.documents.put(records)
    await retry_failed(storage)
    assert await storage.documents.counts() == {
        DocStatus.PENDING: 2 * RETRIED_AT_ONCE,
        DocStatus.FAILED: RETRIED_AT_ONCE,
    }


async def test_a_cancellation_stops_all_open_documents_but_deletions(storage: MemoryStorage) -> None:
    waiting = [failed(number, status=DocStatus.PENDING) for number in range(READ_AT_ONCE + 1)]
    await storage.documents.put(
        [*waiting, failed(90_000, status=DocStatus.PROCESSING), failed(90_001, status=DocStatus.PENDING)]
    )
    await request_deletion(storage, ["doc-90001"], delete_file=False, delete_llm_cache=False)
    assert await fail_open(storage.documents) == len(waiting) + 1
    [left], _ = await storage.documents.page(statuses=[DocStatus.PENDING, DocStatus.PROCESSING])
    assert (left.id, left.delete_requested) == ("doc-90001", True)


async def test_only_documents_that_there_are_are_deleted(storage: MemoryStorage) -> None:
    await storage.documents.put([failed(1)])
    asked = ["doc-00002", "doc-00001"]
    assert await request_deletion(storage, asked, delete_file=True, delete_llm_cache=False) == ["doc-00001"]
    row = (await storage.documents.get(["doc-00001"]))["doc-00001"]
    assert (row.delete_requested, row.metadata["delete_file"]) == (True, True)
