"""Storages of `lightrag.kg` that are used without an engine, and small names around them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightrag.base import DocStatus
from lightrag.errors import StorageDamaged
from lightrag.exceptions import ChunkTokenLimitExceededError
from lightrag.kg import STORAGE_IMPLEMENTATIONS, STORAGES, verify_storage_implementation
from lightrag.kg.nano_vector_db_impl import NanoVectorDBStorage
from lightrag.kg.shared_storage import initialize_pipeline_status, initialize_share_data
from lightrag.operate import chunking_by_token_size
from lightrag.storage.contracts import VectorKind
from lightrag.storage.files.vdb import read_vdb
from lightrag.types import KnowledgeGraph
from lightrag.utils import EmbeddingFunc, Tokenizer, compute_mdhash_id


def storage(name: str, folder: Path) -> Any:
    made = getattr(importlib.import_module(STORAGES[name], "lightrag"), name)
    return made(namespace="test", workspace="", global_config={"working_dir": str(folder)}, embedding_func=None)


def letters(folder: Path, dimension: int = 3) -> Any:
    """Vectors that count the letters a, b and c."""

    async def count(texts: list[str]) -> Any:
        return np.array([[text.count(letter) + 0.1 for letter in "abc"[:dimension]] for text in texts])

    return NanoVectorDBStorage(
        namespace="entities",
        workspace="",
        global_config={"working_dir": str(folder), "embedding_batch_num": 2},
        embedding_func=EmbeddingFunc(embedding_dim=dimension, func=count),
        meta_fields={"entity_name", "src_id", "tgt_id"},
    )


async def test_vectors_are_found_by_likeness_and_survive(tmp_path: Path) -> None:
    vectors = letters(tmp_path)
    await vectors.initialize()
    rows = {name: {"content": name, "entity_name": name, "left_out": 1} for name in ("aaa", "aab", "ccc")}
    await vectors.upsert({compute_mdhash_id(name, prefix="ent-"): row for name, row in rows.items()})
    await vectors.finalize()

    again = letters(tmp_path)
    await again.initialize()
    found = await again.query("aaaa", top_k=2)
    assert [row["entity_name"] for row in found] == ["aaa", "aab"]
    assert found[0]["distance"] > found[1]["distance"] > 0.8
    assert found[0]["created_at"] > 0
    assert "left_out" not in found[0]
    assert [row["entity_name"] for row in await again.query("aaa", top_k=1, query_embedding=[0, 0, 1])] == ["ccc"]
    await again.delete_entity("aaa")
    assert [row["entity_name"] for row in await again.query("aaaa", top_k=2)] == ["aab"]


async def test_the_vectors_of_a_relation_go_with_either_end(tmp_path: Path) -> None:
    vectors = letters(tmp_path)
    await vectors.upsert(
        {"r1": {"content": "a", "src_id": "X", "tgt_id": "Y"}, "r2": {"content": "a", "src_id": "Y", "tgt_id": "Z"}}
    )
    await vectors.delete_entity_relation("X")
    assert [row and row["id"] for row in await vectors.get_by_ids(["r1", "r2"])] == [None, "r2"]


async def test_a_file_of_another_models_vectors_is_refused(tmp_path: Path) -> None:
    vectors = letters(tmp_path)
    await vectors.upsert({"x": {"content": "a"}})
    await vectors.finalize()
    with pytest.raises(StorageDamaged, match="3 dimensions"):
        await letters(tmp_path, dimension=2).initialize()


async def test_the_engine_and_the_class_read_each_others_vectors(tmp_path: Path) -> None:
    vectors = letters(tmp_path)
    await vectors.upsert({"ent-x": {"content": "aab", "entity_name": "aab"}})
    await vectors.finalize()
    path = tmp_path / "vdb_entities.json"
    dimension, [record] = read_vdb(path, VectorKind.ENTITIES, path.read_bytes())
    assert (dimension, record.key) == (3, "aab")
    assert record.vector.tolist() == pytest.approx((await vectors.get_vectors_by_ids(["ent-x"]))["ent-x"])


def status_row(status: str, day: int, **more: Any) -> dict[str, Any]:
    """A row as LightRAG 1.4 writes it."""
    moment = f"2026-01-{day:02}T00:00:00+00:00"
    return {"status": status, "content_summary": "s", "content_length": 1, "file_path": f"{day}.txt"} | {
        "created_at": moment,
        "updated_at": moment,
        **more,
    }


async def test_documents_are_found_by_status_request_path_and_page(tmp_path: Path) -> None:
    rows = {
        f"d{day}": status_row("failed" if day % 2 else "processed", day, track_id=f"t{day % 3}") for day in range(1, 13)
    }
    written = storage("JsonDocStatusStorage", tmp_path)
    await written.upsert(rows)
    await written.finalize()

    documents = storage("JsonDocStatusStorage", tmp_path)
    await documents.initialize()
    counts = await documents.get_all_status_counts()
    assert (counts["failed"], counts["processed"], counts["pending"], counts["all"]) == (6, 6, 0, 12)
    assert (await documents.get_docs_by_status(DocStatus.FAILED)).keys() == {f"d{day}" for day in (1, 3, 5, 7, 9, 11)}
    assert (await documents.get_docs_by_track_id("t0")).keys() == {"d3", "d6", "d9", "d12"}
    assert (await documents.get_doc_by_file_path("4.txt"))["status"] == "processed"
    page, count = await documents.get_docs_paginated(page=2, page_size=10)
    assert ([id for id, _ in page], count) == (["d2", "d1"], 12)
    assert page[0][1].status is DocStatus.PROCESSED


async def test_status_rows_of_older_versions_are_read(tmp_path: Path) -> None:
    documents = storage("JsonDocStatusStorage", tmp_path)
    old = {name: value for name, value in status_row("failed", 1).items() if name != "file_path"}
    await documents.upsert({"d": {**old, "error": "no model", "content": "the text"}})
    [found] = (await documents.get_docs_by_status(DocStatus.FAILED)).values()
    assert (found.error_msg, found.file_path) == ("no model", "no-file-path")


async def test_a_graph_is_undirected_and_survives(tmp_path: Path) -> None:
    graph = storage("NetworkXStorage", tmp_path)
    await graph.initialize()
    name = "a'b\"c\\d <é>"
    await graph.upsert_node(name, {"entity_id": name, "count": 3, "keywords": "x,y"})
    await graph.upsert_edge(name, "B", {"weight": 0.5, "relationship": "knows"})
    assert await graph.get_edge("B", name) == await graph.get_edge(name, "B")
    assert await graph.edge_degree("B", name) == 2
    assert await graph.get_node_edges("B") == [("B", name)]
    await graph.finalize()

    again = storage("NetworkXStorage", tmp_path)
    await again.initialize()
    assert await again.get_node(name) == {"entity_id": name, "count": 3, "keywords": "x,y"}
    assert await again.get_edges_batch([{"src": "B", "tgt": name}]) == {
        ("B", name): {"weight": 0.5, "relationship": "knows"}
    }
    view = await again.get_knowledge_graph("*", max_depth=2, max_nodes=10)
    assert isinstance(view, KnowledgeGraph)
    assert (len(view.nodes), len(view.edges)) == (2, 1)
    await again.remove_edges([("B", name)])
    assert not await again.has_edge(name, "B")
    await again.delete_node(name)
    assert await again.get_all_labels() == ["B"]
    assert (await again.drop())["status"] == "success"


async def test_rows_are_copies_and_keep_their_time(tmp_path: Path) -> None:
    rows = storage("JsonKVStorage", tmp_path)
    await rows.upsert({"a": {"list": [1]}})
    row = await rows.get_by_id("a")
    row["list"].append(2)
    assert (await rows.get_by_id("a"))["list"] == [1]
    assert await rows.filter_keys({"a", "b"}) == {"b"}
    await rows.finalize()
    again = storage("JsonKVStorage", tmp_path)
    await again.initialize()
    assert (await again.get_by_ids(["a", "b"]))[1] is None
    await again.delete(["a"])
    assert await again.is_empty()


def test_a_storage_of_another_kind_is_refused() -> None:
    assert "NetworkXStorage" in STORAGE_IMPLEMENTATIONS["GRAPH_STORAGE"]["implementations"]
    with pytest.raises(ValueError, match="JsonKVStorage"):
        verify_storage_implementation("KV_STORAGE", "NetworkXStorage")


async def test_calls_that_set_up_shared_state_are_harmless() -> None:
    initialize_share_data(workers=1)
    await initialize_pipeline_status()


class Letters:
    def encode(self, content: str) -> list[int]:
        return [ord(letter) for letter in content]

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


def test_texts_are_cut_into_windows_or_at_a_string() -> None:
    tokenizer = Tokenizer("letters", Letters())
    windows = chunking_by_token_size(tokenizer, "abcdefgh", chunk_overlap_token_size=1, chunk_token_size=4)
    assert [(chunk["content"], chunk["tokens"]) for chunk in windows] == [("abcd", 4), ("defg", 4), ("gh", 2)]
    with pytest.raises(ChunkTokenLimitExceededError) as raised:
        chunking_by_token_size(tokenizer, "ab|cdefg", "|", True, 0, 4)
    assert (raised.value.chunk_tokens, raised.value.chunk_token_limit) == (5, 4)


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, lightrag; print([m for m in ('pydantic', 'numpy', 'openai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
