"""The fold: what an entity or relation is, as a pure function of its evidence.

Evidence is the total number of mentions and the first few in evidence order (see `lightrag.storage.contracts`), so
the cost of folding does not grow with the number of mentions, and the result depends neither on the order in which
documents arrived nor on how they were grouped. Deleting, updating, repairing and filtering fold again; they know
nothing else. `lightrag.indexing.sampling` says which mentions are looked at.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from lightrag.indexing.names import UNKNOWN_TYPE
from lightrag.indexing.records import MANUAL, EntityRecord, RelationRecord
from lightrag.indexing.sampling import below_bound, reach
from lightrag.storage.contracts import EntityEvidence, RelationEvidence
from lightrag.storage.vector_texts import entity_vector_text as entity_vector_text
from lightrag.storage.vector_texts import relation_vector_text as relation_vector_text
from lightrag.storage.vector_texts import text_hash as text_hash
from lightrag.types import FIELD_SEPARATOR, Entity, EntityMention, Pair, Relation, RelationMention

T = TypeVar("T", Entity, Relation)


@dataclasses.dataclass(frozen=True, slots=True)
class FoldRules:
    """When a description is too long to be kept as the list of what was said."""

    evidence_limit: int = 24
    """Mentions that a node or edge lists, and fragments that a summary is made of, at most."""
    max_fragments: int = 8
    """From this many distinct fragments on, a description is summarised."""
    max_tokens: int = 1200
    """Estimated tokens beyond which a description is summarised."""

    @property
    def reach(self) -> int:
        """Return how many mentions, in evidence order, a fold wants to read."""
        return reach(self.evidence_limit)


@dataclasses.dataclass(frozen=True, slots=True)
class SummaryNeed:
    """Fragments that ought to be summarised, with the key under which the summary is kept."""

    key: str
    label: str
    """The entity's name, or both ends of the relation."""
    fragments: tuple[str, ...]
    """At most `FoldRules.evidence_limit`."""
    later: tuple[str, ...] = ()
    """What was said besides, too little to be summarised as well; it stands behind the summary as it is."""

    def described_by(self, summary: str) -> str:
        """Return the description, given the summary of the fragments."""
        return FIELD_SEPARATOR.join([summary, *self.later])


def estimate_tokens(text: str) -> int:
    """Estimate tokens from characters: four to a token, one where the script has no spaces.

    Cheap enough for every fold; budgets of prompts are counted with the tokenizer.
    """
    if text.isascii():
        return len(text) // 4 + 1
    wide = sum(char > "\u2e7f" for char in text)
    return wide + (len(text) - wide) // 4 + 1


@dataclasses.dataclass(frozen=True, slots=True)
class Draft(Generic[T]):
    """A folded item whose description may still be replaced by a summary."""

    item: T
    need: SummaryNeed | None

    def resolved(self, summaries: Mapping[str, str]) -> T:
        """Return the item, with its summary where `summaries` (by `SummaryNeed.key`) has one."""
        if self.need is None or self.need.key not in summaries:
            return self.item
        return dataclasses.replace(self.item, description=self.need.described_by(summaries[self.need.key]))


_NO_ENTITY, _NO_RELATION = EntityRecord(), RelationRecord()


def draft_entity(
    name: str, evidence: EntityEvidence, rules: FoldRules, record: EntityRecord = _NO_ENTITY
) -> Draft[Entity]:
    """Return the node that the evidence makes, and what to summarise where its fragments do not fit as they are.

    What `record` says goes before what documents say, or stands in its place.
    """
    mentions = below_bound(evidence.mentions, evidence.total, rules.evidence_limit)
    by_hand = 0
    if record.created:
        # LightRAG's files list what was made by hand as a mention too; it counts once.
        by_hand = sum(mention.source.chunk_id == MANUAL for mention in evidence.mentions)
        mentions = [mention for mention in mentions if mention.source.chunk_id != MANUAL]
    chosen = mentions[: rules.evidence_limit]
    sample = sorted(chosen, key=_entity_reading_order)
    description, need = record.description, None
    if description is None:
        description, need = _describe(
            name,
            [*record.notes, *(m.entity.description for m in sample)],
            [*record.notes, *(m.entity.description for m in chosen)],
            lambda: [*record.notes, *(m.entity.description for m in sorted(mentions, key=_entity_reading_order))],
            rules,
        )
    entity = Entity(
        name=name,
        type=record.type or _commonest_type([mention.entity.type for mention in sample]),
        description=description,
        mentions=evidence.total - by_hand,
        chunk_ids=_sources(record, [mention.source.chunk_id for mention in sample]),
        file_paths=_files(record, {mention.source.file_path for mention in sample}),
        created_at=_earliest(record, [mention.source.created_at for mention in sample]),
    )
    return Draft(entity, need)


