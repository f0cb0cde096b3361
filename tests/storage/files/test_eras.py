"""Folders that LightRAG wrote are opened with all that its formats lack, and are left in a form that it reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightrag.indexing.contributions import Folder
from lightrag.indexing.fold import FoldRules
from lightrag.indexing.verify import Verifier
from lightrag.storage.contracts import Namespace, VectorKind, VectorRow
from lightrag.storage.files import FileStorage
from lightrag.storage.files.layout import LIGHTRAG_FILES
from lightrag.storage.rows import chunk_of_row
from lightrag.types import DocStatus, DocumentRecord
from tests.storage.files.contents import contents
from tests.storage.files.eras import ERAS, TEXTS, chunk_id, doc_id, write_era, write_json


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[FileStorage]:
    storage = FileStorage(folder, "w")
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, era: str) -> Path:
    return write_era(tmp_path / "rag_storage", era)


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def lightrag_bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in LIGHTRAG_FILES if (folder / name).exists()}


async def test_documents_and_texts_are_there(folder: Path, era: str) -> None:
    async with opened(folder) as storage:
        for name, text in TEXTS.items():
            record = (await storage.documents.get([doc_id(era, name)]))[doc_id(era, name)]
            assert (record.status, record.chunks_list) == (DocStatus.PROCESSED, (chunk_id(era, name),))
            assert record.file_path == ("unknown_source" if era == "S" else f"{name}.txt")
            assert record.created_at.endswith("+00:00")
            assert await storage.documents.by_content_hash(record.content_hash) == record
            rows = await storage.kv(Namespace.TEXT_CHUNKS).get([chunk_id(era, name)])
            chunk = chunk_of_row(chunk_id(era, name), rows[chunk_id(era, name)])
            assert (chunk.content, chunk.start, chunk.end) == (text, 0, len(text))
            assert (await storage.kv(Namespace.FULL_DOCS).get([record.id]))[record.id]["pages"] == []
        assert storage.lexical is not None
        assert [hit.key for hit in await storage.lexical.search(["rocket"], 5)] == [chunk_id(era, "a")]


async def test_the_text_of_a_waiting_document_of_the_oldest_version_is_saved(tmp_path: Path) -> None:
    async with opened(write_era(tmp_path, "S")) as storage:
        record = (await storage.documents.get(["doc-waiting"]))["doc-waiting"]
        assert record.status is DocStatus.PENDING
        row = (await storage.kv(Namespace.FULL_DOCS).get(["doc-waiting"]))["doc-waiting"]
        assert row["content"] == "Carol waits."
        failed = (await storage.documents.get(["doc-broken"]))["doc-broken"]
        assert (failed.status, failed.error_msg) == (DocStatus.FAILED, "'metadata'")


async def test_every_mention_has_the_words_of_its_chunk(folder: Path, era: str) -> None:
    async with opened(folder) as storage:
        found = await storage.graph.entity_evidence(["Alice", "Acme", "Bob"], 9)
        words = {m.source.chunk_id: m.entity.description for m in found["Alice"].mentions}
        assert words == {chunk_id(era, "a"): "Alice leads a company.", chunk_id(era, "b"): "Alice met Bob."}
        assert found["Acme"].mentions[0].entity.description == "Acme makes rockets."
        assert found["Acme"].mentions[0].source.doc_id == doc_id(era, "a")
        pairs = await storage.graph.relation_evidence([("Acme", "Alice"), ("Alice", "Bob")], 9)
        weights = {pair: evidence.weight for pair, evidence in pairs.items()}
        assert weights == {("Acme", "Alice"): 7.0 if era == "S" else 1.0, ("Alice", "Bob"): 2.0 if era == "S" else 1.0}
        assert pairs["Alice", "Bob"].mentions[0].relation.keywords == "meeting"
        extraction = (await storage.kv(Namespace.EXTRACTIONS).get([chunk_id(era, "b")]))[chunk_id(era, "b")]
        assert [fields[0] for fields in extraction["entities"]] == ["Alice", "Bob"]


async def test_vectors_are_found_and_need_not_be_made_again(folder: Path, era: str) -> None:
    async with opened(folder) as storage:
        hits = (await storage.vectors(VectorKind.ENTITIES).search(np.float32([[0, 1, 0.1, 0]]), 2))[0]
        assert [hit.key for hit in hits] == ["Acme", "Bob"]
        hits = (await storage.vectors(VectorKind.RELATIONS).search(np.float32([[1, 0, 1, 0]]), 1))[0]
        assert (hits[0].key, round(hits[0].score, 5)) == ("Alice<SEP>Bob", 1.0)
        assert await storage.kv(Namespace.STALE).count() == 0


async def test_nothing_is_found_wrong_with_it(folder: Path, era: str) -> None:
    async with opened(folder) as storage:
        report = await Verifier(storage, Folder(FoldRules())).verify()
        # File paths and times of nodes are LightRAG's until the node is folded again.
        assert [problem for problem in report.problems if "agree" not in problem] == []
        assert (report.entities, report.relations, report.chunks, report.vectors) == (3, 2, 2, 7)


async def test_looking_at_a_folder_leaves_lightrags_files_as_they_are(folder: Path) -> None:
    before = lightrag_bytes(folder)
    async with opened(folder) as storage:
        await storage.kv(Namespace.META).put({"seen": {}})
        first = await contents(storage)
    assert lightrag_bytes(folder) == before
    async with opened(folder) as storage:
        assert await contents(storage) == first


async def test_after_a_change_all_files_have_the_newer_form_and_hold_the_same(folder: Path, era: str) -> None:
    async with opened(folder) as storage:
        await storage.documents.put([DocumentRecord("doc-new", DocStatus.PROCESSED, created_at="2026-01-01T00:00:00Z")])
        await storage.kv(Namespace.FULL_DOCS).put({"doc-new": {"content": "New.", "file_path": "n", "pages": []}})
        before = await contents(storage)
    assert lightrag_bytes(folder).keys() == set(LIGHTRAG_FILES)
    chunk = read(folder, "kv_store_text_chunks.json")[chunk_id(era, "a")]
    assert chunk.keys() >= {"tokens", "content", "chunk_order_index", "full_doc_id", "file_path", "create_time", "_id"}
    cache = read(folder, "kv_store_llm_response_cache.json")
    assert all(key.count(":") == 2 and row["_id"] == key for key, row in cache.items())
    assert read(folder, "kv_store_entity_chunks.json")["Alice"]["count"] == 2
    assert read(folder, "kv_store_full_relations.json")[doc_id(era, "a")]["relation_pairs"] == [["Acme", "Alice"]]
    vectors = read(folder, "vdb_entities.json")
    assert {"__id__", "__created_at__", "entity_name", "content", "source_id", "vector"} <= vectors["data"][0].keys()
    async with opened(folder) as storage:
        assert await contents(storage) == before


async def test_a_status_row_holds_only_what_lightrag_knows(tmp_path: Path) -> None:
    async with opened(write_era(tmp_path, "M")) as storage:
        rows = await storage.documents.get([doc_id("M", "a")])
        await storage.documents.put([rows[doc_id("M", "a")].replace(tags={"lang": "en"}, error_msg="no")])
    assert read(tmp_path, "kv_store_doc_status.json")[doc_id("M", "a")].keys() == {
        "status",
        "chunks_count",
        "chunks_list",
        "content_summary",
        "content_length",
        "created_at",
        "updated_at",
        "file_path",
        "track_id",
        "metadata",
        "error_msg",
    }
    async with opened(tmp_path) as storage:
        assert (await storage.documents.get([doc_id("M", "a")]))[doc_id("M", "a")].tags == {"lang": "en"}


async def test_the_oldest_version_finds_the_rows_that_it_knows(tmp_path: Path) -> None:
    async with opened(write_era(tmp_path, "S")) as storage:
        rows, _ = await storage.documents.page()
        await storage.documents.put([row.replace(tags={"lang": "en"}, track_id="t") for row in rows])
        before = await contents(storage)
    status = read(tmp_path, "kv_store_doc_status.json")
    known = {"status", "chunks_count", "content", "content_summary", "content_length", "created_at", "updated_at"}
    assert status[doc_id("S", "a")].keys() == known | {"metadata"}
    assert status["doc-broken"].keys() == known | {"metadata", "error"}
    async with opened(tmp_path) as storage:
        assert await contents(storage) == before
    status[doc_id("S", "a")] |= {"status": "failed", "error": "broken"}
    write_json(tmp_path / "kv_store_doc_status.json", status)
    async with opened(tmp_path) as storage:
        record = (await storage.documents.get([doc_id("S", "a")]))[doc_id("S", "a")]
        assert (record.status, record.error_msg, record.tags) == (DocStatus.FAILED, "broken", {"lang": "en"})
        assert record.chunks_list == (chunk_id("S", "a"),)


async def test_what_lightrag_changed_meanwhile_is_taken_over(tmp_path: Path) -> None:
    async with opened(write_era(tmp_path, "M")) as storage:
        await storage.documents.put([DocumentRecord("doc-file", DocStatus.PENDING, source_file="x.pdf")])
        await storage.kv(Namespace.SUMMARIES).put({"s": {"text": "kept"}})
    graph = tmp_path / "graph_chunk_entity_relation.graphml"
    graph.write_text(
        graph.read_text().replace(
            '    <node id="Bob">',
            '    <node id="Dora"><data key="d1">person</data><data key="d2">Dora is new.</data>'
            f'<data key="d3">{chunk_id("M", "b")}</data></node>\n    <node id="Bob">',
        )
    )
    status = read(tmp_path, "kv_store_doc_status.json")
    del status[doc_id("M", "a")]
    status[doc_id("M", "b")]["status"] = "failed"
    write_json(tmp_path / "kv_store_doc_status.json", status)
    async with opened(tmp_path) as storage:
        found = await storage.graph.entity_evidence(["Dora", "Bob"], 9)
        assert found["Dora"].mentions[0].entity.description == "Dora is new."
        assert found["Bob"].mentions[0].entity.description == "Bob & Co."
        rows = await storage.documents.get([doc_id("M", "a"), doc_id("M", "b"), "doc-file"])
        assert {id: row.status for id, row in rows.items()} == {
            doc_id("M", "b"): DocStatus.FAILED,
            "doc-file": DocStatus.PENDING,
        }
        assert await storage.kv(Namespace.STALE).get(["e:Dora"])
        assert await storage.kv(Namespace.SUMMARIES).get(["s"]) == {"s": {"text": "kept"}}


async def test_a_text_in_parts_is_one_row_for_lightrag(tmp_path: Path) -> None:
    text = "first " * 3 + "second"
    rows = {
        "d": {"content": "", "file_path": "f", "pages": [], "parts": 2},
        "d/000000": {"content": text[:18]},
        "d/000001": {"content": text[18:]},
        "orphan/000000": {"content": "its head was never written"},
    }
    async with opened(tmp_path) as storage:
        await storage.kv(Namespace.FULL_DOCS).put(rows)
        await storage.documents.put([DocumentRecord("d", DocStatus.PROCESSED, created_at="2026-01-01T00:00:00+00:00")])
    docs = read(tmp_path, "kv_store_full_docs.json")
    assert docs.keys() == {"d", "orphan/000000"}
    assert docs["d"]["content"] == text
    async with opened(tmp_path) as storage:
        assert dict(await storage.kv(Namespace.FULL_DOCS).scan()) == rows
    docs["d"]["content"] += " changed"
    write_json(tmp_path / "kv_store_full_docs.json", docs)
    async with opened(tmp_path) as storage:
        row = (await storage.kv(Namespace.FULL_DOCS).get(["d"]))["d"]
        assert row == {"content": f"{text} changed", "file_path": "f", "pages": []}


async def test_a_document_without_a_text_is_kept_from_lightrag(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await storage.documents.put([DocumentRecord("doc-file", DocStatus.PENDING, source_file="x.pdf")])
    assert read(tmp_path, "kv_store_doc_status.json") == {}
    async with opened(tmp_path) as storage:
        assert (await storage.documents.get(["doc-file"]))["doc-file"].source_file == "x.pdf"


async def test_answers_on_a_chunk_are_listed_where_lightrag_looks_for_them(tmp_path: Path) -> None:
    chunk = {"content": "x", "full_doc_id": "d", "chunk_order_index": 0}
    async with opened(tmp_path) as storage:
        await storage.kv(Namespace.TEXT_CHUNKS).put({"c": chunk})
        answer = {"return": "…", "cache_type": "extract", "chunk_id": "c", "create_time": 5}
        await storage.kv(Namespace.LLM_CACHE).put({"default:extract:1": answer})
    assert read(tmp_path, "kv_store_text_chunks.json")["c"]["llm_cache_list"] == ["default:extract:1"]
    async with opened(tmp_path) as storage:
        assert await storage.kv(Namespace.TEXT_CHUNKS).get(["c"]) == {"c": chunk}
        assert await storage.kv(Namespace.LLM_CACHE).get(["default:extract:1"]) == {"default:extract:1": answer}


async def test_a_vector_that_lightrag_replaced_is_known_to_be_of_another_text(tmp_path: Path) -> None:
    write_era(tmp_path, "M")
    async with opened(tmp_path) as storage:
        await storage.vectors(VectorKind.ENTITIES).put([VectorRow("Bob", "mine", np.ones(4, np.float32))])
    vectors = read(tmp_path, "vdb_entities.json")
    bob = next(record for record in vectors["data"] if record["entity_name"] == "Bob")
    assert bob.pop("content_hash") == "mine"
    bob["content"] = "Bob\nsomething else"
    (tmp_path / "vdb_entities.json").write_text(json.dumps(vectors))
    async with opened(tmp_path) as storage:
        assert dict(await storage.vectors(VectorKind.ENTITIES).scan())["Bob"] != "mine"
        assert await storage.kv(Namespace.STALE).get(["e:Bob"])
