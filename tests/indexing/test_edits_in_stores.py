"""Manual edits in every storage family: over restarts, between processes, in LightRAG's files, over a migration."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lightrag.indexing.contributions import Folder
from lightrag.indexing.fold import FoldRules
from lightrag.indexing.graph_editor import GraphEditor
from lightrag.indexing.records import MANUAL
from lightrag.indexing.verify import Verifier
from lightrag.storage.contracts import EntityEvidence, RelationEvidence, Storage
from lightrag.storage.files import FileStorage
from lightrag.storage.migrate import migrate
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.types import Pair
from tests.storage.files.eras import ERAS, write_era

from .test_edits import Desk, library

FAMILIES = [SQLiteStorage, FileStorage]
Family = type[SQLiteStorage] | type[FileStorage]


@asynccontextmanager
async def opened(family: Family, folder: Path) -> AsyncIterator[Desk]:
    """Open a workspace as a process of its own would."""
    storage: Storage = family(folder, "w")
    await storage.open()
    fold = Folder(FoldRules())
    try:
        yield Desk(storage, fold, GraphEditor(storage, fold, clock=lambda: 5.0))
    finally:
        await storage.close()


async def fill(at: Desk) -> None:
    """Insert the documents of `library` and edit them."""
    await at.add("one", [("Ada", "Bob", "knows"), ("Ada", "Cy", "likes")])
    await at.add("two", [("Lady Ada", "Bob", "met")])
    await edit(at)


async def edit(at: Desk) -> None:
    """Make one edit of every kind."""
    await at.editor.merge_entities(["Lady Ada"], "Ada")
    await at.editor.edit_entity("Ada", {"entity_name": "Ada King", "entity_type": "person"})
    await at.editor.create_entity("Tesla", {"description": "Cars"})
    await at.editor.create_relation("Tesla", "Bob", {"description": "drives", "weight": 2})
    await at.editor.edit_relation("Ada King", "Bob", {"description": "old friends"})
    await at.editor.delete_entity("Cy")


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_family_makes_the_same_of_the_same_edits(family: Family, tmp_path: Path) -> None:
    at = await library()
    await edit(at)
    async with opened(family, tmp_path) as stored:
        await fill(stored)
        first = await stored.state()
    async with opened(family, tmp_path) as stored:
        second, problems = await stored.state(), await stored.problems()
        for made in await stored.editor.list_edits():
            await stored.editor.undo(made.id)
        undone = await stored.state()
    assert first == second == await at.state()
    assert problems == []
    assert undone == await (await library()).state()


async def test_two_processes_never_store_under_edits_that_are_out_of_date(tmp_path: Path) -> None:
    async with opened(SQLiteStorage, tmp_path) as one, opened(SQLiteStorage, tmp_path) as other:
        await one.add("d1", [("Ada", "Bob", "knows")])
        await other.add("d2", [("Ada", "Cy", "knows")])
        renamed = await one.editor.edit_entity("Ada", {"entity_name": "Ada King"})
        await other.add("d3", [("Ada", "Dora", "knows")])
        names = await other.names()
        await other.editor.delete_entity("Dora")
        assert renamed.edit is not None
        await one.editor.undo(renamed.edit.id)
        await other.add("d4", [("Ada", "Dora", "knows")])
        last, problems = await one.names(), await one.problems()
    assert names == ["Ada King", "Bob", "Cy", "Dora"]
    assert last == ["Ada", "Bob", "Cy"]
    assert problems == []


async def test_migration_carries_the_edits(tmp_path: Path) -> None:
    async with opened(FileStorage, tmp_path / "files") as source:
        await fill(source)
        before = await source.state()
        async with opened(SQLiteStorage, tmp_path / "sqlite") as target:
            await migrate(source.storage, target.storage)
            copied = await target.state()
            await target.add("three", [("Lady Ada", "Cy", "met")])
            names, edits = await target.names(), await target.editor.list_edits()
    assert copied == before
    assert names == ["Ada King", "Bob", "Tesla"]
    assert len(edits) == 6


async def test_the_files_hold_the_edited_graph_and_what_lightrag_changes_there_counts(tmp_path: Path) -> None:
    async with opened(FileStorage, tmp_path) as at:
        await fill(at)
    graph = tmp_path / "graph_chunk_entity_relation.graphml"
    text = graph.read_text()
    nodes = re.findall(r'<node id="([^"]+)"', text)
    assert sorted(nodes) == ["Ada King", "Bob", "Tesla"]
    assert "manual_creation" in text
    # LightRAG rewrites the file, here with another word for what was made by hand.
    graph.write_text(text.replace("Cars", "Electric cars"))
    async with opened(FileStorage, tmp_path) as at:
        names = await at.names()
        await Verifier(at.storage, at.fold).repair()
        problems = await at.problems()
        await at.add("three", [("Lady Ada", "Cy", "met")])
        later = await at.names()
        for made in await at.editor.list_edits():
            await at.editor.undo(made.id)
        undone = await at.names()
    assert names == later == ["Ada King", "Bob", "Tesla"]
    assert problems == []
    assert undone == ["Ada", "Bob", "Cy", "Lady Ada", "Tesla"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_graph_of_lightrag_is_edited_and_the_edits_are_undone(era: str, tmp_path: Path) -> None:
    folder = write_era(tmp_path / "rag_storage", era)
    graph = folder / "graph_chunk_entity_relation.graphml"
    # Bob was made by hand there: his source is no chunk.
    text = graph.read_text()
    start = text.index('<node id="Bob"')
    end = text.index("</node>", start)
    bob = re.sub(r"chunk-[0-9a-f]+|doc-[\w-]+-chunk-\d+", MANUAL, text[start:end])
    graph.write_text(text[:start] + bob + text[end:])
    for tracked in folder.glob("kv_store_entity_chunks.json"):
        tracked.unlink()
    async with opened(FileStorage, folder) as at:
        before = await evidence(at)
        made = [
            await at.editor.edit_entity("Alice", {"entity_name": "Alice Smith"}),
            await at.editor.delete_entity("Bob"),
            await at.editor.merge_entities(["Acme"], "Alice Smith"),
        ]
        edited = await at.names()
    async with opened(FileStorage, folder) as at:
        kept = await at.names()
        for step in made:
            assert step.edit is not None
            await at.editor.undo(step.edit.id)
        after = await evidence(at)
    assert MANUAL in {mention.source.chunk_id for mention in before[0]["Bob"].mentions}
    assert edited == kept == ["Alice Smith"]
    assert after == before


async def evidence(at: Desk) -> tuple[dict[str, EntityEvidence], dict[Pair, RelationEvidence]]:
    """Return everything that is mentioned."""
    graph = at.storage.graph
    return (
        await graph.entity_evidence(await graph.scan_mention_keys(), 99),
        await graph.relation_evidence(await graph.scan_mention_pairs(), 99),
    )
