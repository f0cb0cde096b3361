"""What a document filter leaves of a workspace.

A filter holds before anything is ranked: only chunks of admitted documents are searched, only entities and relations
that an admitted document mentions, and what is said of these is folded again from admitted mentions alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from lightrag.retrieval.recent import RecentRows
from lightrag.storage.contracts import EntityEvidence, RelationEvidence, Storage
from lightrag.storage.rows import key_of_pair
from lightrag.types import DocumentFilter, Entity, Pair, Relation

KEPT_ITEMS = 2048
"""Entities, and relations, that are kept while nothing changes."""

FoldEntity = Callable[[str, EntityEvidence], Entity]
FoldRelation = Callable[[Pair, RelationEvidence], Relation]


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """What a filtered question may see."""

    doc_ids: frozenset[str]
    chunk_ids: frozenset[str]
    names: frozenset[str]
    pairs: frozenset[Pair]

    @property
    def relation_keys(self) -> list[str]:
        """Keys of the vectors of all visible relations."""
        return [key_of_pair(pair) for pair in self.pairs]


async def resolve_scope(storage: Storage, filter: DocumentFilter) -> Scope | None:
    """Return what a filter admits; None where it does not restrict."""
    if filter.is_empty:
        return None
    doc_ids = sorted(await storage.documents.matching(filter))
    records = await storage.documents.get(doc_ids)
    chunk_ids = sorted({chunk_id for record in records.values() for chunk_id in record.chunks_list})
    touched = await storage.graph.mentioned_by(chunk_ids)
    return Scope(frozenset(doc_ids), frozenset(chunk_ids), touched.names, touched.pairs)


class GraphReader:
    """Reads entities and relations as one question may see them."""

    def __init__(
        self, storage: Storage, fold_entity: FoldEntity, fold_relation: FoldRelation, evidence_limit: int
    ) -> None:
        self._graph = storage.graph
        self._entities = RecentRows(storage.version, storage.graph.get_entities, KEPT_ITEMS)
        self._relations = RecentRows(storage.version, storage.graph.get_relations, KEPT_ITEMS)
        self._fold_entity = fold_entity
        self._fold_relation = fold_relation
        self._limit = evidence_limit

    async def entities(self, names: Sequence[str], scope: Scope | None) -> dict[str, Entity]:
        """Return those of `names` that are visible, in the order given."""
        if not names:
            return {}
        if scope is None:
            return await self._entities.get(names)
        evidence = await self._graph.entity_evidence(names, self._limit, doc_ids=scope.doc_ids)
        found = {name: self._fold_entity(name, told) for name, told in evidence.items()}
        return {name: found[name] for name in names if name in found}

    async def relations(self, pairs: Sequence[Pair], scope: Scope | None) -> dict[Pair, Relation]:
        """Return those of `pairs` that are visible, in the order given."""
        if not pairs:
            return {}
        if scope is None:
            return await self._relations.get(pairs)
        evidence = await self._graph.relation_evidence(pairs, self._limit, doc_ids=scope.doc_ids)
        found = {pair: self._fold_relation(pair, told) for pair, told in evidence.items()}
        return {pair: found[pair] for pair in pairs if pair in found}
