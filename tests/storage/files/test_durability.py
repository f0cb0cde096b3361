"""What is acknowledged outlives the process; what is damaged is refused and left alone."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from lightrag.errors import Conflict, StorageDamaged, StorageError, StorageUnavailable
from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.files import FileStorage, layout
from lightrag.testing.storage_graph_contract import edge, entity_mention, node, relation_mention
from lightrag.types import DocStatus, DocumentRecord, Entity
from tests.storage.files import processes
from tests.storage.files.contents import contents
from tests.storage.files.eras import write_era

ROUNDS = 6
GRAPH = layout.GRAPH


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[FileStorage]:
    storage = FileStorage(folder, "w", quiet_seconds=60)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


async def fill(storage: Storage) -> None:
    """Put something into every store, odd characters included."""
    await storage.set_dimension(3)
    async with storage.transaction() as work:
        await work.documents.put([DocumentRecord("d", DocStatus.PROCESSED, file_path='ü "x".txt', created_at="2025")])
        await work.kv(Namespace.FULL_DOCS).put({"d": {"content": "Text\r\n\t\x00 知识", "file_path": "f", "pages": []}})
        await work.kv(Namespace.TEXT_CHUNKS).put({"c1": {"content": "Te", "full_doc_id": "d", "n": [1.5, None]}})
        await work.kv(Namespace.LLM_CACHE).put({"k": {"return": "answer", "create_time": 7}})
        own = (
            *(Namespace.META, Namespace.STALE, Namespace.SUMMARIES),
            *(Namespace.EXTRACTIONS, Namespace.EDITS, Namespace.SPARSE),
        )
        for namespace in own:
            await work.kv(namespace).put({'odd "key"\n<&>': {"value": "\u2028é"}})
        names = ["A\r\n\t<&>\"'", "Zoë ]]>", "plain", "bell\x07", "many"]
        await work.graph.put_mentions(
            [entity_mention(name, "c1") for name in names], [relation_mention(("plain", "Zoë ]]>"), "c1", weight=0.3)]
        )
        await work.graph.put_entities([node(name, "first\r\nsecond\x08 <SEP> third") for name in names])
        await work.graph.put_entities([Entity("bare", "", "", 0)])
        await work.graph.put_relations([edge("bell\x07", "plain"), edge("A\r\n\t<&>\"'", "plain", 1 / 3)])
        for kind, key in ((VectorKind.CHUNKS, "c1"), (VectorKind.ENTITIES, "plain"), (VectorKind.RELATIONS, "a<SEP>b")):
            rows = [VectorRow(f"{key}{i}", "h", np.float32([i, 1, -2])) for i in range(5)]
            await work.vectors(kind).put([*rows, VectorRow(key, "zero", np.zeros(3, np.float32))])
        assert work.lexical is not None
        await work.lexical.put({"c1": ["term", "\x00odd", "知识"]})


async def test_everything_is_the_same_after_opening_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await fill(storage)
        before = await contents(storage)
    for _ in range(2):
        async with opened(tmp_path) as storage:
            assert await contents(storage) == before
            await storage.kv(Namespace.META).put({})


async def test_the_journal_alone_brings_everything_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "live") as storage:
        await fill(storage)
        await storage.graph.delete_entities(["many"])
        await storage.graph.delete_mentions(["c1"])
        before = await contents(storage)
        shutil.copytree(tmp_path / "live", tmp_path / "copy")
    assert not (tmp_path / "copy" / GRAPH).exists()
    async with opened(tmp_path / "copy") as storage:
        assert await contents(storage) == before


async def test_dropped_vectors_leave_no_file_behind(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await fill(storage)
    assert (tmp_path / "vdb_chunks.json").exists()
    async with opened(tmp_path) as storage:
        await storage.drop_vectors()
    assert not (tmp_path / "vdb_chunks.json").exists()
    async with opened(tmp_path) as storage:
        await storage.set_dimension(5)
        assert await storage.vectors(VectorKind.CHUNKS).count() == 0


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, processes.__file__, str(folder)], stdout=subprocess.PIPE, text=True)


async def test_killed_writers_lose_nothing_acknowledged_and_tear_no_transaction(tmp_path: Path) -> None:
    acknowledged = 0
    for number in range(ROUNDS):
        writer = start(tmp_path)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        # On a busy machine a whole round may pass before anything is written.
        lines = [writer.stdout.readline()] if number == 0 else []
        await asyncio.sleep(random.uniform(0.02, 0.3))
        writer.kill()
        lines += writer.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *map(int, lines)])
        async with opened(tmp_path) as storage:
            await assert_whole(storage, acknowledged)
    assert acknowledged > 0


async def assert_whole(storage: Storage, acknowledged: int) -> None:
    done = (await storage.kv(Namespace.META).get(["done"])).get("done", {"n": 0})["n"]
    assert done >= acknowledged
    singles = [f"{n}:{i}" for n in range(1, acknowledged + 1) for i in range(3)]
    assert len(await storage.kv(Namespace.META).get(singles)) == len(singles)
    assert await storage.vectors(VectorKind.CHUNKS).count() == done
    assert await storage.kv(Namespace.TEXT_CHUNKS).count() == done
    assert (await storage.graph.counts())[0] == done
    assert storage.lexical is not None
    assert await storage.lexical.count() == done
    if done:
        assert (await storage.graph.entity_evidence(["hub"], 1))["hub"].total == done
        weight = (await storage.graph.relation_evidence([("hub", "node")], 1))["hub", "node"].weight
        assert weight == pytest.approx(done / 10)


async def test_a_frame_that_was_being_written_is_cut_off(tmp_path: Path) -> None:
    async with opened(tmp_path / "live") as storage:
        await storage.kv(Namespace.META).put({"a": {}})
        await storage.kv(Namespace.META).put({"b": {}})
        shutil.copytree(tmp_path / "live", tmp_path / "copy")
    journal = next((tmp_path / "copy" / ".lightrag").glob("journal-*"))
    journal.write_bytes(journal.read_bytes()[:-3])
    async with opened(tmp_path / "copy") as storage:
        assert await storage.kv(Namespace.META).scan() == [("a", {})]
        await storage.kv(Namespace.META).put({"c": {}})
    async with opened(tmp_path / "copy") as storage:
        assert [key for key, _ in await storage.kv(Namespace.META).scan()] == ["a", "c"]


async def test_a_journal_that_is_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "live") as storage:
        for key in ("a", "b", "c"):
            await storage.kv(Namespace.META).put({key: {}})
        shutil.copytree(tmp_path / "live", tmp_path / "copy")
    journal = next((tmp_path / "copy" / ".lightrag").glob("journal-*"))
    data = bytearray(journal.read_bytes())
    data[12] ^= 255
    journal.write_bytes(data)
    with pytest.raises(StorageDamaged, match=journal.name):
        await FileStorage(tmp_path / "copy", "w").open()
    assert journal.read_bytes() == bytes(data)


async def test_files_that_were_announced_are_moved_into_place_after_a_crash(tmp_path: Path) -> None:
    async with opened(tmp_path / "new") as storage:
        await fill(storage)
        await storage.write_files()
        await storage.graph.put_entities([node("later")])
        before = await contents(storage)
        shutil.copytree(tmp_path / "new", tmp_path / "crashed")
    new, crashed = tmp_path / "new", tmp_path / "crashed"
    aside = crashed / ".lightrag" / "next"
    aside.mkdir()
    shutil.copy2(new / GRAPH, aside / GRAPH)
    manifest = json.loads((new / ".lightrag" / "manifest.json").read_text())
    names = [*(name for name in manifest["files"] if name.startswith(".lightrag/")), GRAPH]
    for name in names:
        shutil.copy2(new / name, aside / name.replace("/", "__"))
    announced = {"files": names, "removed": [], "manifest": manifest}
    (crashed / ".lightrag" / "publish.json").write_text(json.dumps(announced))
    async with opened(crashed) as storage:
        assert await contents(storage) == before
    assert not aside.exists()


@pytest.mark.parametrize("name", [*layout.LIGHTRAG_FILES, *(f".lightrag/{name}" for name in layout.OWN_FILES)])
async def test_a_truncated_file_is_refused_by_name_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path) as storage:
        await fill(storage)
    path = tmp_path / name
    cut = path.read_bytes()[: path.stat().st_size // 2 - 1]
    path.write_bytes(cut)
    with pytest.raises(StorageDamaged, match=path.name):
        await FileStorage(tmp_path, "w").open()
    assert path.read_bytes() == cut


@pytest.mark.parametrize("name", ["kv_store_doc_status.json", GRAPH, "vdb_entities.json"])
async def test_a_truncated_file_of_lightrag_is_refused_too(tmp_path: Path, name: str) -> None:
    path = write_era(tmp_path, "M") / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageDamaged, match=name):
        await FileStorage(tmp_path, "w").open()


async def test_a_file_that_vanished_is_missed(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await fill(storage)
    (tmp_path / layout.TEXT_CHUNKS).unlink()
    with pytest.raises(StorageDamaged, match=r"kv_store_text_chunks\.json: the file is missing"):
        await FileStorage(tmp_path, "w").open()


async def test_a_folder_that_lightrag_emptied_is_empty(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await fill(storage)
    for name in layout.LIGHTRAG_FILES:
        path = tmp_path / name
        if name.startswith("kv_store"):
            path.write_text("{}")
        else:
            path.unlink()
    async with opened(tmp_path) as storage:
        assert await storage.documents.counts() == {}
        assert (await storage.graph.counts())[0] == 1, "what only this server could keep"
        assert await storage.vectors(VectorKind.CHUNKS).count() == 0


async def test_a_damaged_vector_matrix_is_refused(tmp_path: Path) -> None:
    path = write_era(tmp_path, "M") / "vdb_chunks.json"
    content = json.loads(path.read_text())
    content["matrix"] = content["matrix"][:32]
    path.write_text(json.dumps(content))
    with pytest.raises(StorageDamaged, match="2 records of 4 numbers"):
        await FileStorage(tmp_path, "w").open()


async def test_a_file_that_somebody_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    storage = FileStorage(write_era(tmp_path, "M"), "w", quiet_seconds=60)
    await storage.open()
    path = tmp_path / "kv_store_doc_status.json"
    changed = path.read_text().replace("a.txt", "renamed.txt")
    path.write_text(changed)
    await storage.graph.put_entities([node("mine")])
    with pytest.raises(Conflict, match=r"kv_store_doc_status\.json was changed by another program"):
        await storage.write_files()
    await storage.close()
    assert path.read_text() == changed
    async with opened(tmp_path) as again:
        assert "mine" in await again.graph.get_entities(["mine"])
        assert await again.documents.by_file_path("renamed.txt") is not None


async def test_only_one_may_have_a_folder_open(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StorageUnavailable, match="in use by another process"):
            await FileStorage(tmp_path, "w").open()
    async with opened(tmp_path):
        pass


async def test_a_closed_storage_says_so(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "w")
    with pytest.raises(StorageUnavailable):
        await storage.kv(Namespace.META).put({"a": {}})
    await storage.open()
    await storage.close()
    with pytest.raises(StorageUnavailable):
        await storage.documents.counts()


async def test_a_text_that_is_not_unicode_is_refused_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        good = [storage.graph.put_entities([node(f"n{i}")]) for i in range(5)]
        bad = storage.graph.put_entities([node("half \ud800")])
        outcomes = await asyncio.gather(*good, bad, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType"] * 5 + ["InvalidInput"]
        assert await storage.graph.counts() == (5, 0)


async def test_a_journal_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, "w", quiet_seconds=60)
    await storage.open()
    storage._journal.close()
    with pytest.raises(StorageError, match="nothing was changed"):
        await storage.kv(Namespace.META).put({"a": {}})
    assert await storage.kv(Namespace.META).count() == 0
    await storage.close()
