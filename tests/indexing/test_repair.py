"""What somebody did to the tables by hand is found and mended, and asks nothing of a model that extracts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.sqlite import SQLiteStorage

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
