"""LightRAG's formats, read as tolerantly as they are written, and what indexing and the files must agree on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lightrag.errors import StorageDamaged
from lightrag.indexing import fold, stale
from lightrag.storage.contracts import Namespace, VectorKind
from lightrag.storage.files import FileStorage, derived
from lightrag.storage.files.graphml import graphml_pieces, read_graphml
from lightrag.storage.files.recorded_answers import read_answers, texts_in_prompt
from lightrag.storage.files.vdb import fields_of, read_vdb
from lightrag.testing.storage_graph_contract import edge, node
from tests.storage.files.eras import write_era


def test_derived_data_are_named_and_hashed_as_indexing_does() -> None:
    entity, relation = node("A", "d" * 900), edge("A", "B")
    assert derived.entity_text(entity) == fold.entity_vector_text(entity)
    assert derived.relation_text(relation) == fold.relation_vector_text(relation)
    assert derived.text_hash("é\ud800") == fold.text_hash("é\ud800")
    kinds = (stale.StaleKind.CHUNK, stale.StaleKind.ENTITY, stale.StaleKind.RELATION)
    prefixes = (derived.CHUNK_PREFIX, derived.ENTITY_PREFIX, derived.RELATION_PREFIX)
    assert [str(stale.StaleKey(kind, "")) for kind in kinds] == list(prefixes)


def test_ids_of_vectors_are_those_of_lightrag() -> None:
    assert fields_of(VectorKind.RELATIONS, "Acme<SEP>Alice")["__id__"] == "rel-69cc1de8057db454073ac6ab6c54fbbc"
    assert fields_of(VectorKind.ENTITIES, "Alice")["__id__"] == "ent-64489c85dc2fe0787b85cd87214b3810"
    assert fields_of(VectorKind.CHUNKS, "chunk-1") == {"__id__": "chunk-1"}


@pytest.mark.parametrize(
    "answer",
    [
        '("entity"<|>"ALICE"<|>"person"<|>"leads")##\n("relationship"<|>"ALICE"<|>"Acme"<|>"heads it"<|>"work"<|>9)',
        "entity<|#|>Alice<|#|>person<|#|>leads\nrelation<|#|>Acme<|#|>Alice<|#|>work<|#|>heads it\n<|COMPLETE|>",
        '- entity<|#|>"Alice"<|#|>person<|#|>leads\n- relationship<|#|>Alice<|#|>Acme<|#|>work<|#|>heads it',
        '{"entities": [{"name": "Alice", "type": "p", "description": "leads"}], "relationships": [{"source": "Acme",'
        ' "target": "Alice", "keywords": ["work"], "description": "heads it"}]}',
    ],
)
def test_answers_of_all_versions_are_read(answer: str) -> None:
    found = read_answers(["<|COMPLETE|>", answer, "no records here", '{"entities": 3}', "{broken"])
    assert found.entities == {"alice": "leads"}
    assert found.relations["acme", "alice"][:2] == ("work", "heads it")


def test_the_text_is_found_in_a_prompt_and_in_the_history_of_a_second_question() -> None:
    prompt = "---Goal---\nText:\nan example\n######\n---Real Data---\nText:\nWhat it says.\n######\nOutput:"
    assert texts_in_prompt(prompt)[0].startswith("What it says.")
    history = json.dumps([{"role": "user", "content": prompt}, {"role": "assistant", "content": "…"}])
    assert texts_in_prompt(history)[0].startswith("What it says.")
    assert texts_in_prompt("[{not json") == []


def test_a_graph_is_written_so_that_any_xml_reader_gets_it_back(tmp_path: Path) -> None:
    names = ["<&>\"'", "tab\tand\r\nbreaks", "知识 ]]>"]
    nodes = [node(name, f"{name}\r\n<SEP>") for name in names]
    pieces = b"".join(graphml_pieces(nodes, [edge(names[0], names[2], 1 / 3)]))
    found = read_graphml(tmp_path, pieces)
    assert list(found.nodes) == names
    assert found.nodes[names[1]]["description"] == f"{names[1]}\r\n<SEP>"
    assert float(found.edges[names[0], names[2]]["weight"]) == 1 / 3


def test_entities_of_a_document_type_are_not_expanded(tmp_path: Path) -> None:
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE g [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="d0" for="node" attr.name="description"/>'
        '<graph><node id="n"><data key="d0">&a;</data></node></graph></graphml>'
    )
    assert "root" not in read_graphml(tmp_path, bomb.encode()).nodes["n"]["description"]
    with pytest.raises(StorageDamaged, match="no GraphML"):
        read_graphml(tmp_path, b"<html/>")


def test_vectors_are_read_from_the_records_where_there_is_no_matrix(tmp_path: Path) -> None:
    content = json.loads((write_era(tmp_path, "M") / "vdb_chunks.json").read_text())
    del content["matrix"]
    _, rows = read_vdb(tmp_path, VectorKind.CHUNKS, json.dumps(content).encode())
    np.testing.assert_allclose(rows[1].vector, np.float32([1, 1, 0, 3]) / np.sqrt(11), atol=1e-3)


async def test_numbers_and_characters_that_json_does_not_know_are_read(tmp_path: Path) -> None:
    text = '{"k": {"return": "half \\ud800 of a pair", "cache_type": "query", "score": NaN}}'
    (tmp_path / "kv_store_llm_response_cache.json").write_text(text)
    (tmp_path / "kv_store_doc_status.json").write_text("{}")
    storage = FileStorage(tmp_path, "w")
    await storage.open()
    row = (await storage.kv(Namespace.LLM_CACHE).get(["k"]))["k"]
    assert row == {"return": "half ? of a pair", "cache_type": "query", "score": None}
    await storage.close()


@pytest.mark.parametrize("text", ["", "[]", '{"d": 3}', '{"d": {"status": "processed"}'])
async def test_a_file_that_is_no_object_of_objects_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "kv_store_doc_status.json").write_text(text)
    with pytest.raises(StorageDamaged, match="kv_store_doc_status"):
        await FileStorage(tmp_path, "w").open()
