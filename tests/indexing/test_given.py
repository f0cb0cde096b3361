"""Graphs and chunks of one's own: documents like any other, whose chunks and findings come with them."""

from __future__ import annotations

from typing import Any

import pytest

from lightrag.errors import InvalidInput
from lightrag.indexing.custom_graph import read_custom_graph
from lightrag.indexing.given import accept_given, given_chunks
from lightrag.indexing.graph_editor import GraphEditor
from lightrag.storage.contracts import Namespace
from lightrag.storage.memory import MemoryStorage
from lightrag.types import DocStatus, DocumentRecord

from .workbench import Workbench, make_workbench, snapshot

GRAPH: dict[str, Any] = {
    "chunks": [
        {"content": "Ada wrote the first program.", "source_id": "s1", "file_path": "ada.txt", "chunk_order_index": 0},
        {"content": "Babbage built the engine.", "source_id": "s2", "file_path": "engine.txt"},
    ],
    "entities": [
        {"entity_name": "Ada", "entity_type": "person", "description": "Countess", "source_id": "s1"},
        {"entity_name": "Babbage", "entity_type": "person", "description": "Inventor", "source_id": "s2"},
        {"entity_name": "Menabrea", "entity_type": "person", "description": "General", "source_id": "elsewhere"},
    ],
    "relationships": [
        {
            "src_id": "Babbage",
            "tgt_id": "Ada",
            "description": "They wrote letters",
            "keywords": "letters, friends",
            "weight": 2,
            "source_id": "s1",
        },
        {"src_id": "Ada", "tgt_id": "Byron", "description": "Her father", "keywords": "family", "source_id": "s1"},
        {"src_id": "Ada", "tgt_id": "Ada", "description": "self", "keywords": "", "source_id": "s1"},
    ],
}


async def bench() -> Workbench:
    storage = MemoryStorage("w")
    await storage.open()
    made = make_workbench(storage)
    await made.pipeline.start()
    return made


async def give(at: Workbench, graph: dict[str, Any], doc_id: str | None = None) -> tuple[str, DocumentRecord]:
    """Insert a graph, wait until it is indexed; return the outcome and the row."""
    accepted = await accept_given(at.storage, read_custom_graph(graph, doc_id), "t", lambda text: len(text.split()))
    at.pipeline.wake()
    await at.pipeline.wait_until_idle()
    return accepted.outcome, (await at.storage.documents.get([accepted.record.id]))[accepted.record.id]


async def test_a_graph_becomes_a_document_with_its_entities_and_sources() -> None:
    at = await bench()
    outcome, record = await give(at, GRAPH)
    entities = {entity.name: entity for entity in await at.storage.graph.scan_entities()}
    relations = {relation.pair: relation for relation in await at.storage.graph.scan_relations()}
    report = await at.verifier.verify()
    again, _ = await give(at, GRAPH)
    await at.pipeline.stop()
    assert (outcome, again, record.status, record.file_path) == (
        "accepted",
        "duplicate",
        DocStatus.PROCESSED,
        "ada.txt",
    )
    assert len(record.chunks_list) == 3
    assert "relation with itself" in record.metadata["warnings"][0]
    assert entities["Ada"].file_paths == ("ada.txt",)
    assert entities["Babbage"].file_paths == ("ada.txt", "engine.txt")
    assert (entities["Byron"].type, entities["Byron"].description) == ("UNKNOWN", "Her father")
    assert entities["Menabrea"].file_paths == ("custom_kg",)
    assert relations["Ada", "Babbage"].weight == 2
    assert relations["Ada", "Babbage"].keywords == "friends,letters"
    assert at.extractor.calls == []
    assert report.problems == []


