"""Properties of the walk and of what it starts from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrag.retrieval.fusion import chunk_weights, interleave
from lightrag.retrieval.graph_index import GraphIndex, allowed_chunks
from lightrag.retrieval.names import spelling, spellings_in
from lightrag.retrieval.walk import WalkRules, soften, transitions, walk
from lightrag.storage.contracts import Hit
from lightrag.storage.memory import MemoryStorage
from tests.retrieval.library import Passage, shelve

RULES = WalkRules()
SCORES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40).map(lambda found: sorted(found, reverse=True))


@given(SCORES, st.floats(0.1, 10), st.floats(-5, 5))
def test_softening_does_not_depend_on_the_scale_of_scores(scores: list[float], scale: float, shift: float) -> None:
    weights = soften(scores, 0.2)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert (np.diff(weights) <= 1e-6).all()
    if scores[0] - scores[-1] > 1e-2:
        assert soften([scale * score + shift for score in scores], 0.2) == pytest.approx(weights, abs=1e-3)


def test_a_list_that_is_empty_leaves_its_share_to_the_other() -> None:
    hits = [Hit("a", 0.9), Hit("b", 0.1)]
    assert chunk_weights(hits, [], RULES) == pytest.approx(chunk_weights([], hits, RULES))
    assert sum(chunk_weights(hits, hits, RULES).values()) == pytest.approx(1)
    assert chunk_weights([], [], RULES) == {}


def test_lists_take_turns() -> None:
    assert interleave(["a", "b", "c"], ["b", "d"], []) == ["a", "b", "d", "c"]


CHAIN = (
    Passage("one", "first", [("Ann", "knows", "Bob")]),
    Passage("two", "second", [("Bob", "knows", "Cid")]),
    Passage("three", "third", [("Cid", "knows", "Dora")]),
    Passage("far", "apart", [("Xen", "knows", "Yves")]),
)


async def arrivals(allowed: list[str] | None = None) -> dict[str, float]:
    """What arrives at each document when all mass starts at the first."""
    storage = MemoryStorage("")
    await shelve(storage, CHAIN)
    ways = await GraphIndex(storage.graph, RULES).current()
    graph = ways.graph
    if allowed is not None:
        ways = transitions(graph, RULES, allowed_chunks(graph, [f"chunk-{doc}" for doc in allowed]))
    seeds = allowed_chunks(graph, ["chunk-one"])
    walked = walk(ways, np.zeros(graph.entity_count, np.float32), seeds, RULES)
    return {key.removeprefix("chunk-"): float(walked.arrived[graph.chunk_index[key]]) for key in graph.chunk_index}


async def test_mass_reaches_what_is_connected_and_the_nearer_the_more() -> None:
    reached = await arrivals()
    assert reached["two"] > reached["three"] > 0
    assert reached["far"] == 0


async def test_mass_does_not_pass_through_what_is_not_allowed() -> None:
    reached = await arrivals(["one", "three"])
    assert reached["two"] == 0
    assert reached["three"] == 0


async def test_no_mass_is_made_from_nothing() -> None:
    assert 0 < sum((await arrivals()).values()) < 1


def test_names_are_found_in_questions_whatever_their_case_accents_and_articles() -> None:
    assert spelling("The Café Müller") in set(spellings_in("who founded cafe muller?"))
    assert spelling("红楼梦") in set(spellings_in("谁写了红楼梦?"))
    assert "who" not in set(spellings_in("who founded it"))
