"""A workspace is copied between storage families, whole, and an interrupted copy goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lightrag.cli.main import app
from lightrag.errors import Conflict, StorageMismatch
from lightrag.storage.choice import recorded_family
from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.files import FileStorage
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.migrate import PROGRESS_KEY, migrate
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.testing.storage_graph_contract import edge, entity_mention, node, relation_mention
from lightrag.text.words import index_terms
from lightrag.types import DocStatus, DocumentRecord
from tests.storage.files.contents import contents
from tests.storage.files.eras import ERAS, write_era

CHUNKS = 23


class Interrupted(Exception):
    pass


@pytest.fixture(params=["files to sqlite", "sqlite to files", "memory to files"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Storage, Storage]]:
    made: dict[str, Storage] = {
        "files": FileStorage(tmp_path / "files", "w"),
        "sqlite": SQLiteStorage(tmp_path / "sqlite", "w"),
        "memory": MemoryStorage("w"),
    }
    source, target = (made[name] for name in request.param.split(" to "))
    for storage in (source, target):
        await storage.open()
    await fill(source)
    yield source, target
    for storage in (source, target):
        await storage.close()


async def fill(storage: Storage) -> None:
    await storage.set_dimension(4)
    random = np.random.default_rng(1)
    async with storage.transaction() as work:
        for i in range(CHUNKS):
            doc, chunk = f"d{i % 5}", f"c{i}"
            text = f"Acme made the {i}th term for Alice"
            await work.documents.put(
                [DocumentRecord(doc, DocStatus.PROCESSED, tags={"n": i}, chunks_list=("x", chunk))]
            )
            await work.kv(Namespace.TEXT_CHUNKS).put({chunk: {"content": text, "full_doc_id": doc}})
            await work.kv(Namespace.LLM_CACHE).put({f"default:extract:{i}": {"return": "é", "chunk_id": chunk}})
            await work.graph.put_mentions(
                [entity_mention("hub", chunk, doc), entity_mention(f"e{i}", chunk, doc)],
                [relation_mention((f"e{i}", "hub"), chunk, doc, 0.1)],
            )
            await work.graph.put_entities([node("hub"), node(f"e{i}")])
            await work.graph.put_relations([edge(f"e{i}", "hub", i / 7)])
            rows = [VectorRow(f"v{i}", str(i), random.standard_normal(4, np.float32))]
            await work.vectors(VectorKind.ENTITIES).put(rows)
            assert work.lexical is not None
            await work.lexical.put({chunk: index_terms(text)})
        await work.kv(Namespace.META).put({"manifest": {"embedding": "m", "family": storage.family}})


async def test_both_sides_hold_the_same_afterwards(pair: tuple[Storage, Storage]) -> None:
    source, target = pair
    reports = await migrate(source, target, batch=4)
    assert {report.name: report.rows for report in reports}["entity mentions"] == 2 * CHUNKS
    mine, copied = await contents(source), await contents(target)
    assert copied["kv meta"]["manifest"].pop("family") == target.family
    mine["kv meta"]["manifest"].pop("family")
    assert copied == mine


async def test_an_interrupted_copy_goes_on_where_it_stopped(pair: tuple[Storage, Storage]) -> None:
    source, target = pair
    seen: list[str] = []

    def stop_at(part: str) -> Any:
        def tell(name: str, done: int, total: int) -> None:
            seen.append(name)
            if name == part and done >= 8:
                raise Interrupted

        return tell

    for part in ("text_chunks", "entities"):
        with pytest.raises(Interrupted):
            await migrate(source, target, progress=stop_at(part), batch=4)
    seen.clear()
    await migrate(source, target, progress=stop_at(""), batch=4)
    assert "text_chunks" not in seen
    assert await target.kv(Namespace.META).get([PROGRESS_KEY]) == {}
    assert (await contents(target))["mentions"] == (await contents(source))["mentions"]


async def test_a_target_with_data_of_its_own_is_refused(pair: tuple[Storage, Storage]) -> None:
    source, target = pair
    await target.kv(Namespace.SUMMARIES).put({"a": {"text": "mine"}})
    with pytest.raises(Conflict, match="holds data already"):
        await migrate(source, target)
    assert await target.kv(Namespace.SUMMARIES).count() == 1


async def test_a_copy_that_differs_is_told(pair: tuple[Storage, Storage]) -> None:
    source, target = pair

    def stop_before_comparing(part: str, done: int, total: int) -> None:
        if part == "comparing":
            raise Interrupted

    with pytest.raises(Interrupted):
        await migrate(source, target, progress=stop_before_comparing)
    await target.graph.delete_relations([("e3", "hub")])
    with pytest.raises(StorageMismatch, match="relations: 23 rows"):
        await migrate(source, target)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["migrate", *arguments], catch_exceptions=False)


@pytest.mark.parametrize("era", ERAS)
def test_the_command_moves_a_folder_of_lightrag_to_sqlite_and_back(
    tmp_path: Path, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_era(tmp_path / "rag_storage", era)
    result = run("--from", "files", "--to", "sqlite")
    assert result.exit_code == 0, result.output
    assert "the same as before" in result.output
    assert recorded_family(folder) == "sqlite"
    assert (folder / "lightrag.sqlite3").exists()
    result = run("--from", "sqlite", "--to", "JsonKVStorage", "--target-dir", str(tmp_path / "copy"))
    assert result.exit_code == 0, result.output
    before = json.loads((folder / "kv_store_entity_chunks.json").read_text()) if era != "S" else None
    after = json.loads((tmp_path / "copy" / "kv_store_entity_chunks.json").read_text())
    assert after.keys() == {"Alice", "Acme", "Bob"}
    if before is not None:
        assert {key: row["chunk_ids"] for key, row in after.items()} == {
            key: row["chunk_ids"] for key, row in before.items()
        }


def test_the_command_says_what_it_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no data of the storages 'sqlite'" in run("--from", "sqlite", "--to", "files").output
    assert "known: sqlite, files" in run("--from", "paper", "--to", "files").output
    write_era(tmp_path / "rag_storage", "M")
    assert "are the same" in run("--from", "files", "--to", "files").output
    assert run("--from", "files", "--to", "sqlite").exit_code == 0
    again = run("--from", "files", "--to", "sqlite")
    assert again.exit_code == 1
    assert "--restart" in again.output
    assert run("--from", "files", "--to", "sqlite", "--restart").exit_code == 0
