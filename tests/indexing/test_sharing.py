"""Processes that share a workspace know of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lightrag.indexing.intake import TextItem, accept_texts
from lightrag.indexing.pipeline import Pipeline
from lightrag.indexing.progress import HISTORY, Progress, now_iso
from lightrag.indexing.sharing import Sharing
from lightrag.storage.contracts import Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.sqlite import SQLiteStorage

from .workbench import LineExtractor, make_workbench


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    store: Storage = MemoryStorage("w") if request.param == "memory" else SQLiteStorage(tmp_path, "w")
    await store.open()
    yield store
    await store.close()


def sharing(storage: Storage, owner: str, seconds: float = 30.0) -> Sharing:
    return Sharing(storage, Progress(), owner, seconds)


async def add(storage: Storage, pipelines: Sequence[Pipeline], count: int) -> None:
    items = [TextItem(f"@ A{n} > B{n}: knows", file_path=f"{n}.txt") for n in range(count)]
    await accept_texts(storage, items, "track", "skip")
    for pipeline in pipelines:
        pipeline.wake()


async def test_one_process_has_the_post_until_it_leaves_it(storage: Storage) -> None:
    one, other = sharing(storage, "one"), sharing(storage, "other")
    assert await one.become_indexer({"docs": 1}) == ""
    assert await other.become_indexer({}) is None
    view = await other.look()
    assert (view.is_worked_on, view.is_left_behind, dict(view.report)) == (True, False, {"docs": 1})
    await one.resign({"docs": 2})
    view = await other.look()
    assert (view.is_worked_on, view.is_left_behind, dict(view.report)) == (False, False, {"docs": 2})
    assert await other.become_indexer({}) == ""


async def test_who_does_not_report_loses_the_post_and_learns_of_it(storage: Storage) -> None:
    one, other = sharing(storage, "one", seconds=0.0), sharing(storage, "other")
    assert await one.become_indexer({}) == ""
    assert (await other.look()).is_left_behind
    assert await other.become_indexer({}) == "one"
    await one.report({"docs": 1})
    assert not one.is_indexer
    assert other.is_indexer
    await one.resign({})
    assert (await one.look()).is_worked_on


async def test_one_process_scans_at_a_time(storage: Storage) -> None:
    one, other = sharing(storage, "one"), sharing(storage, "other")
    assert await one.begin_scan()
    assert not await other.begin_scan()
    assert (await other.look()).is_scanned
    await one.end_scan()
    assert await other.begin_scan()


async def test_what_is_said_is_heard_by_all_in_order_and_the_oldest_is_forgotten(storage: Storage) -> None:
    progress = Progress()
    one, other = Sharing(storage, progress, "one", 30.0), sharing(storage, "other")
    said = [f"message {number}" for number in range(HISTORY + 700)]
    for start in range(0, len(said), 10):
        for message in said[start : start + 10]:
            progress.say(message)
        await one.report({})
    assert await other.messages() == await one.messages() == said[-HISTORY:]


async def test_all_pipelines_show_the_same_and_one_of_them_works(storage: Storage) -> None:
    gate = asyncio.Event()
    extractor = LineExtractor(gate=gate)
    benches = [make_workbench(storage, owner=name, extractor=extractor) for name in ("one", "other")]
    pipelines = [bench.pipeline for bench in benches]
    for pipeline in pipelines:
        await pipeline.start()
    await add(storage, pipelines, 12)
    async with asyncio.timeout(60):
        while not extractor.begun:
            await asyncio.sleep(0.01)
    seen = [await pipeline.status() for pipeline in pipelines]
    assert [status.busy for status in seen] == [True, True]
    assert [status.job_name for status in seen] == ["0.txt", "0.txt"]
    assert sorted(status.is_here for status in seen) == [False, True]
    gate.set()
    async with asyncio.timeout(60):
        for pipeline in pipelines:
            await pipeline.wait_until_idle()
    seen = [await pipeline.status() for pipeline in pipelines]
    assert [(status.busy, status.cur_batch, status.docs) for status in seen] == [(False, 12, 12)] * 2
    assert seen[0].history_messages == seen[1].history_messages
    for pipeline in pipelines:
        await pipeline.stop()


async def test_any_pipeline_stops_what_another_one_does(storage: Storage) -> None:
    gate = asyncio.Event()
    extractor = LineExtractor(gate=gate)
    worker, other = (make_workbench(storage, owner=name, extractor=extractor).pipeline for name in ("one", "other"))
    await worker.start()
    await add(storage, [worker], 12)
    async with asyncio.timeout(60):
        while not (await worker.status()).is_here:
            await asyncio.sleep(0.01)
    await other.start()
    assert await other.cancel()
    async with asyncio.timeout(60):
        await worker.wait_until_idle()
    begun = extractor.begun
    gate.set()
    assert not (await other.status()).busy
    assert not await other.cancel()
    rows, _ = await storage.documents.page(limit=100)
    assert {row.error_msg for row in rows if row.error_msg} == {"User cancelled"}
    await asyncio.sleep(0.4)
    assert (extractor.begun, extractor.calls) == (begun, [])
    for pipeline in (worker, other):
        await pipeline.stop()


async def test_a_deletion_that_nobody_has_begun_counts_as_work(storage: Storage) -> None:
    bench = make_workbench(storage)
    await add(storage, [], 1)
    await bench.pipeline.start()
    await bench.pipeline.wait_until_idle()
    await bench.pipeline.stop()
    (row,), _ = await storage.documents.page()
    await storage.documents.put([row.replace(delete_requested=True, updated_at=now_iso())])
    other = make_workbench(storage, owner="other").pipeline
    assert (await other.status()).busy
    await other.start()
    async with asyncio.timeout(60):
        await other.wait_until_idle()
    assert not (await other.status()).busy
    assert (await storage.documents.page())[1] == 0
    await other.stop()
