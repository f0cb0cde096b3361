"""The graph in memory follows the store."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from lightrag.retrieval import graph_index
from lightrag.retrieval.graph_index import GraphIndex
from lightrag.retrieval.walk import Transitions, WalkRules, walk
from lightrag.storage.contracts import Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.types import QueryParam
from tests.retrieval.library import DIMENSION, FILMS, Passage, reader, shelve, withdraw

RULES = WalkRules()


def picture(ways: Transitions) -> tuple[dict[str, float], dict[str, float]]:
    """Where mass ends that starts evenly on all chunks, by name and by key."""
    graph = ways.graph
    seeds = graph.shown / max(float(graph.shown.sum()), 1.0)
    walked = walk(ways, np.zeros(graph.entity_count, np.float32), seeds, RULES)
    entities = {name: float(walked.entities[i]) for name in graph.entity_index if (i := graph.entity(name)) is not None}
    chunks = {key: float(walked.arrived[i]) for key in graph.chunk_index if (i := graph.chunk(key)) is not None}
    return entities, chunks


def assert_same(one: Transitions, other: Transitions) -> None:
    for first, second in zip(picture(one), picture(other), strict=True):
        assert first.keys() == second.keys()
        assert first == pytest.approx(second, abs=1e-5)


def edges(ways: Transitions) -> set[tuple[str, str, float]]:
    graph = ways.graph
    places = np.asarray(sorted(graph.entity_index[name] for name in graph.entity_index), np.int64)
    ends, others, weights = graph.edges_of(places)
    return {(graph.names[a], graph.names[b], round(float(w), 3)) for a, b, w in zip(ends, others, weights, strict=True)}


@pytest.mark.parametrize("patched", [True, False], ids=["overlay", "sorted at once"])
async def test_following_changes_equals_starting_anew(
    storage: Storage, patched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_index, "PATCH_ENTRIES", 10_000 if patched else 0)
    monkeypatch.setattr(graph_index, "PATCH_SHARE", 1.0 if patched else 0.0)
    dice = random.Random(7)
    follower = GraphIndex(storage.graph, RULES)
    await follower.current()
    shelved: dict[str, Passage] = {}
    for _ in range(25):
        doc = f"d{dice.randrange(8)}"
        old = shelved.pop(doc, None)
        if old is not None:
            await withdraw(storage, old)
        if old is None or dice.random() < 0.5:
            names = dice.sample(["Ann", "ann", "Bob", "The Bob", "Cid", "Dora", "Eve"], 4)
            shelved[doc] = Passage(
                doc, f"text {dice.random()}", [(names[0], "knows", names[1]), (names[2], "saw", names[3])]
            )
            await shelve(storage, [shelved[doc]])
        current = await follower.current()
        anew = await GraphIndex(storage.graph, RULES).current()
        assert_same(current, anew)
        assert edges(current) == edges(anew)


async def test_a_question_sees_what_was_written_before_it(storage: Storage) -> None:
    asker = reader(storage)
    await shelve(storage, FILMS[:1])
    param = QueryParam(mode="local", ll_keywords=["Mara Quill"], top_k=1)
    assert [c.chunk.doc_id for c in (await asker.retrieve("Quill", param)).chunks] == ["film"]
    await shelve(storage, FILMS[1:])
    assert {c.chunk.doc_id for c in (await asker.retrieve("Quill", param)).chunks} == {"film", "person"}
    await withdraw(storage, FILMS[0])
    assert [c.chunk.doc_id for c in (await asker.retrieve("Quill", param)).chunks] == ["person"]


async def test_dropping_everything_empties_it(storage: Storage) -> None:
    await shelve(storage, FILMS)
    index = GraphIndex(storage.graph, RULES)
    assert (await index.current()).graph.entity("Mara Quill") is not None
    await storage.drop()
    assert (await index.current()).graph.entity("Mara Quill") is None


async def test_what_is_gone_is_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_index, "DEAD_INDICES", 20)
    storage = MemoryStorage("")
    index = GraphIndex(storage.graph, RULES)
    for turn in range(30):
        passage = Passage("same", f"text {turn}", [(f"Name {turn}", "is", "Kept")])
        await shelve(storage, [passage])
        await index.current()
        if turn < 29:
            await withdraw(storage, passage)
            await index.current()
    assert len((await index.current()).graph.names) < 25


async def test_questions_at_once_share_one_reading(storage: Storage) -> None:
    await shelve(storage, FILMS)
    index = GraphIndex(storage.graph, RULES)
    first, *rest = await asyncio.gather(*(index.current() for _ in range(8)))
    assert all(other is first for other in rest)


async def test_spellings_of_one_name_are_joined(storage: Storage) -> None:
    await storage.set_dimension(DIMENSION)
    await shelve(
        storage,
        [Passage("a", "one", [("The Café", "in", "Paris")]), Passage("b", "two", [("cafe", "near", "Lyon")])],
    )
    graph = (await GraphIndex(storage.graph, RULES).current()).graph
    assert {graph.names[index] for index in graph.entities_named("cafe")} == {"The Café", "cafe"}
    place = graph.entity("cafe")
    assert place is not None
    _, others, _ = graph.edges_of(np.asarray([place], np.int64))
    assert "The Café" in {graph.names[index] for index in others}
