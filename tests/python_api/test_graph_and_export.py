"""The graph by hand: a graph of one's own, edits, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

GRAPH = {
    "chunks": [{"content": "Alice leads Acme.", "source_id": "note"}],
    "entities": [
        {"entity_name": "Alice", "entity_type": "person", "description": "Leads Acme.", "source_id": "note"},
        {"entity_name": "Acme", "entity_type": "organization", "description": "A firm.", "source_id": "note"},
    ],
    "relationships": [
        {"src_id": "Alice", "tgt_id": "Acme", "description": "leads", "keywords": "lead", "source_id": "note"}
    ],
}


@pytest.fixture
async def rag(make_rag: Any) -> Any:
    instance = make_rag()
    await instance.ainsert_custom_kg(GRAPH)
    yield instance
    await instance.finalize_storages()


async def test_a_graph_of_ones_own_is_found(rag: Any) -> None:
    graph = await rag.get_knowledge_graph("*")
    assert {node.id for node in graph.nodes} == {"Alice", "Acme"}
    assert [(edge.source, edge.target) for edge in graph.edges] == [("Acme", "Alice")]
    assert not graph.is_truncated


async def test_entities_and_relations_are_edited_and_deleted(rag: Any) -> None:
    made = await rag.acreate_entity("Bob", {"entity_type": "person", "description": "Paints."})
    assert made["graph_data"]["description"] == "Paints."
    await rag.acreate_relation("Bob", "Acme", {"description": "works for", "keywords": "work", "weight": 2.0})
    renamed = await rag.aedit_entity("Bob", {"entity_name": "Robert", "description": "Sings."})
    assert (renamed["entity_name"], renamed["graph_data"]["description"]) == ("Robert", "Sings.")
    assert (await rag.get_relation_info("Acme", "Robert"))["graph_data"]["weight"] == 2.0
    merged = await rag.amerge_entities(["Robert"], "Alice")
    assert merged["entity_name"] == "Alice"
    assert await rag.get_graph_labels() == ["Acme", "Alice"]
    assert (await rag.adelete_by_relation("Alice", "Acme")).status == "success"
    assert (await rag.adelete_by_entity("Alice")).status == "success"
    assert (await rag.adelete_by_entity("Alice")).status_code == 404
    assert (await rag.get_entity_info("Alice"))["graph_data"] is None


async def test_texts_that_are_cut_already_are_indexed(rag: Any) -> None:
    await rag.ainsert_custom_chunks("Alice leads. Acme grows.", ["Alice leads.", "Acme grows."], "own")
    assert (await rag.aget_docs_by_ids("own"))["own"].chunks_count == 2


@pytest.mark.parametrize("file_format", ["csv", "md", "txt"])
async def test_the_graph_is_written_as_text(rag: Any, tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "graph"
    await rag.aexport_data(str(path), file_format)
    text = path.read_text("utf-8-sig")
    assert "Leads Acme." in text
    assert "organization" in text


async def test_the_graph_is_written_as_a_workbook(rag: Any, tmp_path: Path) -> None:
    path = tmp_path / "graph.xlsx"
    await rag.aexport_data(str(path), "excel", include_vector_data=True)
    book = CalamineWorkbook.from_path(str(path))
    header, *rows = book.get_sheet_by_name("Entities").to_python()
    assert header[0] == "entity_name"
    assert {row[0] for row in rows} == {"Alice", "Acme"}
    assert all(str(row[header.index("vector")]).startswith("[") for row in rows)
    assert book.sheet_names == ["Entities", "Relations"]


async def test_another_format_is_refused(rag: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="csv, excel, md, txt"):
        await rag.aexport_data(str(tmp_path / "x"), "pdf")
