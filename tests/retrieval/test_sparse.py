"""The sparse list of mode `mix`."""

from __future__ import annotations

import pytest

from lightrag.errors import ModelUnreachable
from lightrag.retrieval.fusion import chunk_weights
from lightrag.retrieval.sparse import best_matches
from lightrag.retrieval.walk import WalkRules
from lightrag.storage.contracts import Hit, Namespace, Storage
from lightrag.types import MODES, QueryParam, Retrieved
from tests.retrieval.library import FILMS, reader
from tests.sparse_words import SparseWords

QUESTION = "the ferry at noon"


async def weigh(storage: Storage, *docs: str) -> None:
    """Store the weights of some passages."""
    passages = [passage for passage in FILMS if passage.doc in docs]
    made = await SparseWords().weights([passage.text for passage in passages], purpose="document")
    await storage.kv(Namespace.SPARSE).put(
        {passage.chunk.id: {"weights": row} for passage, row in zip(passages, made, strict=True)}
    )


def ranks(found: Retrieved, name: str = "sparse") -> dict[str, tuple[int, float]]:
    """Return rank and score in a list, by document."""
    by_doc = {ranked.chunk.doc_id: ranked.found_by for ranked in found.chunks}
    return {doc: (item.rank, item.score) for doc, items in by_doc.items() for item in items if item.list_name == name}


def test_the_score_is_the_sum_of_products_over_shared_tokens() -> None:
    chunks = {"both": {"1": 0.5, "2": 2.0}, "one": {"2": 1.0, "3": 9.0}, "none": {"3": 9.0}, "empty": {}}
    assert best_matches({"1": 1.0, "2": 0.25}, chunks) == [Hit("both", 1.0), Hit("one", 0.25)]


def test_it_counts_as_much_as_the_lexical_list_and_without_it_nothing_changes() -> None:
    rules, dense, other = WalkRules(), [Hit("d", 1.0)], [Hit("o", 1.0)]
    assert chunk_weights(dense, [], rules, other) == chunk_weights(dense, other, rules)
    assert chunk_weights(dense, other, rules, []) == {"d": 0.8, "o": 0.2}


async def test_mix_lists_the_passages_that_share_tokens_with_the_question(films: Storage) -> None:
    await weigh(films, "boat", "award")
    sparse = SparseWords()
    found = await reader(films, sparse=sparse).retrieve(QUESTION, QueryParam(mode="mix"))
    # "the", "ferry" and "at"; "noon." with its stop is another word here.
    assert ranks(found)["boat"] == (1, 3.0**2 + 5.0**2 + 2.0**2)
    assert sparse.asked == [(QUESTION,)]


async def test_passages_without_weights_are_found_as_ever(films: Storage) -> None:
    plain = await reader(films).retrieve(QUESTION, QueryParam(mode="mix"))
    found = await reader(films, sparse=SparseWords()).retrieve(QUESTION, QueryParam(mode="mix"))
    assert found == plain
    assert not ranks(plain)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "mix"])
async def test_other_modes_ask_for_no_weights(films: Storage, mode: str) -> None:
    sparse = SparseWords()
    await reader(films, sparse=sparse).retrieve(QUESTION, QueryParam(mode=mode))  # type: ignore[arg-type]
    assert sparse.asked == []


async def test_a_question_is_answered_without_the_list_where_the_model_fails(films: Storage) -> None:
    await weigh(films, "boat")
    found = await reader(films, sparse=SparseWords(ModelUnreachable("away"))).retrieve(QUESTION, QueryParam(mode="mix"))
    assert found.chunks[0].chunk.doc_id == "boat"
    assert not ranks(found)