async def test_another_graph_under_the_same_id_takes_its_place_and_goes_with_its_document() -> None:
    at, fresh = await bench(), await bench()
    changed = {**GRAPH, "entities": [{**GRAPH["entities"][0], "description": "Mathematician"}], "relationships": []}
    await give(at, GRAPH, "kg")
    outcome, _ = await give(at, changed, "kg")
    await give(fresh, changed, "kg")
    updated, inserted = await snapshot(at.storage), await snapshot(fresh.storage)
    [record] = (await at.storage.documents.get(["kg"])).values()
    await at.storage.documents.put([record.replace(delete_requested=True)])
    at.pipeline.interrupt(["kg"])
    await at.pipeline.wait_until_idle()
    left = [await at.storage.kv(namespace).count() for namespace in (Namespace.EDITS, Namespace.TEXT_CHUNKS)]
    counts = await at.storage.graph.counts()
    await at.pipeline.stop()
    await fresh.pipeline.stop()
    assert outcome == "updated"
    assert updated == inserted
    assert (left, counts) == ([0, 0], (0, 0))


async def test_a_graph_goes_through_manual_edits() -> None:
    at = await bench()
    await give(at, {"entities": [{"entity_name": "Ada", "description": "x"}]}, "first")
    editor = GraphEditor(at.storage, at.verifier._fold)
    await editor.edit_entity("Ada", {"entity_name": "Ada Lovelace"})
    await give(at, GRAPH)
    names = [entity.name for entity in await at.storage.graph.scan_entities()]
    await at.pipeline.stop()
    assert names == ["Ada Lovelace", "Babbage", "Byron", "Menabrea"]


async def test_a_crash_in_between_costs_nothing() -> None:
    at = await bench()
    await at.pipeline.stop()
    await accept_given(at.storage, read_custom_graph(GRAPH, "kg"), "t", len)
    next_start = make_workbench(at.storage)
    await next_start.pipeline.start()
    await next_start.pipeline.wait_until_idle()
    status = (await at.storage.documents.get(["kg"]))["kg"].status
    await next_start.pipeline.stop()
    assert status is DocStatus.PROCESSED


async def test_given_chunks_are_kept_as_they_are_and_read_by_the_extractor() -> None:
    at = await bench()
    text = "Intro.\n@ Ada > Bob: knows\nMore words.\n@ Bob > Cy: likes"
    pieces = ["@ Ada > Bob: knows", "More words.\n@ Bob > Cy: likes", "A rewritten passage."]
    given = given_chunks(text, pieces, "doc-x", "notes.txt")
    await accept_given(at.storage, given, "t", len)
    at.pipeline.wake()
    await at.pipeline.wait_until_idle()
    rows = [row for _, row in await at.storage.kv(Namespace.TEXT_CHUNKS).scan()]
    rows.sort(key=lambda row: row["chunk_order_index"])
    names = [entity.name for entity in await at.storage.graph.scan_entities()]
    await at.pipeline.stop()
    assert [row["content"] for row in rows] == pieces
    assert [text[row["start"] : row["end"]] for row in rows] == [*pieces[:2], ""]
    assert {row["file_path"] for row in rows} == {"notes.txt"}
    assert names == ["Ada", "Bob", "Cy"]


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        ({}, "no chunks"),
        ([], "must be a dictionary"),
        ({"chunks": "text"}, "'chunks' must be a list"),
        ({"chunks": [{"content": " "}]}, r"chunks\[1\]: 'content' is empty"),
        ({"entities": [{"entity_name": ""}]}, r"entities\[1\]: 'entity_name' cannot be empty"),
        ({"entities": [{"entity_name": "A", "description": 3}]}, "'description' must be a string"),
        ({"relationships": [{"src_id": "A"}]}, "'tgt_id' must be a string"),
        ({"relationships": [{"src_id": "A", "tgt_id": "B", "weight": float("nan")}]}, "weight"),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused_with_the_place(graph: Any, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        read_custom_graph(graph, None)


async def test_a_document_id_must_be_usable() -> None:
    at = await bench()
    with pytest.raises(InvalidInput, match="document id"):
        await accept_given(at.storage, given_chunks("a", ["a"], "x\ny", "f"), "t", len)
    with pytest.raises(InvalidInput, match="at least one chunk"):
        given_chunks("a", [" "], None, "f")
    await at.pipeline.stop()
