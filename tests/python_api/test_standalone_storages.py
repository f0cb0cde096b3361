"""Storages of `lightrag.kg` that are used without an engine, and small names around them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lightrag.exceptions import ChunkTokenLimitExceededError
from lightrag.kg import STORAGE_IMPLEMENTATIONS, STORAGES, verify_storage_implementation
from lightrag.kg.shared_storage import initialize_pipeline_status, initialize_share_data
from lightrag.operate import chunking_by_token_size
from lightrag.types import KnowledgeGraph
from lightrag.utils import Tokenizer


def storage(name: str, folder: Path) -> Any:
    made = getattr(importlib.import_module(STORAGES[name], "lightrag"), name)
    return made(namespace="test", workspace="", global_config={"working_dir": str(folder)}, embedding_func=None)


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
