"""A filter holds for passages, entities and relations alike, before anything is ranked."""

from __future__ import annotations

import pytest

from lightrag.storage.contracts import Storage
from lightrag.types import DocumentFilter, Mode, QueryParam
from tests.retrieval.library import Passage, reader, shelve

SECRETS = (
    Passage("public", "Orion is a rocket.", [("Orion", "kind", "Rocket")], tags={"access": "all"}),
    Passage(
        "secret",
        "Orion leaks fuel, says Kim.",
        [("Orion", "problem", "Fuel Leak"), ("Kim", "finding", "Fuel Leak"), ("Orion", "kind", "Rocket")],
        file_path="vault/secret.txt",
        tags={"access": "few"},
    ),
    Passage("other", "Vega is a rocket.", [("Vega", "kind", "Rocket")], tags={"access": "all"}),
)
PUBLIC = DocumentFilter(tags={"access": "all"})
GRAPH_MODES: list[Mode] = ["local", "global", "hybrid", "mix"]


@pytest.mark.parametrize("mode", [*GRAPH_MODES, "naive"])
@pytest.mark.parametrize(
    "allowed",
    [
        PUBLIC,
        DocumentFilter(doc_ids=("public", "other")),
        DocumentFilter(file_paths=("[!v]*.txt",)),
    ],
    ids=["tags", "ids", "paths"],
)
async def test_nothing_of_other_documents_shows(storage: Storage, mode: Mode, allowed: DocumentFilter) -> None:
    await shelve(storage, SECRETS)
    param = QueryParam(
        mode=mode, filter=allowed, ll_keywords=["Orion", "Fuel Leak", "Kim"], hl_keywords=["problem", "kind"]
    )
    found = await reader(storage).retrieve("what is the problem of Orion with its fuel leak", param)
    assert {ranked.chunk.doc_id for ranked in found.chunks} <= {"public", "other"}
    assert found.chunks
    told = repr(found.entities) + repr(found.relations)
    assert "secret" not in told
    assert "Kim" not in told
    assert "Fuel Leak" not in told
    if mode in GRAPH_MODES:
        assert "Orion" in told


async def test_what_is_said_of_a_shared_entity_comes_from_admitted_documents(storage: Storage) -> None:
    await shelve(storage, SECRETS)
    asker = reader(storage)
    param = QueryParam(mode="local", ll_keywords=["Orion"])
    free = {entity.name: entity for entity in (await asker.retrieve("Orion", param)).entities}["Orion"]
    assert "secret" in free.description
    param.filter = PUBLIC
    bound = {entity.name: entity for entity in (await asker.retrieve("Orion", param)).entities}["Orion"]
    assert bound.description == "Orion as told by public"
    assert bound.file_paths == ("public.txt",)
    assert bound.mentions == 1


async def test_the_filter_comes_before_the_cut(storage: Storage) -> None:
    crowd = [
        Passage(f"crowd{n}", f"Orion Orion rocket number{n}.", [("Orion", "kind", f"Rocket {n}")]) for n in range(60)
    ]
    wanted = Passage("wanted", "A remark on Orion among other things of no weight.", [("Orion", "remark", "Weight")])
    await shelve(storage, [*crowd, wanted])
    for mode in ("naive", *GRAPH_MODES):
        param = QueryParam(mode=mode, top_k=5, chunk_top_k=5, filter=DocumentFilter(doc_ids=("wanted",)))
        found = await reader(storage).retrieve("Orion rocket", param)
        assert [ranked.chunk.doc_id for ranked in found.chunks] == ["wanted"], mode


async def test_a_filter_that_admits_nothing_finds_nothing(storage: Storage) -> None:
    await shelve(storage, SECRETS)
    for mode in ("naive", *GRAPH_MODES):
        param = QueryParam(mode=mode, filter=DocumentFilter(doc_ids=("absent",)))
        assert (await reader(storage).retrieve("Orion", param)).is_empty, mode
