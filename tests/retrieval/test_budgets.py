"""Token budgets of a question."""

from __future__ import annotations

from lightrag.retrieval.context import entity_line, reference_ids, relation_line
from lightrag.storage.contracts import Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.types import QueryParam
from tests.retrieval.library import HARD, Passage, reader, shelve

QUESTION = HARD


def words(lines: list[str]) -> int:
    return sum(len(line.split()) for line in lines)


async def test_entities_and_relations_stay_within_their_budgets(films: Storage) -> None:
    full = await reader(films).retrieve(QUESTION, QueryParam(mode="mix"))
    cut = await reader(films).retrieve(QUESTION, QueryParam(mode="mix", max_entity_tokens=30, max_relation_tokens=20))
    assert words([entity_line(entity) for entity in cut.entities]) <= 30
    assert words([relation_line(relation) for relation in cut.relations]) <= 20
    assert full.entities[: len(cut.entities)] == cut.entities
    assert cut.counts["total_entities_found"] == full.counts["total_entities_found"]
    assert cut.counts["entities_after_truncation"] == len(cut.entities) < len(full.entities)


async def test_passages_get_what_the_total_leaves() -> None:
    storage = MemoryStorage("")
    await shelve(storage, [Passage(f"d{n}", f"valve {n} " + "valve " * 100) for n in range(10)])
    free = await reader(storage).retrieve("valve", QueryParam(mode="naive", max_total_tokens=30_000))
    assert len(free.chunks) == 10
    tight = await reader(storage).retrieve("valve", QueryParam(mode="naive", max_total_tokens=900))
    assert 0 < len(tight.chunks) < 6
    assert tight.chunks == free.chunks[: len(tight.chunks)]


async def test_no_more_passages_than_asked_for(films: Storage) -> None:
    found = await reader(films).retrieve(QUESTION, QueryParam(mode="mix", chunk_top_k=2))
    assert len(found.chunks) == 2


def test_references_are_numbered_by_passages_then_by_appearance() -> None:
    def chunk(doc: str, path: str = "x.txt"):  # type: ignore[no-untyped-def]
        return Passage(doc, "text", file_path=path).chunk

    chunks = [chunk("once"), chunk("nameless", ""), chunk("twice"), chunk("late"), chunk("twice")]
    assert reference_ids(chunks) == {"nameless": "", "twice": "1", "once": "2", "late": "3"}
