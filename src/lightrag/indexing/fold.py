"""The fold: what an entity or relation is, as a pure function of its evidence.

Evidence is the total number of mentions and the first few in evidence order (see `lightrag.storage.contracts`), so
the cost of folding does not grow with the number of mentions, and the result depends neither on the order in which
documents arrived nor on how they were grouped. Deleting, updating, repairing and filtering fold again; they know
nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from lightrag.indexing.names import UNKNOWN_TYPE
from lightrag.storage.contracts import EntityEvidence, RelationEvidence
from lightrag.types import FIELD_SEPARATOR, Entity, MentionSource, Pair, Relation

EMBEDDED_CHARS = 1200
"""How much of a description goes into its vector; beyond that a change of the description changes no vector."""


@dataclasses.dataclass(frozen=True, slots=True)
class FoldRules:
    """When a description is too long to be kept as the list of what was said."""

    evidence_limit: int = 24
    """Mentions that a fold looks at."""
    max_fragments: int = 8
    """From this many distinct fragments on, a description is summarised."""
    max_tokens: int = 1200
    """Estimated tokens beyond which a description is summarised."""


@dataclasses.dataclass(frozen=True, slots=True)
class SummaryNeed:
    """Fragments that ought to be summarised, with the key under which the summary is kept."""

    key: str
    label: str
    """The entity's name, or both ends of the relation."""
    fragments: tuple[str, ...]


def estimate_tokens(text: str) -> int:
    """Estimate tokens from characters: four to a token, one where the script has no spaces.

    Cheap enough for every fold; budgets of prompts are counted with the tokenizer.
    """
    if text.isascii():
        return len(text) // 4 + 1
    wide = sum(char > "\u2e7f" for char in text)
    return wide + (len(text) - wide) // 4 + 1


def fold_entity(
    name: str,
    evidence: EntityEvidence,
    rules: FoldRules,
    summaries: Mapping[str, str] | None = None,
) -> Entity:
    """Return the node that the evidence makes; `summaries` holds texts by `SummaryNeed.key`."""
    sample = evidence.mentions
    sources = [mention.source for mention in sample]
    return Entity(
        name=name,
        type=_commonest_type([mention.entity.type for mention in sample]),
        description=_description(
            name, [(mention.source, mention.entity.description) for mention in sample], rules, summaries or {}
        ),
        mentions=evidence.total,
        chunk_ids=_chunk_ids(sources),
        file_paths=_file_paths(sources),
        created_at=min((source.created_at for source in sources), default=0),
    )


def fold_relation(
    pair: Pair,
    evidence: RelationEvidence,
    rules: FoldRules,
    summaries: Mapping[str, str] | None = None,
) -> Relation:
    """Return the edge that the evidence makes; weight is the sum over all mentions."""
    sample = evidence.mentions
    sources = [mention.source for mention in sample]
    keywords = {word for mention in sample for word in mention.relation.keywords.split(",") if word}
    return Relation(
        source=pair[0],
        target=pair[1],
        keywords=",".join(sorted(keywords)),
        description=_description(
            _pair_label(pair),
            [(mention.source, mention.relation.description) for mention in sample],
            rules,
            summaries or {},
        ),
        weight=evidence.weight,
        mentions=evidence.total,
        chunk_ids=_chunk_ids(sources),
        file_paths=_file_paths(sources),
        created_at=min((source.created_at for source in sources), default=0),
    )


def entity_summary_need(name: str, evidence: EntityEvidence, rules: FoldRules) -> SummaryNeed | None:
    """Return what to summarise for a node, or None where its fragments fit as they are."""
    return _need(name, [(m.source, m.entity.description) for m in evidence.mentions], rules)


def relation_summary_need(pair: Pair, evidence: RelationEvidence, rules: FoldRules) -> SummaryNeed | None:
    """Return what to summarise for an edge, or None where its fragments fit as they are."""
    return _need(_pair_label(pair), [(m.source, m.relation.description) for m in evidence.mentions], rules)


def entity_vector_text(entity: Entity) -> str:
    """Return the text that a node's vector stands for."""
    return f"{entity.name}\n{entity.description[:EMBEDDED_CHARS]}"


def relation_vector_text(relation: Relation) -> str:
    """Return the text that an edge's vector stands for."""
    return (
        f"{relation.keywords[:EMBEDDED_CHARS]}\t{relation.source}\t{relation.target}\n"
        f"{relation.description[:EMBEDDED_CHARS]}"
    )


def text_hash(text: str) -> str:
    """Return the hash by which a vector is known to be that of `text`."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _pair_label(pair: Pair) -> str:
    return f"{pair[0]} — {pair[1]}"


def _commonest_type(types: Sequence[str]) -> str:
    known = Counter(kind for kind in types if kind != UNKNOWN_TYPE)
    if not known:
        return UNKNOWN_TYPE
    return min(known, key=lambda kind: (-known[kind], kind))


def _reading_order(source: MentionSource) -> tuple[str, str, int]:
    return (source.file_path, source.doc_id, source.order)


def _fragments(told: Sequence[tuple[MentionSource, str]]) -> list[str]:
    """Return the distinct descriptions in reading order."""
    return list(dict.fromkeys(text for _, text in sorted(told, key=lambda item: _reading_order(item[0])) if text))


def _need(label: str, told: Sequence[tuple[MentionSource, str]], rules: FoldRules) -> SummaryNeed | None:
    fragments = _fragments(told)
    if len(fragments) < rules.max_fragments and sum(map(estimate_tokens, fragments)) < rules.max_tokens:
        return None
    if len(fragments) < 2:
        return None
    key = text_hash("\x1f".join([label, *fragments]))
    return SummaryNeed(key, label, tuple(fragments))


def _description(
    label: str, told: Sequence[tuple[MentionSource, str]], rules: FoldRules, summaries: Mapping[str, str]
) -> str:
    need = _need(label, told, rules)
    if need is None:
        return FIELD_SEPARATOR.join(_fragments(told))
    summary = summaries.get(need.key)
    if summary is not None:
        return summary
    # Until it is summarised (or for good, without a language model) a sample stands for the whole: the first
    # fragments in evidence order, which rarely changes, shown in reading order.
    chosen: list[tuple[MentionSource, str]] = []
    tokens = 0
    seen: set[str] = set()
    for source, text in told:
        if text in seen or not text:
            continue
        tokens += estimate_tokens(text)
        if chosen and (len(chosen) >= rules.max_fragments or tokens > rules.max_tokens):
            break
        seen.add(text)
        chosen.append((source, text))
    return FIELD_SEPARATOR.join(_fragments(chosen))


def _chunk_ids(sources: Sequence[MentionSource]) -> tuple[str, ...]:
    return tuple(source.chunk_id for source in sorted(sources, key=_reading_order))


def _file_paths(sources: Sequence[MentionSource]) -> tuple[str, ...]:
    return tuple(sorted({source.file_path for source in sources}))
