"""The graph store in plain Python objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from lightrag.errors import InvalidInput, StorageError
from lightrag.storage.contracts import EntityEvidence, GraphChanges, RelationEvidence, Touched
from lightrag.storage.evidence import MICRO, evidence_rank, micro_units, pair_key
from lightrag.types import (
    Entity,
    EntityMention,
    ExtractedEntity,
    ExtractedRelation,
    MentionSource,
    Pair,
    Relation,
    RelationMention,
)


@dataclasses.dataclass(slots=True)
class GraphState:
    """What the graph is made of. A change of structure makes a new version; readers are always told everything."""

    sources: dict[str, MentionSource] = dataclasses.field(default_factory=dict)
    """By chunk id."""
    entities: dict[tuple[str, str], ExtractedEntity] = dataclasses.field(default_factory=dict)
    """By (name, chunk id)."""
    relations: dict[tuple[Pair, str], ExtractedRelation] = dataclasses.field(default_factory=dict)
    """By (pair, chunk id)."""
    nodes: dict[str, Entity] = dataclasses.field(default_factory=dict)
    edges: dict[Pair, Relation] = dataclasses.field(default_factory=dict)
    ids: dict[str, int] = dataclasses.field(default_factory=dict)
    """Ids of names and chunks, for good."""
    version: int = 0

    def dropped(self) -> GraphState:
        """Return an empty state that readers of this one recognise as changed."""
        return GraphState(version=self.version + 1)

    def id_of(self, key: str) -> int:
        """Return the id of a name or chunk, given out when it is first asked for."""
        return self.ids.setdefault(key, len(self.ids) + 1)

    def names(self) -> set[str]:
        """Return all names there are: mentioned, a node, or the end of a relation that is mentioned."""
        ends = (name for pair, _ in self.relations for name in pair)
        return {name for name, _ in self.entities} | set(self.nodes) | set(ends)


class MemoryGraph:
    """Mentions, entities and relations of the state that `current` returns."""

    def __init__(self, current: Callable[[], GraphState]) -> None:
        self._current = current

    async def put_mentions(self, entities: Sequence[EntityMention], relations: Sequence[RelationMention]) -> Touched:
        """Store mentions, replacing those of the same key and chunk; return the keys."""
        state = self._changed()
        for mention in relations:
            if not np.isfinite(mention.relation.weight):
                raise InvalidInput(f"the weight of {mention.relation} is not finite")
        names, pairs = set(), set()
        for entity_mention in entities:
            name, source = entity_mention.entity.name, entity_mention.source
            state.entities[name, source.chunk_id] = entity_mention.entity
            state.sources[source.chunk_id] = source
            names.add(name)
        for mention in relations:
            pair = (mention.relation.source, mention.relation.target)
            state.relations[pair, mention.source.chunk_id] = mention.relation
            state.sources[mention.source.chunk_id] = mention.source
            pairs.add(pair)
        return Touched(frozenset(names), frozenset(pairs))

    async def delete_mentions(self, chunk_ids: Sequence[str]) -> Touched:
        """Remove all mentions by these chunks; return the keys that lost any."""
        touched, state, gone = await self.mentioned_by(chunk_ids), self._changed(), set(chunk_ids)
        state.entities = {key: found for key, found in state.entities.items() if key[1] not in gone}
        state.relations = {key: found for key, found in state.relations.items() if key[1] not in gone}
        for chunk_id in gone:
            state.sources.pop(chunk_id, None)
        return touched

    async def entity_evidence(
        self, names: Sequence[str], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[str, EntityEvidence]:
        """Return evidence of each name that has any; with `doc_ids` only mentions by these documents count."""
        found = {}
        for name in names:
            chunks = [chunk for key, chunk in self._state.entities if key == name]
            ordered = self._in_order(name, chunks, doc_ids)
            if ordered:
                mentions = (EntityMention(self._state.entities[name, s.chunk_id], s) for s in ordered[:limit])
                found[name] = EntityEvidence(len(ordered), tuple(mentions))
        return found

    async def relation_evidence(
        self, pairs: Sequence[Pair], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[Pair, RelationEvidence]:
        """Return evidence of each pair that has any; with `doc_ids` only mentions by these documents count."""
        found, relations = {}, self._state.relations
        for pair in pairs:
            chunks = [chunk for key, chunk in relations if key == pair]
            ordered = self._in_order(pair_key(pair), chunks, doc_ids)
            if ordered:
                total = sum(micro_units(relations[pair, source.chunk_id].weight) for source in ordered)
                mentions = (RelationMention(relations[pair, s.chunk_id], s) for s in ordered[:limit])
                found[pair] = RelationEvidence(len(ordered), total / MICRO, tuple(mentions))
        return found

    async def mentioned_by(self, chunk_ids: Sequence[str]) -> Touched:
        """Return the keys that these chunks mention."""
        return Touched(
            frozenset(name for name, chunk in self._state.entities if chunk in chunk_ids),
            frozenset(pair for pair, chunk in self._state.relations if chunk in chunk_ids),
        )

    async def scan_mention_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return names that have entity mentions, by name."""
        return sorted({name for name, _ in self._state.entities if name > after})[:limit]

    async def scan_mention_pairs(self, *, after: Pair | None = None, limit: int = 1000) -> list[Pair]:
        """Return pairs that have relation mentions, by pair."""
        return sorted({pair for pair, _ in self._state.relations if after is None or pair > after})[:limit]

    async def put_entities(self, entities: Sequence[Entity]) -> None:
        """Insert or replace nodes."""
        self._changed().nodes.update((entity.name, entity) for entity in entities)

    async def put_relations(self, relations: Sequence[Relation]) -> None:
        """Insert or replace edges; raises `StorageError` where an end is missing."""
        for relation in relations:
            if missing := [name for name in relation.pair if name not in self._state.nodes]:
                raise StorageError(f"no entity {missing[0]!r} exists for a relation on it")
            if not np.isfinite(relation.weight):
                raise InvalidInput(f"the weight of {relation.pair} is not finite")
        self._changed().edges.update((relation.pair, relation) for relation in relations)

    async def delete_entities(self, names: Sequence[str]) -> None:
        """Remove nodes and every edge on them."""
        state, gone = self._changed(), set(names)
        state.nodes = {name: node for name, node in state.nodes.items() if name not in gone}
        state.edges = {pair: edge for pair, edge in state.edges.items() if not gone.intersection(pair)}

    async def delete_relations(self, pairs: Sequence[Pair]) -> None:
        """Remove edges."""
        state = self._changed()
        for pair in pairs:
            state.edges.pop(pair, None)

    async def get_entities(self, names: Sequence[str]) -> dict[str, Entity]:
        """Return nodes by name."""
        return {name: self._state.nodes[name] for name in names if name in self._state.nodes}

    async def get_relations(self, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """Return edges by pair."""
        return {pair: self._state.edges[pair] for pair in pairs if pair in self._state.edges}

    async def degrees(self, names: Sequence[str]) -> dict[str, int]:
        """Return the number of edges on each existing node."""
        return {name: self._degree(name) for name in names if name in self._state.nodes}

    async def relations_of(self, names: Sequence[str], limit: int) -> dict[str, list[tuple[str, float]]]:
        """Return per node at most `limit` (neighbour, weight), heaviest first, ties by name."""
        found = {}
        for name in names:
            edges = [edge for pair, edge in self._state.edges.items() if name in pair]
            neighbours = [(e.target if e.source == name else e.source, e.weight) for e in edges]
            if neighbours and limit > 0:
                found[name] = sorted(neighbours, key=lambda item: (-item[1], item[0]))[:limit]
        return found

    async def scan_entities(self, *, after: str = "", limit: int = 1000) -> list[Entity]:
        """Return nodes with name > `after`, by name."""
        return [self._state.nodes[name] for name in sorted(self._state.nodes) if name > after][:limit]

    async def scan_relations(self, *, after: Pair | None = None, limit: int = 1000) -> list[Relation]:
        """Return edges with pair > `after`, by pair."""
        pairs = sorted(pair for pair in self._state.edges if after is None or pair > after)
        return [self._state.edges[pair] for pair in pairs[:limit]]

    async def popular_labels(self, limit: int) -> list[str]:
        """Return names by degree descending, ties by name."""
        return sorted(self._state.nodes, key=lambda name: (-self._degree(name), name))[:limit]

    async def labels_containing(self, text: str, limit: int) -> list[str]:
        """Return names that contain `text`, ignoring case; any order, at most `limit`."""
        return [name for name in self._state.nodes if text.casefold() in name.casefold()][:limit]

    async def counts(self) -> tuple[int, int]:
        """Return the numbers of nodes and edges."""
        return len(self._state.nodes), len(self._state.edges)

    async def clear(self) -> None:
        """Remove all mentions, nodes and edges."""
        state = self._changed()
        for table in (state.sources, state.entities, state.relations, state.nodes, state.edges):
            table.clear()

    async def changes(self, since: int) -> GraphChanges:
        """Return everything, or nothing where `since` is the present sequence number."""
        state, nothing = self._state, np.empty(0, np.int64)
        if state.version and since == state.version:
            state, complete = GraphState(ids=state.ids, version=state.version), False
        else:
            complete = True
        id_of = state.id_of
        return GraphChanges(
            seq=state.version,
            complete=complete,
            removed_entities=nothing,
            removed_chunks=nothing,
            removed_relations=nothing.reshape(0, 2),
            entities=[(id_of(name), name) for name in sorted(state.names())],
            chunks=[(id_of(chunk), chunk, state.sources[chunk].doc_id) for chunk in sorted(state.sources)],
            mentions=_id_pairs((id_of(name), id_of(chunk)) for name, chunk in state.entities),
            relations=_id_pairs((id_of(source), id_of(target)) for source, target in state.edges),
            relation_weights=np.array([edge.weight for edge in state.edges.values()], np.float32),
        )

    @property
    def _state(self) -> GraphState:
        return self._current()

    def _changed(self) -> GraphState:
        state = self._current()
        state.version += 1
        return state

    def _degree(self, name: str) -> int:
        return sum(name in pair for pair in self._state.edges)

    def _in_order(self, key: str, chunks: Iterable[str], doc_ids: Collection[str] | None) -> list[MentionSource]:
        sources = (self._state.sources[chunk] for chunk in chunks)
        kept = [source for source in sources if doc_ids is None or source.doc_id in doc_ids]
        return sorted(kept, key=lambda source: evidence_rank(key, source.chunk_id))


def _id_pairs(pairs: Iterable[tuple[int, int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(list(pairs), np.int64).reshape(-1, 2)
