"""What each query mode retrieves."""

from __future__ import annotations

import pytest

from lightrag.errors import InvalidInput, ModelUnreachable
from lightrag.indexing.contributions import add_chunks
from lightrag.llm.contracts import RerankHit
from lightrag.storage.contracts import Storage
from lightrag.testing.fake_models import FakeEmbedding
from lightrag.types import MODES, Mode, QueryParam, Retrieved
from tests.retrieval.library import DIMENSION, FILMS, HARD, Passage, reader, shelve

QUESTION = HARD


def docs(found: Retrieved) -> list[str]:
    return [ranked.chunk.doc_id for ranked in found.chunks]


async def test_mix_joins_passages_that_share_a_name_where_resemblance_does_not(storage: Storage) -> None:
    await shelve(storage, FILMS)
    by_resemblance = docs(await reader(storage).retrieve(HARD, QueryParam(mode="naive")))
    assert by_resemblance[0] == "film"
    assert "person" not in by_resemblance
    assert docs(await reader(storage).retrieve(HARD, QueryParam(mode="mix")))[:2] == ["film", "person"]


async def test_mix_finds_exact_terms(films: Storage) -> None:
    found = await reader(films).retrieve("what is err-4711", QueryParam(mode="mix"))
    assert docs(found)[0] == "code"


async def test_naive_returns_passages_only(films: Storage) -> None:
    found = await reader(films).retrieve("the ferry at noon", QueryParam(mode="naive"))
    assert docs(found)[0] == "boat"
    assert not found.entities
    assert not found.relations
    assert found.counts.keys() == {"total_chunks_found", "final_chunks_count"}


async def test_local_finds_entities_by_low_level_keywords_with_their_relations_and_passages(films: Storage) -> None:
    param = QueryParam(mode="local", ll_keywords=["Mara Quill"], top_k=1)
    found = await reader(films).retrieve("tell me more", param)
    assert [entity.name for entity in found.entities] == ["Mara Quill"]
    assert {relation.pair for relation in found.relations} == {("Mara Quill", "Stellar Drift"), ("Mara Quill", "Tiree")}
    assert set(docs(found)) == {"film", "person"}


async def test_an_entity_that_is_named_stands_before_those_that_only_resemble_it(storage: Storage) -> None:
    parts = [Passage(f"part{n}", f"Part {n} fits.", [(f"Part {n}", "fits", "Pump")]) for n in range(40)]
    await shelve(storage, [*parts, Passage("odd", "It leaks.", [("Xylo", "leaks at", "Valve")])])
    modes: tuple[Mode, ...] = ("local", "hybrid", "mix")
    for mode in modes:
        param = QueryParam(mode=mode, top_k=3, ll_keywords=["part that fits the pump"])
        found = await reader(storage).retrieve("Which part stands beside the Xylo?", param)
        assert found.entities[0].name == "Xylo", mode


async def test_global_finds_relations_by_high_level_keywords_with_their_ends_and_passages(films: Storage) -> None:
    found = await reader(films).retrieve(
        "tell me more", QueryParam(mode="global", hl_keywords=["departure of the Ferry at Noon"], top_k=1)
    )
    assert [relation.pair for relation in found.relations] == [("Ferry", "Noon")]
    assert {entity.name for entity in found.entities} == {"Ferry", "Noon"}
    assert docs(found) == ["boat"]


async def test_hybrid_unites_local_and_global(films: Storage) -> None:
    param = QueryParam(mode="hybrid", ll_keywords=["Mara Quill"], hl_keywords=["departure of the Ferry"], top_k=1)
    found = await reader(films).retrieve("tell me more", param)
    assert {"Mara Quill", "Ferry"} <= {entity.name for entity in found.entities}
    assert {"film", "person", "boat"} <= set(docs(found))


async def test_counts_are_those_of_lightrag(films: Storage) -> None:
    found = await reader(films).retrieve(QUESTION, QueryParam(mode="mix"))
    assert found.counts.keys() == {
        "total_entities_found",
        "total_relations_found",
        "entities_after_truncation",
        "relations_after_truncation",
        "merged_chunks_count",
        "final_chunks_count",
    }
    assert found.counts["final_chunks_count"] == len(found.chunks)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "bypass"])
async def test_a_question_costs_one_embedding_call_and_a_repeated_one_none(films: Storage, mode: Mode) -> None:
    embedding = FakeEmbedding(DIMENSION)
    asker = reader(films, embedding=embedding)
    param = QueryParam(mode=mode, ll_keywords=["Tiree"], hl_keywords=["home"])
    await asker.retrieve(QUESTION, param)
    assert len(embedding.batches) == 1
    await asker.retrieve(QUESTION, param)
    assert len(embedding.batches) == 1


