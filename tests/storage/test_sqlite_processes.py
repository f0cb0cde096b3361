"""Several processes share one workspace file, and may be killed at any moment."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.sqlite import FILE_NAME, SQLiteStorage
from lightrag.types import DocStatus, DocumentRecord
from tests.storage import processes
from tests.storage.processes import DIMENSION, ROWS

ROUNDS = 3


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SQLiteStorage]:
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    await storage.set_dimension(DIMENSION)
    yield storage
    await storage.close()


def start(role: str, folder: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, processes.__file__, role, str(folder), name], stdout=subprocess.PIPE, text=True
    )


async def test_killed_writers_lose_nothing_acknowledged_and_tear_no_transaction(tmp_path: Path) -> None:
    acknowledged = {"a": 0, "b": 0}
    for number in range(ROUNDS):
        writers = {name: start("write", tmp_path, name) for name in acknowledged}
        for writer in writers.values():
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        # On a busy machine a whole round may pass before anything is written.
        first = {name: writer.stdout.readline() for name, writer in writers.items() if writer.stdout and number == 0}
        await asyncio.sleep(random.uniform(0.05, 0.4))
        for name, writer in writers.items():
            writer.kill()
            lines = [*([first[name]] if first else []), *writer.communicate()[0].splitlines()]
            acknowledged[name] = max([acknowledged[name], *map(int, lines)])
        storage = SQLiteStorage(tmp_path, "w")
        await storage.open()
        await assert_whole(storage, acknowledged)
        await storage.close()
    assert min(acknowledged.values()) > 0
    conn = sqlite3.connect(tmp_path / FILE_NAME)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.execute("INSERT INTO passage_index(passage_index) VALUES ('integrity-check')")
    conn.close()


async def assert_whole(storage: Storage, acknowledged: dict[str, int]) -> None:
    rows = await storage.kv(Namespace.META).get(list(acknowledged))
    done = {name: row["n"] for name, row in rows.items()}
    assert all(done.get(name, 0) >= count for name, count in acknowledged.items())
    for name, count in acknowledged.items():
        singles = [f"{name}:{n}:{i}" for n in range(1, count + 1) for i in range(3)]
        assert len(await storage.kv(Namespace.META).get(singles)) == len(singles)
    total = sum(done.values())
    assert await storage.vectors(VectorKind.CHUNKS).count() == total * ROWS
    if total:
        assert (await storage.graph.entity_evidence(["hub"], 1))["hub"].total == total
        weight = (await storage.graph.relation_evidence([("hub", "node")], 1))["hub", "node"].weight
        assert weight == pytest.approx(total / 10)
    assert (await storage.graph.counts())[0] == total
    assert storage.lexical is not None
    assert await storage.lexical.count() == total


async def test_a_document_is_claimed_by_one_process_only(storage: SQLiteStorage, tmp_path: Path) -> None:
    ids = {f"d{i}" for i in range(40)}
    await storage.documents.put([DocumentRecord(id, DocStatus.PENDING) for id in ids])
    workers = [start("claim", tmp_path, name) for name in ("a", "b")]
    claimed = [line for worker in workers for line in worker.communicate()[0].splitlines()]
    assert sorted(claimed) == sorted(ids)


async def test_what_another_process_wrote_is_found(storage: SQLiteStorage, tmp_path: Path) -> None:
    vectors, ones = storage.vectors(VectorKind.CHUNKS), np.ones(DIMENSION, np.float32)
    await vectors.put([VectorRow("old", "h", ones), VectorRow("other", "h", -ones)])
    assert [hit.key for hit in (await vectors.search(ones[None], 1))[0]] == ["old"]
    seq = (await storage.graph.changes(0)).seq
    start("put", tmp_path, "new").wait()
    assert [hit.key for hit in (await vectors.search(ones[None], 5))[0]] == ["new", "other"]
    assert [name for _, name in (await storage.graph.changes(seq)).entities] == ["new"]
