"""What a workspace holds depends on its documents alone, not on how they came to be there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightrag.errors import InvalidInput, ModelRefused, ModelUnreachable, UnusableAnswer
from lightrag.indexing.intake import TextItem, accept_texts
from lightrag.indexing.progress import now_iso
from lightrag.storage.contracts import Namespace, Storage, VectorKind
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.types import DocStatus, DocumentRecord

from .workbench import LineExtractor, Workbench, make_workbench, snapshot

ADA = """A first line about nothing.
@ Ada > Bob: knows
More text follows here and goes on for a while.
@ Ada > Eve: meets"""
BOB = "@ Bob > Eve: employs\nAnother text.\n@ Ada > Bob: knows"


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    store: Storage = MemoryStorage("w") if request.param == "memory" else SQLiteStorage(tmp_path, "w")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def bench(storage: Storage) -> AsyncIterator[Workbench]:
    workbench = make_workbench(storage)
    await workbench.pipeline.start()
    yield workbench
    await workbench.pipeline.stop()


async def put(bench: Workbench, **texts: str) -> None:
    """Insert or update texts by source name and wait for the end."""
    items = [TextItem(text, file_path=f"{name}.txt") for name, text in texts.items()]
    accepted = await accept_texts(bench.storage, items, "track", "update")
    bench.pipeline.interrupt(item.record.id for item in accepted)
    await settle(bench)


async def settle(bench: Workbench) -> None:
    bench.pipeline.wake()
    async with asyncio.timeout(60):
        await bench.pipeline.wait_until_idle()


async def remove(bench: Workbench, name: str) -> None:
    record = await bench.storage.documents.by_file_path(f"{name}.txt")
    assert record is not None
    await bench.storage.documents.put([record.replace(delete_requested=True, updated_at=now_iso())])
    await settle(bench)


async def fresh(**texts: str) -> dict[str, object]:
    """Return what a new workspace holds after these texts alone."""
    store = MemoryStorage("fresh")
    await store.open()
    bench = make_workbench(store)
    await bench.pipeline.start()
    await put(bench, **texts)
    result = await snapshot(store)
    await bench.pipeline.stop()
    await store.close()
    return result


async def test_a_document_becomes_a_graph_with_vectors(bench: Workbench) -> None:
    await put(bench, ada=ADA)
    (record,), _ = await bench.storage.documents.page()
    assert record.status is DocStatus.PROCESSED
    assert [entity.name for entity in await bench.storage.graph.scan_entities()] == ["Ada", "Bob", "Eve"]
    assert await bench.storage.vectors(VectorKind.ENTITIES).count() == 3
    assert await bench.storage.vectors(VectorKind.CHUNKS).count() == len(record.chunks_list)
    assert await bench.storage.kv(Namespace.STALE).count() == 0
    assert (await bench.verifier.verify()).ok


async def test_deleting_a_document_leaves_what_the_others_make(bench: Workbench) -> None:
    await put(bench, ada=ADA, bob=BOB)
    await remove(bench, "bob")
    assert await snapshot(bench.storage) == await fresh(ada=ADA)
    await remove(bench, "ada")
    assert await snapshot(bench.storage) == await fresh()


async def test_an_update_equals_delete_and_insert_and_extracts_only_what_changed(bench: Workbench) -> None:
    long = "\n".join(f"@ Name{n} > Name{n + 1}: follows in a longer sentence number {n}" for n in range(60))
    changed = "@ New > Name1: precedes everything\n" + long
    await put(bench, doc=long, bob=BOB)
    before = len(bench.extractor.calls)
    await put(bench, doc=changed)
    again = len(bench.extractor.calls) - before
    assert 0 < again < 12
    assert await snapshot(bench.storage) == await fresh(doc=changed, bob=BOB)
    assert (await bench.verifier.verify()).ok


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(["a", "b", "c", "d"]), st.sets(st.sampled_from(["a", "b"])), st.integers(2, 9))
def test_the_order_of_documents_does_not_matter(order: list[str], deleted: set[str], names: int) -> None:
    texts = {
        key: "\n".join(f"@ N{(i * k) % names} > N{(i + k) % names}: fact {key}{i}" for i in range(14))
        for k, key in enumerate("abcd", start=1)
    }

    async def run() -> None:
        store = MemoryStorage("order")
        await store.open()
        bench = make_workbench(store)
        await bench.pipeline.start()
        for key in order:
            await put(bench, **{key: texts[key]})
        for key in sorted(deleted):
            await remove(bench, key)
        kept = {key: texts[key] for key in "abcd" if key not in deleted}
        try:
            assert await snapshot(store) == await fresh(**kept)
        finally:
            await bench.pipeline.stop()
            await store.close()

    asyncio.run(run())


async def test_a_failed_chunk_is_reported_and_can_be_retried_alone(bench: Workbench) -> None:
    bench.extractor.broken["Eve"] = UnusableAnswer("the answer was garbage")
    await put(bench, ada=ADA)
    (record,), _ = await bench.storage.documents.page()
    assert record.status is DocStatus.FAILED
    assert "garbage" in str(record.error_msg)
    assert len(record.failed_chunks) == 1
    said = (await bench.pipeline.status()).history_messages
    assert any(line.startswith(f"Failed: {record.file_path}: ") and "garbage" in line for line in said)
    assert not any(line.startswith("Completed") for line in said)
    assert [entity.name for entity in await bench.storage.graph.scan_entities()] == ["Ada", "Bob"]

    bench.extractor.broken.clear()
    before = len(bench.extractor.calls)
    await bench.storage.documents.put([record.replace(status=DocStatus.PENDING, updated_at=now_iso())])
    await settle(bench)
    assert len(bench.extractor.calls) == before + 1
    assert await snapshot(bench.storage) == await fresh(ada=ADA)


async def test_a_refusal_that_all_chunks_would_meet_stops_the_document(bench: Workbench) -> None:
    bench.extractor.broken["@"] = ModelRefused("the key is wrong")
    await put(bench, ada=ADA)
    (record,), _ = await bench.storage.documents.page()
    assert (record.status, record.error_msg) == (DocStatus.FAILED, "the key is wrong")


async def test_an_embedding_failure_fails_the_document_and_retry_heals_it(bench: Workbench) -> None:
    bench.embedding.fail_with = ModelUnreachable("no embedding server")
    await put(bench, ada=ADA)
    (record,), _ = await bench.storage.documents.page()
    assert (record.status, record.error_msg) == (DocStatus.FAILED, "no embedding server")
    bench.embedding.fail_with = None
    await bench.storage.documents.put([record.replace(status=DocStatus.PENDING, updated_at=now_iso())])
    await settle(bench)
    assert await snapshot(bench.storage) == await fresh(ada=ADA)


async def test_cancelling_fails_open_documents_and_keeps_the_rest(storage: Storage) -> None:
    extractor = LineExtractor(gate=asyncio.Event())
    bench = make_workbench(storage, extractor=extractor)
    await bench.pipeline.start()
    items = [TextItem(f"@ A{n} > B{n}: knows", file_path=f"{n}.txt") for n in range(12)]
    await accept_texts(storage, items, "track", "skip")
    bench.pipeline.wake()
    async with asyncio.timeout(60):
        while not extractor.begun:
            await asyncio.sleep(0.01)
    assert await bench.pipeline.cancel()
    await settle(bench)
    rows, total = await storage.documents.page()
    assert total == 12
    assert {row.error_msg for row in rows if row.status is DocStatus.FAILED} == {"User cancelled"}
    assert {row.status for row in rows} <= {DocStatus.FAILED, DocStatus.PROCESSED}
    await bench.pipeline.stop()


async def test_a_duplicate_changes_nothing(bench: Workbench) -> None:
    await put(bench, ada=ADA)
    before = await snapshot(bench.storage)
    (again, twin) = await accept_texts(
        bench.storage, [TextItem(ADA, "ada.txt"), TextItem(ADA, "copy.txt")], "track", "skip"
    )
    assert (again.outcome, twin.outcome) == ("duplicate", "duplicate")
    assert twin.record.file_path == "ada.txt"
    await settle(bench)
    assert await snapshot(bench.storage) == before


@pytest.mark.parametrize("empty", [" \x00 ", "\u200b\ufeff"])
async def test_an_empty_text_is_refused_and_nothing_of_the_request_is_stored(bench: Workbench, empty: str) -> None:
    with pytest.raises(InvalidInput, match="Text 2 of 2"):
        await accept_texts(bench.storage, [TextItem("fine"), TextItem(empty)], "track", "skip")
    assert (await bench.storage.documents.page())[1] == 0


async def test_the_name_of_a_source_is_one_line_without_control_characters(bench: Workbench) -> None:
    (accepted,) = await accept_texts(bench.storage, [TextItem(ADA, "a\x00b\n c.txt\t")], "track", "skip")
    assert accepted.record.file_path == "ab  c.txt"


async def test_what_was_begun_goes_on_after_a_stop(storage: Storage) -> None:
    first = make_workbench(storage, extractor=LineExtractor(delay=0.05))
    await first.pipeline.start()
    items = [TextItem(f"@ A{n} > B{n % 3}: knows\n" * 3, file_path=f"{n}.txt") for n in range(8)]
    await accept_texts(storage, items, "track", "skip")
    first.pipeline.wake()
    await asyncio.sleep(0.12)
    await first.pipeline.stop()
    second = make_workbench(storage)
    await second.pipeline.start()
    await settle(second)
    assert (await storage.documents.counts())[DocStatus.PROCESSED] == 8
    expected = {f"{n}.txt": item.text for n, item in enumerate(items)}
    assert await snapshot(storage) == await fresh(**{name.removesuffix(".txt"): t for name, t in expected.items()})
    await second.pipeline.stop()


async def test_two_pipelines_share_the_work_without_doing_anything_twice(storage: Storage) -> None:
    extractor = LineExtractor(delay=0.01)
    benches = [make_workbench(storage, owner=f"p{n}", extractor=extractor) for n in range(2)]
    for bench in benches:
        await bench.pipeline.start()
    items = [TextItem(f"@ A{n} > B{n}: knows of number {n}", file_path=f"{n}.txt") for n in range(20)]
    await accept_texts(storage, items, "track", "skip")
    for bench in benches:
        bench.pipeline.wake()
    for bench in benches:
        await settle(bench)
    assert sorted(extractor.calls) == sorted(item.text for item in items)
    assert (await storage.documents.counts())[DocStatus.PROCESSED] == 20
    for bench in benches:
        await bench.pipeline.stop()


async def test_repair_restores_what_was_lost(bench: Workbench) -> None:
    await put(bench, ada=ADA, bob=BOB)
    healthy = await snapshot(bench.storage)
    await bench.storage.graph.delete_relations([("Ada", "Bob")])
    await bench.storage.graph.delete_entities(["Eve"])
    await bench.storage.vectors(VectorKind.ENTITIES).delete(["Bob"])
    report = await bench.verifier.verify()
    assert not report.ok
    await bench.verifier.repair()
    await bench.pipeline.load_stale()
    await settle(bench)
    assert await snapshot(bench.storage) == healthy
    assert (await bench.verifier.verify()).ok


async def test_a_short_document_gets_through_beside_a_long_one(storage: Storage) -> None:
    extractor = LineExtractor(gate=asyncio.Event(), gated="number 599")
    bench = make_workbench(storage, extractor=extractor)
    await bench.pipeline.start()
    long = "\n".join(f"@ Name{n} > Name{n + 1}: follows in a longer sentence number {n}" for n in range(600))
    await accept_texts(storage, [TextItem(long, "long.txt")], "track", "skip")
    await accept_texts(storage, [TextItem("@ Ada > Bob: knows", "short.txt")], "track", "skip")
    bench.pipeline.wake()
    async with asyncio.timeout(60):
        while (await by_path(storage, "short.txt")).status is not DocStatus.PROCESSED:
            await asyncio.sleep(0.01)
    assert (await by_path(storage, "long.txt")).status is DocStatus.PROCESSING
    assert extractor.calls.index("@ Ada > Bob: knows") < 60
    await bench.pipeline.stop()


async def test_an_unexpected_error_fails_the_document_with_its_name(bench: Workbench) -> None:
    bench.extractor.broken["Eve"] = ZeroDivisionError("oops")  # type: ignore[assignment]
    await put(bench, ada=ADA)
    record = await by_path(bench.storage, "ada.txt")
    assert record.status is DocStatus.FAILED
    assert "ZeroDivisionError: oops" in str(record.error_msg)


async def by_path(storage: Storage, path: str) -> DocumentRecord:
    record = await storage.documents.by_file_path(path)
    assert record is not None
    return record


async def test_vectors_that_could_not_be_made_when_nobody_waited_are_made_later(bench: Workbench) -> None:
    await put(bench, ada=ADA, bob=BOB)
    bench.embedding.fail_with = ModelUnreachable("no embedding server")
    await remove(bench, "bob")
    assert await bench.storage.kv(Namespace.STALE).count() > 0
    bench.embedding.fail_with = None
    async with asyncio.timeout(60):
        while await bench.storage.kv(Namespace.STALE).count():
            await asyncio.sleep(0.05)
    assert await snapshot(bench.storage) == await fresh(ada=ADA)


async def test_any_number_of_stale_vectors_is_made_before_the_pipeline_rests(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_workbench(storage)
    await first.pipeline.start()
    await put(first, ada=ADA, bob=BOB)
    await first.pipeline.stop()
    healthy = await snapshot(storage)
    await storage.drop_vectors()
    assert await first.verifier.list_all_vectors() > 6
    monkeypatch.setattr("lightrag.indexing.vectorizer.LOADED_AT_ONCE", 2)
    second = make_workbench(storage)
    await second.pipeline.start()
    await settle(second)
    assert await snapshot(storage) == healthy
    await second.pipeline.stop()


async def test_a_stopped_pipeline_holds_no_lease_whatever_it_was_doing(storage: Storage) -> None:
    for round_ in range(8):
        bench = make_workbench(storage, owner=f"p{round_}", extractor=LineExtractor(delay=0.05))
        await bench.pipeline.start()
        await accept_texts(storage, [TextItem(f"@ A{round_} > B: knows", f"{round_}.txt")], "track", "skip")
        bench.pipeline.wake()
        await asyncio.sleep(0.003 * round_)
        await bench.pipeline.stop()
        assert await storage.documents.owners() == []


async def test_a_document_that_is_interrupted_before_its_first_step_is_begun_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, interrupted = bench.pipeline._claim, 0

    async def claim_and_interrupt() -> int:
        nonlocal interrupted
        claimed = await claim()
        if claimed and not interrupted:
            interrupted += claimed
            bench.pipeline.interrupt(list(bench.pipeline._active))
        return claimed

    monkeypatch.setattr(bench.pipeline, "_claim", claim_and_interrupt)
    await put(bench, ada=ADA)
    assert interrupted == 1
    record = await bench.storage.documents.by_file_path("ada.txt")
    assert record is not None
    assert record.status is DocStatus.PROCESSED
    assert not (await bench.pipeline.status()).busy