async def test_without_keywords_the_question_itself_is_all_that_is_embedded(films: Storage) -> None:
    embedding = FakeEmbedding(DIMENSION)
    found = await reader(films, embedding=embedding).retrieve("Who made Stellar Drift?", QueryParam(mode="mix"))
    assert embedding.batches == [("Who made Stellar Drift?",)]
    assert found.keywords.low_level == ("Stellar Drift",)


@pytest.mark.parametrize(
    ("mode", "asked"),
    [("local", ("Tiree",)), ("global", ("home",)), ("hybrid", ("Tiree", "home")), ("mix", ("Tiree", "home"))],
)
async def test_only_keywords_that_a_mode_searches_with_are_embedded(
    films: Storage, mode: Mode, asked: tuple[str, ...]
) -> None:
    embedding = FakeEmbedding(DIMENSION)
    param = QueryParam(mode=mode, ll_keywords=["Tiree"], hl_keywords=["home"])
    await reader(films, embedding=embedding).retrieve(QUESTION, param)
    assert embedding.batches == [(QUESTION, *asked)]


async def test_a_failing_embedding_fails_the_question_with_its_reason(films: Storage) -> None:
    embedding = FakeEmbedding(DIMENSION, failures=[ModelUnreachable("no server at that address")])
    with pytest.raises(ModelUnreachable, match="no server"):
        await reader(films, embedding=embedding).retrieve(QUESTION, QueryParam())


@pytest.mark.parametrize("mode", MODES)
async def test_an_empty_workspace_has_nothing(storage: Storage, mode: Mode) -> None:
    await storage.set_dimension(DIMENSION)
    assert (await reader(storage).retrieve(QUESTION, QueryParam(mode=mode))).is_empty


async def test_a_workspace_that_was_never_written_has_nothing(storage: Storage) -> None:
    assert (await reader(storage).retrieve(QUESTION, QueryParam(mode="mix"))).is_empty


async def test_passages_without_vectors_yet_are_found_by_their_words(storage: Storage) -> None:
    await shelve(storage, FILMS)
    late = Passage("late", "Quasar maintenance is due in May.")
    async with storage.transaction() as tx:
        await add_chunks(tx, [late.chunk])
    found = await reader(storage).retrieve("when is quasar maintenance due", QueryParam(mode="mix"))
    [late_chunk] = [ranked for ranked in found.chunks if ranked.chunk.doc_id == "late"]
    assert [entry.list_name for entry in late_chunk.found_by] == ["lexical"]


async def test_an_empty_question_or_an_unknown_mode_is_refused(films: Storage) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        await reader(films).retrieve("  ", QueryParam())
    with pytest.raises(InvalidInput, match="no query mode"):
        await reader(films).retrieve(QUESTION, QueryParam(mode="deep"))  # type: ignore[arg-type]


class Backwards:
    """A reranker that likes the last passage best."""

    def __init__(self, error: ModelUnreachable | None = None) -> None:
        self.error = error
        self.facts = FakeEmbedding(DIMENSION).facts

    async def rerank(self, query: str, documents: list[str], top_n: int) -> list[RerankHit]:
        if self.error:
            raise self.error
        return [RerankHit(len(documents) - 1 - rank, 1.0 - rank / 100) for rank in range(top_n)]

    async def aclose(self) -> None:
        pass


async def test_a_reranker_has_the_last_word_unless_it_is_switched_off_or_fails(films: Storage) -> None:
    plain = docs(await reader(films).retrieve(QUESTION, QueryParam(mode="mix")))
    reranked = docs(await reader(films, reranker=Backwards()).retrieve(QUESTION, QueryParam(mode="mix")))
    assert reranked == plain[::-1]
    off = QueryParam(mode="mix", enable_rerank=False)
    assert docs(await reader(films, reranker=Backwards()).retrieve(QUESTION, off)) == plain
    broken = reader(films, reranker=Backwards(ModelUnreachable("away")))
    assert docs(await broken.retrieve(QUESTION, QueryParam(mode="mix"))) == plain


async def test_each_passage_says_which_lists_found_it(films: Storage) -> None:
    found = await reader(films).retrieve(QUESTION, QueryParam(mode="mix"))
    first = found.chunks[0]
    assert {entry.list_name for entry in first.found_by} == {"dense", "lexical", "graph"}
    assert all(entry.rank >= 1 for entry in first.found_by)
