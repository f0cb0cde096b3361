"""What stands for a name of which much is said changes rarely, and what a summary costs does not grow."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrag.indexing.contributions import ExtractedChunk, Folder, add_chunks, add_extractions, remove_chunks
from lightrag.indexing.extraction import RawEntity, RawRelation, assemble
from lightrag.indexing.fold import FoldRules, draft_entity
from lightrag.indexing.sampling import rank_of
from lightrag.indexing.summarizer import Summarizer
from lightrag.storage.contracts import EntityEvidence
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.fake_models import FakeChat
from lightrag.types import Chunk, EntityMention, ExtractedEntity, MentionSource

RULES = FoldRules()
SMALL = FoldRules(evidence_limit=3, max_fragments=2)
"""Rules under which a dozen mentions are many."""


def mention(number: int, name: str = "Ada") -> EntityMention:
    source = MentionSource(f"chunk-{name}-{number}", "doc", number, "a.txt", 0)
    return EntityMention(ExtractedEntity(name, "person", f"{name} did thing {number}."), source)


class Growing:
    """Evidence of a name that mentions are added to one by one, and the summaries that a fold asks for meanwhile."""

    def __init__(self, rules: FoldRules = RULES) -> None:
        self._rules = rules
        self._ranked: list[tuple[int, EntityMention]] = []
        self.asked: list[str] = []
        self.most_fragments = 0

    @property
    def evidence(self) -> EntityEvidence:
        return EntityEvidence(len(self._ranked), tuple(item for _, item in self._ranked[: self._rules.reach]))

    def add(self, mentions: Iterable[EntityMention]) -> None:
        for item in mentions:
            bisect.insort(self._ranked, (rank_of(item), item), key=lambda ranked: ranked[0])
            need = draft_entity(item.entity.name, self.evidence, self._rules).need
            if need is not None:
                self.most_fragments = max(self.most_fragments, len(need.fragments))
                if not self.asked or self.asked[-1] != need.key:
                    self.asked.append(need.key)


@pytest.mark.parametrize("name", ["Ada", "Bela", "Cyra", "Dora", "Egon"])
def test_a_name_mentioned_in_reading_order_is_summarised_about_once_per_doubling(name: str) -> None:
    growing = Growing()
    growing.add(mention(number, name) for number in range(4000))
    # 8, 24, then at 64, 128, ... 2048; now and then one more, where fewer lie below the bound than are wanted.
    assert 8 <= len(growing.asked) <= 8 + 4
    assert growing.most_fragments <= RULES.evidence_limit


def test_in_any_order_the_number_of_summaries_grows_with_the_logarithm() -> None:
    growing, numbers = Growing(), list(range(3000))
    random.Random(7).shuffle(numbers)
    growing.add(map(mention, numbers))
    k = RULES.evidence_limit
    assert len(growing.asked) <= 1.5 * (k + k * math.log(len(numbers) / k))
    assert growing.most_fragments <= k


@given(st.lists(st.integers(0, 400), unique=True, min_size=1, max_size=120), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_what_is_asked_for_depends_on_the_mentions_alone(numbers: list[int], chance: random.Random) -> None:
    one, other = Growing(SMALL), Growing(SMALL)
    one.add(map(mention, numbers))
    chance.shuffle(numbers)
    other.add(map(mention, numbers))
    assert draft_entity("Ada", one.evidence, SMALL) == draft_entity("Ada", other.evidence, SMALL)


@given(st.integers(2, 23))
def test_up_to_the_limit_everything_is_either_summarised_or_stands_behind_the_summary(count: int) -> None:
    growing = Growing()
    growing.add(map(mention, range(count)))
    draft = draft_entity("Ada", growing.evidence, RULES)
    said = draft.need.fragments + draft.need.later if draft.need else tuple(draft.item.description.split("<SEP>"))
    assert said == tuple(f"Ada did thing {number}." for number in range(count))


def test_long_fragments_are_summarised_before_the_rest_grows_too_long() -> None:
    long = "word " * 1000
    sources = [MentionSource(f"chunk-{number}", "doc", number, "a.txt", 0) for number in range(20)]
    mentions = [EntityMention(ExtractedEntity("Ada", "person", f"{n} {long}"), s) for n, s in enumerate(sources)]
    ranked = tuple(sorted(mentions, key=rank_of))
    need = draft_entity("Ada", EntityEvidence(20, ranked), RULES).need
    assert need is not None
    assert len(need.fragments) + len(need.later) == 20
    assert len(need.later) <= 1


def found_in(numbers: Iterable[int]) -> list[ExtractedChunk]:
    """Return chunks that each say something else of Ada and of her relation to Bob."""
    chunks = [Chunk(f"chunk-{number}", "doc", number, f"text {number}", 2, 0, 6, "a.txt") for number in numbers]
    return [
        ExtractedChunk(
            chunk,
            assemble(
                [RawEntity("Ada", "person", f"Ada did thing {chunk.order}."), RawEntity("Bob", "person", "Bob.")],
                [RawRelation("Ada", "Bob", "knows", f"They met in year {chunk.order}.", 1.5)],
            ),
            chunk.order,
            "test",
        )
        for chunk in chunks
    ]


async def put(storage: MemoryStorage, numbers: Iterable[int], fold: Folder) -> None:
    extracted = found_in(numbers)
    async with storage.transaction() as tx:
        await add_chunks(tx, [item.chunk for item in extracted])
        await add_extractions(tx, extracted, fold)


@given(
    st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=9), min_size=1, max_size=10),
    st.lists(st.integers(0, 60), max_size=5),
)
@settings(max_examples=40, deadline=None)
async def test_nodes_that_only_grow_are_what_a_fold_from_scratch_makes_them(
    batches: list[list[int]], removed: list[int]
) -> None:
    storage, fold = MemoryStorage("s"), Folder(SMALL)
    await storage.open()
    for batch in batches:
        await put(storage, batch, fold)
    async with storage.transaction() as tx:
        await remove_chunks(tx, [f"chunk-{number}" for number in removed], fold)
    nodes = {entity.name: entity for entity in await storage.graph.scan_entities()}
    edges = {relation.pair: relation for relation in await storage.graph.scan_relations()}
    assert await fold.folded_entities(storage, ["Ada", "Bob"]) == nodes
    assert await fold.folded_relations(storage, [("Ada", "Bob")]) == edges


async def test_with_a_rest_after_every_document_the_prompts_stay_bounded() -> None:
    storage, fold = MemoryStorage("s"), Folder(RULES, summarises=lambda: True)
    await storage.open()
    chat = FakeChat(lambda request: "A summary.")
    summarizer = Summarizer(storage, chat, fold, language="English", context_tokens=2000, words=100, parallel=2)
    for number in range(200):
        await put(storage, [number], fold)
        await summarizer.run_round()
    # Of Ada and of her relation to Bob, each at 8, 24, 64 and 128 mentions.
    assert 8 <= len(chat.requests) <= 12
    assert max(len(request.messages[-1].content) for request in chat.requests) < 2000
    ada = (await storage.graph.get_entities(["Ada"]))["Ada"]
    assert (ada.description, ada.mentions) == ("A summary.", 200)
