"""The fold is a pure function of the evidence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightrag.indexing.fold import FoldRules, draft_entity, fold_entity, fold_relation
from lightrag.storage.contracts import EntityEvidence, RelationEvidence
from lightrag.types import EntityMention, ExtractedEntity, ExtractedRelation, MentionSource, RelationMention

RULES = FoldRules(max_fragments=4, max_tokens=1200)


def mention(number: int, description: str, kind: str = "person") -> EntityMention:
    source = MentionSource(f"chunk-{number}", f"doc-{number % 3}", number, f"{number % 3}.txt", 1000 + number)
    return EntityMention(ExtractedEntity("Ada", kind, description), source)


def link(number: int, keywords: str, weight: float = 1.0) -> RelationMention:
    source = MentionSource(f"chunk-{number}", "doc-1", number, "a.txt", 1000)
    return RelationMention(ExtractedRelation("Ada", "Bob", keywords, f"fact {number}", weight), source)


def test_descriptions_stand_in_reading_order_each_once() -> None:
    sample = (mention(6, "third"), mention(0, "first"), mention(3, "second"), mention(9, "first"))
    assert fold_entity("Ada", EntityEvidence(4, sample), RULES).description == "first<SEP>second<SEP>third"


def test_the_commonest_known_type_wins() -> None:
    sample = tuple(mention(n, f"d{n}", kind) for n, kind in enumerate(["UNKNOWN", "UNKNOWN", "place", "person"]))
    assert fold_entity("Ada", EntityEvidence(4, sample), RULES).type == "person"


def test_a_long_description_is_replaced_by_its_summary() -> None:
    evidence = EntityEvidence(9, tuple(mention(n, f"fact {n}") for n in range(9)))
    need = draft_entity("Ada", evidence, RULES).need
    assert need is not None
    provisional = fold_entity("Ada", evidence, RULES).description
    assert provisional.count("<SEP>") == RULES.max_fragments - 1
    described = fold_entity("Ada", evidence, RULES, {need.key: "Ada, in short."}).description
    assert described.split("<SEP>")[0] == "Ada, in short."
    assert {*need.fragments, *described.split("<SEP>")[1:]} == {f"fact {n}" for n in range(9)}


def test_keywords_are_united_and_weight_is_the_total() -> None:
    evidence = RelationEvidence(7, 7.5, (link(1, "knows,works with"), link(2, "knows")))
    relation = fold_relation(("Ada", "Bob"), evidence, RULES)
    assert relation.keywords == "knows,works with"
    assert (relation.weight, relation.mentions) == (7.5, 7)


@given(st.permutations(list(range(12))))
def test_the_order_of_evidence_that_fits_does_not_matter(order: list[int]) -> None:
    rules = FoldRules(max_fragments=50, max_tokens=10_000)
    usual = EntityEvidence(12, tuple(mention(n, f"fact {n % 5}") for n in range(12)))
    shuffled = EntityEvidence(12, tuple(mention(n, f"fact {n % 5}") for n in order))
    assert fold_entity("Ada", usual, rules) == fold_entity("Ada", shuffled, rules)