def draft_relation(
    pair: Pair, evidence: RelationEvidence, rules: FoldRules, record: RelationRecord = _NO_RELATION
) -> Draft[Relation]:
    """Return the edge that the evidence makes, and what to summarise; weight is the sum over all mentions.

    What `record` says is added to what documents say, or stands in its place.
    """
    mentions, weight = below_bound(evidence.mentions, evidence.total, rules.evidence_limit), evidence.weight
    by_hand = 0
    if record.created:
        of_hand = [mention.relation.weight for mention in evidence.mentions if mention.source.chunk_id == MANUAL]
        by_hand, weight = len(of_hand), weight - sum(of_hand)
        mentions = [mention for mention in mentions if mention.source.chunk_id != MANUAL]
    chosen = mentions[: rules.evidence_limit]
    sample = sorted(chosen, key=_relation_reading_order)
    description, need = record.description, None
    if description is None:
        description, need = _describe(
            f"{pair[0]} — {pair[1]}",
            [*record.notes, *(m.relation.description for m in sample)],
            [*record.notes, *(m.relation.description for m in chosen)],
            lambda: [*record.notes, *(m.relation.description for m in sorted(mentions, key=_relation_reading_order))],
            rules,
        )
    keywords = {word for mention in sample for word in mention.relation.keywords.split(",") if word}
    relation = Relation(
        source=pair[0],
        target=pair[1],
        keywords=(
            record.only_keywords
            if record.only_keywords is not None
            else ",".join(sorted(keywords.union(record.keywords)))
        ),
        description=description,
        weight=record.only_weight if record.only_weight is not None else weight + record.weight,
        mentions=evidence.total - by_hand,
        chunk_ids=_sources(record, [mention.source.chunk_id for mention in sample]),
        file_paths=_files(record, {mention.source.file_path for mention in sample}),
        created_at=_earliest(record, [mention.source.created_at for mention in sample]),
    )
    return Draft(relation, need)


def fold_entity(
    name: str,
    evidence: EntityEvidence,
    rules: FoldRules,
    summaries: Mapping[str, str] | None = None,
    record: EntityRecord | None = None,
) -> Entity:
    """Return the node that the evidence makes; `summaries` holds texts by `SummaryNeed.key`."""
    return draft_entity(name, evidence, rules, record or _NO_ENTITY).resolved(summaries or {})


def fold_relation(
    pair: Pair,
    evidence: RelationEvidence,
    rules: FoldRules,
    summaries: Mapping[str, str] | None = None,
    record: RelationRecord | None = None,
) -> Relation:
    """Return the edge that the evidence makes; `summaries` holds texts by `SummaryNeed.key`."""
    return draft_relation(pair, evidence, rules, record or _NO_RELATION).resolved(summaries or {})


def _sources(record: EntityRecord | RelationRecord, chunk_ids: Sequence[str]) -> tuple[str, ...]:
    if record.only_sources is not None:
        return record.only_sources
    return (*record.sources, *(key for key in chunk_ids if key not in record.sources))


def _files(record: EntityRecord | RelationRecord, paths: set[str]) -> tuple[str, ...]:
    return record.only_files if record.only_files is not None else tuple(sorted(paths.union(record.files)))


def _earliest(record: EntityRecord | RelationRecord, times: Sequence[int]) -> int:
    return min([*times, record.created_at] if record.created else times, default=0)


def _entity_reading_order(mention: EntityMention) -> tuple[str, str, int]:
    source = mention.source
    return (source.file_path, source.doc_id, source.order)


def _relation_reading_order(mention: RelationMention) -> tuple[str, str, int]:
    source = mention.source
    return (source.file_path, source.doc_id, source.order)


def _commonest_type(types: Sequence[str]) -> str:
    known = Counter(kind for kind in types if kind != UNKNOWN_TYPE)
    if not known:
        return UNKNOWN_TYPE
    return min(known, key=lambda kind: (-known[kind], kind))


def _describe(
    label: str,
    sample: Sequence[str],
    in_evidence_order: Sequence[str],
    everything: Callable[[], Sequence[str]],
    rules: FoldRules,
) -> tuple[str, SummaryNeed | None]:
    """Return a description, and what would make a better one where there is too much to keep.

    `sample` is what the listed mentions say, in reading order; `everything` what all say that are looked at.
    """
    fragments = _distinct(sample)
    if len(fragments) < 2 or (
        len(fragments) < rules.max_fragments and sum(map(estimate_tokens, fragments)) < rules.max_tokens
    ):
        return FIELD_SEPARATOR.join(fragments), None
    # Until it is summarised (or for good, without a language model) a few stand for the whole: the first ones in
    # evidence order, which rarely changes, shown in reading order.
    shown: set[str] = set()
    tokens = 0
    for text in _distinct(in_evidence_order):
        tokens += estimate_tokens(text)
        if shown and (len(shown) >= rules.max_fragments or tokens > rules.max_tokens):
            break
        shown.add(text)
    description = FIELD_SEPARATOR.join([text for text in fragments if text in shown])
    return description, _need(label, _distinct(everything()), rules)


def _need(label: str, said: Sequence[str], rules: FoldRules) -> SummaryNeed:
    """Return what to summarise of all that was said, in reading order, and what to leave as it is."""
    size = _settled(said, rules)
    fragments = tuple(said[:size])
    later = tuple(said[size:]) if size < rules.evidence_limit else ()
    return SummaryNeed(text_hash("\x1f".join([label, *fragments])), label, fragments, later)


def _settled(said: Sequence[str], rules: FoldRules) -> int:
    """Return how many of the fragments are summarised.

    The first time as many as are too much to be listed, then always three times as many, or with what makes the rest
    too long. What comes later changes nothing about the fragments before it, so the number of summaries that one name
    ever needs grows with the logarithm of what is said of it.
    """
    size = length = 0
    most = rules.max_fragments
    for count, text in enumerate(said[: rules.evidence_limit], 1):
        length += estimate_tokens(text)
        if count == rules.evidence_limit or (count > 1 and (count - size >= most or length >= rules.max_tokens)):
            size, length, most = count, 0, 2 * count
    return size or min(len(said), rules.evidence_limit)


def _distinct(texts: Sequence[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
