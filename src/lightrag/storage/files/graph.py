"""Mentions, entities and relations."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Collection, Sequence

import numpy as np

from lightrag.errors import InvalidInput, StorageError
from lightrag.storage.contracts import EntityEvidence, GraphChanges, RelationEvidence, Touched
from lightrag.storage.evidence import MICRO
from lightrag.storage.files.graph_log import GraphLog
from lightrag.storage.files.rows import Said
from lightrag.storage.files.session import Session
from lightrag.storage.files.state import Place, State
from lightrag.types import Entity, EntityMention, MentionSource, Pair, Relation, RelationMention


class FileGraph:
    """The graph as one session sees it."""

    def __init__(self, session: Session, log: GraphLog) -> None:
        self._session = session
        self._log = log

    async def put_mentions(self, entities: Sequence[EntityMention], relations: Sequence[RelationMention]) -> Touched:
        """Store mentions, replacing those of the same key and chunk; return the keys."""
        for mention in relations:
            if not np.isfinite(mention.relation.weight):
                raise InvalidInput(f"the weight of {mention.relation} is not finite")
        chunks: dict[str, Said] = {}
        for entity in entities:
            _at(chunks, entity.source).entities[entity.entity.name] = entity.entity
        for mention in relations:
            pair = (mention.relation.source, mention.relation.target)
            _at(chunks, mention.source).relations[pair] = mention.relation

        def work(state: State) -> None:
            for chunk_id, said in chunks.items():
                state.add_said(chunk_id, said)

        await self._session.write(work)
        return _touched(chunks.values())

    async def delete_mentions(self, chunk_ids: Sequence[str]) -> Touched:
        """Remove all mentions by these chunks; return the keys that lost any."""
        wanted = list(chunk_ids)

        def work(state: State) -> Touched:
            touched = _touched(_said_by(state, wanted))
            for chunk_id in wanted:
                state.remove_said(chunk_id)
            return touched

        return await self._session.write(work)

    async def entity_evidence(
        self, names: Sequence[str], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[str, EntityEvidence]:
        """Return evidence of each name that has any; with `doc_ids` only mentions by these documents count."""
        state, docs, found = self._session.state, _set(doc_ids), {}
        for name in names:
            places = _of_documents(state, state.by_name.get(name) or [], docs)
            if places:
                said = _said_by(state, [chunk_id for _, chunk_id in places[:limit]])
                mentions = tuple([EntityMention(item.entities[name], item.source) for item in said])
                found[name] = EntityEvidence(len(places), mentions)
        return found

    async def relation_evidence(
        self, pairs: Sequence[Pair], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[Pair, RelationEvidence]:
        """Return evidence of each pair that has any; with `doc_ids` only mentions by these documents count."""
        state, docs, found = self._session.state, _set(doc_ids), {}
        for pair in pairs:
            index = state.by_pair.get(pair)
            places = _of_documents(state, index.places, docs) if index is not None else []
            if index is None or not places:
                continue
            total = index.total
            if docs is not None:
                weights = [item.relations[pair].weight for item in _said_by(state, [chunk for _, chunk in places])]
                total = sum(round(weight * MICRO) for weight in weights)
            said = _said_by(state, [chunk_id for _, chunk_id in places[:limit]])
            mentions = tuple([RelationMention(item.relations[pair], item.source) for item in said])
            found[pair] = RelationEvidence(len(places), total / MICRO, mentions)
        return found

    async def mentioned_by(self, chunk_ids: Sequence[str]) -> Touched:
        """Return the keys that these chunks mention."""
        return _touched(_said_by(self._session.state, chunk_ids))

    async def scan_mention_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return names that have entity mentions, by name."""
        names = self._session.state.by_name.ordered()
        start = bisect.bisect_right(names, after)
        return names[start : start + limit]

    async def scan_mention_pairs(self, *, after: Pair | None = None, limit: int = 1000) -> list[Pair]:
        """Return pairs that have relation mentions, by pair."""
        pairs = self._session.state.by_pair.ordered()
        start = 0 if after is None else bisect.bisect_right(pairs, after)
        return pairs[start : start + limit]

    async def put_entities(self, entities: Sequence[Entity]) -> None:
        """Insert or replace nodes."""
        nodes = list(entities)

        def work(state: State) -> None:
            for entity in nodes:
                state.nodes.put(entity.name, entity)

        await self._session.write(work)

    async def put_relations(self, relations: Sequence[Relation]) -> None:
        """Insert or replace edges; raises `StorageError` where an end is missing."""
        edges = list(relations)

        def work(state: State) -> None:
            for relation in edges:
                if missing := [name for name in relation.pair if name not in state.nodes]:
                    raise StorageError(f"no entity {missing[0]!r} exists for a relation on it")
                if not np.isfinite(relation.weight):
                    raise InvalidInput(f"the weight of {relation.pair} is not finite")
            for relation in edges:
                state.put_edge(relation)

        await self._session.write(work)

    async def delete_entities(self, names: Sequence[str]) -> None:
        """Remove nodes and every edge on them."""
        wanted = list(names)

        def work(state: State) -> None:
            for name in wanted:
                state.remove_node(name)

        await self._session.write(work)

    async def delete_relations(self, pairs: Sequence[Pair]) -> None:
        """Remove edges."""
        wanted = list(pairs)

        def work(state: State) -> None:
            for pair in wanted:
                state.remove_edge(pair)

        await self._session.write(work)

    async def get_entities(self, names: Sequence[str]) -> dict[str, Entity]:
        """Return nodes by name."""
        found = ((name, self._session.state.nodes.get(name)) for name in names)
        return {name: entity for name, entity in found if entity is not None}

    async def get_relations(self, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """Return edges by pair."""
        found = ((pair, self._session.state.edges.get(pair)) for pair in pairs)
        return {pair: relation for pair, relation in found if relation is not None}

    async def degrees(self, names: Sequence[str]) -> dict[str, int]:
        """Return the number of edges on each existing node."""
        state = self._session.state
        return {name: len(state.neighbours.get(name) or ()) for name in names if name in state.nodes}

    async def relations_of(self, names: Sequence[str], limit: int) -> dict[str, list[tuple[str, float]]]:
        """Return per node at most `limit` (neighbour, weight), heaviest first, ties by name."""
        found = {}
        for name in names:
            around = self._session.state.neighbours.get(name)
            if around and limit > 0:
                found[name] = heapq.nsmallest(limit, around.items(), key=lambda item: (-item[1], item[0]))
        return found

    async def scan_entities(self, *, after: str = "", limit: int = 1000) -> list[Entity]:
        """Return nodes with name > `after`, by name."""
        nodes = self._session.state.nodes
        names = nodes.ordered()
        start = bisect.bisect_right(names, after)
        found = (nodes.get(name) for name in names[start : start + limit])
        return [entity for entity in found if entity is not None]

    async def scan_relations(self, *, after: Pair | None = None, limit: int = 1000) -> list[Relation]:
        """Return edges with pair > `after`, by pair."""
        edges = self._session.state.edges
        pairs = edges.ordered()
        start = 0 if after is None else bisect.bisect_right(pairs, after)
        found = (edges.get(pair) for pair in pairs[start : start + limit])
        return [relation for relation in found if relation is not None]

    async def popular_labels(self, limit: int) -> list[str]:
        """Return names by degree descending, ties by name."""
        state = self._session.state
        degrees = ((-len(state.neighbours.get(name) or ()), name) for name in state.nodes)
        return [name for _, name in heapq.nsmallest(limit, degrees)]

    async def labels_containing(self, text: str, limit: int) -> list[str]:
        """Return names that contain `text`, ignoring case; any order, at most `limit`."""
        wanted = text.casefold()
        found: list[str] = []
        for name in self._session.state.nodes:
            if len(found) >= limit:
                break
            if wanted in name.casefold():
                found.append(name)
        return found

    async def counts(self) -> tuple[int, int]:
        """Return the numbers of nodes and edges."""
        return len(self._session.state.nodes), len(self._session.state.edges)

    async def clear(self) -> None:
        """Remove all mentions, nodes and edges."""
        await self._session.write(State.clear_graph)

    async def changes(self, since: int) -> GraphChanges:
        """Return what changed after `since`, or everything where that is not known."""
        return self._log.changes(self._session.state, since)


def _at(chunks: dict[str, Said], source: MentionSource) -> Said:
    said = chunks.get(source.chunk_id)
    if said is None or said.source != source:
        said = Said(source, said.entities if said else {}, said.relations if said else {})
        chunks[source.chunk_id] = said
    return said


def _said_by(state: State, chunk_ids: Sequence[str]) -> list[Said]:
    return [said for chunk_id in chunk_ids if (said := state.said.get(chunk_id)) is not None]


def _touched(said: Collection[Said]) -> Touched:
    return Touched(
        frozenset(name for item in said for name in item.entities),
        frozenset(pair for item in said for pair in item.relations),
    )


def _of_documents(state: State, places: list[Place], doc_ids: Collection[str] | None) -> list[Place]:
    if doc_ids is None:
        return places
    return [
        place for place in places if (said := state.said.get(place[1])) is not None and said.source.doc_id in doc_ids
    ]


def _set(doc_ids: Collection[str] | None) -> Collection[str] | None:
    return doc_ids if doc_ids is None else set(doc_ids)
