"""What somebody did to the tables by hand is found and mended, and asks nothing of a model that extracts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lightrag.errors import StorageDamaged
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.types import DocStatus

from .test_pipeline import put, settle
from .workbench import Workbench, make_workbench, snapshot

TEXTS = {
    f"d{number}": "\n".join(
        f"@ {one} > {other}: knows since year {number}{index} and that has been so for a rather long time"
        for index, (one, other) in enumerate((("Ada", "Bob"), ("Bob", f"Eve{number % 3}"), ("Ada", "Dan")))
    )
    for number in range(5)
}
DAMAGE = {
    "every entity row": "DELETE FROM entity",
    "one entity row": "DELETE FROM entity WHERE name = 'Ada'",
    "entity rows and relation rows": "DELETE FROM entity WHERE id % 2; DELETE FROM relation WHERE id % 3 = 0",
    "nodes": "UPDATE entity SET body = NULL, degree = NULL, folded = NULL",
    "numbers of mentions": "UPDATE entity SET mentions = mentions + 1; UPDATE relation SET mentions = 7",
    "numbers of relations": "UPDATE entity SET degree = degree + 5",
    "relation rows": "DELETE FROM relation WHERE id % 2",
    "weights": "UPDATE relation SET weight = weight + 1",
    "mentions of entities": "DELETE FROM entity_mention WHERE chunk % 2",
    "mentions of relations": "DELETE FROM relation_mention WHERE chunk % 2",
    "the graph's chunks": "DELETE FROM chunk WHERE id % 2",
    "the graph": "; ".join(
        f"DELETE FROM {table}" for table in ("entity", "relation", "chunk", "entity_mention", "relation_mention")
    ),
    "a node that nobody mentions": (
        "INSERT INTO entity(name, mentions, degree, folded, body)"
        """ VALUES ('Zed', 0, 0, 'zed', '"Zed","person","d",1,[],[],0')"""
    ),
    "chunks": "DELETE FROM kv_text_chunks WHERE id % 2",
    "passages": "DELETE FROM passage WHERE id % 2",
    "the text index": "INSERT INTO passage_index(passage_index) VALUES ('delete-all')",
    "vectors": "DELETE FROM vector_entities; DELETE FROM vector_chunks WHERE id % 2",
    "a passage of no chunk": (
        "INSERT INTO passage(key, terms) VALUES ('ghost', 'year');"
        " INSERT INTO passage_index(passage_index) VALUES ('rebuild')"
    ),
    "terms of passages": "UPDATE passage SET terms = 'foo' WHERE id % 2",
    "a chunk of no document": (
        "INSERT INTO kv_text_chunks(key, body) SELECT 'chunk-x', replace(replace(body, key, 'chunk-x'), 'doc-', 'dog-')"
        " FROM kv_text_chunks LIMIT 1"
    ),
    "what documents know of their chunks": "UPDATE document SET body = json_set(body, '$.chunks_list', json('[]'))",
    "numbers of vectors": (
        "UPDATE vector_chunks SET embedding = x'00' WHERE id % 2;"
        " UPDATE vector_relationships SET embedding = zeroblob(length(embedding)) WHERE id % 2;"
        " UPDATE vector_entities SET embedding = CAST(x'0000c07f' || substr(embedding, 5) AS BLOB) WHERE id % 2"
    ),
    "numbers of codes": "UPDATE code_entities SET code = zeroblob(length(code))",
    "codes of vectors": "DELETE FROM code_chunks; INSERT INTO code_entities(id, code) VALUES (99, x'00')",
}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    storage = SQLiteStorage(tmp_path, "w")
    await storage.open()
    bench = make_workbench(storage)
    await bench.pipeline.start()
    await put(bench, **TEXTS)
    yield bench
    await bench.pipeline.stop()
    await storage.close()


async def contents(storage: Storage) -> dict[str, Any]:
    """Return what a workspace holds, derived or not, and what searches in it find."""
    names = [entity.name for entity in await storage.graph.scan_entities()]
    assert storage.lexical is not None
    return {
        **await snapshot(storage),
        "evidence": await storage.graph.entity_evidence(names, 100),
        "degrees": await storage.graph.degrees(names),
        "neighbours": await storage.graph.relations_of(names, 100),
        "labels": sorted(await storage.graph.labels_containing("a", 100)),
        "statuses": await storage.documents.counts(),
        "extractions": await storage.kv(Namespace.EXTRACTIONS).scan(),
        "found": {hit.key for hit in await storage.lexical.search(["year"], 100)},
    }


@pytest.mark.parametrize("damage", DAMAGE)
async def test_what_was_done_to_the_tables_by_hand_is_mended(bench: Workbench, tmp_path: Path, damage: str) -> None:
    healthy, asked = await contents(bench.storage), len(bench.extractor.calls)
    assert (await bench.verifier.verify()).ok
    conn = sqlite3.connect(tmp_path / "lightrag.sqlite3")
    conn.executescript(DAMAGE[damage])
    conn.close()
    assert not (await bench.verifier.verify()).ok
    await bench.verifier.repair()
    await bench.pipeline.load_stale()
    await settle(bench)
    assert (await bench.verifier.verify()).problems == []
    assert await contents(bench.storage) == healthy
    assert len(bench.extractor.calls) == asked


async def test_a_file_whose_text_is_gone_is_read_again(bench: Workbench) -> None:
    await bench.pipeline.stop()
    (record, *_), _ = await bench.storage.documents.page()
    await bench.storage.documents.put([record.replace(source_file="d.txt")])
    await bench.storage.kv(Namespace.FULL_DOCS).delete([record.id])
    (problem,) = (await bench.verifier.verify()).problems
    assert "its text is missing" in problem
    await bench.verifier.repair()
    mended = (await bench.storage.documents.get([record.id]))[record.id]
    assert (mended.status, mended.content_hash) == (DocStatus.PENDING, "")
    assert mended.chunks_list == record.chunks_list


async def test_a_row_that_cannot_be_read_is_told_as_damage(bench: Workbench, tmp_path: Path) -> None:
    conn = sqlite3.connect(tmp_path / "lightrag.sqlite3")
    conn.executescript("UPDATE kv_extractions SET body = 'zzz' WHERE id = 1")
    conn.close()
    with pytest.raises(StorageDamaged, match=r"lightrag\.sqlite3: a row does not hold JSON"):
        await bench.verifier.verify()


async def test_building_the_graph_anew_embeds_nothing_anew(bench: Workbench, tmp_path: Path) -> None:
    embedded = sum(bench.embedding.calls)
    conn = sqlite3.connect(tmp_path / "lightrag.sqlite3")
    conn.executescript(DAMAGE["every entity row"])
    conn.close()
    await bench.verifier.repair()
    assert await bench.storage.kv(Namespace.STALE).count() == 0
    await bench.pipeline.load_stale()
    await settle(bench)
    assert sum(bench.embedding.calls) == embedded
