"""What is particular to the SQLite family: damaged files, locks, versions, and what a commit costs."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator
from math import nan
from pathlib import Path

import numpy as np
import pytest

from lightrag.errors import InvalidInput, StorageDamaged, StorageMismatch, StorageUnavailable
from lightrag.indexing.manifest import Manifest, note_manifest, read_manifest
from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.sqlite import FILE_NAME, SQLiteStorage, connection
from lightrag.testing.storage_graph_contract import edge, entity_mention, node, relation_mention
from lightrag.types import DocStatus, DocumentRecord

DIMENSION = 16


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SQLiteStorage]:
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    await storage.set_dimension(DIMENSION)
    yield storage
    await storage.close()


async def filled(folder: Path) -> Path:
    storage = SQLiteStorage(folder, "w")
    await storage.open()
    await storage.kv(Namespace.META).put({str(i): {"text": "x" * 500} for i in range(200)})
    await storage.close()
    return folder / FILE_NAME


async def test_data_outlive_the_process(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "made" / "when needed", "w")
    await storage.open()
    await storage.set_dimension(2)
    await storage.vectors(VectorKind.CHUNKS).put([VectorRow("a", "h", np.array([1, 0], np.float32))])
    await storage.close()
    await storage.open()
    hits = await storage.vectors(VectorKind.CHUNKS).search(np.array([[1, 0]], np.float32), 1)
    assert hits[0][0].key == "a"
    await storage.close()


@pytest.mark.parametrize("damage", ["text", "truncated", "overwritten"])
async def test_a_damaged_file_is_named_with_the_way_to_mend_it(tmp_path: Path, damage: str) -> None:
    file = await filled(tmp_path)
    content = file.read_bytes()
    if damage == "text":
        file.write_text("this is not a database, whatever its name says\n" * 200)
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2 + 77])
    else:
        file.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    storage = SQLiteStorage(tmp_path, "w")
    with pytest.raises(StorageDamaged, match=FILE_NAME) as caught:
        await use(storage)
    assert "restore it" in str(caught.value)
    await storage.close()


async def use(storage: Storage) -> None:
    await storage.open()
    await storage.kv(Namespace.META).scan()


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    conn = sqlite3.connect(tmp_path / FILE_NAME)
    conn.execute("CREATE TABLE theirs(x)")
    conn.close()
    with pytest.raises(StorageDamaged, match="another program"):
        await SQLiteStorage(tmp_path, "w").open()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    conn = sqlite3.connect(await filled(tmp_path))
    conn.execute("PRAGMA user_version = 999")
    conn.close()
    with pytest.raises(StorageMismatch, match="newer version"):
        await SQLiteStorage(tmp_path, "w").open()


async def test_a_file_from_before_sparse_weights_gets_a_place_for_them(tmp_path: Path) -> None:
    conn = sqlite3.connect(await filled(tmp_path))
    conn.execute("DROP TABLE kv_sparse")
    conn.execute("PRAGMA user_version = 2")
    conn.close()
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    await storage.kv(Namespace.SPARSE).put({"chunk-1": {"weights": {"7": 0.5}}})
    assert await storage.kv(Namespace.SPARSE).get(["chunk-1"]) == {"chunk-1": {"weights": {"7": 0.5}}}
    assert await storage.kv(Namespace.META).count() == 200
    await storage.close()


async def test_a_lock_held_too_long_is_unavailable_and_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        await storage.kv(Namespace.META).put({"a": {}})
    with pytest.raises(StorageUnavailable, match="locked"):
        async with storage.transaction():
            pass
    other.execute("ROLLBACK")
    await storage.kv(Namespace.META).put({"a": {}})
    await storage.close()


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="folder"):
        await SQLiteStorage(tmp_path / "file" / "w", "w").open()


async def test_a_closed_storage_says_so(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path, "w")
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="closed"):
            await storage.kv(Namespace.META).put({"a": {}})
        with pytest.raises(StorageUnavailable, match="closed"):
            await storage.kv(Namespace.META).get(["a"])
        await storage.open()
        await storage.close()


async def test_closing_in_a_transaction_rolls_it_back(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()

    async def block() -> None:
        async with storage.transaction() as work:
            await work.kv(Namespace.META).put({"a": {}})
            await storage.close()

    with pytest.raises(StorageUnavailable):
        await block()
    await storage.open()
    assert await storage.kv(Namespace.META).count() == 0
    await storage.close()


async def test_a_step_that_is_refused_leaves_the_transaction_usable(storage: SQLiteStorage) -> None:
    async with storage.transaction() as work:
        await work.kv(Namespace.META).put({"a": {}})
        with pytest.raises(TypeError):
            await work.kv(Namespace.META).put({"b": {}, "c": {"bad": object()}})
        await work.kv(Namespace.META).put({"d": {}})
    assert await storage.kv(Namespace.META).scan() == [("a", {}), ("d", {})]


async def test_a_step_that_fails_half_way_undoes_the_transaction(storage: SQLiteStorage) -> None:
    async def block() -> None:
        async with storage.transaction() as work:
            await work.kv(Namespace.META).put({"a": {}})
            with pytest.raises(InvalidInput):
                await work.graph.put_mentions(
                    [entity_mention("A", "c")], [relation_mention(("A", "B"), "c", weight=nan)]
                )
            with pytest.raises(StorageUnavailable, match="rolled back"):
                await work.kv(Namespace.META).put({"b": {}})

    with pytest.raises(StorageUnavailable, match="rolled back"):
        await block()
    assert await storage.kv(Namespace.META).count() == 0
    assert await storage.graph.scan_mention_keys() == []


async def test_a_transaction_cannot_be_used_after_its_end(storage: SQLiteStorage) -> None:
    async with storage.transaction() as work:
        pass
    with pytest.raises(StorageUnavailable, match="over"):
        await work.kv(Namespace.META).put({"a": {}})


async def test_lone_surrogates_are_refused_in_words(storage: SQLiteStorage) -> None:
    with pytest.raises(InvalidInput, match="Unicode"):
        await storage.kv(Namespace.META).get(["\ud800"])


async def test_a_long_series_of_replacements_keeps_search_right(storage: SQLiteStorage) -> None:
    vectors, rng = storage.vectors(VectorKind.ENTITIES), np.random.default_rng(0)
    truth: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
    for _ in range(60):
        rows = {f"k{rng.integers(150)}": rng.standard_normal(DIMENSION, np.float32) for _ in range(20)}
        await vectors.put([VectorRow(key, "h", vector) for key, vector in rows.items()])
        truth |= rows
        gone = f"k{rng.integers(150)}"
        await vectors.delete([gone])
        truth.pop(gone, None)
        query = rng.standard_normal((1, DIMENSION), np.float32)
        scores = {key: float(v @ query[0] / np.linalg.norm(v)) for key, v in truth.items()}
        best = sorted(scores, key=lambda key: -scores[key])[:5]
        assert [hit.key for hit in (await vectors.search(query, 5))[0]] == best


async def test_the_cost_of_a_commit_does_not_depend_on_what_is_stored(tmp_path: Path) -> None:
    """Counts the pages that a transaction writes, with many mentions of the same names and with four times as many."""
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    await storage.set_dimension(DIMENSION)
    names = [f"Entity {i}" for i in range(16)]
    pages = []
    for size in (300, 1200):
        await preload(storage, names, size)
        before = wal_pages(tmp_path)
        await commit_chunk(storage, names, f"measured-{size}")
        pages.append(wal_pages(tmp_path) - before)
    await storage.close()
    assert pages[1] <= pages[0] * 1.3


async def preload(storage: Storage, names: list[str], size: int) -> None:
    pairs = list(itertools.pairwise(names))
    async with storage.transaction() as work:
        for i in range(size):
            chunk = f"chunk-{size}-{i}"
            await work.graph.put_mentions(
                [entity_mention(name, chunk) for name in [*names, f"own {chunk}"]],
                [relation_mention(pair, chunk) for pair in pairs],
            )
    await storage.close()
    await storage.open()


async def commit_chunk(storage: Storage, names: list[str], chunk: str) -> None:
    pairs = list(itertools.pairwise(names))
    async with storage.transaction() as work:
        await work.graph.put_mentions(
            [entity_mention(name, chunk) for name in names], [relation_mention(pair, chunk) for pair in pairs]
        )
        await work.graph.entity_evidence(names, 10)
        await work.graph.relation_evidence(pairs, 10)
        await work.graph.put_entities([node(name) for name in names])
        await work.graph.put_relations([edge(*pair) for pair in pairs])


def wal_pages(folder: Path) -> int:
    """Return the number of pages in the write-ahead log (frames of a page and 24 bytes)."""
    log = folder / f"{FILE_NAME}-wal"
    return (log.stat().st_size - 32) // (4096 + 24) if log.exists() and log.stat().st_size else 0


async def test_the_version_changes_with_every_commit_of_anybody_and_only_then(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        one, other = SQLiteStorage(tmp_path, "w"), SQLiteStorage(tmp_path, "w")
        for storage in (one, other):
            await storage.open()
            stack.push_async_callback(storage.close)
        seen = one.version()
        await one.kv(Namespace.META).get(["x"])
        assert one.version() == seen
        await one.kv(Namespace.META).put({"x": {"a": 1}})
        mine = one.version()
        assert mine != seen
        await other.kv(Namespace.META).put({"x": {"a": 2}})
        assert one.version() != mine


async def test_a_search_from_memory_finds_what_another_process_changed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    async with contextlib.AsyncExitStack() as stack:
        one, other = SQLiteStorage(tmp_path, "w"), SQLiteStorage(tmp_path, "w")
        for storage in (one, other):
            await storage.open()
            stack.push_async_callback(storage.close)
        await one.set_dimension(8)
        rows = rng.standard_normal((300, 8)).astype(np.float32)
        await one.vectors(VectorKind.CHUNKS).put([VectorRow(f"k{n:03}", "h", row) for n, row in enumerate(rows)])
        query = rows[7][None]
        for _ in range(3):
            assert (await one.vectors(VectorKind.CHUNKS).search(query, 1))[0][0].key == "k007"
        await other.vectors(VectorKind.CHUNKS).delete(["k007"])
        assert "k007" not in [hit.key for hit in (await one.vectors(VectorKind.CHUNKS).search(query, 300))[0]]
        await other.vectors(VectorKind.CHUNKS).put([VectorRow("new", "h", rows[7])])
        for _ in range(2):
            assert (await one.vectors(VectorKind.CHUNKS).search(query, 1))[0][0].key == "new"


async def test_searches_from_memory_and_from_the_file_agree(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    await storage.set_dimension(16)
    rows = rng.standard_normal((500, 16)).astype(np.float32)
    store = storage.vectors(VectorKind.ENTITIES)
    await store.put([VectorRow(f"k{n:03}", "h", row) for n, row in enumerate(rows)])
    queries = rng.standard_normal((4, 16)).astype(np.float32)
    from_file = await store.search(queries, 20, threshold=0.1)
    from_memory = await store.search(queries, 20, threshold=0.1)
    for one, other in zip(from_file, from_memory, strict=True):
        assert [hit.key for hit in one] == [hit.key for hit in other]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-5)
    await storage.close()


async def test_looking_for_work_costs_the_same_however_many_documents_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = itertools.count()
    connect = connection._connect

    def counting(*args: object, **options: object) -> sqlite3.Connection:
        conn = connect(*args, **options)  # type: ignore[arg-type]
        conn.set_progress_handler(lambda: 0 * next(steps), 1)
        return conn

    monkeypatch.setattr(connection, "_connect", counting)
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    await storage.set_dimension(2)

    async def looked(name: str) -> int:
        """Return the steps that the database takes to find two documents."""
        waiting = [DocumentRecord(f"{name}-{i}", DocStatus.PENDING, created_at=name) for i in range(2)]
        await storage.documents.put(waiting)
        before = next(steps)
        assert await storage.documents.count_due([DocStatus.PENDING, DocStatus.PROCESSING]) == 2
        claimed = await storage.documents.claim(
            "me", limit=4, lease_seconds=60, statuses=[DocStatus.PENDING, DocStatus.PROCESSING]
        )
        assert await read_manifest(storage) is not None
        spent = next(steps) - before
        assert len(claimed) == 2
        await storage.documents.delete([record.id for record in claimed])
        return spent

    async def cost(number: int) -> int:
        """Return these steps among so many documents, without what the database does now and then besides."""
        await storage.documents.put(
            [DocumentRecord(f"doc-{i}", DocStatus.PROCESSED, created_at=f"{i:06d}") for i in range(number)]
        )
        await storage.vectors(VectorKind.CHUNKS).put(
            [VectorRow(str(i), "h", np.array([1, i], np.float32)) for i in range(number)]
        )
        await note_manifest(storage, Manifest("some/model", "sqlite"))
        return min([await looked(f"{number}-{attempt}") for attempt in range(5)])

    few, many = await cost(20), await cost(1000)
    assert many < 1.5 * few
    await storage.close()
