"""Nodes and edges to which mentions were added that a fold does not look at: only their totals change."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence

from lightrag.indexing.derivation import Derived
from lightrag.indexing.sampling import bound_of, level_of, rank_of
from lightrag.storage.contracts import Storage
from lightrag.types import Entity, EntityMention, Pair, Relation, RelationMention


@dataclasses.dataclass(frozen=True, slots=True)
class Arrivals:
    """Mentions that were put, by what they mention."""

    entities: Mapping[str, Sequence[EntityMention]]
    relations: Mapping[Pair, Sequence[RelationMention]]

    @classmethod
    def of(cls, derived: Iterable[Derived]) -> Arrivals:
        """Gather what chunks say."""
        entities: dict[str, list[EntityMention]] = {}
        relations: dict[Pair, list[RelationMention]] = {}
        for item in derived:
            for mention in item.entities:
                entities.setdefault(mention.entity.name, []).append(mention)
            for told in item.relations:
                relations.setdefault((told.relation.source, told.relation.target), []).append(told)
        return cls(entities, relations)

    def nodes_beside(self, nodes: Mapping[str, Entity], edited: Container[str], limit: int) -> dict[str, Entity]:
        """Return those of `nodes` whose fold does not look at what arrived, as long as the bound stays where it is.

        What was edited by hand is folded in any case.
        """
        return {
            name: node
            for name, node in nodes.items()
            if name not in edited and _is_beside(self.entities[name], node.mentions, limit)
        }

    def edges_beside(self, edges: Mapping[Pair, Relation], edited: Container[Pair], limit: int) -> dict[Pair, Relation]:
        """As `nodes_beside`."""
        return {
            pair: edge
            for pair, edge in edges.items()
            if pair not in edited and _is_beside(self.relations[pair], edge.mentions, limit)
        }


async def grown_entities(storage: Storage, nodes: Mapping[str, Entity], limit: int) -> dict[str, Entity]:
    """Return nodes with their present totals; those for which the bound has moved are left out."""
    totals = await storage.graph.entity_evidence(list(nodes), 0) if nodes else {}
    return {
        name: dataclasses.replace(nodes[name], mentions=found.total)
        for name, found in totals.items()
        if level_of(found.total, limit) == level_of(nodes[name].mentions, limit)
    }


async def grown_relations(storage: Storage, edges: Mapping[Pair, Relation], limit: int) -> dict[Pair, Relation]:
    """As `grown_entities`."""
    totals = await storage.graph.relation_evidence(list(edges), 0) if edges else {}
    return {
        pair: dataclasses.replace(edges[pair], mentions=found.total, weight=found.weight)
        for pair, found in totals.items()
        if level_of(found.total, limit) == level_of(edges[pair].mentions, limit)
    }


def _is_beside(arrived: Sequence[EntityMention | RelationMention], known: int, limit: int) -> bool:
    if level_of(known, limit) == 0:
        return False
    bound = bound_of(known, limit)
    return all(rank_of(mention) >= bound for mention in arrived)
